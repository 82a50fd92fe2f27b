"""A source that blocks, in a thread of its own."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from typing import Protocol

from streamcrop.sources import Item

# Enough that decoding goes on while the loop is busy, and no more pictures in memory than that.
_AHEAD = 2
# Longer than a library's call lasts as a rule; one that hangs is left behind.
_GOODBYE = 0.8


class BlockingSource(Protocol):
    """Blocks while it is iterated; `stop` may be called from any thread."""

    def __iter__(self) -> Iterator[Item]: ...

    def stop(self) -> None:
        """End the iteration soon."""
        ...


class Threaded:
    """Makes a `FrameSource` of a blocking one.

    The thread is a daemon: one that hangs in a library's call holds up neither the stream's end,
    for longer than a moment, nor the process's.
    """

    def __init__(self, source: BlockingSource) -> None:
        self._source = source
        self._items: asyncio.Queue[Item | BaseException | None] = asyncio.Queue()
        self._room = threading.Semaphore(_AHEAD)
        self._left = False

    def stop(self) -> None:
        """See `FrameSource.stop`."""
        self._source.stop()
        self._items.put_nowait(None)

    async def frames(self) -> AsyncGenerator[Item]:
        """See `FrameSource.frames`."""
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._read, args=(loop,), daemon=True, name="source")
        thread.start()
        try:
            while (item := await self._items.get()) is not None:
                self._room.release()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self._left = True
            self._source.stop()
            self._room.release()
            await asyncio.to_thread(thread.join, _GOODBYE)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        end: BaseException | None = None
        # The loop may be gone before this thread is.
        with suppress(RuntimeError):
            try:
                for item in self._source:
                    self._room.acquire()
                    if self._left:
                        return
                    loop.call_soon_threadsafe(self._items.put_nowait, item)
            except Exception as error:  # noqa: BLE001  # raised again where the frames are read
                end = error
            loop.call_soon_threadsafe(self._items.put_nowait, end)
