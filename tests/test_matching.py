"""The stage at which frames and messages become pairs."""

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from fakes import FakeBroker, frame, until

from streamcrop import config
from streamcrop.core.pairing import Paired
from streamcrop.core.values import Frame
from streamcrop.matching import Matching, Waiting, _Delays
from streamcrop.outcomes import Outcomes

SECOND = 1_000_000
START = 1_795_341_600 * SECOND


def stage(**pairing: Any) -> tuple[Matching, Outcomes]:
    """A stage of a camera that pairs by capture time."""
    tree = {
        "source": {"url": "rtsp://camera/main"},
        "detections": {"topic": "detections"},
        "pairing": {"key": "utc", **pairing},
    }
    settings = msgspec.convert(tree, config.Stream, dec_hook=lambda kind, value: kind(value))
    outcomes = Outcomes("utc", settings.pairing.max_wait)
    return Matching(settings, FakeBroker(), outcomes, ThreadPoolExecutor(1)), outcomes


def captured(name: str, time: float | None, epoch: str = "a", **known: Any) -> Frame:
    """A frame of an epoch, captured so many seconds after the start."""
    at = None if time is None else START + round(time * SECOND)
    return replace(frame(name, size=8), captured_at=at, epoch=epoch, **known)


def message(time: float) -> bytes:
    """A message about what was captured so many seconds after the start."""
    return json.dumps({"captured_at": (START / SECOND) + time, "predictions": []}).encode()


@contextmanager
def running(matching: Matching, outcomes: Outcomes) -> Iterator[None]:
    """Run the stage beside the block."""
    task = asyncio.create_task(matching.run())
    yield
    outcomes.ending.set()
    matching.stop()
    task.cancel()
    matching.abort()


def test_times_that_repeat_never_pair_across_epochs() -> None:
    """What waits by old times is let go when an epoch begins.

    And again at its first time: a message of the old epoch that came in between waits by an old
    time as well.
    """

    async def main() -> None:
        matching, outcomes = stage(max_wait=30)
        with running(matching, outcomes):
            await matching.frames.put(captured("old", 10))
            matching.arrive(message(11))
            await until(lambda: not matching.frames and not matching._messages)
            await matching.frames.put(captured("quiet", None, "b"))
            await until(lambda: outcomes.ledger.frames.dropped["ambiguous"] == 1)
            await until(lambda: outcomes.ledger.messages.dropped["ambiguous"] == 1)
            matching.arrive(message(12))
            await asyncio.sleep(0.1)
            for name, time in (("new", 10.0), ("newer", 11.0), ("newest", 12.0)):
                await matching.frames.put(captured(name, time, "b"))
            await until(lambda: outcomes.ledger.messages.dropped["ambiguous"] == 2)
            matching.arrive(message(11))
            matching.arrive(message(13))
            await matching.frames.put(captured("last", 13, "b"))
            await matching.frames.put(captured("beyond", 14, "b"))
            pairs = [await anext(aiter(matching.pairs)) for _ in range(2)]
            assert [pair.frame.value.frame_id for pair in pairs] == ["newer", "last"]
            assert outcomes.ledger.frames.dropped == {"ambiguous": 1, "no_key": 1}

    asyncio.run(main())


def test_the_nearest_within_the_tolerance() -> None:
    """A message pairs with the one frame near enough; a lost frame's neighbours are not."""

    async def main() -> None:
        matching, outcomes = stage(max_wait=0.5)
        with running(matching, outcomes):
            for number in range(5):
                if number != 2:
                    await matching.frames.put(captured(str(number), number / 30))
            for number in range(4):
                matching.arrive(message(number / 30 + 0.001))
            pairs = [await anext(aiter(matching.pairs)) for _ in range(3)]
            assert [pair.frame.value.frame_id for pair in pairs] == ["0", "1", "3"]
            assert [pair.residual for pair in pairs] == pytest.approx([0.001] * 3, abs=2e-6)
            await until(lambda: outcomes.ledger.messages.dropped["expired"] == 1)

    asyncio.run(main())


def test_frames_of_one_time_are_ambiguous() -> None:
    """A camera that gives two frames one time gets crops of neither."""

    async def main() -> None:
        matching, outcomes = stage()
        with running(matching, outcomes):
            await matching.frames.put(captured("1", 1))
            await matching.frames.put(captured("2", 1))
            matching.arrive(message(1))
            await until(lambda: outcomes.ledger.frames.dropped["ambiguous"] == 2)
            assert not matching.pairs

    asyncio.run(main())


def test_a_message_that_comes_much_too_soon_is_not_believed() -> None:
    """Where messages come 40 ms after their frames, one that comes 0.5 s before is of another.

    It is when the detector hears of a jump of the camera's clock before the node does.
    """

    async def main() -> None:
        matching, outcomes = stage(max_wait=30)
        with running(matching, outcomes):
            now = time.time_ns() // 1000
            for number in range(62):
                matching.arrive(message(number / 30))
                came = now - 40_000 if number < 60 else now + 500_000
                await matching.frames.put(captured(str(number), number / 30, arrived=came))
                if 0 < number < 61:
                    pair = await anext(aiter(matching.pairs))
                    assert pair.frame.value.frame_id == str(number - 1)
            await until(lambda: outcomes.ledger.frames.dropped["ambiguous"] == 1)
            assert outcomes.ledger.messages.dropped == {"ambiguous": 1}

    asyncio.run(main())


def test_doubt_ends() -> None:
    """A node that stays behind its detector is believed again, once it must know of any jump."""
    delays = _Delays()

    def pair(delay: float) -> Any:
        item = Waiting(0, 0, None, 0)
        return Paired(item, Waiting(0, 0, None, round(delay * SECOND)), 0.0)

    assert all(delays.allow(pair(delay), 0) for delay in (0.9, 0.04, 0.9))
    assert all(delays.allow(pair(0.04), 0) for _ in range(60))
    assert delays.allow(pair(-0.2), 1)
    assert not delays.allow(pair(-0.6), 2)
    assert delays.allow(pair(0.1), 3)
    assert not delays.allow(pair(-0.6), 4)
    assert not delays.allow(pair(-0.6), 11)
    assert delays.allow(pair(-0.6), 11.6)
    assert delays.allow(pair(-0.6), 11.7)
    assert delays.allow(Paired(Waiting(0, 0, None), Waiting(0, 0, None, 5), 0.0), 12)


def test_a_detector_whose_clock_goes_back() -> None:
    """It kept the order and names a time again: what comes later by half of that is refused."""

    def pair(delay: float) -> Any:
        item = Waiting(0, 0, None, 0)
        return Paired(item, Waiting(0, 0, None, round(delay * SECOND)), 0.0)

    delays = _Delays()
    for number in range(51):
        delays.heed(number / 25, 0)
        assert delays.allow(pair(0.1), 0)
    delays.heed(1.5, 1)
    assert delays.allow(pair(0.12), 1)
    assert not delays.allow(pair(0.6), 2)
    assert delays.allow(pair(0.6), 8.6)


def test_a_detector_that_keeps_no_order() -> None:
    """Where messages overtake each other, one that names an earlier time says nothing."""
    delays = _Delays()
    for number in range(200):
        delays.heed(number / 25 - number % 2, 0)
        item = Waiting(0, 0, None, 0)
        assert delays.allow(Paired(item, Waiting(0, 0, None, number * 10_000), 0.0), 0)
