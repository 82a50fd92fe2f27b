"""Which frame a detection message speaks of.

Rule of this file: everything that decides a pair, or that an item will never have one, is here,
with `match` and `guard` beside it, and nothing in them reads a clock or calls anybody back. Each
call is given the time as ``now``, in seconds on any one monotonic clock, and answers with what it
decided.

Three properties define the machine (`tests/core/test_pairing.py` holds them):

* conservation: what goes in comes out exactly once, in a `Paired` or a `Dropped`;
* punctuality: after any call `Pairer.deadline` is None or later than ``now``;
* order does not matter: with distinct keys, no ties, room and time, any interleaving pairs all.

An entry's life::

    waiting ──► paired ◄──┐
       ├──────► held ─────┤     a pair that the guard doubts, until it is sure
       ├──────► ambiguous ┘     two frames with one key or as near; a pair that the guard refuses
       ├──────► expired         nobody came within max_wait
       ├──────► pairing_full    no room
       ├──────► no_key          it has none
       └──────► closed

The keys of finished frames are remembered, so that a second message for a paired one is
`duplicate`, one for a frame that went alone is `late`, and a frame whose name comes again is
`ambiguous`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeVar

from streamcrop.core.constant import Verdict
from streamcrop.core.guard import OPEN, Guard
from streamcrop.core.match import Entry, Exact, Index, Nearest, Side
from streamcrop.core.room import Held, HeldPairs, WaitingRoom
from streamcrop.core.values import Note, Reason

__all__ = ["Dropped", "Exact", "Item", "Nearest", "Paired", "Pairer", "Side"]

_AGAIN = (
    "the frame name {name!r:.80} came again within {remember:g} s, so its frames and messages are "
    "ambiguous: frames need names that last; for a counter that begins again, set "
    "pairing.remember, and max_wait, below the time until a name comes again"
)
_BEGAN = Note(
    "began",
    "the camera's connection or clock began anew while pairs waited until they were sure of it, so "
    "they are ambiguous",
)
_FULL = Note(
    "held_full",
    "more pairs wait until they are sure than pairing.max_items and pairing.max_bytes hold: raise "
    "these, or have pictures decoded on demand (source.decode)",
)


class Item(Protocol):
    """One half of a pair, which can wait for the other."""

    @property
    def key(self) -> Any:  # a text, a time of any real type, or None
        """The key that names the frame."""
        ...

    @property
    def nbytes(self) -> int:
        """The bytes that it holds in memory while it waits."""
        ...


F = TypeVar("F", bound=Item)
D = TypeVar("D", bound=Item)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Paired(Generic[F, D]):
    """A frame and the message that speaks of it.

    Attributes:
        residual: How far apart their keys are: 0.0 for equal ones, else seconds, message - frame.
        held: Whether it was in doubt, so that it may come together with many others.
    """

    frame: F
    detections: D
    residual: float
    held: bool = field(default=False, repr=False)


@dataclass(frozen=True, slots=True)
class Dropped(Generic[F, D]):
    """An item that will have no other half.

    Attributes:
        side: Whether it is one of the ``frames`` or the ``messages``.
        note: Why, for people, where the reason alone does not tell.
    """

    item: F | D
    side: Side
    reason: Reason
    note: Note | None = field(default=None, repr=False)


class Pairer(Generic[F, D]):
    """Match frames with the messages that speak of them.

    Args:
        match: `Exact` or `Nearest`.
        max_wait: How long an item may wait for its other half, in seconds.
        max_items: How many frames, and how many messages, may wait; and how many pairs may be held.
        max_bytes: How many bytes the waiting frames, and the waiting messages, may hold; and the
            frames of pairs that are held.
        lossless: For a file, whose frames wait until there is room (ask `has_room`). An item's
            wait counts from its arrival or from the last pair, whichever is later; a full pairer
            lets go of frames that a later pair has overtaken, and refuses messages that find no
            room. Otherwise the item that has waited longest makes room.
        remember: For how long the key of a finished frame is known, in seconds; at least, and by
            default, ``max_wait``.
        max_remembered: How many such keys are known; by default ``max_items``.
        guard: Doubts pairs whose keys agree.

    Attributes:
        failures: What the guard raised and nobody expected; whoever reads them empties the list.
            Each costs the pair that it was of.

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
        remember: float | None = None,
        max_remembered: int | None = None,
        guard: Guard = OPEN,
    ) -> None:
        if not (max_wait > 0 and max_items > 0 and max_bytes > 0):
            raise ValueError("max_wait, max_items and max_bytes must be above 0")
        self._match = match
        self._max_wait = max_wait
        self._lossless = lossless
        self._remember = max(max_wait, remember or 0)
        self._max_remembered = max_remembered or max_items
        self._guard = guard
        self._room = WaitingRoom(max_items, max_bytes)
        self._held = HeldPairs(max_items, max_bytes)
        self._last_pair = float("-inf")
        self._overtaken = -1
        self._count = 0
        self.failures: list[Exception] = []
        self._begin()

    def _begin(self) -> None:
        self._index: dict[Side, Index] = {
            "frames": self._match.index(),
            "messages": self._match.index(),
        }
        self._finished: deque[Entry] = deque()

    @property
    def max_wait(self) -> float:
        """How long an item may wait for its other half, in seconds."""
        return self._max_wait

    @property
    def deadline(self) -> float | None:
        """When `expire` has to be called next; None while nothing waits and no pair is held."""
        times = [self._deadline(entry) for entry in self._room.firsts()]
        if self._held:
            times.append(self._held.first.since + self._guard.longest)
        return min(times, default=None)

    def count_items(self, *, wanted: bool) -> None:
        """Say whether ``max_items`` holds from now on; it does only once no more wait than that.

        While nobody can answer, and until those have who could not, ``max_bytes`` alone holds.
        """
        room = self._room
        few = all(len(side) <= room.max_items for side in room.entries.values())
        room.counts_items = wanted and (few or room.counts_items)

    def shed(self, nbytes: int, now: float) -> list[Paired[F, D] | Dropped[F, D]]:
        """Let go of what has waited longest, held pairs last, until so many bytes are free."""
        events = list(self._expire(now))
        left = self.nbytes - nbytes
        while self.nbytes > left and (self._held or any(self._room.firsts())):
            if firsts := list(self._room.firsts()):
                oldest = min(firsts, key=attrgetter("arrived", "number"))
                events.append(self._drop(oldest, Reason.PAIRING_FULL, now))
            else:
                events += self._let_go(Reason.PAIRING_FULL, now, _FULL)
        return events

    @property
    def nbytes(self) -> int:
        """The bytes of all that waits and is held."""
        return sum(self._room.nbytes.values()) + self._held.nbytes

    def waiting(self, side: Side) -> int:
        """How many frames or messages wait, those of held pairs not among them."""
        return len(self._room.entries[side])

    def fill(self, side: Side) -> tuple[int, int, int, int]:
        """Items and bytes of a side that wait, and how many of each may."""
        room = self._room
        return len(room.entries[side]), room.nbytes[side], room.max_items, room.max_bytes

    @property
    def held(self) -> int:
        """How many pairs are held."""
        return len(self._held)

    def has_room(self, frame: F) -> bool:
        """True if ``frame`` can be added without losing one that could still be paired."""
        return self._room.has_room(frame.nbytes, self._overtaken)

    def add_frame(self, item: F, now: float) -> list[Paired[F, D] | Dropped[F, D]]:
        """Add a frame; returns what that decided."""
        events = list(self._expire(now))
        if self._ask(self._guard.frame, item, now):
            events += self._forget(now)
        if item.key is None:
            return [*events, Dropped(item, "frames", Reason.NO_KEY), *self._resolve(now)]
        entry, index = self._entry(item, "frames", now), self._index["frames"]
        twins, before = index.same(entry.key), index.latest
        index.add(entry)
        if twins:
            return events + self._refuse_twins(twins, entry, now)
        events += self._wait(entry, now)
        events += self._decide(self._index["messages"].decided_by(entry.key, before), now)
        return [*events, *self._expire(now)]

    def add_detections(self, item: D, now: float) -> list[Paired[F, D] | Dropped[F, D]]:
        """Add a message; returns what that decided."""
        events = list(self._expire(now))
        if item.key is None:
            return [*events, Dropped(item, "messages", Reason.NO_KEY)]
        self._ask(self._guard.message, item, now)
        entry = self._entry(item, "messages", now)
        if self._index["messages"].same(entry.key):
            return [*events, self._drop(entry, Reason.DUPLICATE, now)]
        self._index["messages"].add(entry)
        entry.indexed = True
        decided = list(self._decide([entry], now))
        if entry.state == "waiting":
            events += self._wait(entry, now)
        return [*events, *decided, *self._expire(now)]

    def expire(self, now: float) -> list[Paired[F, D] | Dropped[F, D]]:
        """End what has waited too long; call it at `deadline`."""
        return list(self._expire(now))

    def close(self, now: float) -> list[Paired[F, D] | Dropped[F, D]]:
        """End the wait of all; what can be decided is, the rest is `closed`."""
        events = list(self._expire(now))
        events += self._decide(list(self._room.entries["messages"].values()), now, final=True)
        return events + self._end_all(Reason.CLOSED, now)

    def _forget(self, now: float) -> list[Dropped[F, D]]:
        """End the wait of all as `ambiguous`, and remember nothing: keys begin to repeat."""
        events = self._end_all(Reason.AMBIGUOUS, now)
        self._begin()
        return events

    def _end_all(self, reason: Reason, now: float) -> list[Dropped[F, D]]:
        events = [self._drop(entry, reason, now) for entry in self._room.all()]
        while self._held:
            events += self._let_go(reason, now, _BEGAN if reason == Reason.AMBIGUOUS else None)
        return events

    def _ask(self, question: Callable[..., T], *about: Any) -> T | None:
        """Ask the guard; None if it fails as nobody thought that it could."""
        try:
            return question(*about)
        except Exception as error:  # noqa: BLE001  # nobody knows which
            self.failures.append(error)
            return None

    def _entry(self, item: F | D, side: Side, now: float) -> Entry:
        self._count += 1
        return Entry(item, side, self._count, now)

    def _deadline(self, entry: Entry) -> float:
        since = max(entry.arrived, self._last_pair) if self._lossless else entry.arrived
        return since + self._max_wait

    def _refuse_twins(
        self, twins: list[Entry], entry: Entry, now: float
    ) -> list[Paired[F, D] | Dropped[F, D]]:
        """End frames of one key: nobody can tell which of them a message means."""
        note = Note("names", _AGAIN.format(name=str(entry.key), remember=self._remember))
        alike = [twin for twin in twins if twin.state == "waiting"]
        events = [self._drop(twin, Reason.AMBIGUOUS, now, note) for twin in (*alike, entry)]
        for twin in twins:
            # A pair that is held ends as it is looked at.
            twin.state = "gone" if twin.state == "held" else twin.state
        return [*events, *self._resolve(now)]

    def _wait(self, entry: Entry, now: float) -> list[Dropped[F, D]]:
        """Let an entry wait, and make room for it."""
        self._room.add(entry)
        dropped = []
        while self._room.overflows(entry.side):
            oldest, reason = self._room.first(entry.side), Reason.PAIRING_FULL
            too_large = entry.item.nbytes > self._room.max_bytes
            if too_large or (self._lossless and entry.side == "messages"):
                oldest = entry
            elif self._lossless and oldest.number <= self._overtaken:
                reason = Reason.EXPIRED
            dropped.append(self._drop(oldest, reason, now))
        return dropped

    def _decide(
        self, messages: Iterable[Entry], now: float, *, final: bool = False
    ) -> Iterator[Paired[F, D] | Dropped[F, D]]:
        """Pair or refuse each message whose frame is known; ``final`` ones wait no longer."""
        for message in messages:
            frames = self._index["frames"].near(message.key)
            if message.state != "waiting" or not frames:
                continue
            if not final and not self._index["frames"].settled(message.key):
                continue
            distance, frame = frames[0]
            tie = len(frames) > 1 and frames[1][0] == distance
            if frame.state == "paired" and not (tie and distance):
                yield self._drop(message, Reason.DUPLICATE, now)
            elif tie or frame.state == "held":
                yield self._drop(message, Reason.AMBIGUOUS, now)
            elif frame.state == "waiting":
                yield from self._judge(frame, message, now)
            else:
                yield self._drop(message, Reason.LATE, now)

    def _judge(
        self, frame: Entry, message: Entry, now: float
    ) -> Iterator[Paired[F, D] | Dropped[F, D]]:
        """Pair two whose keys agree, if the guard has no doubt."""
        verdict = self._ask(self._guard.judge, frame.item, message.item, now)
        if verdict is None:
            yield self._drop(message, Reason.FAILED, now)
            return
        if verdict == Verdict.REFUSE:
            # The message alone: another may be right about the frame.
            yield self._drop(message, Reason.AMBIGUOUS, now, self._guard.note)
            return
        self._last_pair = now
        self._overtaken = max(self._overtaken, frame.number)
        residual = self._match.residual(frame.key, message.key)
        state = "paired" if verdict == Verdict.PAIR else "held"
        items = self._finish(frame, state, now), self._finish(message, state, now)
        pair = Paired(*items, residual, held=state == "held")
        if verdict == Verdict.PAIR:
            yield pair
            return
        self._held.add(Held(frame, pair, now))
        while self._held.overflow:
            yield from self._let_go(Reason.PAIRING_FULL, now, _FULL)

    def _resolve(self, now: float) -> Iterator[Paired[F, D] | Dropped[F, D]]:
        """Let go of the pairs of which the guard is sure by now, the oldest first."""
        while self._held:
            held = self._held.first
            pair = held.pair
            verdict = self._ask(self._guard.again, pair.frame, pair.detections, held.since, now)
            if verdict is None:
                yield from self._let_go(Reason.FAILED, now, None)
                continue
            if held.frame.state == "gone" or held.since + self._guard.longest <= now:
                verdict = Verdict.REFUSE
            if verdict == Verdict.WAIT:
                break
            if verdict == Verdict.REFUSE:
                yield from self._let_go(Reason.AMBIGUOUS, now, self._guard.note)
                continue
            self._remember_frame(self._held.pop().frame, "paired", now)
            yield held.pair

    def _let_go(self, reason: Reason, now: float, note: Note | None) -> list[Dropped[F, D]]:
        """End the oldest pair that is held."""
        held = self._held.pop()
        self._remember_frame(held.frame, "gone", now)
        return [
            Dropped(held.pair.frame, "frames", reason, note),
            Dropped(held.pair.detections, "messages", reason, note),
        ]

    def _drop(
        self, entry: Entry, reason: Reason, now: float, note: Note | None = None
    ) -> Dropped[F, D]:
        return Dropped(self._finish(entry, "gone", now), entry.side, reason, note)

    def _finish(self, entry: Entry, state: str, now: float) -> Any:  # F or D
        """Take an entry out of the waiting ones; a frame's key is remembered, not its pixels."""
        self._room.remove(entry)
        item, entry.item = entry.item, None
        if entry.side == "messages":
            entry.state = state
            if entry.indexed:
                self._index["messages"].remove(entry)
        elif state == "held":
            entry.state = state
        else:
            self._remember_frame(entry, state, now)
        return item

    def _remember_frame(self, entry: Entry, state: str, now: float) -> None:
        entry.state, entry.finished = state, now
        self._finished.append(entry)
        while len(self._finished) > self._max_remembered:
            self._index["frames"].remove(self._finished.popleft())

    def _expire(self, now: float) -> Iterator[Paired[F, D] | Dropped[F, D]]:
        while self._finished and self._finished[0].finished + self._remember <= now:
            self._index["frames"].remove(self._finished.popleft())
        while due := [entry for entry in self._room.firsts() if self._deadline(entry) <= now]:
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
            if entry.state == "waiting":
                yield self._drop(entry, Reason.EXPIRED, now)
        yield from self._resolve(now)
