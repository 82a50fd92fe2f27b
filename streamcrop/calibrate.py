"""`streamcrop calibrate`: reads both streams of a camera and says how far their clocks differ."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from streamcrop.build.sources import camera, capture_clock
from streamcrop.config import Source, Stream, from_environment
from streamcrop.config.source import CAMERA, TLS_CAMERA
from streamcrop.core.calibration import Kind, Verdict, compare
from streamcrop.core.motion import GRID, Series
from streamcrop.core.values import Change, Frame, Pixels
from streamcrop.errors import ConfigError, SourceError
from streamcrop.sources.decoding import Decoding
from streamcrop.sources.threads import BlockingSource

# A first report comes within 2.5 to 7.5 s (RFC 3550, 6.2), and a clock that jumped is not believed
# for 7.5 s.
_PATIENCE = 15.0
# Between two key pictures lie up to 250 pictures (x264's default), and sub streams are slow.
_KEY_PICTURE = 60.0
# Beyond the time that is read for, and more jumps of a clock than there are causes.
_LONGEST, _JUMPY = 30.0, 3
_SAID_EVERY = 5.0
_MAIN, _DETECTOR = "the main stream", "the detector's stream"
# Averages of so many samples a side, each rounded: a sixteenth of a level's rounding is left.
_FINER = 4

_WHY = {
    Kind.SHORT: "too few pictures with capture times of both: read for longer (--seconds)",
    Kind.STILL: (
        "too little moves that both streams show: have somebody walk through the picture, and "
        "repeat it. What changes once a second, like the time written into it, does not count"
    ),
    Kind.DIFFERENT: (
        "the two do not show the same motion: is it one camera, and the same part of its view? "
        "If so, its times lie further apart than --range"
    ),
    Kind.FAR: "the best offset is the last one that was tried: repeat it with a larger --range",
    Kind.REPEATS: (
        "what moves repeats itself, so that {rival:+.3f} s fits nearly as well: have somebody walk "
        "through the picture, and repeat it"
    ),
    Kind.APART: (
        "the clocks do not run together: the offset was {parts} s in turn, {drift:+.0f} ms a "
        "minute. Repeat it; if it stays so, no offset helps: use a tap, or sei"
    ),
    Kind.UNSURE: (
        "too little motion: one offset is the best, but not clearly. Have somebody walk through "
        "the picture, and repeat it, perhaps for longer (--seconds)"
    ),
}


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a calibration, for programs and for people.

    Attributes:
        verdict: Of the comparison.
        lines: The same for people.
    """

    verdict: Verdict
    lines: list[str]


class Recording:
    """The small pictures of a stream, as far as its capture times go on; a thread fills it.

    Args:
        name: For people.
        source: What is read.
    """

    def __init__(self, name: str, source: BlockingSource) -> None:
        self.name = name
        self.source = source
        self.seen = self.reports = self.steps = 0
        self.ended: str | None = None
        self.since = time.monotonic()
        self._epoch: str | None = None
        self._connected = False
        self._kept: list[tuple[int, int, npt.NDArray[np.float32]]] = []

    def run(self) -> None:
        """Read until the source ends or is stopped."""
        try:
            for item in self.source:
                if isinstance(item, Frame):
                    self._take(item)
                elif isinstance(item, Change) and item.state != "running":
                    self.ended = item.reason
                    self.source.stop()
        except Exception as error:  # noqa: BLE001  # said where it is waited for
            self.ended = str(error)

    def _take(self, frame: Frame) -> None:
        self.seen += 1
        self.reports = frame.reports
        if frame.epoch != self._epoch:
            self.steps += self._epoch is not None
            self._epoch, self._kept, self.since = frame.epoch, [], time.monotonic()
        if frame.captured_at is not None and frame.arrived is not None:
            self._kept.append((frame.captured_at, frame.arrived, small(frame.pixels)))

    @property
    def length(self) -> float:
        """For how long there have been capture times, in seconds."""
        kept = self._kept
        return (kept[-1][0] - kept[0][0]) / 1e6 if kept else 0.0

    @property
    def lag(self) -> float:
        """By how much its clock is ahead of arrival, as a rule, in seconds."""
        return float(np.median([captured - arrived for captured, arrived, _ in self._kept]) / 1e6)

    def series(self, zero: float) -> Series:
        """Its pictures, by time; in seconds after ``zero``."""
        by_time = {captured: picture for captured, _, picture in self._kept}
        times = sorted(by_time)
        pictures = np.array([by_time[at] for at in times], np.float32).reshape(-1, *GRID)
        return Series(np.array(times, np.float64) / 1e6 - zero, pictures)

    def check(self, now: float) -> None:
        """See whether it goes on.

        Raises:
            SourceError: If it ended, or has no capture times.
        """
        if self.ended is not None:
            after = f" after {self.seen} pictures" if self.seen else ""
            raise SourceError(f"{self.name} ended{after}: {self.ended}")
        if self.steps >= _JUMPY:
            raise SourceError(f"{self.name}: its clock jumped {self.steps} times: no offset helps")
        if self._kept or now - self.since < (_PATIENCE if self.seen else _KEY_PICTURE):
            return
        if not self.seen:
            why = f"no whole picture came within {_KEY_PICTURE:g} s: no key picture, or all damaged"
        elif self.reports:
            why = f"its {self.reports} sender reports contradict each other for {_PATIENCE:g} s"
        else:
            why = (
                f"no sender report (RTCP) came within {_PATIENCE:g} s. A proxy must pass them on "
                "(MediaMTX: useAbsoluteTimestamp: true); without them use a tap, or sei"
            )
        raise SourceError(f"{self.name} has no capture times: {why}")


def small(pixels: Pixels) -> npt.NDArray[np.float32]:
    """A picture as `Series` holds it: grey, the mean of the area that each cell covers."""
    rows, columns = GRID
    fine = pixels.resized((columns * _FINER, rows * _FINER)).bgr()
    means = fine.reshape(rows, _FINER, columns, -1).mean(axis=(1, 3), dtype=np.float32)
    return np.asarray(means, np.float32)


def calibrate(
    stream: Stream,
    detector_url: str,
    seconds: float,
    search: float,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Read both streams at once, and compare what they show.

    Args:
        stream: Its source is the main stream; the detector's is read the same way.
        detector_url: Of the stream that the detector reads; ``${NAME}`` is from the environment.
        seconds: For how long, once both have capture times.
        search: The largest offset that is looked for, beyond what arrival shows.
        say: Is told how far it is.

    Raises:
        ConfigError: If one of them is no camera.
        SourceError: If one cannot be read, ends, or has no capture times.
    """
    both = [Recording(_MAIN, _source(stream, "source.url"))]
    url = from_environment(detector_url, "--detector-url")
    source = msgspec.structs.replace(stream.source, url=url)
    detector = msgspec.structs.replace(stream, source=source)
    both.append(Recording(_DETECTOR, _source(detector, "--detector-url")))
    threads = [threading.Thread(target=one.run, daemon=True, name="calibrate") for one in both]
    for thread in threads:
        thread.start()
    try:
        _wait(both, seconds, say)
    finally:
        for one in both:
            one.source.stop()
        for thread in threads:
            thread.join(1)
    return judged(both[0], both[1], search)


def _source(stream: Stream, name: str) -> BlockingSource:
    source: Source = stream.source
    try:
        source.check()
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None
    if source.kind not in {CAMERA, TLS_CAMERA}:
        raise ConfigError(f"{name}: capture times come from cameras: expected rtsp:// or rtsps://")
    decoding = Decoding("eager", 0, source.hwaccel)
    return camera(stream, capture_clock(stream), decoding)


def _wait(both: list[Recording], seconds: float, say: Callable[[str], None]) -> None:
    said = time.monotonic()
    while (length := min(one.length for one in both)) < seconds:
        now = time.monotonic()
        for one in both:
            one.check(now)
        if now - max(one.since for one in both) > seconds + _LONGEST:
            break
        if now - said >= _SAID_EVERY:
            said = now
            counts = " and ".join(f"{one.seen} pictures of {one.name}" for one in both)
            say(f"{length:.0f} of {seconds:g} s with capture times; {counts}")
        time.sleep(0.1)


def judged(main: Recording, detector: Recording, search: float) -> Report:
    """Compare two recordings, and find the words."""
    if not (main.length and detector.length):
        return Report(Verdict(Kind.SHORT), [f"cannot tell: {_WHY[Kind.SHORT]}"])
    # Clocks that are hours apart: arrival says roughly how far.
    rough = main.lag - detector.lag
    centre = rough if abs(rough) > search else 0.0
    zero = float(np.floor(main.series(0.0).times[0]))
    ours, theirs = main.series(zero), detector.series(zero)
    # Held close to each other, times of days ahead keep their microseconds.
    verdict = compare(ours, theirs, search=search, centre=centre)
    steps = main.steps + detector.steps
    if verdict.offset is None:
        parts = ", ".join(f"{part:+.3f}" for part in verdict.parts)
        drift = verdict.drift * 60_000
        rival = verdict.rival if verdict.rival is not None else 0.0
        lines = [f"cannot tell: {_WHY[verdict.kind].format(rival=rival, parts=parts, drift=drift)}"]
    else:
        lines = _told(verdict, ours, theirs, verdict.offset)
    if steps:
        lines.append(f"a clock jumped {steps} times meanwhile; what came before it was left out")
    return Report(verdict, lines)


def _told(verdict: Verdict, ours: Series, theirs: Series, offset: float) -> list[str]:
    counts = [
        f"{len(series.times)} pictures of {name}, one each {series.interval * 1000:.1f} ms"
        for name, series in ((_MAIN, ours), (_DETECTOR, theirs))
    ]
    sense = f"spread {verdict.spread:.4f} s: a message's time + the offset is so near its frame's"
    return [
        "; ".join(counts),
        f"offset {offset:+.4f} s; {sense}",
        f"the clocks run together: {verdict.drift * 60_000:+.1f} ms a minute",
        "pairing:",
        f"  offset: {offset:.4f}",
    ]
