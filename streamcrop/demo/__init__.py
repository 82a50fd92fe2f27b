"""The demo: everything is real but the camera.

```
clip ──► node ──► tap ──► broker ──► detector (a process of its own)
          ▲                 │  ▲            │
          └─── detections ──┘  └────────────┘
         node ──► crops ──► broker ──► gatherer ──► folder, contact sheet
```
"""

import asyncio
import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import click

from streamcrop import config
from streamcrop.build import address_of
from streamcrop.demo.brokers import embedded_broker, running
from streamcrop.demo.gatherer import gathered
from streamcrop.demo.sheet import contact_sheet
from streamcrop.errors import ConfigError, StreamcropError
from streamcrop.node import Node

CLIP = Path(__file__).with_name("clip.mp4")
STREAM = "demo"
BACKGROUND = "#14181d"
SHEET = "contact-sheet.jpg"
# Small enough for MQTT and the detector, large enough that 20 px of a 4K clip are still 6.
TAP_SIDE = 1280
_STARTING = 30
_AUTO: config.Protocol = "auto"
_TICK, _LINE_EVERY = 0.2, 5.0
_LAST_TICKS = 25


async def play(
    duration: float, output: Path, video: str | None, broker: str | None, embedded: str | None
) -> Node:
    """Run the demo.

    Args:
        duration: In seconds, perhaps infinite; a shorter clip begins again.
        output: The folder to fill.
        video: A clip; default: the one that comes with the package.
        broker: The URL of a real broker; default: start one.
        embedded: Which broker to start, ``mosquitto`` or ``amqtt``; default: what is installed.

    Raises:
        StreamcropError: If no broker can be started, or the broker's URL is wrong.
    """
    given = nullcontext((broker, _AUTO)) if broker else embedded_broker(embedded)
    async with given as (url, version):
        settings = _settings(config.Broker(url=url, protocol=version), video or str(CLIP))
        pipe, env = asyncio.subprocess.PIPE, {**os.environ, "BROKER_URL": url}
        # By the environment: a password in the arguments would be seen by the whole machine.
        command = (sys.executable, "-m", "streamcrop.demo.detector", STREAM, version)
        async with (
            gathered(address_of(settings), STREAM, output) as crops,
            running(*command, env=env, stdout=pipe) as detector,
        ):
            await _ready(detector)
            node = Node(settings)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, node.stop)
            progress = asyncio.create_task(_progress(node, crops, duration))
            try:
                await node.run()
            finally:
                progress.cancel()
            for _ in range(_LAST_TICKS):
                if len(crops) < node.streams[STREAM].outcomes.ledger.crops.succeeded:
                    await asyncio.sleep(_TICK)
    click.echo("")
    if contact_sheet(crops, output / SHEET, BACKGROUND):
        click.echo(f"{len(crops)} crops in {output}, a selection in {output / SHEET}")
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
                # Fewer than the detector holds.
                pairing=config.Pairing(max_wait=5, max_items=50),
                crop=config.Crop(mask_opacity=1.0, background_color=BACKGROUND),
            )
        },
    )
    try:
        settings.broker.address()
    except ValueError as error:
        raise ConfigError(f"--broker: {error}") from None
    try:
        settings.streams[STREAM].source.check()
    except ValueError as error:
        raise ConfigError(f"--video: {error}") from None
    return settings


async def _ready(detector: asyncio.subprocess.Process) -> None:
    """Wait until the detector has subscribed: it says so in a line."""
    assert detector.stdout  # noqa: S101  # a pipe
    try:
        async with asyncio.timeout(_STARTING):
            ready = await detector.stdout.readline()
    except TimeoutError:
        raise StreamcropError(f"the detector found no broker within {_STARTING} s") from None
    if not ready:
        raise StreamcropError("the detector did not start")


async def _progress(node: Node, crops: Sequence[object], duration: float) -> None:
    """End the run when its time is over; until then one line that changes.

    Where no terminal is, it is a line now and then.
    """
    ledger = node.streams[STREAM].outcomes.ledger
    while not ledger.frames.entered:  # noqa: ASYNC110  # a ledger tells nobody when it counts
        await asyncio.sleep(_TICK)
    till = "" if math.isinf(duration) else f" of {duration:.0f}"
    every, start = (_TICK, "\r") if sys.stdout.isatty() else (_LINE_EVERY, "")
    since = time.monotonic()
    while (now := time.monotonic() - since) < duration:
        click.echo(
            f"{start}{now:5.1f}{till} s   "
            f"frames {ledger.frames.entered}   answered {ledger.frames.succeeded}   "
            f"crops gathered {len(crops)}   ",
            nl=not start,
        )
        await asyncio.sleep(min(every, duration - now))
    node.finish()
