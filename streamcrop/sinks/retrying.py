"""A sink that tries again: where a delivery fails, it alone waits.

```
put ──► queue ──► deliver ──► ended
          │          ▲
   failing│          │ in its order, at its rate
          └──► spool ┘
```

While deliveries fail, one event is tried at a time, after growing delays. What comes meanwhile goes
to the spool; where there is none, as much is held as the queue takes, and the oldest is let go of.
A delivery that hangs counts as one that fails, and is let end. So `put` never waits for a sink that
fails; for one that is slow it does, unless that can spill into the spool.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from streamcrop.backoff import Backoff
from streamcrop.core.values import Reason
from streamcrop.errors import RejectedError, SinkError
from streamcrop.formats.events import Event
from streamcrop.notes import unexpected
from streamcrop.sinks import Account, Outlet
from streamcrop.sinks.keeping import WaitingRoom

logger = logging.getLogger(__name__)

FIRST_DELAY, LONGEST_DELAY = 0.2, 10.0
MAX_BYTES = 32 << 20
# A delivery that takes longer than so many seconds hangs.
PATIENCE = 3.0
# How often it is looked whether one hangs.
_LOOK_EVERY = 1.0


@dataclass(eq=False, slots=True)
class _Flight:
    """Events that are being delivered.

    Attributes:
        number: Of the one that comes from the spool; None: they do not.
        landed: Whether it is known how the delivery ended.
    """

    events: Sequence[Event]
    since: float
    number: int | None = None
    landed: bool = False


class Retrying:
    """Hands events to an outlet, many at once, and tries again what fails.

    Args:
        name: The sink's row in the ledger.
        outlet: Brings them there.
        max_inflight: How many deliveries there are at once.
        max_waiting: How many events wait for one.
        account: Is told how each event ended.
        say: Is told what goes wrong: the kind of note, and a sentence.
        end_within: How long `drain` waits for a sink that fails, and for the spool, in seconds.
        stopping: Says whether it is not to wait for them at all.
        waiting: Where events wait while it fails; None: nowhere.
        spills: Whether they wait there, too, if it is slower than they come.

    Attributes:
        trouble: Why it delivers nothing now; None: it does.
    """

    def __init__(
        self,
        name: str,
        outlet: Outlet,
        *,
        max_inflight: int,
        max_waiting: int,
        account: Account,
        say: Callable[[str, str], None],
        end_within: float,
        stopping: Callable[[], bool] = lambda: False,
        waiting: WaitingRoom | None = None,
        spills: bool = False,
    ) -> None:
        self.name = name
        self._outlet = outlet
        self._max_inflight = max_inflight
        self._max_waiting = max_waiting
        self._account = account
        self._say = say
        self._end_within = end_within
        self._stopping = stopping
        self._waiting = waiting
        self._spills = spills and waiting is not None
        self._queue: deque[Event] = deque()
        self._bytes = 0
        self._flights: dict[_Flight, asyncio.Task[None]] = {}
        self.trouble: str | None = None
        self._next_try = 0.0
        self._backoff = Backoff(FIRST_DELAY, LONGEST_DELAY)
        self._changed = asyncio.Event()
        self._progress = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def prepare(self, _: Sequence[Event]) -> None:
        """See `Sink`: nothing."""

    async def put(self, events: Sequence[Event], _: object = None) -> None:
        """See `Sink`. The first call, also one without events, begins to empty the spool."""
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name=f"sink {self.name}")
        left = deque(filter(None, map(self._outlet.take, events)))
        try:
            while left:
                has_room = self._has_room(left[0])
                if self._waiting and (self._failing or (self._spills and not has_room)):
                    aside = list(left)
                    left.clear()
                    await self._waiting.put(aside)
                elif has_room:
                    self._push(left.popleft())
                elif self._failing:
                    self._account.ended(self._pop(), Reason.FAILED)
                else:
                    self._progress.clear()
                    await self._progress.wait()
        finally:
            for event in left:
                self._account.ended(event, Reason.CLOSED)

    async def drain(self) -> None:
        """See `Sink`; for one that fails, and for the spool, it does not wait for ever."""
        end = asyncio.get_running_loop().time() + self._end_within
        await self.put(())
        while self._queue or self._flights or (self._waiting and self._waiting.has_some):
            is_bounded = self._failing or not (self._queue or self._flights)
            if is_bounded and self._stopping() and not self._is_trying():
                break
            self._progress.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY):
                    await self._progress.wait()
            if is_bounded and asyncio.get_running_loop().time() >= end:
                break

    async def abort(self) -> None:
        """See `Sink`; what can be kept for the next run is kept."""
        tasks = [self._running] if self._running else []
        self._running = None
        live: list[Event] = []
        for flight, task in tuple(self._flights.items()):
            tasks.append(task)
            if not flight.landed:
                live += flight.events if flight.number is None else ()
                del self._flights[flight]
                task.cancel()
        if tasks:
            tasks[0].cancel()
            await asyncio.wait(tasks)
        live += self._queue
        self._queue.clear()
        self._bytes = 0
        if self._waiting:
            await self._waiting.put(live)
            await self._waiting.settle()
        else:
            for event in live:
                self._account.ended(event, Reason.FAILED if self._failing else Reason.CLOSED)
        await self._outlet.close()

    def hurry(self) -> None:
        """Try again now: there is reason to hope."""
        self._next_try = 0.0
        self._backoff.reset()
        self._changed.set()

    @property
    def _failing(self) -> bool:
        return self.trouble is not None

    def _is_trying(self) -> bool:
        """True if a delivery is on its way that may still end."""
        now = asyncio.get_running_loop().time()
        return any(now - flight.since < PATIENCE for flight in self._flights)

    def _has_room(self, event: Event) -> bool:
        fits = self._bytes + event.nbytes <= MAX_BYTES
        return not self._queue or (len(self._queue) < self._max_waiting and fits)

    def _push(self, event: Event) -> None:
        self._queue.append(event)
        self._bytes += event.nbytes
        self._changed.set()

    def _pop(self) -> Event:
        event = self._queue.popleft()
        self._bytes -= event.nbytes
        self._progress.set()
        return event

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            now = loop.time()
            since = min((flight.since for flight in self._flights), default=now)
            if now - since > PATIENCE and not self._failing:
                self._fail(f"no answer for {PATIENCE:g} s")
            if self._failing and self._waiting and self._queue:
                await self._waiting.put([self._pop() for _ in tuple(self._queue)])
            if flight := await self._next(now):
                task = asyncio.create_task(self._fly(flight), name=f"deliver {self.name}")
                self._flights[flight] = task
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._wake_at(now)):
                    await self._changed.wait()

    async def _next(self, now: float) -> _Flight | None:
        """The flight that is due now; None: nothing is."""
        if len(self._flights) >= (1 if self._failing else self._max_inflight):
            return None
        if self._failing and now < self._next_try:
            return None
        if self._waiting:
            numbers = [flight.number for flight in self._flights if flight.number is not None]
            if kept := await self._waiting.next(numbers, now):
                return _Flight([kept.event], now, kept.number)
        if not self._queue:
            return None
        count = 1 if self._failing else min(len(self._queue), self._outlet.batch)
        return _Flight([self._pop() for _ in range(count)], now)

    def _wake_at(self, now: float) -> float | None:
        """When there is something to do, if nothing happens before; None: there is not."""
        times = [now + _LOOK_EVERY] if self._flights or self._queue else []
        if self._failing and not self._flights:
            times.append(self._next_try)
        is_free = len(self._flights) < (1 if self._failing else self._max_inflight)
        # Else the end of a delivery wakes us.
        if is_free and self._waiting and self._waiting.has_some:
            times.append(max(self._waiting.next_at, self._next_try if self._failing else 0.0))
        return max(now + 0.001, min(times)) if times else None

    async def _fly(self, flight: _Flight) -> None:
        """Deliver, and see to what was not."""
        again, count = flight.number is not None, 0
        reason: Reason | None = None
        try:
            count = await self._outlet.deliver(flight.events, again=again)
        except RejectedError as error:
            self._say(f"{self.name}_refuses", f"{self.name}: {error}")
            count, reason = 1, Reason(error.reason)
        except SinkError as error:
            self._fail(str(error), error.later)
        except Exception as error:  # noqa: BLE001  # nobody knows which; it costs this event
            self._say("failed", unexpected(f"delivering to {self.name}", error))
            count, reason = 1, Reason.FAILED
        flight.landed = True
        if count:
            if self._failing:
                logger.info("%s: it takes crops again", self.name)
            self.trouble = None
            self._backoff.reset()
        if flight.number is None:
            self._land(flight.events, count, reason)
        elif (
            count and self._waiting and await self._waiting.remove(flight.number, flight.events[0])
        ):
            self._account.ended(flight.events[0], reason)
        del self._flights[flight]
        self._changed.set()
        self._progress.set()

    def _land(self, events: Sequence[Event], count: int, reason: Reason | None) -> None:
        for event in events[:count]:
            self._account.ended(event, reason)
        for event in reversed(events[count:]):
            self._queue.appendleft(event)
            self._bytes += event.nbytes

    def _fail(self, why: str, later: float = 0.0) -> None:
        now = asyncio.get_running_loop().time()
        self._say(self.name, f"{self.name}: {why}; it is tried again")
        self.trouble = why
        if now >= self._next_try:
            # Many that fail together are one failure.
            self._next_try = now + self._backoff.delay(later)
        self._progress.set()
        self._changed.set()
