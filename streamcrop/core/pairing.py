"""Which frame a detection message speaks of.

Rule of this file: everything that decides a pair, or that an item will never have one, is here,
and nothing here reads a clock or calls anybody back. Each call is given the time as ``now``, in
seconds on any one monotonic clock, and answers with what it decided.

Three properties define the machine (`tests/core/test_pairing.py` holds them):

* conservation: what goes in comes out exactly once, in a `Paired` or a `Dropped`;
* punctuality: after any call `Pairer.deadline` is None or later than ``now``;
* order does not matter: with distinct keys, no ties, room and time, any interleaving pairs all.

An entry's life::

    waiting ──► paired
       ├──────► ambiguous   two frames with one key, or two as near
       ├──────► expired     nobody came within max_wait
       ├──────► pairing_full  no room
       └──────► closed

Finished frames are remembered for ``max_wait``, so that a second message for a paired one is
`duplicate`, and one for a frame that went alone is `late`.
"""

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from math import inf
from operator import attrgetter, itemgetter
from typing import Any, Generic, Literal, Protocol, TypeVar

from streamcrop.core.values import Reason

Side = Literal["frames", "messages"]
_WAITING, _PAIRED, _GONE = "waiting", "paired", "gone"


class Item(Protocol):
    """What can wait for its other half."""

    @property
    def key(self) -> Any:  # a text, or a time of any real type
        """What names the frame."""
        ...

    @property
    def nbytes(self) -> int:
        """What it holds in memory while it waits."""
        ...


F = TypeVar("F", bound=Item)
D = TypeVar("D", bound=Item)


@dataclass(frozen=True, slots=True)
class Paired(Generic[F, D]):
    """A frame and the message that speaks of it.

    Attributes:
        residual: How far apart their keys are: 0.0 for equal ones, else seconds, message - frame.
    """

    frame: F
    detections: D
    residual: float


@dataclass(frozen=True, slots=True)
class Dropped(Generic[F, D]):
    """An item that will have no other half.

    Attributes:
        side: Whether it is one of the ``frames`` or the ``messages``.
    """

    item: F | D
    side: Side
    reason: Reason


@dataclass(slots=True, eq=False)
class _Entry:
    item: Any
    side: Side
    number: int
    arrived: float
    state: str = _WAITING
    finished: float = 0.0
    indexed: bool = False
    key: Any = field(init=False)

    def __post_init__(self) -> None:
        self.key = self.item.key


class _ByKey:
    """The entries of one side, found by equal keys."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, list[_Entry]] = {}

    def add(self, entry: _Entry) -> None:
        self._entries.setdefault(entry.key, []).append(entry)

    def remove(self, entry: _Entry) -> None:
        entries = self._entries[entry.key]
        entries.remove(entry)
        if not entries:
            del self._entries[entry.key]

    def near(self, key: Any) -> list[tuple[Any, _Entry]]:
        """The entries that could belong to ``key``, as ``(distance, entry)``, nearest first."""
        return [(0, entry) for entry in self._entries.get(key, ())]

    def same(self, key: Any) -> list[_Entry]:
        """The entries with exactly this key."""
        return list(self._entries.get(key, ()))

    def decided_by(self, key: Any, before: Any) -> list[_Entry]:  # noqa: ARG002  # as _ByTime
        """The messages for which a new frame at a key may be the answer, or end the last doubt.

        Args:
            key: Of the frame.
            before: The latest frame's before it came, or None.
        """
        return self.same(key)


class _ByTime:
    """The entries of one side, found by keys that are times, in rising order."""

    def __init__(self, tolerance: Any) -> None:
        self._tolerance = tolerance
        self._entries: list[tuple[Any, int, _Entry]] = []

    def add(self, entry: _Entry) -> None:
        insort(self._entries, (entry.key, entry.number, entry))

    def remove(self, entry: _Entry) -> None:
        del self._entries[bisect_left(self._entries, (entry.key, entry.number))]

    def near(self, key: Any) -> list[tuple[Any, _Entry]]:
        found = []
        for at in range(bisect_left(self._entries, (key - self._tolerance,)), len(self._entries)):
            other, _, entry = self._entries[at]
            if other > key + self._tolerance:
                break
            found.append((abs(key - other), entry))
        return sorted(found, key=itemgetter(0))

    def same(self, key: Any) -> list[_Entry]:
        return [entry for distance, entry in self.near(key) if distance == 0]

    def decided_by(self, key: Any, before: Any) -> list[_Entry]:
        # Those further back were beyond doubt already, and are not near this frame. Twice the
        # tolerance, for sums of floats are not exact.
        since = (key if before is None else min(key, before)) - 2 * self._tolerance
        begin = bisect_left(self._entries, (since,))
        end = bisect_right(self._entries, (key + self._tolerance, inf))
        return [entry for _, _, entry in self._entries[begin:end]]


_Index = _ByKey | _ByTime


@dataclass(frozen=True, slots=True)
class Exact:
    """Keys match when they are equal."""

    def index(self) -> _Index:
        """An empty index."""
        return _ByKey()

    def settled(self, key: Any, latest: Any) -> bool:  # noqa: ARG002  # as Nearest
        """Whether no frame can come that is nearer to ``key``; ``latest`` is the last seen."""
        return True

    def residual(self, frame: Any, message: Any) -> float:  # noqa: ARG002  # as Nearest
        """How far apart the keys of a pair are."""
        return 0.0


@dataclass(frozen=True, slots=True)
class Nearest:
    """Keys are times; a message belongs to the one frame that is nearest and near enough.

    A message is decided when a frame beyond its time + tolerance was seen, or when it or the
    frame would expire. Two frames at the same distance are a tie, which is refused.

    Args:
        tolerance: In the unit of the keys; at most half a frame interval keeps neighbours apart.

    Raises:
        ValueError: If it is negative.
    """

    tolerance: Any

    def __post_init__(self) -> None:
        if not self.tolerance >= 0:
            raise ValueError(f"tolerance must be 0 or more, not {self.tolerance!r}")

    def index(self) -> _Index:
        """See `Exact.index`."""
        return _ByTime(self.tolerance)

    def settled(self, key: Any, latest: Any) -> bool:
        """See `Exact.settled`."""
        return latest is not None and bool(latest > key + self.tolerance)

    def residual(self, frame: Any, message: Any) -> float:
        """See `Exact.residual`."""
        return float(message - frame)


class Pairer(Generic[F, D]):
    """Match frames with the messages that speak of them.

    Args:
        match: `Exact` or `Nearest`.
        max_wait: How long an item may wait for its other half, in seconds.
        max_items: How many frames, and how many messages, may wait.
        max_bytes: How many bytes the waiting frames, and the waiting messages, may hold.
        lossless: For a file, whose frames wait until there is room (ask `has_room`). An item's
            wait counts from its arrival or from the last pair, whichever is later; a full pairer
            lets go of frames that a later pair has overtaken, and refuses messages that find no
            room. Otherwise the item that has waited longest makes room.

    Raises:
        ValueError: If a bound is not positive.

    Example:
        >>> from collections import namedtuple
        >>> Thing = namedtuple("Thing", "key nbytes")
        >>> pairer = Pairer(Exact(), max_wait=0.5, max_items=8, max_bytes=1000)
        >>> pairer.add_frame(Thing("7", 100), now=10.0), pairer.deadline
        ([], 10.5)
        >>> pairer.add_detections(Thing("7", 9), now=10.2)
        [Paired(frame=Thing(key='7', nbytes=100), detections=Thing(key='7', nbytes=9),
            residual=0.0)]
        >>> pairer.add_detections(Thing("7", 9), now=10.3)[0].reason
        <Reason.DUPLICATE: 'duplicate'>
    """

    def __init__(
        self,
        match: Exact | Nearest,
        max_wait: float,
        max_items: int,
        max_bytes: int,
        *,
        lossless: bool = False,
    ) -> None:
        if not (max_wait > 0 and max_items > 0 and max_bytes > 0):
            raise ValueError("max_wait, max_items and max_bytes must be above 0")
        self._match = match
        self._max_wait = max_wait
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._lossless = lossless
        self._index: dict[Side, _Index] = {"frames": match.index(), "messages": match.index()}
        # In the order of arrival, so the first is the first to expire and to make room.
        self._waiting: dict[Side, dict[int, _Entry]] = {"frames": {}, "messages": {}}
        self._bytes: dict[Side, int] = {"frames": 0, "messages": 0}
        self._finished: deque[_Entry] = deque()
        self._latest: Any = None
        self._last_pair = float("-inf")
        self._overtaken = -1
        self._count = 0

    @property
    def deadline(self) -> float | None:
        """When `expire` has to be called next; None while nothing waits."""
        return min((self._deadline(entry) for entry in self._oldest()), default=None)

    def waiting(self, side: Side) -> int:
        """How many frames or messages wait."""
        return len(self._waiting[side])

    def has_room(self, frame: F) -> bool:
        """Whether ``frame`` can be added without losing one that could still be paired."""
        waiting, nbytes = self._waiting["frames"], self._bytes["frames"] + frame.nbytes
        if len(waiting) < self._max_items and nbytes <= self._max_bytes:
            return True
        kept = [entry for entry in waiting.values() if entry.number > self._overtaken]
        nbytes = frame.nbytes + sum(entry.item.nbytes for entry in kept)
        # One that is too large for an empty pairer must not wait for ever.
        return not kept or (len(kept) < self._max_items and nbytes <= self._max_bytes)

    def add_frame(self, item: F, now: float) -> list[Paired[F, D] | Dropped[F, D]]:
        """Add a frame; returns what that decided."""
        events = list(self._expire(now))
        entry = self._entry(item, "frames", now)
        twins = self._index["frames"].same(entry.key)
        self._index["frames"].add(entry)
        if twins:
            # Nobody can tell which of them a message means, so none of them is cropped.
            alike = [twin for twin in twins if twin.state == _WAITING]
            events += [self._drop(twin, Reason.AMBIGUOUS, now) for twin in (*alike, entry)]
            return events
        before = self._latest
        if before is None or entry.key > before:
            self._latest = entry.key
        events += self._wait(entry, now)
        events += self._decide(self._index["messages"].decided_by(entry.key, before), now)
        return events + list(self._expire(now))

    def add_detections(self, item: D, now: float) -> list[Paired[F, D] | Dropped[F, D]]:
        """Add a message; returns what that decided."""
        events = list(self._expire(now))
        entry = self._entry(item, "messages", now)
        if self._index["messages"].same(entry.key):
            return [*events, self._drop(entry, Reason.DUPLICATE, now)]
        self._index["messages"].add(entry)
        entry.indexed = True
        decided = list(self._decide([entry], now))
        events += decided or self._wait(entry, now)
        return events + list(self._expire(now))

    def expire(self, now: float) -> list[Paired[F, D] | Dropped[F, D]]:
        """End what has waited too long; call it at `deadline`."""
        return list(self._expire(now))

    def forget(self, now: float) -> list[Paired[F, D] | Dropped[F, D]]:
        """End the wait of all as `ambiguous`, and remember nothing: keys begin to repeat."""
        events = list(self._expire(now))
        for side in self._waiting.values():
            events += [self._drop(entry, Reason.AMBIGUOUS, now) for entry in list(side.values())]
        while self._finished:
            self._index["frames"].remove(self._finished.popleft())
        self._latest = None
        return events

    def close(self, now: float) -> list[Paired[F, D] | Dropped[F, D]]:
        """End the wait of all; what can be decided is, the rest is `closed`."""
        events = list(self._expire(now))
        events += self._decide(list(self._waiting["messages"].values()), now, final=True)
        for side in self._waiting.values():
            events += [self._drop(entry, Reason.CLOSED, now) for entry in list(side.values())]
        return events

    def _entry(self, item: F | D, side: Side, now: float) -> _Entry:
        self._count += 1
        return _Entry(item, side, self._count, now)

    def _deadline(self, entry: _Entry) -> float:
        since = max(entry.arrived, self._last_pair) if self._lossless else entry.arrived
        return since + self._max_wait

    def _oldest(self) -> Iterator[_Entry]:
        return (next(iter(side.values())) for side in self._waiting.values() if side)

    def _wait(self, entry: _Entry, now: float) -> list[Dropped[F, D]]:
        """Let an entry wait, and make room for it."""
        waiting, side = self._waiting[entry.side], entry.side
        waiting[entry.number] = entry
        self._bytes[side] += entry.item.nbytes
        dropped = []
        while len(waiting) > self._max_items or self._bytes[side] > self._max_bytes:
            oldest = next(iter(waiting.values()))
            reason = Reason.PAIRING_FULL
            if entry.item.nbytes > self._max_bytes or (self._lossless and side == "messages"):
                oldest = entry
            elif self._lossless and oldest.number <= self._overtaken:
                reason = Reason.EXPIRED
            dropped.append(self._drop(oldest, reason, now))
        return dropped

    def _decide(
        self, messages: Iterable[_Entry], now: float, *, final: bool = False
    ) -> Iterator[Paired[F, D] | Dropped[F, D]]:
        """Pair or refuse each message whose frame is known; ``final`` ones wait no longer."""
        for message in messages:
            frames = self._index["frames"].near(message.key)
            if message.state != _WAITING or not frames:
                continue
            if not final and not self._match.settled(message.key, self._latest):
                continue
            distance, frame = frames[0]
            if len(frames) > 1 and frames[1][0] == distance:
                yield self._drop(message, Reason.AMBIGUOUS, now)
            elif frame.state == _WAITING:
                yield self._pair(frame, message, now)
            else:
                reason = Reason.DUPLICATE if frame.state == _PAIRED else Reason.LATE
                yield self._drop(message, reason, now)

    def _pair(self, frame: _Entry, message: _Entry, now: float) -> Paired[F, D]:
        self._last_pair = now
        self._overtaken = max(self._overtaken, frame.number)
        residual = self._match.residual(frame.key, message.key)
        item = self._finish(frame, _PAIRED, now)
        return Paired(item, self._finish(message, _PAIRED, now), residual)

    def _drop(self, entry: _Entry, reason: Reason, now: float) -> Dropped[F, D]:
        return Dropped(self._finish(entry, _GONE, now), entry.side, reason)

    def _finish(self, entry: _Entry, state: str, now: float) -> Any:  # F or D
        """Take an entry out of the waiting ones; a frame's key is remembered, not its pixels."""
        item, entry.item, entry.state, entry.finished = entry.item, None, state, now
        if self._waiting[entry.side].pop(entry.number, None):
            self._bytes[entry.side] -= item.nbytes
        if entry.side == "messages":
            if entry.indexed:
                self._index["messages"].remove(entry)
            return item
        self._finished.append(entry)
        while len(self._finished) > self._max_items:
            self._index["frames"].remove(self._finished.popleft())
        return item

    def _expire(self, now: float) -> Iterator[Paired[F, D] | Dropped[F, D]]:
        while self._finished and self._finished[0].finished + self._max_wait <= now:
            self._index["frames"].remove(self._finished.popleft())
        while due := [entry for entry in self._oldest() if self._deadline(entry) <= now]:
            entry = min(due, key=attrgetter("arrived", "number"))
            # The last chance for what waits for a nearer neighbour.
            chances = [entry]
            if entry.side == "frames":
                chances = [message for _, message in self._index["messages"].near(entry.key)]
            for message in chances:
                frames = self._index["frames"].near(message.key)
                # Float keys at the edge of the tolerance may be near from one side alone.
                if message is entry or (frames and frames[0][1] is entry):
                    yield from self._decide([message], now, final=True)
            if entry.state == _WAITING:
                yield self._drop(entry, Reason.EXPIRED, now)
