"""A source that blocks, in a thread of its own."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from math import inf
from typing import Protocol

from streamcrop.core.values import Frame
from streamcrop.sources import Item
from streamcrop.sources.decoding import LazyPixels

# Enough that decoding goes on while the loop is busy, and no more pictures in memory than that;
# those that nobody has decoded yet are small.
_AHEAD, _AHEAD_UNDECODED = 2, 32
# While nobody looks at pictures or speaks of them, they are fetched so often, in seconds: to wake
# the loop for each costs more than all else that is done with it.
_POLL = 0.25
_LATELY = 5.0
# Longer than a library's call lasts as a rule; one that hangs is left behind.
_GOODBYE = 0.8


class BlockingSource(Protocol):
    """Blocks while it is iterated; `stop` may be called from any thread."""

    def __iter__(self) -> Iterator[Item]: ...

    def stop(self) -> None:
        """End the iteration soon."""
        ...

    def again(self, last: Frame | None) -> "BlockingSource":
        """Another one that reads the same; a file's goes on behind the last frame of this one."""
        ...


class Threaded:
    """Makes a `FrameSource` of a blocking one, whose `frames` may be read again after an error.

    The thread is a daemon: one that hangs in a library's call holds up neither the stream's end,
    for longer than a moment, nor the process's.
    """

    def __init__(self, source: BlockingSource) -> None:
        self._reading = _Reading(source)
        self._last: Frame | None = None
        self._stopped = False

    def attend(self) -> None:
        """See `FrameSource.attend`."""
        self._reading.attend()

    def stop(self) -> None:
        """See `FrameSource.stop`."""
        self._stopped = True
        self._reading.stop()

    async def frames(self) -> AsyncGenerator[Item]:
        """See `FrameSource.frames`."""
        if self._reading.begun:
            self._reading = _Reading(self._reading.source.again(self._last))
        if self._stopped:
            return
        async with aclosing(self._reading.items()) as items:
            async for item in items:
                self._last = item if isinstance(item, Frame) else self._last
                yield item


class _Reading:
    """A blocking source that is read once, in a thread of its own.

    Attributes:
        source: The source.
        begun: Whether `items` was called.
    """

    def __init__(self, source: BlockingSource) -> None:
        self.source = source
        self.begun = False
        self._items: deque[Item | BaseException | None] = deque()
        self._more = asyncio.Event()
        self._room = threading.Semaphore(_AHEAD)
        self._room_undecoded = threading.Semaphore(_AHEAD_UNDECODED)
        self._polls = False
        self._attended = -inf
        self._left = False

    def attend(self) -> None:
        self._attended = time.monotonic()
        if self._polls:
            self._polls = False
            self._more.set()

    def stop(self) -> None:
        self.source.stop()
        self._items.append(None)
        self._more.set()

    async def items(self) -> AsyncGenerator[Item]:
        loop = asyncio.get_running_loop()
        self.begun = True
        thread = threading.Thread(target=self._read, args=(loop,), daemon=True, name="source")
        thread.start()
        try:
            idle = False
            while True:
                while self._items:
                    if (item := self._items.popleft()) is None:
                        return
                    self._room_for(item).release()
                    if isinstance(item, BaseException):
                        raise item
                    idle = _is_idle(item) and time.monotonic() > self._attended + _LATELY
                    yield item
                self._more.clear()
                self._polls = idle
                # Only now: what came before the thread could see that is not told of.
                if not self._items:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._more.wait(), _POLL if idle else None)
        finally:
            self._left = True
            self.source.stop()
            self._room.release()
            self._room_undecoded.release()
            await asyncio.to_thread(thread.join, _GOODBYE)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        end: BaseException | None = None
        # The loop may be gone before this thread is.
        with suppress(RuntimeError):
            try:
                for item in self.source:
                    room = self._room_for(item)
                    if not room.acquire(blocking=False):
                        if self._polls:
                            # A stream so fast cannot wait until it is fetched again.
                            loop.call_soon_threadsafe(self._more.set)
                        room.acquire()
                    if self._left:
                        return
                    self._items.append(item)
                    if not (self._polls and _is_idle(item)):
                        loop.call_soon_threadsafe(self._more.set)
            except Exception as error:  # noqa: BLE001  # raised again where the frames are read
                end = error
            self._items.append(end)
            loop.call_soon_threadsafe(self._more.set)

    def _room_for(self, item: object) -> threading.Semaphore:
        return self._room_undecoded if _is_undecoded(item) else self._room


def _is_undecoded(item: object) -> bool:
    return isinstance(item, Frame) and isinstance(item.pixels, LazyPixels)


def _is_idle(item: object) -> bool:
    """True if nobody looks at the pictures of its stream."""
    return isinstance(item, Frame) and isinstance(item.pixels, LazyPixels) and item.pixels.is_idle
