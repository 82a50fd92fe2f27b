"""Where frames, messages and pairs wait, within bounds in items and bytes."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from streamcrop.core.match import Entry, Side


class WaitingRoom:
    """The entries of both sides that wait for their other half, each side in order of arrival.

    So the first one is the first to expire and to make room.

    Args:
        max_items: How many of a side may wait.
        max_bytes: How many bytes a side's items may hold.

    Attributes:
        counts_items: Whether ``max_items`` holds now; ``max_bytes`` always does.
    """

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self.max_items = max_items
        self.max_bytes = max_bytes
        self.counts_items = True
        self.entries: dict[Side, dict[int, Entry]] = {"frames": {}, "messages": {}}
        self.nbytes: dict[Side, int] = {"frames": 0, "messages": 0}

    def add(self, entry: Entry) -> None:
        """Let an entry wait."""
        self.entries[entry.side][entry.number] = entry
        self.nbytes[entry.side] += entry.item.nbytes

    def remove(self, entry: Entry) -> None:
        """Take an entry out, if it is there; its item must still be."""
        if self.entries[entry.side].pop(entry.number, None):
            self.nbytes[entry.side] -= entry.item.nbytes

    def overflows(self, side: Side) -> bool:
        """True if more waits than may."""
        too_many = self.counts_items and len(self.entries[side]) > self.max_items
        return too_many or self.nbytes[side] > self.max_bytes

    def first(self, side: Side) -> Entry:
        """The entry that has waited longest."""
        return next(iter(self.entries[side].values()))

    def firsts(self) -> Iterator[Entry]:
        """The entry of each side that has waited longest."""
        return (next(iter(side.values())) for side in self.entries.values() if side)

    def all(self) -> list[Entry]:
        """All entries, frames first."""
        return [entry for side in self.entries.values() for entry in side.values()]

    def has_room(self, nbytes: int, overtaken: int) -> bool:
        """True if a frame fits without the loss of one that is numbered above ``overtaken``."""
        waiting = self.entries["frames"]
        if len(waiting) < self.max_items and self.nbytes["frames"] + nbytes <= self.max_bytes:
            return True
        kept = [entry for entry in waiting.values() if entry.number > overtaken]
        nbytes += sum(entry.item.nbytes for entry in kept)
        # One that is too large for an empty pairer must not wait for ever.
        return not kept or (len(kept) < self.max_items and nbytes <= self.max_bytes)


@dataclass(frozen=True, slots=True)
class Held:
    """A pair in doubt.

    Attributes:
        frame: The frame's entry, whose key is still in the index.
        pair: What `Pairer` hands out if the doubt ends well.
        since: When it was made.
    """

    frame: Entry
    pair: Any
    since: float


class HeldPairs:
    """The pairs in doubt, in the order in which they were made.

    Args:
        max_items: How many there may be.
        max_bytes: How many bytes their frames may hold.
    """

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._held: deque[Held] = deque()
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held)

    @property
    def first(self) -> Held:
        """The one that was made first."""
        return self._held[0]

    @property
    def overflow(self) -> bool:
        """True if there are more than may be."""
        return len(self._held) > self._max_items or self.nbytes > self._max_bytes

    def add(self, held: Held) -> None:
        """Hold a pair."""
        self._held.append(held)
        self.nbytes += held.pair.frame.nbytes

    def pop(self) -> Held:
        """Let go of the first."""
        held = self._held.popleft()
        self.nbytes -= held.pair.frame.nbytes
        return held
