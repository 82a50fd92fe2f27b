"""Delays between tries, and waits that a stop cuts short."""

import asyncio

import pytest

from streamcrop.backoff import Backoff, unless


def test_delays_double_up_to_the_longest_and_vary() -> None:
    """Each lies between half of its turn's delay and all of it; two never fall in step."""
    runs = []
    for _ in range(50):
        backoff = Backoff(0.1, 0.5)
        runs.append([backoff.delay() for _ in range(5)])
        for delay, most in zip(runs[-1], (0.1, 0.2, 0.4, 0.5, 0.5), strict=True):
            assert most / 2 <= delay <= most
    assert len({tuple(run) for run in runs}) == 50


def test_it_begins_anew_where_it_went_well() -> None:
    """After a success the next failure is followed by the first delay."""
    backoff = Backoff(0.1, 10.0)
    for _ in range(9):
        backoff.delay()
    assert backoff.delay() >= 5
    backoff.reset()
    assert backoff.delay() <= 0.1


def test_what_is_asked_for_is_kept() -> None:
    """A server that says when to come again is believed, beyond the longest delay too."""
    backoff = Backoff(0.1, 0.5)
    assert backoff.delay(30.0) == 30.0
    assert backoff.delay(0.0) <= 0.2


async def test_work_that_ends() -> None:
    """Its result comes back; its error too."""

    async def fail() -> None:
        raise ZeroDivisionError

    stopped = asyncio.Event()
    assert await unless(stopped, asyncio.sleep(0, "done")) == "done"
    with pytest.raises(ZeroDivisionError):
        await unless(stopped, fail())
    assert len(asyncio.all_tasks()) == 1


async def test_work_that_is_stopped() -> None:
    """It has ended when the wait ends."""
    stopped = asyncio.Event()
    never = asyncio.ensure_future(asyncio.Event().wait())
    asyncio.get_running_loop().call_later(0.02, stopped.set)
    assert await unless(stopped, never) is None
    assert never.cancelled()
    assert len(asyncio.all_tasks()) == 1


async def test_a_wait_that_is_itself_cancelled() -> None:
    """Neither the work nor the wait for the stop is left behind."""
    never = asyncio.ensure_future(asyncio.Event().wait())
    waiting = asyncio.ensure_future(unless(asyncio.Event(), never))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert never.cancelled()
    assert len(asyncio.all_tasks()) == 1
