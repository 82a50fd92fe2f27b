"""The last ten minutes of each stream: what it did in a second, how long it took, what was lost."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from streamcrop.histograms import quantile
from streamcrop.web.view import NodeView, StreamView, TimesView

# Seconds between two moments that are kept, and how many are.
STEP, _KEPT = 10.0, 61
# Rates are of the last moments, health and times of the last minute.
_RATE, _MINUTE = STEP, 60.0


@dataclass(frozen=True, slots=True)
class _Moment:
    """A stream's counts at one time."""

    at: float
    frames: int
    crops: int
    messages: int
    paired: int
    lost: Mapping[str, int]
    times: Mapping[str, TimesView]


@dataclass(frozen=True, slots=True)
class Took:
    """How long something took in the last minute: seconds, None where it was not done."""

    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """The recent figures of a stream.

    Attributes:
        frames: That came in, a second.
        crops: That were published, a second.
        health: Of the frames that messages asked for in the last minute, the per cent that were
            paired; None where none was asked for.
        took: By the names of `StreamView.times`.
        lost: In the last minute, by ``row reason``.
    """

    frames: float
    crops: float
    health: float | None
    took: Mapping[str, Took]
    lost: Mapping[str, int]


class Past:
    """Remembers counts; ask it with the newest ones in hand.

    Example:
        >>> past = Past()
        >>> past.losses("gate")
        []
    """

    def __init__(self) -> None:
        self._moments: dict[str, deque[_Moment]] = {}

    def add(self, view: NodeView, now: float) -> None:
        """Take note of how the node is; call it every `STEP` seconds.

        Args:
            view: How it is.
            now: Seconds, on any monotonic clock.
        """
        for stream in view.streams:
            moments = self._moments.setdefault(stream.name, deque(maxlen=_KEPT))
            moments.append(_moment(stream, now))

    def figures(self, stream: StreamView, now: float) -> Figures:
        """The recent figures of a stream.

        Args:
            stream: How it is now.
            now: As in `add`.
        """
        last = _moment(stream, now)
        lately, before = (self._before(stream.name, last, ago) for ago in (_RATE, _MINUTE))
        seconds = max(now - lately.at, 1.0)
        ended = last.messages - before.messages
        return Figures(
            frames=round((last.frames - lately.frames) / seconds, 2),
            crops=round((last.crops - lately.crops) / seconds, 2),
            health=round(100 * (last.paired - before.paired) / ended, 1) if ended else None,
            took={name: _took(times, before.times.get(name)) for name, times in last.times.items()},
            lost=dict(Counter(last.lost) - Counter(before.lost)),
        )

    def losses(self, name: str) -> list[tuple[float, Mapping[str, int]]]:
        """When a stream lost how much in each `STEP`, by ``row reason``, oldest first."""
        pairs = pairwise(self._moments.get(name, ()))
        return [(b.at, dict(Counter(b.lost) - Counter(a.lost))) for a, b in pairs]

    def _before(self, name: str, last: _Moment, seconds: float) -> _Moment:
        """The newest moment that lies so far back, else the oldest that there is."""
        found = last
        for found in reversed(self._moments.get(name, ())):
            if last.at - found.at >= seconds:
                break
        return found


def _moment(stream: StreamView, now: float) -> _Moment:
    rows = stream.rows
    frames, messages, crops = (rows.get(name) for name in ("frames", "messages", "crops"))
    paired = messages.succeeded if messages else 0
    return _Moment(
        now,
        frames.entered if frames else 0,
        crops.succeeded if crops else 0,
        paired + sum(messages.dropped.values()) if messages else 0,
        paired,
        {f"{name} {why}": n for name, row in rows.items() for why, n in row.dropped.items()},
        stream.times,
    )


def _took(last: TimesView, before: TimesView | None) -> Took:
    counts = list(last.counts)
    if before:
        counts = [new - old for new, old in zip(counts, before.counts, strict=True)]
    return Took(quantile(counts, 0.5), quantile(counts, 0.99))
