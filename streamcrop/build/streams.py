"""The parts of a stream, by its part of the configuration."""

import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

from streamcrop import config
from streamcrop.build.sinks import Elsewhere, Sinks
from streamcrop.build.sources import source_of
from streamcrop.core.limits import Limits
from streamcrop.core.pairing import Pairer
from streamcrop.core.values import Change
from streamcrop.errors import ConfigError
from streamcrop.formats import DETECTION_FORMATS
from streamcrop.mqtt.broker import Broker
from streamcrop.sinks.mqtt import Envelope
from streamcrop.sources import FrameSource
from streamcrop.stream.choosing import Choosing
from streamcrop.stream.outbox import Waiting
from streamcrop.stream.outcomes import Outcomes
from streamcrop.stream.pairing import Pairing
from streamcrop.stream.pipeline import Pipeline
from streamcrop.stream.render import Style
from streamcrop.stream.rendering import Rendering
from streamcrop.stream.supervision import Stream
from streamcrop.stream.tap import Showing, Tap

# Names of finished frames that are remembered: 60 s of 400 a second.
_MAX_NAMES = 24_000
# Decoding, messages that are large, pictures for the tap or a folder.
_THREADS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """All that the streams of a node have in common.

    Attributes:
        node: The node's name.
        broker: The connection.
        encoders: Where all streams encode.
        elsewhere: Where crops go beyond the broker.
        shutdown_timeout: How long the end may take, in seconds.
        limits: What one message may ask for.
    """

    node: str
    broker: Broker
    encoders: Executor
    elsewhere: Elsewhere = field(default_factory=Elsewhere)
    shutdown_timeout: float = 10.0
    limits: Limits = field(default_factory=Limits)


def stream_of(
    name: str,
    settings: config.Stream,
    shared: Shared,
    on_change: Callable[[Change], None],
    source: FrameSource | None = None,
) -> Stream:
    """Build a stream, and have the broker hand over its messages.

    Args:
        name: The stream's name.
        settings: Its part of the configuration.
        shared: What it shares with others.
        on_change: Is told what becomes of it.
        source: Where its frames come from; None: as the settings say.

    Raises:
        ConfigError: If a file that it is to trust cannot be used, or a library is missing; names
            the stream.
    """
    try:
        parts = _Parts(name, settings, shared, on_change, source)
    except ConfigError as error:
        raise ConfigError(f"$.streams.{name}.{error}") from None
    outcomes, topic = parts.outcomes, settings.detections.topic
    stream = Stream(
        name,
        source=parts.source,
        sinks=parts.sinks,
        tap=parts.tap,
        outcomes=outcomes,
        begin=parts.pipeline,
        threads=parts.threads,
        on_change=on_change,
    )
    shared.broker.subscribe(
        topic,
        stream.arrive,
        retained=lambda *_: outcomes.message_stale(topic),
        failed=outcomes.message_failed,
    )
    return stream


class _Parts:
    """The parts of one stream that outlive a pipeline, and how one is made of them."""

    def __init__(
        self,
        name: str,
        settings: config.Stream,
        shared: Shared,
        on_change: Callable[[Change], None],
        source: FrameSource | None,
    ) -> None:
        self._name = name
        self._settings = settings
        self._shared = shared
        self._on_change = on_change
        self.source = source or source_of(settings, shared.broker, shared.limits)
        self.outcomes = Outcomes(settings.pairing.key, settings.pairing.max_wait, stream=name)
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=name)
        self._envelope = Envelope(shared.broker, settings.output.envelope)
        sinks = Sinks(
            name,
            settings,
            broker=shared.broker,
            elsewhere=shared.elsewhere,
            outcomes=self.outcomes,
            threads=self.threads,
            end_within=shared.shutdown_timeout,
        )
        self._sent = sinks.envelope
        self.sinks = sinks.build()
        self.tap = self._tap(settings.tap) if settings.tap else None

    def pipeline(self) -> Pipeline:
        """One run of the stream."""
        pairing = pairing_of(
            self._settings,
            connected=lambda: self._shared.broker.answers,
            outcomes=self.outcomes,
            threads=self.threads,
            limits=self._shared.limits,
        )
        return Pipeline(
            self._name,
            source=self.source,
            showing=self._showing(self.tap, pairing) if self.tap else None,
            pairing=pairing,
            rendering=self._rendering(pairing),
            outcomes=self.outcomes,
            on_change=self._on_change,
        )

    def _tap(self, settings: config.Tap) -> Tap:
        return Tap(
            (self._shared.node, self._name),
            rate=settings.rate,
            longest_side=settings.longest_side,
            quality=settings.quality,
            broker=self._shared.broker,
            envelope=self._envelope,
            qos=int(self._settings.lossless),
            say=self.outcomes.notes.say,
        )

    def _showing(self, tap: Tap, pairing: Pairing) -> Showing:
        return Showing(
            tap,
            frames=pairing.frames,
            # A detector that echoes the tap's IDs can answer no other frames.
            first=self._settings.pairing.row.names,
            lossless=self._settings.lossless,
            outcomes=self.outcomes,
            threads=self.threads,
        )

    def _rendering(self, pairing: Pairing) -> Rendering:
        output, detections = self._settings.output, self._settings.detections
        style = Style(
            (self._shared.node, self._name),
            self._settings.crop.options(),
            self._settings.pairing.key,
            detections.format,
            detections.max_predictions,
            output.topic,
            output.encoding,
            output.quality,
            self._shared.limits,
        )
        return Rendering(
            pairing.pairs,
            style=style,
            limited=lambda: self._settings.output.mqtt and self._sent.is_limited,
            sinks=self.sinks,
            outcomes=self.outcomes,
            threads=self.threads,
            encoders=self._shared.encoders,
            choosing=self._choosing(),
        )

    def _choosing(self) -> Choosing | None:
        select = self._settings.select
        if select.takes_all:
            return None
        # What is read as fast as it can be has no other time than its own.
        return Choosing(select.interest(), select.rule(), by_media=self._settings.lossless)


def pairing_of(
    settings: config.Stream,
    *,
    connected: Callable[[], bool],
    outcomes: Outcomes,
    threads: Executor,
    limits: Limits | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Pairing:
    """Build the stage at which a stream's frames and messages become pairs.

    Args:
        settings: The stream's part of the configuration.
        connected: Says whether the broker is there now.
        outcomes: Is told of each item that will not pair.
        threads: For large messages.
        limits: What one message may ask for; None: the defaults.
        now: Seconds, on any monotonic clock.
    """
    pairing, detections = settings.pairing, settings.detections
    return Pairing(
        _pairer(settings),
        key=pairing.row,
        decode=partial(DETECTION_FORMATS[detections.format].decode, limits=limits or Limits()),
        topic=detections.topic,
        # As the keys are, so that no sum of one and the other is rounded.
        offset=Fraction(pairing.offset).limit_denominator(1_000_000),
        lossless=settings.lossless,
        max_items=pairing.max_items,
        max_bytes=pairing.max_bytes,
        max_message_bytes=detections.max_message_bytes,
        connected=connected,
        outcomes=outcomes,
        threads=threads,
        now=now,
    )


def _pairer(settings: config.Stream) -> Pairer[Waiting, Waiting]:
    pairing = settings.pairing
    loops = pairing.row.loops and settings.source.loop
    return Pairer(
        pairing.row.match(pairing.tolerance),
        pairing.max_wait,
        pairing.max_items,
        pairing.max_bytes,
        lossless=settings.lossless,
        remember=None if loops else pairing.remember,
        max_remembered=max(_MAX_NAMES, pairing.max_items),
        guard=pairing.row.guard(pairing.tolerance, confirm=pairing.confirm),
    )
