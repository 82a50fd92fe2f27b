"""How the keys of frames and messages are compared: equal, or the nearest within a tolerance."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from math import inf
from operator import itemgetter
from typing import Any, Literal

Side = Literal["frames", "messages"]
# So many intervals between frames tell which the smallest one is, and for so many it is believed.
_TELLING, _BELIEVED = 8, 1000


@dataclass(slots=True, eq=False)
class Entry:
    """An item of the pairer; once it is finished its key alone.

    Attributes:
        item: What was added, or None once it has left.
        number: By the order of arrival.
        state: ``waiting``, ``held``, ``paired`` or ``gone``.
        finished: When its wait ended.
        indexed: Whether it is in its side's index.
    """

    item: Any
    side: Side
    number: int
    arrived: float
    state: str = "waiting"
    finished: float = 0.0
    indexed: bool = False
    key: Any = field(init=False)

    def __post_init__(self) -> None:
        self.key = self.item.key


class ByKey:
    """The entries of one side, found by equal keys."""

    latest = None

    def __init__(self) -> None:
        self._entries: dict[Any, list[Entry]] = {}

    def add(self, entry: Entry) -> None:
        """Add an entry."""
        self._entries.setdefault(entry.key, []).append(entry)

    def remove(self, entry: Entry) -> None:
        """Remove an entry."""
        entries = self._entries[entry.key]
        entries.remove(entry)
        if not entries:
            del self._entries[entry.key]

    def near(self, key: Any) -> list[tuple[Any, Entry]]:
        """The entries that could belong to ``key``, as ``(distance, entry)``, nearest first.

        Of equally near ones the one that came first stands first.
        """
        return [(0, entry) for entry in self._entries.get(key, ())]

    def same(self, key: Any) -> list[Entry]:
        """The entries with exactly this key."""
        return list(self._entries.get(key, ()))

    def settled(self, key: Any) -> bool:  # noqa: ARG002  # as ByTime
        """True if no frame can come that is nearer to ``key`` than those that are here."""
        return True

    def decided_by(self, key: Any, before: Any) -> list[Entry]:  # noqa: ARG002  # as ByTime
        """The messages for which a new frame at a key may be the answer, or end the last doubt.

        Args:
            key: Of the frame.
            before: The latest frame's before it came, or None.
        """
        return self.same(key)


class ByTime:
    """The entries of one side, found by keys that are times, in rising order.

    Attributes:
        latest: The latest key that was added, or None.
    """

    def __init__(self, tolerance: Any) -> None:
        self._tolerance = tolerance
        self._entries: list[tuple[Any, int, Entry]] = []
        self.latest: Any = None
        self._intervals = 0
        self._smallest = self._smallest_before = inf

    def add(self, entry: Entry) -> None:
        """See `ByKey.add`."""
        at = bisect_left(self._entries, (entry.key, entry.number))
        for beside in self._entries[max(0, at - 1) : at + 1]:
            self._smallest = min(self._smallest, abs(beside[0] - entry.key))
            self._intervals += 1
            if self._intervals % _BELIEVED == 0:
                self._smallest_before, self._smallest = self._smallest, inf
        self._entries.insert(at, (entry.key, entry.number, entry))
        self.latest = entry.key if self.latest is None else max(self.latest, entry.key)

    def remove(self, entry: Entry) -> None:
        """See `ByKey.remove`."""
        del self._entries[bisect_left(self._entries, (entry.key, entry.number))]

    def near(self, key: Any) -> list[tuple[Any, Entry]]:
        """See `ByKey.near`."""
        found = []
        for at in range(bisect_left(self._entries, (key - self._tolerance,)), len(self._entries)):
            other, _, entry = self._entries[at]
            if other > key + self._tolerance:
                break
            found.append((abs(key - other), entry))
        return sorted(found, key=itemgetter(0))

    def same(self, key: Any) -> list[Entry]:
        """See `ByKey.same`."""
        return [entry for distance, entry in self.near(key) if distance == 0]

    def settled(self, key: Any) -> bool:
        """See `ByKey.settled`: a later frame was seen, or frames lie further apart than that.

        Two frames that are both near enough lie at most twice the tolerance apart.
        """
        if self.latest is not None and self.latest > key + self._tolerance:
            return True
        smallest = min(self._smallest, self._smallest_before)
        return self._intervals >= _TELLING and bool(smallest > 2 * self._tolerance)

    def decided_by(self, key: Any, before: Any) -> list[Entry]:
        """See `ByKey.decided_by`."""
        # Those further back were beyond doubt already, and are not near this frame. Twice the
        # tolerance, for sums of floats are not exact.
        since = (key if before is None else min(key, before)) - 2 * self._tolerance
        begin = bisect_left(self._entries, (since,))
        end = bisect_right(self._entries, (key + self._tolerance, inf))
        return [entry for _, _, entry in self._entries[begin:end]]


Index = ByKey | ByTime


@dataclass(frozen=True, slots=True)
class Exact:
    """Keys match when they are equal."""

    def index(self) -> Index:
        """An empty index."""
        return ByKey()

    def residual(self, frame: Any, message: Any) -> float:  # noqa: ARG002  # as Nearest
        """How far apart the keys of a pair are."""
        return 0.0


@dataclass(frozen=True, slots=True)
class Nearest:
    """Keys are times; a message belongs to the one frame that is nearest and near enough.

    A message is decided at once where frames lie more than twice the tolerance apart, as far as
    they were seen; else when a frame beyond its time + tolerance was seen, or when it or the frame
    would expire. Two frames at the same distance are a tie, which is refused.

    Args:
        tolerance: In the unit of the keys; at most half a frame interval keeps neighbours apart.

    Raises:
        ValueError: If it is negative.
    """

    tolerance: Any

    def __post_init__(self) -> None:
        if not self.tolerance >= 0:
            raise ValueError(f"tolerance must be 0 or more, not {self.tolerance!r}")

    def index(self) -> Index:
        """See `Exact.index`."""
        return ByTime(self.tolerance)

    def residual(self, frame: Any, message: Any) -> float:
        """See `Exact.residual`."""
        return float(message - frame)
