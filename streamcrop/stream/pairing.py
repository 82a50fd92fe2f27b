"""The stage at which frames and messages become pairs: queues in, the pairer, a queue out."""

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import suppress
from fractions import Fraction
from typing import Any, NamedTuple

from streamcrop.core.pairing import Dropped, Pairer
from streamcrop.core.values import Frame, Message, Reason
from streamcrop.errors import FormatError
from streamcrop.keys import Key
from streamcrop.queues import BoundedQueue
from streamcrop.stream.outbox import STAGE_FRAMES, Outbox, Pair, Waiting
from streamcrop.stream.outcomes import Outcomes
from streamcrop.stream.standstill import Standstill

# Live, so many frames may come while the loop is busy.
_LIVE_FRAMES = 32
# Above this a message is read in a thread, so that it does not hold up the loop.
_LARGE_MESSAGE = 64 << 10
# While messages catch up after an outage so many of them may wait; bytes bound them, too.
_CATCHING_UP = 20_000
# So many messages are read in a row before a frame has its turn.
_MESSAGES_IN_A_ROW = 32
# What has expired is let go of so much later, in seconds, many at once; it is in no pair any more.
_LEISURE = 0.25
# A message this much further from the newest frame than it may wait speaks of another day.
_FAR = 10.0


class _Came(NamedTuple):
    """A message as it came: at microseconds since 1970, and at seconds of the monotonic clock."""

    payload: bytes
    topic: str
    arrived: int
    at: float


class Pairing:
    """Pairs what its queues hold.

    Args:
        pairer: Decides; used up.
        key: The pairing key.
        decode: Reads a message.
        topic: Of messages that do not say by which they came.
        offset: Is added to a message's time, in seconds.
        lossless: Whether frames wait for room; while nobody can answer, time stands still then.
        max_items: How many messages wait to be read, and how many pairs that were held to leave.
        max_bytes: How many bytes these hold, and the frames that wait to be paired.
        max_message_bytes: A longer message is not read.
        connected: Says whether the broker is there now: else nobody can answer.
        outcomes: Is told of each item that will not pair.
        threads: For large messages.
        now: Seconds, on any monotonic clock.

    Attributes:
        frames: The frames that may be paired; live, the oldest makes room.
        pairs: The pairs.
    """

    def __init__(
        self,
        pairer: Pairer[Waiting, Waiting],
        *,
        key: Key,
        decode: Callable[[bytes], Message],
        topic: str,
        offset: Fraction,
        lossless: bool,
        max_items: int,
        max_bytes: int,
        max_message_bytes: int,
        connected: Callable[[], bool],
        outcomes: Outcomes,
        threads: Executor,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._pairer = pairer
        self._key = key
        self._decode = decode
        self._topic = topic
        self._offset = offset
        self._lossless = lossless
        self._max_message_bytes = max_message_bytes
        self._connected = connected
        self._outcomes = outcomes
        self._threads = threads
        self._time = Standstill()
        self._max_items = max_items
        # The last time that the pairer was given.
        self._told = 0.0
        self._newest: Any = None
        self._work = asyncio.Event()
        self._make_queues(max_items, max_bytes)

    def _make_queues(self, max_items: int, max_bytes: int) -> None:
        lossless, outcomes = self._lossless, self._outcomes
        self.frames: BoundedQueue[Frame] = BoundedQueue(
            max_items=STAGE_FRAMES if lossless else _LIVE_FRAMES,
            max_bytes=max_bytes,
            size=lambda frame: frame.pixels.nbytes,
            overflow="block" if lossless else "drop_oldest",
            on_drop=lambda frame: outcomes.frame_lost(frame, Reason.QUEUE_FULL),
            changed=self._work,
        )
        self._messages: BoundedQueue[_Came] = BoundedQueue(
            max_items=max_items,
            max_bytes=max_bytes,
            size=lambda message: len(message.payload),
            overflow="drop_newest" if lossless else "drop_oldest",
            on_drop=lambda _: outcomes.message_lost(
                Reason.CLOSED if self._messages.closed else Reason.QUEUE_FULL
            ),
            changed=self._work,
        )
        self._outbox = Outbox(
            lossless=lossless,
            max_items=max_items,
            max_bytes=max_bytes,
            outcomes=outcomes,
            taken=self._work,
        )
        self.pairs = self._outbox.pairs

    def arrive(self, payload: bytes, topic: str) -> None:
        """Take a detection message, with the topic by which it came."""
        self._outcomes.ledger.messages.enter()
        if len(payload) > self._max_message_bytes:
            said = f"{len(payload):,} bytes are more than detections.max_message_bytes, "
            said += f"{self._max_message_bytes:,}: send less, or raise it"
            error = FormatError(said, reason=Reason.TOO_LARGE)
            self._outcomes.message_refused(topic or self._topic, payload, error)
            return
        at = self._now()
        late = self._time.is_late(at)
        self._messages.max_items = _CATCHING_UP if late else self._max_items
        self._messages.put_nowait(_Came(payload, topic or self._topic, time.time_ns() // 1000, at))

    async def run(self) -> None:
        """Pair until the frames have ended and none of them waits, or the stream is to end."""
        while not self._outcomes.ending.is_set():
            # What has come is read before anything expires.
            for _ in range(min(len(self._messages), _MESSAGES_IN_A_ROW)):
                await self._take_message()
            if not self._messages:
                self._settle(self._pairer.expire(self._clock()))
            await self._hand_on()
            idle = not self._take_frame() and not self._messages
            if self.frames.ended and not self._pairer.waiting("frames") and not self._messages:
                break
            # What can be handed on now does not wait for the next frame or message.
            more = self.pairs.has_room() and self._outbox
            await (self._wait_for_work() if idle and not more else asyncio.sleep(0))
        self._messages.close()
        self._messages.clear()
        self._settle(self._pairer.close(self._clock()))
        await self._outbox.end()

    def fills(self) -> dict[str, tuple[int, int, int, int | None]]:
        """How full each queue is, as `BoundedQueue.fill`."""
        return {
            "frames": self.frames.fill,
            "messages": self._messages.fill,
            "frames_to_pair": self._pairer.fill("frames"),
            "messages_to_pair": self._pairer.fill("messages"),
            "pairs": self.pairs.fill,
        }

    def stop(self) -> None:
        """Close the inputs."""
        for queue in (self.frames, self._messages):
            queue.close()
            queue.clear()

    def abort(self) -> None:
        """Let go of everything, pairs too."""
        self.stop()
        self._settle(self._pairer.close(self._clock()))
        self._outbox.abort()

    @property
    def nbytes(self) -> int:
        """The bytes of all that waits here."""
        parts = (self._pairer, self.frames, self._messages, self._outbox)
        return sum(part.nbytes for part in parts)

    def shed(self, nbytes: int) -> None:
        """Let go of what has waited longest, until so many bytes are free."""
        left = self.nbytes - nbytes
        self._settle(self._pairer.shed(nbytes, self._clock()))
        for queue in (self.frames, self._messages, self._outbox):
            while queue and self.nbytes > left:
                queue.drop_oldest()

    async def _take_message(self) -> None:
        """Give the oldest message to the pairer, by the time at which it came."""
        came = self._messages.get_nowait()
        try:
            message = await self._read(came.payload)
            key = self._key.of_message(message, came.arrived)
        except FormatError as error:
            self._outcomes.message_refused(came.topic, came.payload, error)
            return
        except asyncio.CancelledError:
            self._outcomes.message_lost(Reason.CLOSED)
            raise
        except Exception as error:  # noqa: BLE001  # nobody knows which; it costs this message
            self._outcomes.message_failed(error)
            return
        self._outcomes.message_read(came.topic, came.payload, message)
        if key is None:
            self._outcomes.message_unkeyed(came.topic, came.payload)
            return
        if self._offset:
            key += self._offset
        now = self._time.read(self._now(), connected=self._connected())
        at = None if self._time.is_late(came.at) else came.at
        item = Waiting(key, len(came.payload), message, at, came.topic, came.arrived)
        # Not by the time at which we come to read it: its frame may have expired by then.
        came_at = max(self._told, now - (self._now() - came.at))
        self._settle(self._pairer.add_detections(item, came_at))

    async def _read(self, payload: bytes) -> Message:
        if len(payload) <= _LARGE_MESSAGE:
            return self._decode(payload)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._decode, payload)

    def _take_frame(self) -> bool:
        """Give the oldest frame to the pairer, if there is one and room for it."""
        if not self.frames:
            return False
        frame = self.frames.peek()
        try:
            key = self._key.of_frame(frame)
        except Exception as error:  # noqa: BLE001  # nobody knows which; it costs this frame
            self._outcomes.frame_failed(self.frames.get_nowait(), "reading a frame's key", error)
            return True
        item = Waiting(key, frame.pixels.nbytes, frame, self._now())
        if self._lossless and not self._pairer.has_room(item):
            return False
        self.frames.get_nowait()
        self._newest = item.key if item.key is not None else self._newest
        self._settle(self._pairer.add_frame(item, self._clock()))
        return True

    def _settle(self, events: Iterable[Pair | Dropped[Waiting, Waiting]]) -> None:
        while self._pairer.failures:
            self._outcomes.unexpected("judging a pair", self._pairer.failures.pop())
        for event in events:
            if isinstance(event, Dropped):
                self._outcomes.dropped(event)
                self._look_at_times(event)
            else:
                self._outbox.put(event, self._now())
                self._time.answered(event.frame.came or 0.0, self._now())

    def _look_at_times(self, event: Dropped[Waiting, Waiting]) -> None:
        """Say so where a message speaks of times in which there were no frames."""
        is_time = isinstance(event.item.key, Fraction) and self._newest is not None
        if event.side == "messages" and event.reason == Reason.EXPIRED and is_time:
            ahead = float(event.item.key - self._newest)
            if abs(ahead) > _FAR + self._pairer.max_wait:
                self._outcomes.notes.say(
                    "times",
                    f"messages name times {abs(ahead):g} s {'after' if ahead > 0 else 'before'} "
                    "those of frames: one clock is off, or pairing.offset",
                )

    async def _hand_on(self) -> None:
        """Hand on pairs; a file's time stands still while it is held up."""
        since = self._now()
        await self._outbox.hand_on(since, late=self._time.is_late(since))
        if self._lossless:
            self._time.skip(since, self._now())

    async def _wait_for_work(self) -> None:
        """Wait for an input, or until something in the pairer expires."""
        now, deadline = self._clock(), self._pairer.deadline
        self._work.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._longest_wait(deadline, now)):
                await self._work.wait()

    def _longest_wait(self, deadline: float | None, now: float) -> float | None:
        if self._time.stands or self._outbox:
            # The deadline moves on with the time that stands still; what waits gets older.
            return _LEISURE
        return None if deadline is None else max(0, deadline + _LEISURE - now)

    def _clock(self) -> float:
        """Seconds, without the time in which nobody could have answered."""
        now = self._time.read(self._now(), connected=self._connected())
        self._pairer.count_items(wanted=not self._time.stands)
        self._told = now
        return now
