"""The stage at which frames and messages become pairs."""

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from fakes import frame, until
from patience import PATIENCE

from streamcrop import config
from streamcrop.build.streams import pairing_of
from streamcrop.core.guard import CaptureTimes
from streamcrop.core.values import Frame
from streamcrop.stream.outcomes import Outcomes
from streamcrop.stream.pairing import Pairing

SECOND = 1_000_000
START = 1_795_341_600 * SECOND


class Clock:
    """Time that goes on when it is told to."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.connected = True

    def __call__(self) -> float:
        return self.time


def stage(clock: Clock | None = None, **pairing: Any) -> tuple[Pairing, Outcomes]:
    """A stage of a camera that pairs by capture time."""
    tree = {
        "source": {"url": "rtsp://camera/main"},
        "detections": {"topic": "detections"},
        "pairing": {"key": "utc", **pairing},
    }
    settings = msgspec.convert(tree, config.Stream, dec_hook=lambda kind, value: kind(value))
    outcomes = Outcomes("utc", settings.pairing.max_wait)
    matching = pairing_of(
        settings,
        connected=lambda: clock is None or clock.connected,
        outcomes=outcomes,
        threads=ThreadPoolExecutor(1),
        now=clock or time.monotonic,
    )
    return matching, outcomes


def captured(name: str, time: float | None, epoch: str = "a", **known: Any) -> Frame:
    """A frame of an epoch, captured so many seconds after the start."""
    at = None if time is None else START + round(time * SECOND)
    known = {"connection": epoch, **known}
    return replace(frame(name, size=8), captured_at=at, epoch=epoch, **known)


def message(time: float) -> bytes:
    """A message about what was captured so many seconds after the start."""
    return json.dumps({"captured_at": (START / SECOND) + time, "predictions": []}).encode()


@contextmanager
def running(matching: Pairing, outcomes: Outcomes) -> Iterator[None]:
    """Run the stage beside the block."""
    task = asyncio.create_task(matching.run())
    yield
    outcomes.ending.set()
    matching.stop()
    task.cancel()
    matching.abort()


async def taken(matching: Pairing) -> None:
    """Wait until what came is with the pairer: a turn takes a frame and a message."""
    for _ in range(20):
        await asyncio.sleep(0)
    assert not matching.frames


async def test_times_that_repeat_never_pair_across_epochs() -> None:
    """What waits by old times is let go when an epoch begins.

    And again at its first time: a message of the old epoch that came in between waits by an old
    time as well.
    """
    matching, outcomes = stage(max_wait=30)
    with running(matching, outcomes):
        await matching.frames.put(captured("old", 10))
        matching.arrive(message(11), "detections")
        await taken(matching)
        await matching.frames.put(captured("unkeyed", None, "b"))
        await until(lambda: outcomes.ledger.frames.dropped["ambiguous"] == 1)
        await until(lambda: outcomes.ledger.messages.dropped["ambiguous"] == 1)
        matching.arrive(message(10.4), "detections")
        await asyncio.sleep(0.1)
        for name, time in (("new", 10.2), ("newer", 10.3), ("newest", 10.4)):
            await matching.frames.put(captured(name, time, "b"))
        await until(lambda: outcomes.ledger.messages.dropped["ambiguous"] == 2)
        matching.arrive(message(10.3), "detections")
        matching.arrive(message(10.5), "detections")
        await matching.frames.put(captured("last", 10.5, "b"))
        await matching.frames.put(captured("beyond", 10.6, "b"))
        pairs = [await anext(aiter(matching.pairs)) for _ in range(2)]
        assert [pair.frame.value.frame_id for pair in pairs] == ["newer", "last"]
        assert outcomes.ledger.frames.dropped == {"ambiguous": 1, "no_key": 1}


async def test_the_nearest_within_the_tolerance() -> None:
    """A message pairs with the one frame near enough; a lost frame's neighbours are not."""
    matching, outcomes = stage(max_wait=0.5)
    with running(matching, outcomes):
        for number in range(5):
            if number != 2:
                await matching.frames.put(captured(str(number), number / 30))
        for number in range(4):
            matching.arrive(message(number / 30 + 0.001), "detections")
        pairs = [await anext(aiter(matching.pairs)) for _ in range(3)]
        assert [pair.frame.value.frame_id for pair in pairs] == ["0", "1", "3"]
        assert [pair.residual for pair in pairs] == pytest.approx([0.001] * 3, abs=2e-6)
        await until(lambda: outcomes.ledger.messages.dropped["expired"] == 1)


async def test_frames_of_one_time_are_ambiguous() -> None:
    """A camera that gives two frames one time gets crops of neither."""
    matching, outcomes = stage()
    with running(matching, outcomes):
        await matching.frames.put(captured("1", 1))
        await matching.frames.put(captured("2", 1))
        matching.arrive(message(1), "detections")
        await until(lambda: outcomes.ledger.frames.dropped["ambiguous"] == 2)
        assert not matching.pairs


async def test_an_offset_is_added_to_what_messages_name() -> None:
    """A server that counts its own latency into the capture time is put right."""
    matching, outcomes = stage(max_wait=0.5, offset=-0.1)
    with running(matching, outcomes):
        for number in range(5):
            await matching.frames.put(captured(str(number), number / 30))
        matching.arrive(message(2 / 30 + 0.1), "detections")
        pair = await anext(aiter(matching.pairs))
        assert pair.frame.value.frame_id == "2"
        assert pair.residual == pytest.approx(0, abs=2e-6)


async def test_messages_of_another_day_are_spoken_of() -> None:
    """Their clock, or the offset, is off by far; nothing is guessed."""
    matching, outcomes = stage(max_wait=0.1)
    with running(matching, outcomes):
        await matching.frames.put(captured("1", 86_400))
        matching.arrive(message(0), "detections")
        await until(lambda: outcomes.ledger.messages.dropped["expired"] == 1)
        [note] = outcomes.notes.as_json()
        assert note["kind"] == "times"
        assert "name times 86400 s before those of frames" in note["text"]


async def take(matching: Pairing, count: int) -> list[str]:
    """The names of so many frames that were paired, in order."""
    return [(await anext(aiter(matching.pairs))).frame.value.frame_id for _ in range(count)]


def told(number: int, now: float) -> bytes:
    """A message with media time."""
    times = {"captured_at": START / SECOND + now, "pts": number * 100 + 7, "time_base": "1/1000"}
    return json.dumps({**times, "predictions": []}).encode()


async def offer(matching: Pairing, number: int, now: float) -> None:
    """A frame with media time, and its message."""
    known = {"pts": number * 100, "time_base": Fraction(1, 1000), "connection": "a"}
    await matching.frames.put(captured(str(number), now, reports=int(now) + 1, **known))
    matching.arrive(told(number, now), "detections")
    await taken(matching)


async def test_held_pairs_leave_together_and_hold_up_nothing() -> None:
    """Eight seconds of pairs become sure at once; frames and messages are taken meanwhile."""
    clock = Clock()
    matching, outcomes = stage(clock, confirm=False, max_wait=30)
    with running(matching, outcomes):
        for number in range(90):
            clock.time = 1000 + number / 10
            await offer(matching, number, number / 10)
        names = await take(matching, 90)
        assert sorted(names, key=int) == [str(number) for number in range(90)]
        # A pair that nobody doubted passed those that had waited.
        assert names.index("80") < names.index("70")
        assert not outcomes.ledger.frames.dropped


async def test_a_guard_that_fails_is_said_and_costs_its_pair_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The stream goes on, and the ledger has it as `failed`."""
    judge, odd = CaptureTimes.judge, [True]

    def fail_once(*about: Any) -> Any:
        if odd.pop() if odd else False:
            raise ValueError("odd")
        return judge(*about)

    monkeypatch.setattr(CaptureTimes, "judge", fail_once)
    matching, outcomes = stage()
    with running(matching, outcomes):
        for number in (1, 2):
            await matching.frames.put(captured(str(number), number))
            matching.arrive(message(number), "detections")
        await matching.frames.put(captured("3", 3))
        pair = await anext(aiter(matching.pairs))
        assert pair.frame.value.frame_id == "2"
        assert outcomes.ledger.messages.dropped == {"failed": 1}
        [note] = outcomes.notes.as_json()
        assert note["kind"] == "failed"


async def test_an_outage_is_waited_out() -> None:
    """What is said of a minute's frames afterwards finds them, more than may wait otherwise."""
    clock = Clock()
    matching, outcomes = stage(clock, max_wait=1, max_items=20)
    with running(matching, outcomes):
        await matching.frames.put(captured("before", 0))
        await until(lambda: not matching.frames)
        clock.connected = False
        for number in range(300):
            clock.time += 0.2
            await matching.frames.put(captured(str(number), 0.2 + number / 5))
            await until(lambda: not matching.frames)
        clock.connected = True
        for number in range(-1, 300):
            matching.arrive(message(0.2 + number / 5), "detections")
        assert await take(matching, 301) == ["before", *(str(number) for number in range(300))]
        # Time goes on, and bounds hold again.
        clock.time += 400
        await matching.frames.put(captured("late", 500))
        await taken(matching)
        clock.time += 1.1
        await until(lambda: outcomes.ledger.frames.dropped["expired"] == 1)
        assert set(outcomes.ledger.frames.dropped) == {"expired"}
        assert not outcomes.ledger.messages.dropped


async def test_delays_of_an_outage_teach_nothing() -> None:
    """Messages that had to wait, and those that come in time again, are all believed."""
    clock = Clock()
    matching, outcomes = stage(clock, max_wait=5)
    taking = asyncio.create_task(take(matching, 259))
    with running(matching, outcomes):
        waiting: list[bytes] = []
        for number in range(260):
            clock.connected = not 80 <= number < 180
            clock.time += 0.1
            await matching.frames.put(captured(str(number), number / 10))
            waiting.append(message(number / 10))
            while clock.connected and waiting:
                matching.arrive(waiting.pop(0), "detections")
            await taken(matching)
        names = await asyncio.wait_for(taking, PATIENCE)
        assert names == [str(number) for number in range(259)]
        assert not outcomes.ledger.frames.dropped
        assert not outcomes.ledger.messages.dropped


async def test_overload_takes_the_oldest_and_leaves_the_fresh() -> None:
    """Three times more pairs than are rendered: what flows is fresh, the rest is `overload`."""
    clock = Clock()
    matching, outcomes = stage(clock, max_wait=5)
    ages = []
    with running(matching, outcomes):
        for number in range(300):
            clock.time += 0.1
            await matching.frames.put(captured(str(number), number / 10))
            matching.arrive(message(number / 10), "detections")
            await taken(matching)
            await asyncio.sleep(0.001)
            if number % 3 == 2:
                [name] = await take(matching, 1)
                ages.append((number - int(name)) / 10)
        lost = outcomes.ledger.frames.dropped
        assert set(lost) == set(outcomes.ledger.messages.dropped) == {"overload"}
        assert lost["overload"] >= 180
        # At first nobody knows whether it will pass.
        assert max(ages[:20]) <= 1.7
        assert max(ages[20:]) <= 0.6


async def test_many_at_once_are_no_overload() -> None:
    """A detector that answers a second's frames together loses none, though they take as long."""
    clock = Clock()
    matching, outcomes = stage(clock, max_wait=5)
    with running(matching, outcomes):
        for turn in range(5):
            for number in range(turn * 30, turn * 30 + 30):
                clock.time += 1 / 30
                await matching.frames.put(captured(str(number), number / 30))
                await until(lambda: not matching.frames)
            for number in range(turn * 30, turn * 30 + 30):
                matching.arrive(message(number / 30), "detections")
            for _ in range(30):
                clock.time += 0.03
                await take(matching, 1)
                await asyncio.sleep(0.001)
        assert not outcomes.ledger.frames.dropped


async def test_a_message_is_read_before_its_frame_expires() -> None:
    """The loop was busy meanwhile: the message came in time, so it counts as it came."""
    clock = Clock()
    matching, outcomes = stage(clock, max_wait=1)
    with running(matching, outcomes):
        await matching.frames.put(captured("1", 0))
        await taken(matching)
        clock.time += 0.5
        matching.arrive(message(0), "detections")
        clock.time += 5
        assert await take(matching, 1) == ["1"]
