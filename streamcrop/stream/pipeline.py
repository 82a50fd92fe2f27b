"""One stream, from its source to its sinks.

```
source ──► read ─► [tap] ─► frames ──┐
                                     ├─► pair ──► pairs ──► render ──► window ──► broker, files
broker ──► arrive ────► messages ────┘
```

Each word in the picture is a task or a queue: read, render and window are here, the tap is in
`tap`, both inputs' queues and pairing in `pairing`. Live inputs drop the oldest, counted;
everything behind the two inputs waits, so that a slow broker pushes back until the loss happens
where it is counted. A file's frames wait, too: it loses nothing.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar

from streamcrop import config
from streamcrop.backoff import unless
from streamcrop.core.limits import Limits
from streamcrop.core.values import Change, Frame, Note, Reason
from streamcrop.errors import CorruptError, FormatError, SinkError, SourceError
from streamcrop.formats.images import ENCODINGS
from streamcrop.mqtt.broker import Broker
from streamcrop.queues import BoundedQueue
from streamcrop.sinks.files import FilesSink
from streamcrop.sinks.mqtt import MqttSink
from streamcrop.sources import FrameSource
from streamcrop.stream.outcomes import Outcomes
from streamcrop.stream.pairing import STAGE_FRAMES, Matching, Pair
from streamcrop.stream.render import Rendered, Style, render
from streamcrop.stream.tap import Tap

T = TypeVar("T")

# What encodes, for all streams: as many threads as cores. More would only take the interpreter from
# each other, which cost eight streams on two cores a third of their frames (2026-11-28).
_ENCODERS = ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="encode")


class Pipeline:
    """One stream.

    Args:
        node: The node's name.
        name: The stream's name.
        settings: The stream's part of the configuration.
        source: Where its frames come from.
        broker: The connection that all streams share.
        limits: What one message may ask for.
        on_change: Is told what becomes of a live source's connection.

    Attributes:
        outcomes: What became of everything.
        tap: What was shown to detectors.
    """

    def __init__(
        self,
        node: str,
        name: str,
        settings: config.Stream,
        source: FrameSource,
        broker: Broker,
        *,
        limits: Limits | None = None,
        on_change: Callable[[Change], None] = lambda _: None,
    ) -> None:
        output, lossless = settings.output, settings.lossless
        self.name = name
        self.outcomes = Outcomes(settings.pairing.key, settings.pairing.max_wait, stream=name)
        self._settings = settings
        self._source = source
        self._broker = broker
        self._on_change = on_change
        self._style = Style(
            (node, name),
            settings.crop.options(),
            settings.pairing.key,
            settings.detections.format,
            settings.detections.max_predictions,
            output.topic,
            output.encoding,
            output.quality,
            limits or Limits(),
        )
        self._threads = ThreadPoolExecutor(3, thread_name_prefix=name)
        self._taps: BoundedQueue[Frame] = BoundedQueue(
            max_items=STAGE_FRAMES,
            overflow="block" if lossless else "drop_oldest",
            on_drop=lambda frame: self._not_shown(frame, Reason.NOT_TAPPED),
        )
        self._matching = Matching(
            settings, broker, self.outcomes, self._threads, self._style.limits
        )
        self._window = MqttSink(
            broker,
            envelope=output.envelope,
            qos=output.qos,
            max_inflight=output.max_inflight,
            on_end=self.outcomes.crop_ended,
            say=self.outcomes.notes.say,
        )
        self.tap = Tap(
            settings.tap,
            (node, name),
            broker,
            lambda: self._window.mode,
            qos=int(lossless),
            say=self.outcomes.notes.say,
        )
        # A detector that echoes the tap's IDs can answer no other frames.
        self._taps_first = settings.tap is not None and settings.pairing.key == "frame_id"

    def subscribe(self) -> None:
        """Have the broker hand over this stream's messages; say so before it connects."""
        topic = self._settings.detections.topic
        self._broker.subscribe(
            topic,
            self._arrive,
            retained=lambda *_: self.outcomes.message_stale(topic),
            failed=self.outcomes.message_failed,
        )

    async def run(self, ready: Awaitable[None]) -> None:
        """Run until the source has ended and everything is published; cancel it to give up.

        Args:
            ready: Is awaited before the first frame is read: detectors must not miss it.
        """
        try:
            await unless(self.outcomes.ending, ready)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(), name=f"{self.name} read")
                tasks.create_task(self._show(), name=f"{self.name} tap")
                tasks.create_task(self._matching.run(), name=f"{self.name} pair")
                tasks.create_task(self._render(), name=f"{self.name} render")
            await self._window.drain()
        except* Exception as group:  # noqa: BLE001  # nobody knows which
            # It ends this stream, and no other.
            for error in group.exceptions:
                self.outcomes.unexpected("running the stream", error)
            self.outcomes.failure = SourceError(
                "an error that nobody expected ended the stream; its traceback is in the log"
            )
        finally:
            self.stop()
            self._matching.abort()
            await self._window.abort()
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _arrive(self, payload: bytes, said: Mapping[str, str]) -> None:
        self._matching.arrive(payload, said.get("topic", ""))
        # Its frame may have been read and not fetched yet.
        self._source.attend()

    def finish(self) -> None:
        """Let the source end here, as a file does at its end."""
        self._source.stop()

    def stop(self) -> None:
        """Close the inputs: what waits ends as `closed`, pairs in hand are still published."""
        self.outcomes.ending.set()
        self._source.stop()
        self._taps.close()
        self._taps.clear()
        self._matching.stop()

    async def _read(self) -> None:
        try:
            async with aclosing(self._source.frames()) as items:
                async for item in items:
                    if isinstance(item, Change):
                        self._on_change(item)
                        continue
                    if isinstance(item, Note):
                        self.outcomes.notes.say(item.kind, item.text)
                        continue
                    self.outcomes.received(item)
                    if isinstance(item, Frame):
                        await self._route(item)
        except SourceError as error:
            self.outcomes.failure = error
        finally:
            self._taps.close()

    async def _route(self, frame: Frame) -> None:
        """To the tap, to the pairer, or to both."""
        try:
            tapped = self.tap.is_due(frame)
        except Exception as error:  # noqa: BLE001  # nobody knows which; it costs this frame
            self.outcomes.frame_failed(frame, "choosing frames for the tap", error)
            return
        if self._taps_first and not tapped and not self._settings.lossless:
            self.outcomes.frame_lost(frame, Reason.NOT_TAPPED)
            return
        if tapped:
            try:
                await self._taps.put(frame)
            except asyncio.CancelledError:
                if not self._taps_first:
                    self.outcomes.frame_lost(frame, Reason.CLOSED)
                raise
        if not (tapped and self._taps_first):
            await self._matching.frames.put(frame)

    async def _show(self) -> None:
        async for frame in self._taps:
            try:
                event = await self._in_thread(self.tap.render, frame)
                shown = await unless(self.outcomes.ending, self.tap.publish(event))
            except asyncio.CancelledError:
                self._not_shown(frame, Reason.CLOSED)
                raise
            except CorruptError as error:
                self.outcomes.notes.say("corrupt", f"frame {frame.frame_id}: {error}")
                self._not_shown(frame, Reason.CORRUPT)
                continue
            except FormatError as error:
                self.outcomes.notes.say("not_tapped", f"frame {frame.frame_id}: {error}")
                self._not_shown(frame, Reason.NOT_TAPPED)
                continue
            except Exception as error:  # noqa: BLE001  # nobody knows which; it costs this frame
                self.outcomes.unexpected("showing a frame", error)
                self._not_shown(frame, Reason.FAILED)
                continue
            # Only now: a frame that no detector was shown would wait for nothing.
            if self._taps_first and shown is False:
                self.outcomes.frame_lost(frame, Reason.NOT_TAPPED)
            elif self._taps_first:
                await self._matching.frames.put(frame)
        self._matching.frames.close()

    async def _render(self) -> None:
        pairs = self._matching.pairs
        try:
            output = self._settings.output
            suffix = ENCODINGS[output.encoding].suffix
            files = FilesSink(output.files, self.name, suffix) if output.files else None
            async for pair in pairs:
                await self._render_pair(pair, files)
        except SinkError as error:
            self.outcomes.failure = error
            self.stop()
            pairs.close()
            pairs.clear()

    async def _render_pair(self, pair: Pair, files: FilesSink | None) -> None:
        frame: Frame = pair.frame.value
        limited = self._window.mode == "binary"
        message, residual = pair.detections.value, pair.residual
        cut = partial(render, frame, message, residual, self._style, limited=limited)
        begun, left, last = False, 0, False
        try:
            # To decode takes its time, which is no other stream's.
            parts = _parts(cut) if frame.pixels.is_decoded else await self._in_thread(cut)
            while not last:
                part = await self._in_thread(next, parts, threads=_ENCODERS)
                last = part.last
                if not begun:
                    self.outcomes.paired(frame, part)
                    begun, left = True, part.made
                self.outcomes.rendered(part)
                topic = pair.detections.sender or self._settings.detections.topic
                self.outcomes.message_described(topic, message.payload, part)
                left -= part.encoding_failed + len(part.failed)
                if files:
                    await self._in_thread(files.write, part.events)
                for event in part.events:
                    await self._window.put(event)
                    left -= event.is_crop
        except SinkError:
            raise
        except Exception as error:  # noqa: BLE001  # nobody knows which; it costs this pair
            if begun:
                self.outcomes.crops_failed(left, error)
            elif isinstance(error, CorruptError):
                self.outcomes.pair_corrupt(frame, error)
            else:
                self.outcomes.pair_failed(frame, error)
            begun, left = True, 0
        finally:
            if not begun:
                self.outcomes.pair_lost(frame)
            self.outcomes.ledger.crops.drop(Reason.CLOSED, left)

    def _not_shown(self, frame: Frame, reason: Reason) -> None:
        if self._taps_first:
            self.outcomes.frame_lost(frame, reason)
        else:
            self.tap.counts["dropped"] += 1

    async def _in_thread(
        self, work: Callable[..., T], *args: Any, threads: Executor | None = None
    ) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads or self._threads, work, *args)


def _parts(cut: Callable[[], Iterator[Rendered]]) -> Iterator[Rendered]:
    """As `render`, whose work begins when the first part is asked for."""
    yield from cut()
