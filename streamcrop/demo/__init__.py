"""The demo: everything is real but the camera.

```
clip ──► node ──► tap ──► broker ──► detector (a process of its own)
          ▲                 │  ▲            │
          └─── detections ──┘  └────────────┘
         node ──► crops ──► broker ──► gatherer ──► folder, contact sheet
```
"""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import click

from streamcrop import config
from streamcrop.demo.brokers import embedded_broker
from streamcrop.demo.gatherer import Gatherer
from streamcrop.demo.sheet import contact_sheet
from streamcrop.errors import ConfigError, StreamcropError
from streamcrop.node import Node, address_of

CLIP = Path(__file__).with_name("clip.mp4")
STREAM = "demo"
BACKGROUND = "#14181d"
SHEET = "contact-sheet.jpg"
# Small enough for MQTT and the detector, large enough that 20 px of a 4K clip are still 6.
TAP_SIDE = 1280
_STARTING = 30
_AUTO: config.Protocol = "auto"
_TICK, _LINE_EVERY = 0.2, 5.0


async def play(
    duration: float, output: Path, video: str | None, broker: str | None, embedded: str | None
) -> Node:
    """Run the demo.

    Args:
        duration: In seconds; a shorter clip begins again.
        output: The folder to fill.
        video: A clip; default: the one that comes with the package.
        broker: The URL of a real broker; default: start one.
        embedded: Which broker to start, ``mosquitto`` or ``amqtt``; default: what is installed.

    Raises:
        StreamcropError: If no broker can be started, or the broker's URL is wrong.
    """
    async with AsyncExitStack() as stack:
        url, version = broker or "", _AUTO
        if not broker:
            url, version = await stack.enter_async_context(embedded_broker(embedded))
        settings = _settings(config.Broker(url=url, protocol=version), video or str(CLIP))
        gatherer = Gatherer(address_of(settings), STREAM, output)
        await stack.enter_async_context(gatherer)
        await stack.enter_async_context(_detector(url, version))
        node = Node(settings)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, node.stop)
        progress = asyncio.create_task(_progress(node, gatherer, duration))
        try:
            await node.run()
        finally:
            progress.cancel()
        await gatherer.expect(node.pipelines[STREAM].ledger.crops.succeeded)
    click.echo("")
    sheet = contact_sheet(gatherer.crops, output / SHEET, BACKGROUND)
    if sheet:
        click.echo(f"{len(gatherer.crops)} crops in {output}, a selection in {output / SHEET}")
    else:
        click.echo("no crops: nothing moved, or the detector did not answer")
    return node


def _settings(broker: config.Broker, video: str) -> config.Config:
    """The demo's configuration, as a user would write it."""
    settings = config.Config(
        node=STREAM,
        broker=broker,
        streams={
            STREAM: config.Stream(
                source=config.Source(url=video, loop=True),
                tap=config.Tap(longest_side=TAP_SIDE),
                detections=config.Detections(topic=f"detections/{STREAM}"),
                pairing=config.Pairing(max_wait=5),
                crop=config.Crop(mask_opacity=1.0, background_color=BACKGROUND),
            )
        },
    )
    try:
        settings.broker.address()
    except ValueError as error:
        raise ConfigError(f"--broker: {error}") from None
    return settings


@asynccontextmanager
async def _detector(url: str, version: config.Protocol) -> AsyncIterator[None]:
    """The detector, in a process of its own; it is there once it has subscribed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "streamcrop.demo.detector",
        STREAM,
        version,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin and process.stdout  # noqa: S101, PT018  # both are pipes
    try:
        # By a pipe: a password in the arguments would be seen by everybody on the machine.
        process.stdin.write(f"{url}\n".encode())
        await process.stdin.drain()
        async with asyncio.timeout(_STARTING):
            ready = await process.stdout.readline()
        if not ready:
            raise StreamcropError("the detector did not start")
        yield
    except TimeoutError:
        raise StreamcropError(f"the detector found no broker within {_STARTING} s") from None
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _progress(node: Node, gatherer: Gatherer, duration: float) -> None:
    """End the run when its time is over; until then one line that changes.

    Where no terminal is, it is a line now and then.
    """
    ledger = node.pipelines[STREAM].ledger
    while not ledger.frames.entered:  # noqa: ASYNC110  # a ledger tells nobody when it counts
        await asyncio.sleep(_TICK)
    terminal, since, said = sys.stdout.isatty(), time.monotonic(), 0.0
    start = "\r" if terminal else ""
    while True:
        await asyncio.sleep(_TICK)
        now = time.monotonic() - since
        if now >= duration:
            node.finish()
        if now < said + (0 if terminal else _LINE_EVERY):
            continue
        said = now
        click.echo(
            f"{start}{now:5.1f} of {duration:.0f} s   "
            f"frames {ledger.frames.entered}   answered {ledger.frames.succeeded}   "
            f"crops gathered {len(gatherer.crops)}   ",
            nl=not terminal,
        )
