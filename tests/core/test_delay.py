"""`streamcrop.core.delay`: messages without media time that come sooner or later than ever."""

import random

import pytest

from streamcrop.core.constant import DOUBT
from streamcrop.core.delay import Delays

FRAME = 33_333


class Detector:
    """Names a time 30 times a second, and comes so much later; in microseconds."""

    def __init__(self, *, usual: int = 60_000, jitter: int = 8_000) -> None:
        self.delays = Delays()
        self.now, self.set, self.usual, self.jitter = 0, 0, usual, jitter
        self.chance = random.Random(1)

    def message(self, *, more: int = 0) -> bool:
        self.now += FRAME
        named = self.now + self.set
        came = self.now + self.usual + self.chance.randint(0, self.jitter) + more
        self.delays.heed(named, came / 1e6)
        return self.delays.allow(came - named, came / 1e6)

    def run(self, count: int) -> list[bool]:
        return [self.message() for _ in range(count)]


def steady(**known: int) -> Detector:
    """One that has told how late it comes."""
    detector = Detector(**known)
    assert all(detector.run(200))
    return detector


@pytest.mark.parametrize("by", [FRAME, 2 * FRAME, 500_000])
def test_a_clock_that_is_set_forwards(by: int) -> None:
    """Messages come sooner than ever, until our side must know; then the detector is believed."""
    detector = steady()
    detector.set += by
    allowed = detector.run(round(DOUBT * 30) + 5)
    assert not any(allowed[2 : round(DOUBT * 30) - 2])
    assert all(detector.run(100))


@pytest.mark.parametrize("by", [FRAME, 40_000, 2 * FRAME, 500_000])
def test_a_clock_that_is_set_backwards(by: int) -> None:
    """A detector that kept the order names times closer together than ever, and comes later."""
    detector = steady()
    detector.set -= by
    assert not any(detector.run(round(DOUBT * 30) - 5))
    detector.run(20)
    assert all(detector.run(100))


def test_a_slow_start_is_forgotten() -> None:
    """The slowest message counts no longer than the last ones do."""
    detector = Detector()
    detector.message(more=900_000)
    detector.run(200)
    detector.set -= 40_000
    assert not any(detector.run(100))


def test_a_message_that_is_late_for_once() -> None:
    """A busy detector is no clock that was set."""
    detector = steady()
    assert detector.message(more=700_000)
    assert all(detector.run(50))


def test_a_message_that_is_soon_for_once_costs_few() -> None:
    """Ten that come as ever end the doubt."""
    detector = steady()
    assert not detector.message(more=-50_000)
    assert detector.run(20) == [False] * 9 + [True] * 11


def test_few_messages_tell_nothing() -> None:
    """Before so many came, all are believed."""
    detector = Detector()
    assert all(detector.run(40))
    detector.set += 100_000
    assert detector.message()


def test_a_detector_that_keeps_no_order() -> None:
    """Where messages overtake each other, one that names an earlier time says nothing."""
    delays = Delays()
    for number in range(400):
        named = (number - 3 * (number % 2)) * FRAME
        delays.heed(named, number / 30)
        assert delays.allow(number * FRAME - named + 50_000, number / 30)


def test_a_message_that_comes_twice() -> None:
    """It names the same time again, and comes no later than others do."""
    detector = steady()
    detector.now -= FRAME
    assert detector.message()
    assert all(detector.run(50))
