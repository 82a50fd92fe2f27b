"""The command line: arguments, logging, exit codes. The only caller of `asyncio.run`."""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from streamcrop import __version__, config
from streamcrop.errors import ConfigError, StreamcropError
from streamcrop.node import Node

EXIT_FAILED = 1
EXIT_CONFIG = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
@click.option("-v", "--verbose", is_flag=True, help="Say more in the log.")
def main(*, verbose: bool) -> None:
    """Crop every detected object out of the very frame its detection speaks of.

    \b
    streamcrop demo           see it work: no broker, camera or model needed
    streamcrop check CONFIG   is my configuration right?
    streamcrop run CONFIG     run the node

    Exit status: 0 done; 1 a stream or the broker failed for good, or the ledger does not add up;
    2 the configuration is wrong.
    """  # noqa: D301  # click's own sign, which must not be raw
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(message)s",
    )
    for noisy in ("aioice", "aiortc", "asyncio", "libav", "mqtt"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@main.command()
@click.argument("path", metavar="CONFIG", type=click.Path())
@click.option("--ledger", metavar="PATH", type=click.Path(), help="Write the ledger here, as JSON.")
def run(path: str, ledger: str | None) -> None:
    """Run the node that CONFIG describes until its sources end, or SIGTERM or SIGINT.

    On a signal the inputs close, and what is in hand is published within shutdown_timeout. At the
    end the ledger says what became of every frame, message, prediction and crop.
    """
    settings = _load(path)
    if ledger:
        try:
            # Now, not after a day's work.
            Path(ledger).touch()
        except OSError as error:
            click.echo(f"error: --ledger {ledger}: cannot be written: {error}", err=True)
            sys.exit(EXIT_CONFIG)
    node = _start(_until_signal(settings))
    print_ledger(node)
    if ledger:
        Path(ledger).write_text(json.dumps(node.ledger, indent=2) + "\n", encoding="utf-8")
    for problem in node.problems:
        click.echo(f"error: {problem}", err=True)
    sys.exit(EXIT_FAILED if node.problems else 0)


@main.command()
@click.argument("path", metavar="CONFIG", type=click.Path())
def check(path: str) -> None:
    """Say whether CONFIG is right. Reads that file alone and opens nothing that it names.

    An error names the key and what was expected. Refused is also what could never work: a pairing
    key that the source does not provide, a topic with an unknown field, a missing variable.
    """
    loaded = _load(path)
    for name, stream in loaded.streams.items():
        pairs = f"pairs {stream.detections.topic} by {stream.pairing.key}"
        kind = "lossless file" if stream.lossless else "file at its own pace"
        click.echo(f"{name}: {kind}, {pairs}, crops to {stream.output.topic}")
    click.echo(f"{path}: ok")


@main.command()
@click.option("--duration", default=20.0, show_default=True, help="Seconds to run.")
@click.option(
    "--output",
    default="streamcrop-demo",
    show_default=True,
    type=click.Path(),
    help="Folder to fill.",
)
@click.option("--video", type=click.Path(), help="Your own clip; a static camera works best.")
@click.option("--broker", metavar="URL", help="A real broker, mqtt://HOST:PORT.")
@click.option(
    "--embedded",
    type=click.Choice(["mosquitto", "amqtt"]),
    help="Which broker to start; default: mosquitto if it is installed.",
)
def demo(
    *, duration: float, output: str, video: str | None, broker: str | None, embedded: str | None
) -> None:
    """Play a clip, detect what moves, and gather its crops in a folder.

    A real broker is started, and a detector runs in a process of its own: it knows nothing but
    the frames that the node taps to MQTT, and answers each with boxes and masks from background
    subtraction. The node pairs, cuts and publishes; a subscriber gathers the crops.
    """
    from streamcrop.demo import play  # noqa: PLC0415  # only the demo pays for it

    node = _start(play(duration, Path(output), video, broker, embedded))
    print_ledger(node)
    for problem in node.problems:
        click.echo(f"error: {problem}", err=True)
    sys.exit(EXIT_FAILED if node.problems else 0)


def print_ledger(node: Node) -> None:
    """Say what became of everything."""
    for name, pipeline in node.pipelines.items():
        click.echo(f"ledger of {name}")
        click.echo(pipeline.ledger)


def _load(path: str) -> config.Config:
    try:
        return config.load(path)
    except ConfigError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_CONFIG)


def _start(main_task: Coroutine[Any, Any, Node]) -> Node:
    try:
        return asyncio.run(main_task)
    except ConfigError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_CONFIG)
    except StreamcropError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_FAILED)


async def _until_signal(settings: config.Config) -> Node:
    node = Node(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.stop)
    await node.run()
    return node
