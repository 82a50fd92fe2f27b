"""Which crops of a track are handed on: each, some, or the best one.

Everything that decides among the crops of one object is here; `filters` decides on a row alone, and
`score` says how good its crop is. Nothing here reads a clock or calls anybody back: each call is
given the time as ``now``, in seconds of the stream's own time, and answers with what it decided.

Three properties define the machine (`tests/core/test_choice.py` holds them):

* conservation: each candidate comes out exactly once, in a `Chosen` or a `NotChosen`;
* punctuality: after any call `Chooser.deadline` is None or later than ``now``;
* bounds: never more tracks, held crops and held bytes than it was told.

A track's life::

    first seen ──► seen again ... ──► not seen for `lost_after`: ended
                        │
                        └── best_at_end, `max_age` old: it has spoken, and says no more

A track that ended and is seen again is a new one. So is one that had to be forgotten, for want of
room, before it ended.
"""

import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args

PerTrack = Literal["every", "first", "interval", "best", "best_at_end"]
# By how much a crop must score more than its track's best to take its place.
CLEARLY = 1.1
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rule:
    """Which crops of a track are chosen; checked when built.

    Args:
        per_track: ``every``; the ``first``; one an ``interval``; ``best``, which is the first and
            then each that scores at least a tenth more; ``best_at_end``, which is one, when the
            track has ended.
        interval: Seconds from a crop of a track to its next.
        lost_after: A track that was not seen for so many seconds has ended.
        max_age: Seconds from a track's first row until ``best_at_end`` speaks at the latest, and
            until ``best`` forgets its best and begins anew.

    Raises:
        ValueError: For another word, or a time that is not finite and above 0.
    """

    per_track: PerTrack = "every"
    interval: float = 2.0
    lost_after: float = 2.0
    max_age: float = 60.0

    def __post_init__(self) -> None:
        if self.per_track not in get_args(PerTrack):
            msg = f"per_track must be one of {', '.join(get_args(PerTrack))}"
            raise ValueError(msg)
        for name in ("interval", "lost_after", "max_age"):
            if not 0 < getattr(self, name) < math.inf:
                msg = f"{name} must be a number of seconds above 0, not {getattr(self, name)!r}"
                raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Candidate(Generic[T]):
    """A crop that may be chosen.

    Attributes:
        item: What is handed on if it is.
        id: Names it, for what supersedes it.
        track: Names its object; None: no other row is known to be of the same.
        score: How good it is, 0 or more; more is better.
        nbytes: What it holds in memory while it is held.
    """

    item: T
    id: str
    track: Hashable | None = None
    score: float = 0.0
    nbytes: int = 0


@dataclass(frozen=True, slots=True)
class Chosen(Generic[T]):
    """A crop that is to be handed on.

    Attributes:
        supersedes: The ID of the crop of the same track that it is better than; ``best`` alone.
    """

    item: T
    supersedes: str | None = None


@dataclass(frozen=True, slots=True)
class NotChosen(Generic[T]):
    """A crop that is not: another of its track is better, or recent."""

    item: T


@dataclass(slots=True)
class _Track:
    """The record of one object.

    Attributes:
        best: The score of its last crop, or of the one that is held.
        last: The ID of its last crop; None: it has none, since it began or began anew.
        cropped: When it was.
    """

    began: float
    seen: float
    best: float = -1.0
    last: str | None = None
    cropped: float = 0.0


def _is_first(_rule: Rule, _track: _Track, _score: float) -> bool:
    return False


def _is_due(rule: Rule, track: _Track, _score: float) -> bool:
    return track.cropped + rule.interval <= track.seen


def _is_better(_rule: Rule, track: _Track, score: float) -> bool:
    return score > track.best and score >= CLEARLY * track.best


# Whether another crop follows a track's first.
_FOLLOWS: dict[str, Callable[[Rule, _Track, float], bool]] = {
    "first": _is_first,
    "interval": _is_due,
    "best": _is_better,
}


class Chooser(Generic[T]):
    """Choose among the crops of each track.

    Args:
        rule: Which ones.
        max_tracks: How many tracks are known; beyond it the one that was not seen for longest has
            ended.
        max_items: How many crops are held; beyond it the oldest track speaks.
        max_bytes: How many bytes they hold; beyond it alike.

    Raises:
        ValueError: If a bound is not positive.

    Example:
        >>> chooser = Chooser(Rule("best"))
        >>> chooser.offer(Candidate("far", "1", track=7, score=0.2), now=0.0)
        [Chosen(item='far', supersedes=None)]
        >>> chooser.offer(Candidate("the same", "2", track=7, score=0.21), now=0.1)
        [NotChosen(item='the same')]
        >>> chooser.offer(Candidate("near", "3", track=7, score=0.4), now=0.2)
        [Chosen(item='near', supersedes='1')]
    """

    def __init__(
        self,
        rule: Rule,
        *,
        max_tracks: int = 10_000,
        max_items: int = 1000,
        max_bytes: int = 64 << 20,
    ) -> None:
        if not (max_tracks > 0 and max_items > 0 and max_bytes > 0):
            raise ValueError("max_tracks, max_items and max_bytes must be above 0")
        self._rule = rule
        self._max_tracks = max_tracks
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._now = -math.inf
        # In the order in which they were seen last, and in that in which they began.
        self._tracks: dict[Hashable, _Track] = {}
        self._holding: dict[Hashable, Candidate[T]] = {}
        self._nbytes = 0

    @property
    def rule(self) -> Rule:
        """Which crops are chosen."""
        return self._rule

    @property
    def tracks(self) -> int:
        """How many tracks are known."""
        return len(self._tracks)

    @property
    def held(self) -> int:
        """How many crops are held."""
        return len(self._holding)

    @property
    def nbytes(self) -> int:
        """How many bytes they hold."""
        return self._nbytes

    @property
    def deadline(self) -> float | None:
        """When `expire` has to be called next; None while no crop is held."""
        if not self._holding:
            return None
        unseen, oldest = next(iter(self._tracks.values())), self._tracks[next(iter(self._holding))]
        return min(unseen.seen + self._rule.lost_after, oldest.began + self._rule.max_age)

    def offer(self, candidate: Candidate[T], now: float) -> list[Chosen[T] | NotChosen[T]]:
        """Offer a crop; returns what that decided. One that is not among it is held."""
        decided: list[Chosen[T] | NotChosen[T]] = [*self._expire(now)]
        if self._rule.per_track == "every" or candidate.track is None:
            # Of a track of one row no better one can come.
            return [*decided, Chosen(candidate.item)]
        track = self._sight(candidate.track)
        if self._rule.per_track == "best_at_end":
            decided += self._hold(candidate.track, track, candidate)
        elif track.last is None or _FOLLOWS[self._rule.per_track](
            self._rule, track, candidate.score
        ):
            is_best = self._rule.per_track == "best"
            decided.append(Chosen(candidate.item, track.last if is_best else None))
            track.best, track.last, track.cropped = candidate.score, candidate.id, track.seen
        else:
            decided.append(NotChosen(candidate.item))
        while len(self._tracks) > self._max_tracks:
            decided += self._end(next(iter(self._tracks)))
        return decided

    def expire(self, now: float) -> list[Chosen[T] | NotChosen[T]]:
        """End the tracks that were not seen for too long; call it at `deadline`."""
        return [*self._expire(now)]

    def close(self, now: float) -> list[Chosen[T] | NotChosen[T]]:
        """End all tracks; what is held is chosen."""
        decided: list[Chosen[T] | NotChosen[T]] = [*self._expire(now)]
        for name in [*self._tracks]:
            decided += self._end(name)
        return decided

    def change(self, rule: Rule, now: float) -> list[Chosen[T] | NotChosen[T]]:
        """Go on by another rule; where it chooses otherwise, all tracks end."""
        decided: list[Chosen[T] | NotChosen[T]] = []
        if rule.per_track != self._rule.per_track:
            decided += self.close(now)
        self._rule = rule
        return [*decided, *self._expire(now)]

    def _sight(self, name: Hashable) -> _Track:
        """The track of a name, seen now."""
        track = self._tracks.pop(name, None) or _Track(self._now, self._now)
        self._tracks[name] = track
        track.seen = self._now
        if self._rule.per_track == "best" and track.began + self._rule.max_age <= self._now:
            track.began, track.last = self._now, None
        return track

    def _hold(
        self, name: Hashable, track: _Track, candidate: Candidate[T]
    ) -> Iterator[Chosen[T] | NotChosen[T]]:
        """Hold a crop if it is its track's best, and make room for it."""
        if track.last is not None or candidate.score <= track.best:
            yield NotChosen(candidate.item)
            return
        if (worse := self._holding.get(name)) is not None:
            self._nbytes -= worse.nbytes
            yield NotChosen(worse.item)
        self._holding[name], track.best = candidate, candidate.score
        self._nbytes += candidate.nbytes
        if candidate.nbytes > self._max_bytes:
            yield from self._speak(name)
        while len(self._holding) > self._max_items or self._nbytes > self._max_bytes:
            yield from self._speak(next(iter(self._holding)))

    def _speak(self, name: Hashable) -> Iterator[Chosen[T]]:
        """Choose what a track holds, if it does."""
        if (best := self._holding.pop(name, None)) is not None:
            self._nbytes -= best.nbytes
            self._tracks[name].last = best.id
            yield Chosen(best.item)

    def _end(self, name: Hashable) -> Iterator[Chosen[T]]:
        yield from self._speak(name)
        del self._tracks[name]

    def _expire(self, now: float) -> Iterator[Chosen[T]]:
        self._now = max(self._now, now)
        while self._tracks:
            name, track = next(iter(self._tracks.items()))
            if track.seen + self._rule.lost_after > self._now:
                break
            yield from self._end(name)
        while self._holding:
            name = next(iter(self._holding))
            if self._tracks[name].began + self._rule.max_age > self._now:
                break
            yield from self._speak(name)
