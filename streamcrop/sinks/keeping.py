"""A spool in a thread of its own, for the sinks of one event loop; and one sink's part of it."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from streamcrop.core.values import Reason
from streamcrop.errors import SinkError
from streamcrop.formats.events import Event
from streamcrop.notes import unexpected
from streamcrop.sinks import Account
from streamcrop.sinks.spool import Kept, Key, Spool

T = TypeVar("T")

# How often it is looked for what was let go of, and how long a spool that fails is left alone.
_LOOK_EVERY, _PAUSE = 0.5, 5.0
_FETCHED = 16


class Keeping:
    """Keeps events for many sinks; what comes while one commit runs shares the next.

    Args:
        spool: The storage; nobody else uses it from now on.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._coming: list[tuple[Key, Sequence[Event], asyncio.Future[list[bool]]]] = []
        self._leaving: list[tuple[int, asyncio.Future[bool]]] = []
        self._committing: asyncio.Task[None] | None = None

    def put(self, key: Key, events: Sequence[Event]) -> "asyncio.Future[list[bool]]":
        """Begin to keep events.

        Returns:
            A future of what `Spool.put` returns or raises; what it says counts, whoever waits.
        """
        done: asyncio.Future[list[bool]] = asyncio.get_running_loop().create_future()
        self._coming.append((key, events, done))
        self._wake()
        return done

    async def some(self, key: Key, besides: Collection[int], most: int) -> list[Kept]:
        """See `Spool.some`."""
        return await self._in_thread(lambda: self._spool.some(key, besides, most))

    async def remove(self, number: int) -> bool:
        """Let go of an event; false if it was lost before."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._leaving.append((number, done))
        self._wake()
        return await done

    async def losses(self, key: Key) -> Counter[Reason]:
        """Let go of what is too old, and see `Spool.losses`."""

        def look() -> "Counter[Reason]":
            self._spool.expire()
            return self._spool.losses(key)

        return await self._in_thread(look)

    async def close(self) -> None:
        """Commit what was put, and let go of the file."""
        while self._committing:
            await asyncio.wait({self._committing})
        await self._in_thread(self._spool.close)
        self._thread.shutdown(wait=False)

    def _wake(self) -> None:
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit(), name="spool")

    async def _commit(self) -> None:
        while self._coming or self._leaving:
            await self._commit_coming()
            await self._commit_leaving()
        self._committing = None

    async def _commit_coming(self) -> None:
        puts, self._coming = self._coming, []
        rows = [(key, event) for key, events, _ in puts for event in events]
        if not rows:
            return
        try:
            kept = iter(await self._in_thread(partial(self._spool.put, rows)))
        except Exception as error:  # noqa: BLE001  # it is told to those who put
            for *_, done in puts:
                done.set_exception(error)
            return
        for _, events, done in puts:
            done.set_result([next(kept) for _ in events])

    async def _commit_leaving(self) -> None:
        leaving, self._leaving = self._leaving, []
        if not leaving:
            return
        try:
            numbers = [number for number, _ in leaving]
            found = await self._in_thread(partial(self._spool.remove, numbers))
        except Exception as error:  # noqa: BLE001  # it is told to those who wait
            for _, done in leaving:
                if not done.done():
                    done.set_exception(error)
            return
        for number, done in leaving:
            # Perhaps nobody waits for it any more.
            if not done.done():
                done.set_result(number in found)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


class WaitingRoom:
    """One sink's part of the spool. Where the spool fails, that costs events, and is said.

    Args:
        keeping: The spool.
        key: Whose part.
        rate: How many events a second leave it.
        account: Is told what waits, and what was let go of.
        say: Is told what goes wrong: the kind of note, and a sentence.

    Attributes:
        has_some: False only if it is known that nothing waits.
        next_at: When the next event may leave, by the loop's clock.
    """

    def __init__(
        self,
        keeping: Keeping,
        key: Key,
        *,
        rate: float,
        account: Account,
        say: Callable[[str, str], None],
    ) -> None:
        self._keeping = keeping
        self._key = key
        self._pause = 1 / rate
        self._account = account
        self._say = say
        self._look_at = 0.0
        self._putting: set[asyncio.Future[list[bool]]] = set()
        self._looking: asyncio.Task[Counter[Reason]] | None = None
        # Perhaps an earlier run's.
        self.has_some = True
        self.next_at = 0.0
        # Fetched together: each fetch waits for the commit that runs.
        self._fetched: deque[Kept] = deque()

    async def put(self, events: Sequence[Event]) -> None:
        """Keep events; those for which there is no room end."""
        if not events:
            return
        done = self._keeping.put(self._key, events)
        # Also if we are cancelled while it is committed.
        done.add_done_callback(partial(self._put, events))
        self._putting.add(done)
        await asyncio.wait({done})

    async def next(self, on_their_way: Collection[int], now: float) -> Kept | None:
        """The event that is to leave now; None: there is none, or its time has not come."""
        if not self.has_some or now < self.next_at:
            return None
        try:
            if now >= self._look_at:
                self._look_at = now + _LOOK_EVERY
                await self.look()
            if not self._fetched:
                self._fetched += await self._keeping.some(self._key, on_their_way, _FETCHED)
        except SinkError as error:
            self._failed(error, now)
            return None
        if not self._fetched:
            # Some may come back.
            self.has_some = bool(on_their_way)
            self.next_at = now + _LOOK_EVERY
            return None
        # One that leaves a little late does not make the next one late.
        is_late = now - self.next_at > self._pause
        self.next_at = (now if is_late else self.next_at) + self._pause
        return self._fetched.popleft()

    async def settle(self) -> None:
        """Wait until all that was put has ended or is kept, and count what was let go of."""
        while self._putting:
            await asyncio.wait(self._putting)
        await self.look()

    async def look(self) -> None:
        """Count what was let go of."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._keeping.losses(self._key))
            # Also if we are cancelled: it is told once.
            self._looking.add_done_callback(self._looked)
        await asyncio.wait({self._looking})

    async def remove(self, number: int, event: Event) -> bool:
        """Let go of an event that has ended; false if it was lost before, or is still there."""
        try:
            if not await self._keeping.remove(number):
                return False
        except SinkError as error:
            self._failed(error, asyncio.get_running_loop().time())
            return False
        self._account.spooled(-int(event.is_crop))
        return True

    def _put(self, events: Sequence[Event], done: "asyncio.Future[list[bool]]") -> None:
        self._putting.discard(done)
        error = done.exception()
        reason = Reason.SPOOL_FULL
        if isinstance(error, SinkError):
            self._say("spool", f"the spool: {error}")
            reason = Reason.FAILED
        elif isinstance(error, Exception):
            self._say("spool", unexpected("spooling", error))
            reason = Reason.FAILED
        kept = [False] * len(events) if error else done.result()
        for event, is_kept in zip(events, kept, strict=True):
            if is_kept:
                self._account.spooled(int(event.is_crop))
            else:
                self._account.ended(event, reason)
        if any(kept):
            self.has_some = True
            self.next_at = min(self.next_at, asyncio.get_running_loop().time())

    def _looked(self, done: "asyncio.Task[Counter[Reason]]") -> None:
        self._looking = None
        if error := done.exception():
            self._say("spool", f"the spool: {error}")
            return
        for reason, count in done.result().items():
            self._account.spooled(-count)
            self._account.lost(reason, count)

    def _failed(self, error: SinkError, now: float) -> None:
        self._say("spool", f"the spool: {error}; it is tried again")
        self.next_at = now + _PAUSE
