"""A queue that is bounded in items and bytes, and says what it lets go of."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, Literal, TypeVar

T = TypeVar("T")
Overflow = Literal["block", "drop_oldest", "drop_newest"]


class BoundedQueue(Generic[T]):
    """A queue between two tasks of one event loop.

    Args:
        max_items: How many items it holds.
        max_bytes: How many bytes they hold together; one item is always let in.
        size: The bytes of an item.
        overflow: What `put` does when there is no room.
        on_drop: Is told of each item that is let go.
        changed: Is set at every change; give several queues one to wait for all of them.
        taken: Is set whenever an item was taken.

    Attributes:
        max_items: As given; may be changed, which counts from the next item on.

    Example:
        >>> async def main():
        ...     lost = []
        ...     queue = BoundedQueue(max_items=2, overflow="drop_oldest", on_drop=lost.append)
        ...     for item in "abc":
        ...         await queue.put(item)
        ...     queue.close()
        ...     return [item async for item in queue], lost
        >>> asyncio.run(main())
        (['b', 'c'], ['a'])
    """

    def __init__(
        self,
        *,
        max_items: int,
        max_bytes: int | None = None,
        size: Callable[[T], int] = lambda _: 0,
        overflow: Overflow = "block",
        on_drop: Callable[[T], None] = lambda _: None,
        changed: asyncio.Event | None = None,
        taken: asyncio.Event | None = None,
    ) -> None:
        self._items: deque[T] = deque()
        self._bytes = 0
        self.max_items = max_items
        self._max_bytes = max_bytes
        self._size = size
        self._overflow = overflow
        self._on_drop = on_drop
        self._closed = False
        self.changed = changed or asyncio.Event()
        self._room = taken or asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def nbytes(self) -> int:
        """The bytes of the items."""
        return self._bytes

    @property
    def closed(self) -> bool:
        """True if no item will follow."""
        return self._closed

    @property
    def ended(self) -> bool:
        """True if it is closed and empty."""
        return self._closed and not self._items

    @property
    def fill(self) -> tuple[int, int, int, int | None]:
        """Items and bytes that wait, and how many of each may."""
        return len(self._items), self._bytes, self.max_items, self._max_bytes

    def peek(self) -> T:
        """The item that `get_nowait` would return.

        Raises:
            IndexError: If the queue is empty.
        """
        return self._items[0]

    def has_room(self) -> bool:
        """True if one more item fits, or the queue is closed."""
        return self._closed or len(self._items) < self.max_items

    async def wait_for_room(self) -> None:
        """Wait until `has_room`."""
        while not self.has_room():
            self._room.clear()
            await self._room.wait()

    async def put(self, item: T) -> None:
        """Add an item; into a closed queue, or when cancelled while it waits, let it go."""
        try:
            while self._overflow == "block" and not self._closed and not self._fits(item):
                self._room.clear()
                await self._room.wait()
        except asyncio.CancelledError:
            self._on_drop(item)
            raise
        self.put_nowait(item)

    def put_nowait(self, item: T) -> None:
        """Add an item without waiting; where the queue would block, beyond its bounds."""
        if self._closed or (self._overflow == "drop_newest" and not self._fits(item)):
            self._on_drop(item)
            return
        while self._overflow == "drop_oldest" and not self._fits(item):
            self._on_drop(self.get_nowait())
        self._items.append(item)
        self._bytes += self._size(item)
        self.changed.set()

    def get_nowait(self) -> T:
        """Take the oldest item.

        Raises:
            IndexError: If the queue is empty.
        """
        item = self._items.popleft()
        self._bytes -= self._size(item)
        self._room.set()
        return item

    def drop_oldest(self) -> None:
        """Let go of the oldest item.

        Raises:
            IndexError: If the queue is empty.
        """
        self._on_drop(self.get_nowait())

    def close(self) -> None:
        """Say that no item will follow; what is there can still be taken."""
        self._closed = True
        self._room.set()
        self.changed.set()

    def clear(self) -> None:
        """Let go of everything that is there."""
        while self._items:
            self._on_drop(self.get_nowait())

    async def __aiter__(self) -> AsyncIterator[T]:
        while not self.ended:
            if self._items:
                yield self.get_nowait()
            else:
                self.changed.clear()
                await self.changed.wait()

    def _fits(self, item: T) -> bool:
        if not self._items:
            return True
        full = self._max_bytes is not None and self._bytes + self._size(item) > self._max_bytes
        return len(self._items) < self.max_items and not full
