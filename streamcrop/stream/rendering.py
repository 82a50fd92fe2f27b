"""The stage at which pairs become events, which the sinks get."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeVar

from streamcrop.core.values import Reason
from streamcrop.errors import CorruptError
from streamcrop.queues import BoundedQueue
from streamcrop.sinks import Sink
from streamcrop.stream.choosing import Choosing, Late
from streamcrop.stream.cutting import CutFrame
from streamcrop.stream.outbox import Pair
from streamcrop.stream.outcomes import Outcomes
from streamcrop.stream.render import (
    PART_CROPS,
    Rendered,
    Style,
    cut_frame,
    encode_crops,
    encode_late,
    render,
)

T = TypeVar("T")
# A stream whose parts take longer, in seconds of a thread's CPU, makes them in threads of its own:
# else others would wait for it. 32 crops of 720p take 20 ms (2026-11-28).
_LONG = 0.1
# Seconds after which a track that ended is seen to have, where no frame comes.
_LOOK = 0.25


class Rendering:
    """Renders pairs, one after the other, and hands their events to each sink.

    Args:
        pairs: Where pairs come from.
        style: How they are rendered.
        limited: Says whether metadata has to fit into an MQTT property now.
        sinks: Where events go, in this order.
        outcomes: Is told what became of each pair and its crops.
        threads: The stream's own, for decoding, which is no other stream's concern.
        encoders: For encoding; all streams share them.
        choosing: Chooses which rows become crops; None: all do.
    """

    def __init__(
        self,
        pairs: BoundedQueue[Pair],
        *,
        style: Style,
        limited: Callable[[], bool],
        sinks: Sequence[Sink],
        outcomes: Outcomes,
        threads: Executor,
        encoders: Executor,
        choosing: Choosing | None = None,
    ) -> None:
        self._pairs = pairs
        self._style = style
        self._limited = limited
        self._sinks = sinks
        self._outcomes = outcomes
        self._threads = threads
        self._encoders = encoders
        self._takes_long = False
        self._choosing = choosing
        # Who holds it may choose.
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Render until no more pairs will come."""
        if self._choosing is None:
            async for pair in self._pairs:
                await self._render(pair)
            return
        ending = asyncio.create_task(self._end_tracks(self._choosing))
        try:
            async for pair in self._pairs:
                try:
                    await self._turn.acquire()
                except asyncio.CancelledError:
                    self._outcomes.pair_lost(pair.frame.value)
                    raise
                try:
                    await self._render(pair)
                finally:
                    self._turn.release()
            async with self._turn:
                await self._hand_late(self._choosing.close())
        finally:
            ending.cancel()
            self._outcomes.held_lost(self._choosing.held)

    async def _end_tracks(self, choosing: Choosing) -> None:
        """Hand on what is held by tracks that ended, where no frame comes to say so."""
        while True:
            await asyncio.sleep(_LOOK)
            async with self._turn:
                # A frame that is cut meanwhile, in a thread, would change it.
                deadline = choosing.deadline
                if deadline is not None and deadline <= time.monotonic():
                    await self._hand_late(choosing.expire(time.monotonic()))

    async def _hand_late(self, late: Late) -> None:
        """Hand on crops of earlier frames, some at a time."""
        left = list(late.chosen)
        self._outcomes.held_passed(late.passed)
        try:
            while left:
                some, limited = left[:PART_CROPS], self._limited()
                encoded = partial(encode_late, some, self._style, limited=limited)
                part = await self._in_thread(self._encoders, self._prepare, encoded)
                self._outcomes.rendered(part)
                left = left[len(some) :]
                await self._hand_on(part)
        except Exception as error:  # noqa: BLE001  # nobody knows which; it costs these crops
            self._outcomes.unexpected("handing on crops that were held", error)
            self._outcomes.held_lost(len(left), Reason.FAILED)
            left = []
        finally:
            self._outcomes.held_lost(len(left))

    async def _render(self, pair: Pair) -> None:
        frame, message = pair.frame.value, pair.detections.value
        begun, left, last = False, 0, False
        try:
            parts = await self._begin(pair)
            while not last:
                threads = self._threads if self._takes_long else self._encoders
                part, seconds = await self._in_thread(threads, self._next, parts)
                self._takes_long = seconds > _LONG
                last = part.last
                if not begun:
                    self._outcomes.paired(frame, part, pair.detections.arrived)
                    begun, left = True, part.made
                self._outcomes.rendered(part)
                self._outcomes.message_described(pair.detections.sender, message.payload, part)
                # From here on they are the sinks'.
                left -= part.encoding_failed + part.failed
                left -= sum(event.is_crop for event in part.events)
                await self._hand_on(part)
        except Exception as error:  # noqa: BLE001  # nobody knows which; it costs this pair
            if begun:
                self._outcomes.crops_failed(left, error)
            elif isinstance(error, CorruptError):
                self._outcomes.pair_corrupt(frame, error)
            else:
                self._outcomes.pair_failed(frame, error)
            begun, left = True, 0
        finally:
            if not begun:
                self._outcomes.pair_lost(frame)
            self._outcomes.crops_lost(left)

    async def _hand_on(self, part: Rendered) -> None:
        events = part.events
        names, reached = [sink.name for sink in self._sinks], 0
        self._outcomes.handed_on(names, events)
        try:
            for sink, prepared in zip(self._sinks, part.prepared, strict=True):
                reached += 1
                await sink.put(events, prepared)
        finally:
            self._outcomes.not_reached(names[reached:], events)

    async def _begin(self, pair: Pair) -> Iterator[Rendered]:
        """The parts of a pair; a frame that is to be decoded is cut in the stream's own thread."""
        frame, message = pair.frame.value, pair.detections.value
        limited = self._limited()
        if self._choosing is not None:
            cut, late = await self._choose(self._choosing, pair)
            await self._hand_late(late)
            return encode_crops(cut, self._style, limited=limited)
        if frame.pixels.is_decoded:
            return render(frame, message, pair.residual, self._style, limited=limited)
        cut = await self._in_thread(
            self._threads, cut_frame, frame, message, pair.residual, self._style
        )
        return encode_crops(cut, self._style, limited=limited)

    async def _choose(self, choosing: Choosing, pair: Pair) -> tuple[CutFrame, Late]:
        frame, message = pair.frame.value, pair.detections.value
        threads = self._encoders if frame.pixels.is_decoded else self._threads
        how = frame, message, pair.residual, self._style, time.monotonic()
        work = asyncio.ensure_future(self._in_thread(threads, choosing.cut, *how))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            # It cannot be stopped, and what it decides of earlier crops is to be counted.
            await asyncio.wait({work})
            if not work.cancelled() and not work.exception():
                _, late = work.result()
                self._outcomes.held_passed(late.passed)
                self._outcomes.held_lost(len(late.chosen))
            raise

    async def _in_thread(self, threads: Executor, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work, *args)

    def _next(self, parts: Iterator[Rendered]) -> tuple[Rendered, float]:
        """The next part, and the seconds of CPU that it took."""
        began = time.thread_time()
        return self._prepare(partial(next, parts)), time.thread_time() - began

    def _prepare(self, make: Callable[[], Rendered]) -> Rendered:
        """Make a part, and do for the sinks what can be done here."""
        part = make()
        part.prepared = [sink.prepare(part.events) for sink in self._sinks]
        return part
