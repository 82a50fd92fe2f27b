"""One stream, from its source to its sinks.

```
source ──► read ─► [tap] ─► frames ──┐
                                     ├─► pair ──► pairs ──► render ──► window ──► broker, files
broker ──► arrive ────► messages ────┘
```

Each word in the picture is a task or a queue below, in the picture's order. Live inputs drop the
oldest, counted; everything behind the two inputs waits, so that a slow broker pushes back until
the loss happens where it is counted. A file's frames wait, too: it loses nothing.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from streamcrop import config
from streamcrop.broker import Broker, Outgoing, PacketRefusedError, PacketTooLargeError
from streamcrop.core.pairing import Dropped, Paired, Pairer
from streamcrop.core.values import Change, Frame, Reason
from streamcrop.errors import FormatError, SinkError, SourceError
from streamcrop.explain import History
from streamcrop.formats import DETECTION_FORMATS
from streamcrop.formats.events import MODES, Event
from streamcrop.formats.images import ENCODINGS
from streamcrop.keys import KEYS, media_time
from streamcrop.queues import BoundedQueue
from streamcrop.render import Rendered, Style, render, render_tap
from streamcrop.sinks.files import FilesSink
from streamcrop.sinks.mqtt import MqttSink
from streamcrop.sources import FrameSource
from streamcrop.stats import Ledger

logger = logging.getLogger(__name__)
T = TypeVar("T")

# Enough to hide the hand-over between two stages, and no more frames in memory than that.
_STAGE_FRAMES = 4
_LIVE_FRAMES = 32
# Above this a message is read in a thread, so that it does not hold up the loop.
_LARGE_MESSAGE = 64 << 10
_STOP_POLL = 0.25
_TAP_SLACK = 0.001
_ENDINGS = {Reason.QUEUE_FULL, Reason.NOT_TAPPED, Reason.CLOSED}


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the pairer holds: a frame or a message under its key."""

    key: Any
    nbytes: int
    value: Any


class Pipeline:
    """One stream.

    Args:
        node: The node's name.
        name: The stream's name.
        settings: The stream's part of the configuration.
        source: Where its frames come from.
        broker: The connection that all streams share.
        on_change: Is told what becomes of a live source's connection.
    """

    def __init__(
        self,
        node: str,
        name: str,
        settings: config.Stream,
        source: FrameSource,
        broker: Broker,
        *,
        on_change: Callable[[Change], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.ledger = Ledger()
        self.history = History()
        self.failure: SourceError | SinkError | None = None
        self.tapped: Counter[str] = Counter()
        self._settings = settings
        self._source = source
        self._broker = broker
        self._format = DETECTION_FORMATS[settings.detections.format]
        self._on_change = on_change
        self._key = KEYS[settings.pairing.key]
        self._epoch: str | None = None
        self._renewed = False
        self._style = Style(
            (node, name),
            settings.crop.options(),
            settings.pairing.key,
            settings.detections.format,
            settings.detections.max_predictions,
            settings.output.topic,
            settings.output.encoding,
            settings.output.quality,
        )
        self._threads = ThreadPoolExecutor(3, thread_name_prefix=name)
        self._stopping = False
        self._paused = 0.0
        self._last_tap: float | None = None
        self._decided: deque[Paired[Waiting, Waiting]] = deque()
        self._make_queues()

    def _make_queues(self) -> None:
        settings, lossless = self._settings, self._settings.lossless
        pairing, output = settings.pairing, settings.output
        self._work = asyncio.Event()
        self._taps: BoundedQueue[Frame] = BoundedQueue(
            max_items=_STAGE_FRAMES,
            overflow="block" if lossless else "drop_oldest",
            on_drop=self._not_tapped,
        )
        self._frames: BoundedQueue[Frame] = BoundedQueue(
            max_items=_STAGE_FRAMES if lossless else _LIVE_FRAMES,
            max_bytes=pairing.max_bytes,
            size=lambda frame: frame.pixels.nbytes,
            overflow="block" if lossless else "drop_oldest",
            on_drop=lambda frame: self._lose(frame, Reason.QUEUE_FULL),
            changed=self._work,
        )
        self._messages: BoundedQueue[tuple[bytes, int]] = BoundedQueue(
            max_items=pairing.max_items,
            max_bytes=pairing.max_bytes,
            size=lambda message: len(message[0]),
            overflow="drop_newest" if lossless else "drop_oldest",
            on_drop=self._message_lost,
            changed=self._work,
        )
        self._pairer: Pairer[Waiting, Waiting] = Pairer(
            self._key.match(pairing.tolerance),
            pairing.max_wait,
            pairing.max_items,
            pairing.max_bytes,
            lossless=lossless,
        )
        self._pairs: BoundedQueue[Paired[Waiting, Waiting]] = BoundedQueue(
            max_items=_STAGE_FRAMES, on_drop=self._pair_lost
        )
        self._window = MqttSink(
            self._broker,
            envelope=output.envelope,
            qos=output.qos,
            max_inflight=output.max_inflight,
            on_end=self._ended,
        )

    def subscribe(self) -> None:
        """Have the broker hand over this stream's messages; say so before it connects."""
        self._broker.subscribe(self._settings.detections.topic, self._arrive)

    async def run(self, ready: Awaitable[None]) -> None:
        """Run until the source has ended and everything is published; cancel it to give up.

        Args:
            ready: Is awaited before the first frame is read: detectors must not miss it.
        """
        try:
            await self._unless_stopped(ready)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(), name=f"{self.name} read")
                tasks.create_task(self._tap(), name=f"{self.name} tap")
                tasks.create_task(self._pair(), name=f"{self.name} pair")
                tasks.create_task(self._render(), name=f"{self.name} render")
            await self._window.drain()
        finally:
            self.stop()
            self._settle(self._pairer.close(self._clock()))
            self._pairs.close()
            self._pairs.clear()
            while self._decided:
                self._pair_lost(self._decided.popleft())
            await self._window.abort()
            self._threads.shutdown(wait=False, cancel_futures=True)

    def finish(self) -> None:
        """Let the source end here, as a file does at its end."""
        self._source.stop()

    def stop(self) -> None:
        """Close the inputs: what waits ends as `closed`, pairs in hand are still published."""
        self._stopping = True
        self._source.stop()
        for queue in (self._taps, self._frames, self._messages):
            queue.close()
            queue.clear()

    # The two inputs.

    async def _read(self) -> None:
        try:
            async with aclosing(self._source.frames()) as items:
                async for item in items:
                    if isinstance(item, Change):
                        self._on_change(item)
                        continue
                    self.ledger.frames.enter()
                    if isinstance(item, Reason):
                        self.ledger.frames.drop(item)
                    else:
                        await self._route(item)
        except SourceError as error:
            self.failure = error
        finally:
            self._taps.close()

    async def _route(self, frame: Frame) -> None:
        """To the tap, to the pairer, or to both."""
        tapped = self._tap_is_due(frame)
        if self._taps_first and not tapped and not self._settings.lossless:
            self._lose(frame, Reason.NOT_TAPPED)
            return
        self.history.note(frame, "received, waits for its detections")
        if tapped:
            await self._taps.put(frame)
        if not (tapped and self._taps_first):
            await self._frames.put(frame)

    def _arrive(self, payload: bytes, _: Mapping[str, str]) -> None:
        self.ledger.messages.enter()
        if len(payload) > self._settings.detections.max_message_bytes:
            self.ledger.messages.drop(Reason.TOO_LARGE)
        else:
            self._messages.put_nowait((payload, time.time_ns() // 1000))

    # The stages, in the order of the picture.

    async def _tap(self) -> None:
        async for frame in self._taps:
            await self._publish_tap(frame)
            if self._taps_first:
                # Only now: a frame that no detector was shown would wait for nothing.
                await self._frames.put(frame)
        self._frames.close()

    async def _pair(self) -> None:
        while not self._stopping:
            self._settle(self._pairer.expire(self._clock()))
            await self._take_message()
            await self._hand_on()
            idle = not self._take_frame() and not self._messages
            if self._frames.ended and not self._pairer.waiting("frames") and not self._messages:
                break
            await (self._wait_for_work() if idle and not self._decided else asyncio.sleep(0))
        self._messages.close()
        self._messages.clear()
        self._settle(self._pairer.close(self._clock()))
        await self._hand_on()
        self._pairs.close()

    async def _render(self) -> None:
        try:
            output = self._settings.output
            suffix = ENCODINGS[output.encoding].suffix
            files = FilesSink(output.files, self.name, suffix) if output.files else None
            async for pair in self._pairs:
                await self._render_pair(pair, files)
        except SinkError as error:
            self.failure = error
            self.stop()
            self._pairs.close()
            self._pairs.clear()

    async def _render_pair(self, pair: Paired[Waiting, Waiting], files: FilesSink | None) -> None:
        parts = render(
            pair.frame.value,
            pair.detections.value,
            pair.residual,
            self._style,
            limited=self._window.mode == "binary",
        )
        begun, left = False, 0
        try:
            while (part := await self._in_thread(next, parts, None)) is not None:
                if not begun:
                    begun, left = True, part.made
                    self._note_pair(pair, part)
                left -= part.encoding_failed
                self._count(part)
                if files:
                    await self._in_thread(files.write, part.events)
                for event in part.events:
                    await self._window.put(event)
                    left -= event.is_crop
        finally:
            if not begun:
                self._pair_lost(pair)
            self.ledger.crops.drop(Reason.CLOSED, left)

    # What the stages are made of.

    async def _publish_tap(self, frame: Frame) -> None:
        tap = self._settings.tap
        assert tap is not None  # noqa: S101  # without one no frame is due
        event = await self._in_thread(
            render_tap, frame, self._style.source, tap.longest_side, tap.quality
        )
        packet = MODES[self._window.mode](event)
        outgoing = Outgoing(
            event.topic,
            packet.payload,
            1 if self._settings.lossless else 0,
            content_type=packet.content_type,
            user_properties=packet.user_properties,
        )
        try:
            await self._unless_stopped(self._broker.publish(outgoing))
            self.tapped["published"] += not self._stopping
        except (PacketRefusedError, PacketTooLargeError):
            self.tapped["too_large"] += 1

    async def _unless_stopped(self, work: Awaitable[None]) -> None:
        """Wait for something that may never come while the broker is down."""
        task = asyncio.ensure_future(work)
        try:
            while not self._stopping and not task.done():
                await asyncio.wait({task}, timeout=_STOP_POLL)
            if task.done():
                await task
        finally:
            task.cancel()

    def _tap_is_due(self, frame: Frame) -> bool:
        tap = self._settings.tap
        if tap is None or tap.rate is None:
            return tap is not None
        media = media_time(frame)
        now = self._clock() if media is None else float(media)
        # Half a frame of patience, so that 10 of 30 frames a second are every third.
        if self._last_tap is not None and 0 <= now - self._last_tap < 1 / tap.rate - _TAP_SLACK:
            return False
        self._last_tap = now
        return True

    async def _take_message(self) -> None:
        """Give the oldest message to the pairer."""
        if not self._messages:
            return
        payload, came = self._messages.get_nowait()
        try:
            if len(payload) > _LARGE_MESSAGE:
                message = await self._in_thread(self._format.decode, payload)
            else:
                message = self._format.decode(payload)
        except FormatError as error:
            self.ledger.messages.drop(Reason(error.reason))
            return
        except asyncio.CancelledError:
            self.ledger.messages.drop(self._why(Reason.CLOSED))
            raise
        if (key := self._key.of_message(message, came)) is None:
            self.ledger.messages.drop(Reason.NO_KEY)
        else:
            item = Waiting(key, len(payload), message)
            self._settle(self._pairer.add_detections(item, self._clock()))

    def _take_frame(self) -> bool:
        """Give the oldest frame to the pairer, if there is one and room for it."""
        if not self._frames:
            return False
        frame = self._frames.peek()
        item = Waiting(self._key.of_frame(frame), frame.pixels.nbytes, frame)
        if self._key.repeats:
            self._heed_epoch(frame, item.key)
        if self._settings.lossless and not self._pairer.has_room(item):
            return False
        self._frames.get_nowait()
        if item.key is None:
            self._lose(frame, Reason.NO_KEY)
        else:
            self._settle(self._pairer.add_frame(item, self._clock()))
        return True

    def _heed_epoch(self, frame: Frame, key: Any) -> None:  # a time, or None
        """Let go of what waits when times may begin to repeat: it could pair with the wrong half.

        That is when an epoch begins, and again at its first key: messages of the old one that
        came between wait by the old times.
        """
        began = self._epoch is not None and frame.epoch != self._epoch
        self._epoch = frame.epoch
        if began or (self._renewed and key is not None):
            self._settle(self._pairer.forget(self._clock()))
        self._renewed = began or (self._renewed and key is None)

    def _settle(
        self, events: Iterable[Paired[Waiting, Waiting] | Dropped[Waiting, Waiting]]
    ) -> None:
        for event in events:
            if isinstance(event, Paired):
                self._decided.append(event)
            elif event.side == "frames":
                self._lose(event.item.value, event.reason)
            else:
                self.ledger.messages.drop(self._why(event.reason))
                self.history.note_message(event.item.value, event.reason)

    async def _hand_on(self) -> None:
        """Wait until the pairs that were decided are taken."""
        since = time.monotonic()
        while self._decided:
            await self._pairs.wait_for_room()
            self._pairs.put_nowait(self._decided.popleft())
        if self._settings.lossless:
            self._paused += time.monotonic() - since

    async def _wait_for_work(self) -> None:
        """Wait for an input, or until something in the pairer expires."""
        deadline = self._pairer.deadline
        since, was_up = time.monotonic(), self._broker.connected
        self._work.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline and max(0, deadline - self._clock())):
                await self._work.wait()
        if self._settings.lossless and not (was_up and self._broker.connected):
            self._paused += time.monotonic() - since

    def _clock(self) -> float:
        """Seconds; for a file, without the time in which nobody could have answered."""
        return time.monotonic() - self._paused

    def _count(self, part: Rendered) -> None:
        rows = self.ledger
        rows.predictions.enter(part.received)
        rows.predictions.succeed(part.made)
        rows.crops.enter(part.made)
        for reason, count in part.refused.items():
            rows.predictions.drop(reason, count)
        rows.crops.drop(Reason.ENCODING_FAILED, part.encoding_failed)

    def _ended(self, event: Event, reason: Reason | None) -> None:
        if not event.is_crop:
            return
        if reason is None:
            self.ledger.crops.succeed()
        else:
            self.ledger.crops.drop(reason)

    def _note_pair(self, pair: Paired[Waiting, Waiting], part: Rendered) -> None:
        self.ledger.frames.succeed()
        self.ledger.messages.succeed()
        refused = "".join(f", {count} {reason}" for reason, count in part.refused.items())
        said = f"{part.received} predictions: {part.made} crops made{refused}"
        self.history.note(pair.frame.value, f"paired by {self._style.paired_by}, {said}")

    def _lose(self, frame: Frame, reason: Reason) -> None:
        self.ledger.frames.drop(self._why(reason))
        after = f" after {self._settings.pairing.max_wait:g} s" * (reason == Reason.EXPIRED)
        self.history.note(frame, f"{self._why(reason)}{after}")

    def _not_tapped(self, frame: Frame) -> None:
        if self._taps_first:
            self._lose(frame, Reason.NOT_TAPPED)
        else:
            self.tapped["dropped"] += 1

    def _message_lost(self, _: tuple[bytes, int]) -> None:
        reason = Reason.CLOSED if self._messages.closed else Reason.QUEUE_FULL
        self.ledger.messages.drop(self._why(reason))

    def _pair_lost(self, pair: Paired[Waiting, Waiting]) -> None:
        self._lose(pair.frame.value, Reason.CLOSED)
        self.ledger.messages.drop(self._why(Reason.CLOSED))

    def _why(self, reason: Reason) -> Reason:
        """The reason for a loss: what happens while a stream ends happens because it ends."""
        if isinstance(self.failure, SinkError):
            return Reason.FAILED
        return Reason.CLOSED if self._stopping and reason in _ENDINGS else reason

    @property
    def _taps_first(self) -> bool:
        """Whether a detector answers the tap, so that only tapped frames can be paired."""
        return self._settings.tap is not None and self._settings.pairing.key == "frame_id"

    async def _in_thread(self, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
