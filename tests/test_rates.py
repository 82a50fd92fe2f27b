"""How often something may happen."""

import pytest

from streamcrop.rates import Rate, Rates


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("step", [0.001, 0.01, 0.1, 1.0])
def test_in_the_long_run_so_many_a_second(step: float) -> None:
    """However often it is asked: the burst, and from then on the rate."""
    clock = Clock()
    rate = Rate(5, 10, clock)
    allowed = 0
    for _ in range(round(60 / step)):
        for _ in range(10):
            allowed += rate.allows()
        clock.now += step
    assert allowed == pytest.approx(10 + 60 * 5, abs=6)


def test_a_rest_saves_up_no_more_than_a_burst() -> None:
    """After an hour of silence there is the burst, no more."""
    clock = Clock()
    rate = Rate(5, 10, clock)
    clock.now += 3600
    assert [rate.allows() for _ in range(100)].count(True) == 10


def test_one_who_asks_too_often_takes_from_nobody_else() -> None:
    """Each key has a rate of its own, and any number of keys takes no more memory."""
    clock = Clock()
    rates = Rates(1, 2, clock)
    assert [rates.allows("flood") for _ in range(5)] == [True, True, False, False, False]
    assert not rates.allows("flood", 0)
    assert rates.allows("other", 0)
    assert rates.allows("other")
    for number in range(10_000):
        rates.allows(number)
    assert len(rates._rates) == 1024
    assert rates.allows("flood")
