"""The stage at which frames and messages become pairs: queues in, the pairer, a queue out."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from streamcrop import config
from streamcrop.broker import Broker
from streamcrop.core.pairing import Dropped, Paired, Pairer
from streamcrop.core.values import Frame, Message, Reason
from streamcrop.errors import FormatError
from streamcrop.formats import DETECTION_FORMATS
from streamcrop.keys import KEYS
from streamcrop.outcomes import Outcomes
from streamcrop.queues import BoundedQueue

# Enough to hide the hand-over between two stages, and no more frames in memory than that.
STAGE_FRAMES = 4
_LIVE_FRAMES = 32
# Above this a message is read in a thread, so that it does not hold up the loop.
_LARGE_MESSAGE = 64 << 10
# Microseconds, and the seconds after which a camera must have reported (RFC 3550, 6.2).
_MUCH_SOONER, _DOUBT = 250_000, 7.5
# What has expired is let go of so much later, in seconds, many at once; it is in no pair any more.
_LEISURE = 0.25
# So many pairs tell how soon a message may come.
_TELLING = 50


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the pairer holds: a frame or a message under its key; ``came`` in microseconds."""

    key: Any
    nbytes: int
    value: Any
    came: int | None = None


Pair = Paired[Waiting, Waiting]


class _Delays:
    """How long after its frame a message comes tells when it means another frame.

    The camera's clock has jumped and the detector heard of it before we do. Forwards: the message
    names a frame that is still to come, and so comes much sooner than ever. Backwards: a detector
    that kept the order goes back, and its messages come later by as much. By our own next report
    at the latest we know.
    """

    def __init__(self) -> None:
        self._soonest = self._latest = 0
        self._count = 0
        self._doubted: float | None = None
        self._last: Any = None
        self._in_order = 0
        self._bound, self._bound_until = 0, 0.0

    def heed(self, key: Any, now: float) -> None:
        """Take note of the time that a message names, in seconds."""
        back = 0 if self._last is None else self._last - key
        if back > 0 and self._in_order >= _TELLING:
            self._bound = self._latest + round(back * 500_000)
            self._bound_until = now + _DOUBT
        self._in_order = 0 if back > 0 else self._in_order + 1
        self._last = key

    def allow(self, pair: Pair, now: float) -> bool:
        """Whether frame and message may belong together."""
        if pair.frame.came is None or pair.detections.came is None:
            return True
        delay = pair.detections.came - pair.frame.came
        if delay > self._bound and now < self._bound_until:
            return False
        if self._count >= _TELLING and delay < self._soonest - _MUCH_SOONER:
            self._doubted = now if self._doubted is None else self._doubted
            if now < self._doubted + _DOUBT:
                return False
            self._count = 0
        self._doubted = None
        # Both give way slowly, so that one message that was quick or slow for once is forgotten.
        self._soonest = min(delay, self._soonest + 1000) if self._count else delay
        self._latest = max(delay, self._latest - 1000) if self._count else delay
        self._count += 1
        return True


class Matching:
    """Pairs what its queues hold.

    Args:
        settings: The stream's part of the configuration.
        broker: While it is away nobody can answer, and a file's time stands still.
        outcomes: Is told of each item that will not pair.
        threads: For large messages.

    Attributes:
        frames: The frames that may be paired; live, the oldest makes room.
        pairs: What was paired.
    """

    def __init__(
        self, settings: config.Stream, broker: Broker, outcomes: Outcomes, threads: Executor
    ) -> None:
        pairing = settings.pairing
        self._lossless = settings.lossless
        self._max_message_bytes = settings.detections.max_message_bytes
        self._decode = DETECTION_FORMATS[settings.detections.format].decode
        self._topic = settings.detections.topic
        self._key = KEYS[pairing.key]
        self._broker = broker
        self._outcomes = outcomes
        self._threads = threads
        self._paused = 0.0
        self._epoch: str | None = None
        self._renewed = False
        self._delays = _Delays()
        self._decided: deque[Pair] = deque()
        self._work = asyncio.Event()
        self.frames: BoundedQueue[Frame] = BoundedQueue(
            max_items=STAGE_FRAMES if self._lossless else _LIVE_FRAMES,
            max_bytes=pairing.max_bytes,
            size=lambda frame: frame.pixels.nbytes,
            overflow="block" if self._lossless else "drop_oldest",
            on_drop=lambda frame: outcomes.frame_lost(frame, Reason.QUEUE_FULL),
            changed=self._work,
        )
        self._messages: BoundedQueue[tuple[bytes, int]] = BoundedQueue(
            max_items=pairing.max_items,
            max_bytes=pairing.max_bytes,
            size=lambda message: len(message[0]),
            overflow="drop_newest" if self._lossless else "drop_oldest",
            on_drop=lambda _: outcomes.message_lost(
                Reason.CLOSED if self._messages.closed else Reason.QUEUE_FULL
            ),
            changed=self._work,
        )
        self.pairs: BoundedQueue[Pair] = BoundedQueue(
            max_items=STAGE_FRAMES, on_drop=lambda pair: outcomes.pair_lost(pair.frame.value)
        )
        self._pairer: Pairer[Waiting, Waiting] = Pairer(
            self._key.match(pairing.tolerance),
            pairing.max_wait,
            pairing.max_items,
            pairing.max_bytes,
            lossless=self._lossless,
        )

    def arrive(self, payload: bytes) -> None:
        """Take a detection message."""
        self._outcomes.ledger.messages.enter()
        if len(payload) > self._max_message_bytes:
            self._outcomes.message_lost(Reason.TOO_LARGE)
        else:
            self._messages.put_nowait((payload, time.time_ns() // 1000))

    async def run(self) -> None:
        """Pair until the frames have ended and none of them waits, or the stream is to end."""
        while not self._outcomes.ending.is_set():
            self._settle(self._pairer.expire(self._clock()))
            await self._take_message()
            await self._hand_on()
            idle = not self._take_frame() and not self._messages
            if self.frames.ended and not self._pairer.waiting("frames") and not self._messages:
                break
            await (self._wait_for_work() if idle and not self._decided else asyncio.sleep(0))
        self._messages.close()
        self._messages.clear()
        self._settle(self._pairer.close(self._clock()))
        await self._hand_on()
        self.pairs.close()

    def stop(self) -> None:
        """Close the inputs."""
        for queue in (self.frames, self._messages):
            queue.close()
            queue.clear()

    def abort(self) -> None:
        """Let go of everything, pairs too."""
        self.stop()
        self._settle(self._pairer.close(self._clock()))
        self.pairs.close()
        self.pairs.clear()
        while self._decided:
            self._outcomes.pair_lost(self._decided.popleft().frame.value)

    async def _take_message(self) -> None:
        """Give the oldest message to the pairer."""
        if not self._messages:
            return
        payload, came = self._messages.get_nowait()
        try:
            message = await self._read(payload)
            key = self._key.of_message(message, came)
        except FormatError as error:
            self._outcomes.message_refused(self._topic, payload, error)
            return
        except asyncio.CancelledError:
            self._outcomes.message_lost(Reason.CLOSED)
            raise
        except Exception as error:  # noqa: BLE001  # nobody knows which; it costs this message
            self._outcomes.message_failed(error)
            return
        self._outcomes.message_read(self._topic, payload, message)
        if key is None:
            self._outcomes.message_unkeyed(self._topic, payload)
        else:
            item = Waiting(key, len(payload), message, came)
            if self._key.repeats:
                self._delays.heed(key, self._clock())
            self._settle(self._pairer.add_detections(item, self._clock()))

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
        item = Waiting(key, frame.pixels.nbytes, frame, frame.arrived)
        if self._key.repeats:
            self._heed_epoch(frame, item.key)
        if self._lossless and not self._pairer.has_room(item):
            return False
        self.frames.get_nowait()
        if item.key is None:
            self._outcomes.frame_lost(frame, Reason.NO_KEY)
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
            self._delays = _Delays()
        self._renewed = began or (self._renewed and key is None)

    def _settle(self, events: Iterable[Pair | Dropped[Waiting, Waiting]]) -> None:
        for event in events:
            if isinstance(event, Dropped):
                self._outcomes.dropped(event)
            elif self._key.repeats and not self._delays.allow(event, self._clock()):
                self._outcomes.dropped(Dropped(event.frame, "frames", Reason.AMBIGUOUS))
                self._outcomes.dropped(Dropped(event.detections, "messages", Reason.AMBIGUOUS))
            else:
                self._decided.append(event)

    async def _hand_on(self) -> None:
        """Wait until the pairs that were decided are taken."""
        since = time.monotonic()
        while self._decided:
            await self.pairs.wait_for_room()
            self.pairs.put_nowait(self._decided.popleft())
        if self._lossless:
            self._paused += time.monotonic() - since

    async def _wait_for_work(self) -> None:
        """Wait for an input, or until something in the pairer expires."""
        deadline = self._pairer.deadline
        since, was_up = time.monotonic(), self._broker.connected
        self._work.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline and max(0, deadline + _LEISURE - self._clock())):
                await self._work.wait()
        if self._lossless and not (was_up and self._broker.connected):
            self._paused += time.monotonic() - since

    def _clock(self) -> float:
        """Seconds; for a file, without the time in which nobody could have answered."""
        return time.monotonic() - self._paused
