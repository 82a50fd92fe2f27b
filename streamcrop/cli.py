"""The command line: arguments, logging, exit codes. The only one that runs a loop."""

import asyncio
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from streamcrop import __version__
from streamcrop.addresses import redacted
from streamcrop.errors import ConfigError, StreamcropError

if TYPE_CHECKING:
    from streamcrop.config import Config
    from streamcrop.node import Node

T = TypeVar("T")
EXIT_FAILED = 1
EXIT_CONFIG = 2
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Redacting(logging.Formatter):
    """Writes no password, whoever let one come so far."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
@click.option("-v", "--verbose", is_flag=True, help="Say more in the log.")
def main(*, verbose: bool) -> None:
    """Crop every detected object out of the very frame its detection speaks of.

    \b
    streamcrop demo           see it work: no broker, camera or model needed
    streamcrop check CONFIG   is my configuration right?
    streamcrop run CONFIG     run the node
    streamcrop calibrate CONFIG --stream NAME --detector-url URL
                              do both streams of my camera say the same time?

    Exit status: 0 done; 1 a stream or the broker failed for good, or the ledger does not add up;
    2 the configuration is wrong.
    """  # noqa: D301  # click's own sign, which must not be raw
    handler = logging.StreamHandler()
    handler.setFormatter(_Redacting("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    for noisy in ("aioice", "aiortc", "asyncio", "mqtt"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # What FFmpeg says may hold a URL with its password; sources say in their words what counts.
    logging.getLogger("libav").setLevel(logging.CRITICAL + 1)


@main.command()
@click.argument("path", metavar="CONFIG", type=click.Path())
@click.option("--ledger", metavar="PATH", type=click.Path(), help="Write the ledger here, as JSON.")
@click.option("--only", metavar="STREAMS", help="Run these of its streams alone, as in gate,yard.")
def run(path: str, ledger: str | None, only: str | None) -> None:
    """Run the node that CONFIG describes until its sources end, or SIGTERM or SIGINT.

    On a signal the inputs close, and what is in hand is published within shutdown_timeout. At the
    end the ledger says what became of every frame, message, prediction and crop.

    With --only several processes share the streams of one CONFIG; each has a status of its own,
    streamcrop/node/NODE/STREAMS/status.
    """
    with _signals_held():
        settings = _load(path)
        if only is not None:
            wanted = set(only.split(","))
            _check_known(settings, "--only", wanted)
            settings.streams = {n: s for n, s in settings.streams.items() if n in wanted}
        if ledger:
            try:
                # Now, not after a day's work.
                Path(ledger).touch()
            except OSError as error:
                _say_wrong(f"--ledger {ledger}: cannot be written: {error}")
                sys.exit(EXIT_CONFIG)
        _report(_start(_until_signal(settings, part=only is not None, ledger=ledger)), ledger)


@main.command()
@click.argument("path", metavar="CONFIG", type=click.Path())
def check(path: str) -> None:
    """Say whether CONFIG is right. Reads that file alone and opens nothing that it names.

    An error names the key and what was expected. Refused is also what could never work: a pairing
    key that the source does not provide, a topic with an unknown field, a missing variable.
    """
    from streamcrop.sources.hardware import lacking  # noqa: PLC0415  # as in _load

    loaded = _load(path)
    for name, stream in loaded.streams.items():
        pairs = f"pairs {stream.detections.topic} by {stream.pairing.key}"
        kind = "lossless file" if stream.lossless else stream.source.kind.name
        mode, why = stream.decoding
        click.echo(f"{name}: {kind}, {pairs}, crops to {stream.output.topic}")
        click.echo(f"{name}: decodes {mode}: {why}")
        if stream.caveat:
            click.echo(f"{name}: warning: {stream.caveat}")
        if stream.source.scheme in {"whip", "whep"} and not find_spec("aiortc"):
            cure = "pip install 'streamcrop[webrtc]'"
            click.echo(f"{name}: warning: WebRTC is not installed here: {cure}")
        if hwaccel := stream.source.hwaccel:
            without = lacking(hwaccel)
            where = f"in software: {without}" if without else f"on {hwaccel} if it can be opened"
            click.echo(f"{name}: decodes {where}")
    click.echo(f"{path}: ok")


@main.command()
@click.argument("path", metavar="CONFIG", type=click.Path())
@click.option("--stream", required=True, help="The stream's name.")
@click.option(
    "--frame-id", required=True, help="The frame's frame_id, SEI or captured_at (as in metadata)."
)
def explain(path: str, stream: str, frame_id: str) -> None:
    """Say what became of a frame: why is there no crop of it?

    Asks the running node over the broker that CONFIG names; a node remembers its last frames,
    about 10,000 names a stream.
    """
    from streamcrop.build import address_of  # noqa: PLC0415  # only this command asks
    from streamcrop.mqtt.broker import Broker  # noqa: PLC0415  # as above
    from streamcrop.stream.history import ask  # noqa: PLC0415  # as above

    settings = _load(path)
    _check_known(settings, "--stream", {stream})
    broker = Broker(address_of(settings), name="explain")
    said = _start(ask(broker, settings.node, stream, frame_id))
    if said is None:
        host = settings.broker.address()[0]
        said = f"no node {settings.node!r} answers for {stream} by the broker {host}"
        _say_wrong(said)
        sys.exit(EXIT_FAILED)
    click.echo(f"{stream}/{frame_id}: {said}")


@main.command()
@click.argument("path", metavar="CONFIG", type=click.Path())
@click.option("--stream", required=True, help="The stream's name; its source.url is the main one.")
@click.option(
    "--detector-url",
    metavar="URL",
    required=True,
    help="What the detector reads. '${NAME}', in single quotes, comes from the environment: what "
    "stands here anyone on this machine may read.",
)
@click.option(
    "--seconds",
    default=30.0,
    show_default=True,
    type=click.FloatRange(15, 120),
    help="For how long, once both have capture times.",
)
@click.option(
    "--range",
    "search",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0.2, 10),
    help="The largest offset that is looked for, in seconds.",
)
def calibrate(*, path: str, stream: str, detector_url: str, seconds: float, search: float) -> None:
    """Say by how much the capture times of two streams of one camera differ.

    \b
    streamcrop calibrate camera.yaml --stream gate \\
        --detector-url 'rtsp://me:${PASSWORD}@camera/sub'

    With the key utc a message names its frame by the capture time in the stream that the detector
    reads. Some servers count a latency of each stream into these times; then every crop would be
    of another frame. This reads both streams at once, finds by what they show which pictures are of
    the same moment, and prints the pairing.offset that makes up for it. Let somebody walk through
    the picture meanwhile. The node and the detector may run beside it, and had better: some servers
    count another latency when nobody was connected.

    What cannot be told for certain (too little motion, motion that repeats itself, two cameras,
    clocks that do not run together) is not guessed: "cannot tell", why, and exit status 1.
    """  # noqa: D301  # click's own sign, which must not be raw
    settings = _load(path)
    _check_known(settings, "--stream", {stream})
    from streamcrop.calibrate import calibrate as compare  # noqa: PLC0415  # only this command pays

    chosen = settings.streams[stream]
    say = partial(click.echo, err=True)
    try:
        report = compare(chosen, detector_url, seconds, search, say)
    except StreamcropError as error:
        _say_wrong(str(error))
        sys.exit(EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED)
    for line in report.lines:
        click.echo(line)
    if not chosen.pairing.row.of_camera:
        say(f"note: {stream} is paired by {chosen.pairing.key}: an offset counts with utc alone")
    sys.exit(EXIT_FAILED if report.verdict.offset is None else 0)


@main.command()
@click.option("--duration", default=20.0, show_default=True, help="Seconds to run.")
@click.option("--keep", is_flag=True, help="Run until Ctrl-C, whatever --duration says.")
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
    *,
    duration: float,
    keep: bool,
    output: str,
    video: str | None,
    broker: str | None,
    embedded: str | None,
) -> None:
    """Play a clip, detect what moves, and gather its crops in a folder.

    A real broker is started, and a detector runs in a process of its own: it knows nothing but
    the frames that the node taps to MQTT, and answers each with boxes and masks from background
    subtraction. The node pairs, cuts and publishes; a subscriber gathers the crops. Meanwhile its
    page, whose address is printed, shows what it does.
    """
    from streamcrop.demo import play  # noqa: PLC0415  # only the demo pays for it

    seconds = math.inf if keep else duration
    _report(_start(play(seconds, Path(output), video, broker, embedded)))


def _report(node: "Node", ledger: str | None = None) -> None:
    """Say what became of everything, and end with that status."""
    from streamcrop.ledger_file import write  # noqa: PLC0415  # as config

    for name, stream in node.streams.items():
        click.echo(f"ledger of {name}")
        click.echo(stream.outcomes.ledger)
    problems = node.problems
    if ledger:
        try:
            write(Path(ledger), node.ledger)
        except OSError as error:
            problems.append(f"--ledger {ledger}: cannot be written: {error}")
    for problem in problems:
        _say_wrong(problem)
    code = EXIT_FAILED if problems else 0
    if threading.active_count() > 1:
        # A library that hangs, or work that is given up: nobody waits for these threads, and they
        # would come back to an interpreter that is gone.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _say_wrong(text: str) -> None:
    click.echo(f"error: {redacted(text)}", err=True)


def _load(path: str) -> "Config":
    from streamcrop import config  # noqa: PLC0415  # half a second, in which signals are held

    try:
        return config.load(path)
    except ConfigError as error:
        _say_wrong(str(error))
        sys.exit(EXIT_CONFIG)


def _check_known(settings: "Config", option: str, names: set[str]) -> None:
    if unknown := names - settings.streams.keys():
        known = ", ".join(settings.streams)
        _say_wrong(f"{option}: no stream {min(unknown)!r}: streams are {known}")
        sys.exit(EXIT_CONFIG)


def _start(main_task: Coroutine[Any, Any, T]) -> T:
    # Not closed: that would wait for threads, which may hang.
    runner = asyncio.Runner()
    try:
        return runner.run(main_task)
    except ConfigError as error:
        _say_wrong(str(error))
        sys.exit(EXIT_CONFIG)
    except StreamcropError as error:
        _say_wrong(str(error))
        sys.exit(EXIT_FAILED)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Hold back what asks us to end until `_until_signal` listens, and from its end on."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


async def _until_signal(settings: "Config", *, part: bool, ledger: str | None) -> "Node":
    from streamcrop.node import Node  # noqa: PLC0415  # as config

    node = Node(settings, part=part, ledger_path=Path(ledger) if ledger else None)
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, node.stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    try:
        await node.run()
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    return node
