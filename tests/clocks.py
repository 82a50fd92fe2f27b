"""A camera whose clock is set, and two readers that hear of it by sender reports of their own."""

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from streamcrop.core.capture import CaptureClock
from streamcrop.core.guard import CaptureTimes
from streamcrop.core.pairing import Dropped, Nearest, Paired, Pairer
from streamcrop.core.values import Frame, Message

BASE = 1_795_341_600_000_000
MICRO = Fraction(1, 1_000_000)


@dataclass(frozen=True)
class Item:
    """What the pairer holds."""

    key: Any
    value: Any
    number: int
    came: float | None = 0.0
    sender: str = "detections"
    nbytes: int = 1


@dataclass
class Reader:
    """A session: media time from a beginning of its own, capture time by the last report."""

    begin: float
    reports: list[float]
    pace: float = 1.0
    jitter: float = 0.0
    hop: float = 0.0  # what some of its media times are off

    def media(self, time: float) -> int:
        return round((time - self.begin) * self.pace * 1e6)

    def heard(self, time: float) -> int:
        """How many reports came by then, those of an earlier session too."""
        return bisect_right(self.reports, time)

    def mapping(self, time: float, clock: Callable[[float], float]) -> int | None:
        """Capture time - media time, by the last report of this session."""
        at = self.reports[self.heard(time) - 1] if self.heard(time) else -1.0
        if at < max(0.0, self.begin):
            return None
        return round(BASE + (at + clock(at)) * 1e6 - self.media(at))


@dataclass
class Scene:
    """One run; times in seconds."""

    clock: Callable[[float], float] = lambda _: 0.0
    fps: float = 30.0
    seconds: float = 60.0
    node: Reader = field(default_factory=lambda: Reader(0.0, every(1.0, 100)))
    detectors: list[Reader] = field(default_factory=lambda: [Reader(-50.0, every(1.0, 100, 0.5))])
    delay: Callable[[random.Random], float] = lambda chance: 0.05 + chance.random() * 0.01
    media: bool = True
    confirm: bool = False
    tolerance: int = 8000
    restarts: dict[float, float] = field(default_factory=dict)  # when the detector begins anew
    offset: float = 0.0  # what the detector's server adds to its capture times
    seed: int = 0


def every(interval: float, until: float, first: float = 0.0) -> list[float]:
    """Reports at a pace."""
    return [first + interval * number for number in range(int(until / interval))]


def at_random(chance: random.Random, until: float) -> list[float]:
    """Reports as RFC 3550 has them."""
    times = [chance.uniform(0, 3)]
    while times[-1] < until:
        times.append(times[-1] + chance.uniform(3, 6))
    return times


def _happenings(scene: Scene) -> Iterator[tuple[float, int, str, int, int]]:
    chance = random.Random(scene.seed)
    for number in range(int(scene.fps * scene.seconds)):
        shown = number / scene.fps
        yield shown + 0.01, 0, "frame", number, 0
        for which, _ in enumerate(scene.detectors):
            yield shown + scene.delay(chance), 1, "message", number, which


def play(scene: Scene) -> Counter[str]:
    """Count pairs as ``right`` and ``wrong``, losses by side and reason."""
    clock = CaptureClock(scene.tolerance)
    pairer: Pairer[Item, Item] = Pairer(
        Nearest(Fraction(scene.tolerance, 1_000_000)),
        2.0,
        1000,
        100_000,
        remember=60.0,
        guard=CaptureTimes(scene.tolerance, confirm=scene.confirm),
    )
    counts: Counter[str] = Counter()
    events: list[Any] = []
    epoch, heard = 0, 0
    chance = random.Random(scene.seed + 1)
    for now, _, what, number, which in sorted(_happenings(scene)):
        shown = number / scene.fps
        if what == "frame":
            mapping, media = scene.node.mapping(shown, scene.clock), scene.node.media(shown)
            while heard < scene.node.heard(shown):
                heard += 1
                clock.report()
            wall = None if mapping is None else mapping + media
            captured = clock.time_of(media, wall)
            epoch += clock.stepped
            frame = Frame(
                str(number),
                None,  # type: ignore[arg-type]  # nobody looks
                media,
                MICRO,
                captured,
                epoch=str(epoch),
                connection="c",
                reports=clock.reports,
            )
            key = None if captured is None else Fraction(captured, 1_000_000)
            events += pairer.add_frame(Item(key, frame, number), now)
        else:
            reader = scene.detectors[which]
            for at, begin in scene.restarts.items():
                if shown >= at and reader.begin < begin:
                    reader.begin = begin
            if shown < reader.begin or (mapping := reader.mapping(shown, scene.clock)) is None:
                continue
            media = reader.media(shown) + round(chance.uniform(-1, 1) * reader.jitter * 1e6)
            captured = mapping + media + round(scene.offset * 1e6)
            hop = round(number % 3 * reader.hop * 1e6)
            pts = (media + hop, MICRO) if scene.media else (None, None)
            message = Message(b"", None, None, True, *pts, captured)  # strict
            item = Item(Fraction(captured, 1_000_000), message, number, now, str(which))
            events += pairer.add_detections(item, now)
    events += pairer.close(now + 0.01)
    for event in events:
        if isinstance(event, Paired):
            counts["right" if event.frame.number == event.detections.number else "wrong"] += 1
        else:
            assert isinstance(event, Dropped)
            counts[f"{event.side} {event.reason}"] += 1
            if event.note:
                counts[f"note {event.note.kind}"] += 1
    return counts
