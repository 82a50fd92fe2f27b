"""The stage at which frames and messages become pairs: queues in, the pairer, a queue out."""

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from streamcrop.core.pairing import Dropped, Paired, Pairer
from streamcrop.core.values import Frame, Message, Reason
from streamcrop.errors import FormatError
from streamcrop.keys import Key
from streamcrop.queues import BoundedQueue
from streamcrop.stream.outcomes import Outcomes
from streamcrop.stream.standstill import Standstill

# Enough to hide the hand-over between two stages, and no more frames in memory than that.
STAGE_FRAMES = 4
_LIVE_FRAMES = 32
# Above this a message is read in a thread, so that it does not hold up the loop.
_LARGE_MESSAGE = 64 << 10
# So many pairs that were held go in a row before those that were decided since. Each going back and
# forth has a camera's pictures decoded anew, from a key picture on: in turns, 225 held pairs took
# 10 s, in which crops came 100 to 400 ms late (720p, 2026-11-28).
_IN_A_ROW = 60
# Live, pairs wait so long at most, in seconds, once there have been more than can be rendered for
# `_PATIENCE`: many at once, or a picture that takes long, are no overload. It is over when nothing
# has had to go for `_OVER`.
_FRESH, _PATIENCE, _OVER = 0.2, 1.0, 2.0
# While messages catch up after an outage so many of them, and of pairs, may wait; bytes bound both.
_CATCHING_UP = 20_000
# So many messages are read in a row before a frame has its turn.
_MESSAGES_IN_A_ROW = 32
# What has expired is let go of so much later, in seconds, many at once; it is in no pair any more.
_LEISURE = 0.25
# A message this much further from the newest frame than it may wait speaks of another day.
_FAR = 10.0


class _Decided(NamedTuple):
    """A pair, and since when it waits to be rendered."""

    pair: "Pair"
    since: float


class _Came(NamedTuple):
    """A message as it came: at microseconds since 1970, and at seconds of the monotonic clock."""

    payload: bytes
    topic: str
    arrived: int
    at: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the pairer holds: a frame or a message under its key.

    Attributes:
        came: When it came, in seconds, monotonic; None for a message that had to wait elsewhere.
        sender: The topic of a message.
        arrived: When a message came, in microseconds since 1970.
    """

    key: Any
    nbytes: int
    value: Any
    came: float | None = 0.0
    sender: str = ""
    arrived: int | None = None


Pair = Paired[Waiting, Waiting]


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
        self._max_items, self._max_bytes = max_items, max_bytes
        # The last time that the pairer was given.
        self._told = 0.0
        self._newest: Any = None
        # How many pairs that were held have gone in a row, and whether it is the others' turn.
        self._row, self._decided_go = 0, False
        # Since when pairs wait too long; till when there are too many of them.
        self._behind: float | None = None
        self._overloaded_until = 0.0
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
        self._decided: BoundedQueue[_Decided] = BoundedQueue(
            max_items=_CATCHING_UP,
            max_bytes=max_bytes,
            size=lambda decided: decided.pair.frame.nbytes,
            overflow="block" if lossless else "drop_oldest",
            on_drop=lambda decided: outcomes.pair_lost(
                decided.pair.frame.value, Reason.CLOSED if self._decided.closed else Reason.OVERLOAD
            ),
        )
        self.pairs: BoundedQueue[Pair] = BoundedQueue(
            # What waits here has waited before; a live one is to be fresh.
            max_items=STAGE_FRAMES if lossless else 1,
            on_drop=lambda pair: outcomes.pair_lost(pair.frame.value),
            taken=self._work,
        )
        # Many come at once; what is paired meanwhile does not wait for them.
        self._held: BoundedQueue[Pair] = BoundedQueue(
            max_items=max_items,
            max_bytes=max_bytes,
            size=lambda pair: pair.frame.nbytes,
            overflow="drop_oldest",
            on_drop=lambda pair: outcomes.pair_lost(
                pair.frame.value, Reason.CLOSED if self._held.closed else Reason.QUEUE_FULL
            ),
        )

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
            more = self.pairs.has_room() and (self._held or self._decided)
            await (self._wait_for_work() if idle and not more else asyncio.sleep(0))
        self._messages.close()
        self._messages.clear()
        self._settle(self._pairer.close(self._clock()))
        while self._held:
            self._decided.put_nowait(_Decided(self._held.get_nowait(), self._now()))
        while self._decided:
            await self.pairs.wait_for_room()
            self.pairs.put_nowait(self._decided.get_nowait().pair)
        self.pairs.close()

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
        for queue in (self._held, self.pairs):
            queue.close()
            queue.clear()
        self._decided.close()
        self._decided.clear()

    @property
    def nbytes(self) -> int:
        """What waits here, in bytes."""
        queues = (self.frames, self._messages, self._held, self._decided)
        return self._pairer.nbytes + sum(queue.nbytes for queue in queues)

    def shed(self, nbytes: int) -> None:
        """Let go of what has waited longest, until so many bytes are free."""
        left = self.nbytes - nbytes
        self._settle(self._pairer.shed(nbytes, self._clock()))
        for queue in (self.frames, self._messages, self._held, self._decided):
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
            elif event.held and not self._held.closed:
                self._held.put_nowait(event)
            else:
                self._decided.put_nowait(_Decided(event, self._now()))
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
        """Hand on what was decided; what was held goes many in a row, before it.

        A file's frames wait until there is room. Live, what has waited too long is let go of.
        """
        since = self._now()
        while self._held or self._decided:
            if self._lossless:
                await self.pairs.wait_for_room()
            elif not self.pairs.has_room():
                break
            self.pairs.put_nowait(self._next_pair())
        if self._lossless:
            self._time.skip(self._now() - since)
        else:
            self._stay_fresh(since)

    def _next_pair(self) -> Pair:
        """Take the pair whose turn it is: those that were held go many in a row."""
        if not self._held or not self._decided:
            self._decided_go = not self._held
        elif self._row >= _IN_A_ROW or len(self._decided) >= _LIVE_FRAMES:
            self._decided_go = True
        if self._decided_go:
            self._row = 0
            return self._decided.get_nowait().pair
        self._row += 1
        return self._held.get_nowait()

    def _stay_fresh(self, now: float) -> None:
        """Let go of the oldest pairs where there have been more than can be rendered."""
        if self._held or self._time.is_late(now) or not self._is_behind(now):
            self._behind = None
            return
        self._behind = now if self._behind is None else self._behind
        if now < self._overloaded_until or now > self._behind + _PATIENCE:
            while len(self._decided) > 1 and self._is_behind(now):
                pair = self._decided.get_nowait().pair
                self._outcomes.pair_lost(pair.frame.value, Reason.OVERLOAD)
            self._overloaded_until = now + _OVER

    def _is_behind(self, now: float) -> bool:
        return bool(self._decided) and now > self._decided.peek().since + _FRESH

    async def _wait_for_work(self) -> None:
        """Wait for an input, or until something in the pairer expires."""
        now, deadline = self._clock(), self._pairer.deadline
        self._work.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._longest_wait(deadline, now)):
                await self._work.wait()

    def _longest_wait(self, deadline: float | None, now: float) -> float | None:
        if self._time.stands or self._decided:
            # The deadline moves on with the time that stands still; what waits gets older.
            return _LEISURE
        return None if deadline is None else max(0, deadline + _LEISURE - now)

    def _clock(self) -> float:
        """Seconds, without the time in which nobody could have answered."""
        now = self._time.read(self._now(), connected=self._connected())
        self._pairer.count_items(wanted=not self._time.stands)
        self._told = now
        return now
