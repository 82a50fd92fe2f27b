"""When a broker is taken to hang."""

import asyncio
import os
import signal
import time

import pytest
from fakes import until
from peers import Mosquitto

from streamcrop.mqtt.broker import Address, Broker
from streamcrop.mqtt.pulse import Pulse


def test_one_that_speaks_is_not_asked() -> None:
    """Whatever comes is a life sign."""
    pulse = Pulse(0.0)
    for tenth in range(100):
        pulse.heard(tenth / 10)
        assert not pulse.should_ask(tenth / 10 + 0.4)
        assert pulse.answers(tenth / 10 + 0.4)


def test_a_broker_that_still_takes_bytes_is_not_given_up() -> None:
    """Our question may wait behind what is being sent; it may hang all the same."""
    pulse = Pulse(0.0)
    assert pulse.should_ask(1.0)
    for second in range(2, 20):
        pulse.wrote(second)
        assert not pulse.is_gone(second + 1)
        assert not pulse.answers(second + 1)
    assert pulse.is_gone(24.0)


def test_a_clock_that_slept_gives_nobody_up() -> None:
    """A machine that was suspended asks first."""
    pulse = Pulse(0.0)
    assert pulse.answers(1000.0)
    assert not pulse.is_gone(1000.0)
    assert pulse.should_ask(1000.0)
    assert not pulse.is_gone(1004.9)
    assert pulse.is_gone(1005.0)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_broker_that_hangs_is_seen_and_comes_back(broker: Mosquitto, protocol: str) -> None:
    """Within two seconds it is known not to answer, and at once that it does again."""
    ours = Broker(Address("127.0.0.1", broker.port, protocol=protocol), name="test")
    async with ours.opened():
        await asyncio.sleep(1.5)
        assert ours.answers
        os.kill(broker.process.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            await until(lambda: not ours.answers)
            assert time.monotonic() - began < 3
            assert ours.connected
        finally:
            os.kill(broker.process.pid, signal.SIGCONT)
        await until(lambda: ours.answers)
        assert ours.connected


async def test_a_broker_that_hangs_on_is_given_up(broker: Mosquitto) -> None:
    """After some seconds more the connection is made anew."""
    ours = Broker(Address("127.0.0.1", broker.port), name="test")
    async with ours.opened():
        os.kill(broker.process.pid, signal.SIGSTOP)
        try:
            await until(lambda: not ours.connected)
        finally:
            os.kill(broker.process.pid, signal.SIGCONT)
        await until(lambda: ours.connected and ours.answers)
