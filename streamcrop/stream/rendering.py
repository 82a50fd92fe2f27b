"""The stage at which pairs become events, which the sinks get."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

from streamcrop.errors import CorruptError
from streamcrop.queues import BoundedQueue
from streamcrop.sinks import Sink
from streamcrop.stream.outcomes import Outcomes
from streamcrop.stream.pairing import Pair
from streamcrop.stream.render import Rendered, Style, cut_frame, encode_crops, render

T = TypeVar("T")


class Rendering:
    """Renders pairs, one after the other, and hands their events to each sink.

    Args:
        pairs: Where pairs come from.
        style: How they are rendered.
        limited: Says whether metadata has to fit into an MQTT property now.
        sinks: Where events go, in this order.
        outcomes: Is told what became of each pair and its crops.
        threads: The stream's own, for decoding, which is no other stream's concern.
        encoders: For encoding.
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
    ) -> None:
        self._pairs = pairs
        self._style = style
        self._limited = limited
        self._sinks = sinks
        self._outcomes = outcomes
        self._threads = threads
        self._encoders = encoders

    async def run(self) -> None:
        """Render until no more pairs will come."""
        async for pair in self._pairs:
            await self._render(pair)

    async def _render(self, pair: Pair) -> None:
        frame, message = pair.frame.value, pair.detections.value
        begun, left, last = False, 0, False
        try:
            parts = await self._begin(pair)
            while not last:
                part = await self._in_thread(self._encoders, next, parts)
                last = part.last
                if not begun:
                    self._outcomes.paired(frame, part, pair.detections.arrived)
                    begun, left = True, part.made
                self._outcomes.rendered(part)
                self._outcomes.message_described(pair.detections.sender, message.payload, part)
                # From here on they are the sinks'.
                left -= part.encoding_failed + part.failed
                left -= sum(event.is_crop for event in part.events)
                for sink in self._sinks:
                    await sink.put(part.events)
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

    async def _begin(self, pair: Pair) -> Iterator[Rendered]:
        """The parts of a pair; a frame that is to be decoded is cut in the stream's own thread."""
        frame, message = pair.frame.value, pair.detections.value
        limited = self._limited()
        if frame.pixels.is_decoded:
            return render(frame, message, pair.residual, self._style, limited=limited)
        cut = await self._in_thread(
            self._threads, cut_frame, frame, message, pair.residual, self._style
        )
        return encode_crops(cut, self._style, limited=limited)

    async def _in_thread(self, threads: Executor, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work, *args)
