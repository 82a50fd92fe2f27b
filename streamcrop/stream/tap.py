"""The frame tap: frames with their IDs for any detector that can echo one."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor

from streamcrop.backoff import unless
from streamcrop.core.values import Frame, Reason
from streamcrop.errors import CorruptError, FormatError, PacketRefusedError, PacketTooLargeError
from streamcrop.formats.events import Event
from streamcrop.keys import media_time
from streamcrop.mqtt.broker import Broker
from streamcrop.queues import BoundedQueue
from streamcrop.sinks.mqtt import Envelope
from streamcrop.stream.outcomes import Outcomes
from streamcrop.stream.render import render_tap

_SLACK = 0.001
_WAITING = 4


class Tap:
    """Chooses the frames that are due, and publishes them.

    Args:
        source: ``(node, stream)``.
        rate: How many frames a second; None: every frame.
        longest_side: In pixels; a larger frame is made smaller. None: as it is.
        quality: Of the JPEG, 1 to 100.
        broker: The connection.
        envelope: Makes messages of events.
        qos: Of the messages: 1 where no frame may be lost.
        say: Is told what the broker says of it: the kind of note, and a sentence.

    Attributes:
        counts: How many were published, dropped, too large, refused.
    """

    def __init__(
        self,
        source: tuple[str, str],
        *,
        rate: float | None,
        longest_side: int | None,
        quality: int,
        broker: Broker,
        envelope: Envelope,
        qos: int,
        say: Callable[[str, str], None],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._source = source
        self._rate = rate
        self._longest_side = longest_side
        self._quality = quality
        self._broker = broker
        self._envelope = envelope
        self._qos = qos
        self._say = say
        self._last: float | None = None

    def is_due(self, frame: Frame) -> bool:
        """True if this frame is to be shown, by its media time where it has one."""
        if self._rate is None:
            return True
        media = media_time(frame)
        now = time.monotonic() if media is None else float(media)
        # A little patience, so that 10 of 30 frames a second are every third.
        step = 1 / self._rate - _SLACK
        if self._last is not None and 0 <= now - self._last < step:
            return False
        self._last = now
        return True

    def render(self, frame: Frame) -> Event:
        """A frame as detectors get it; takes its time, and so belongs into a thread."""
        return render_tap(frame, self._source, self._longest_side, self._quality)

    async def publish(self, event: Event) -> bool:
        """Show a frame; waits while the broker is down. False if the broker does not take it."""
        try:
            await self._broker.publish(self._envelope.message(event, self._qos))
        except (PacketRefusedError, PacketTooLargeError) as error:
            too_large = isinstance(error, PacketTooLargeError)
            self.counts["too_large" if too_large else "refused"] += 1
            self._say("refused_frames", f"the broker refuses {event.topic}: {error}")
            return False
        self.counts["published"] += 1
        return True


class Showing:
    """The stage at which frames are shown to detectors, before they may be paired or beside it.

    Args:
        tap: Chooses and publishes.
        frames: Where frames go on to. Closed when no more will come.
        first: Whether the tap's IDs are those of pairing: then no detector can answer a frame that
            was not shown, and each goes on only after that.
        lossless: Whether frames wait for room.
        outcomes: Is told of each frame that is lost here.
        threads: Where pictures are made.
    """

    def __init__(
        self,
        tap: Tap,
        *,
        frames: BoundedQueue[Frame],
        first: bool,
        lossless: bool,
        outcomes: Outcomes,
        threads: Executor,
    ) -> None:
        self._tap = tap
        self._frames = frames
        self._first = first
        self._lossless = lossless
        self._outcomes = outcomes
        self._threads = threads
        self._waiting: BoundedQueue[Frame] = BoundedQueue(
            max_items=_WAITING,
            overflow="block" if lossless else "drop_oldest",
            on_drop=lambda frame: self._not_shown(frame, Reason.NOT_TAPPED),
        )

    async def put(self, frame: Frame) -> None:
        """Take a frame: to the tap, to the pairer, or to both."""
        try:
            due = self._tap.is_due(frame)
        except Exception as error:  # noqa: BLE001  # nobody knows which; it costs this frame
            self._outcomes.frame_failed(frame, "choosing frames for the tap", error)
            return
        if self._first and not due and not self._lossless:
            self._outcomes.frame_lost(frame, Reason.NOT_TAPPED)
            return
        if due:
            try:
                await self._waiting.put(frame)
            except asyncio.CancelledError:
                if not self._first:
                    self._outcomes.frame_lost(frame, Reason.CLOSED)
                raise
        if not (due and self._first):
            await self._frames.put(frame)

    def close(self) -> None:
        """Say that no frame will follow."""
        self._waiting.close()

    def stop(self) -> None:
        """Let go of what waits."""
        self._waiting.close()
        self._waiting.clear()

    async def run(self) -> None:
        """Show frames until no more will come."""
        async for frame in self._waiting:
            shown = await self._show(frame)
            # Only now: a frame that no detector was shown would wait for nothing.
            if self._first and shown:
                await self._frames.put(frame)
        self._frames.close()

    async def _show(self, frame: Frame) -> bool:
        """Show a frame; false if it is lost, and counted."""
        loop, notes = asyncio.get_running_loop(), self._outcomes.notes
        try:
            event = await loop.run_in_executor(self._threads, self._tap.render, frame)
            if await unless(self._outcomes.ending, self._tap.publish(event)) is not False:
                return True
        except asyncio.CancelledError:
            self._not_shown(frame, Reason.CLOSED)
            raise
        except CorruptError as error:
            notes.say("corrupt", f"frame {frame.frame_id}: {error}")
            self._not_shown(frame, Reason.CORRUPT)
        except FormatError as error:
            notes.say("not_tapped", f"frame {frame.frame_id}: {error}")
            self._not_shown(frame, Reason.NOT_TAPPED)
        except Exception as error:  # noqa: BLE001  # nobody knows which; it costs this frame
            self._outcomes.unexpected("showing a frame", error)
            self._not_shown(frame, Reason.FAILED)
        else:
            if self._first:
                self._outcomes.frame_lost(frame, Reason.NOT_TAPPED)
        return False

    def _not_shown(self, frame: Frame, reason: Reason) -> None:
        if self._first:
            self._outcomes.frame_lost(frame, reason)
        else:
            self._tap.counts["dropped"] += 1
