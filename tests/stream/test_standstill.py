"""How long items wait, by a clock that stands still while nobody can answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.stream.standstill import Standstill


def after_an_outage(length: float = 60.0) -> Standstill:
    """A clock whose connection was lost at 100 and came back."""
    clock = Standstill()
    clock.read(100, connected=True)
    clock.read(100 + length / 2, connected=False)
    clock.read(100 + length, connected=True)
    return clock


def test_it_stands_while_the_broker_is_away_and_until_detectors_send_again() -> None:
    """Two seconds more; then it goes on."""
    clock = after_an_outage()
    assert clock.stands
    assert clock.read(161.9, connected=True) == 100
    assert clock.read(163, connected=True) == 101
    assert not clock.stands


def test_it_stands_while_what_was_queued_is_answered() -> None:
    """Each pair of a frame of the outage is followed by another within a second, or none."""
    clock = after_an_outage()
    for second in range(161, 166):
        clock.read(second, connected=True)
        clock.answered(came=110, at=second)
    assert clock.read(166, connected=True) == 100
    assert clock.read(167, connected=True) == 101


@pytest.mark.parametrize("came", [99.0, 161.0])
def test_other_pairs_are_nothing_to_it(came: float) -> None:
    """A frame from before or after the outage says nothing of what was queued."""
    clock = after_an_outage()
    clock.read(161, connected=True)
    clock.answered(came=came, at=161.9)
    assert clock.read(163, connected=True) == 101


def test_nobody_catches_up_for_ever() -> None:
    """After twice the length of a short outage nothing is late because of it."""
    clock = after_an_outage(length=5)
    assert clock.is_late(114.9)
    assert not clock.is_late(115.1)
    clock.read(117, connected=True)
    clock.answered(came=102, at=117)
    assert clock.read(119, connected=True) > clock.read(118, connected=True)


def test_time_before_the_first_connection_does_not_count() -> None:
    """A node that waits for its broker waits with its frames."""
    clock = Standstill()
    assert clock.read(10, connected=False) == clock.read(20, connected=False) == 10
    assert clock.stands
    assert clock.is_late(20)


def test_some_time_more_may_be_left_out() -> None:
    """A file's time does not count while it is held up by who comes after."""
    clock = Standstill()
    clock.read(10, connected=True)
    clock.skip(11, 14)
    assert clock.read(15, connected=True) == 12


def test_no_time_is_left_out_twice() -> None:
    """A file that was held up while the broker was away stands still for that time once."""
    clock = Standstill()
    clock.read(1, connected=True)
    clock.read(2, connected=False)
    clock.skip(2, 62)
    assert clock.read(63, connected=True) == 1
    assert clock.read(66, connected=True) == 2


@given(st.lists(st.tuples(st.floats(0.001, 100), st.booleans(), st.booleans()), max_size=40))
def test_it_never_goes_back_and_never_faster_than_time(
    steps: list[tuple[float, bool, bool]],
) -> None:
    """Whatever happens to the connection, and whoever answers."""
    clock, at, last = Standstill(), 0.0, None
    for step, connected, answered in steps:
        at += step
        now = clock.read(at, connected=connected)
        if last is not None:
            assert last - 1e-6 <= now <= last + step + 1e-6
            assert connected or now == pytest.approx(last)
        last = now
        if answered:
            clock.answered(at - step, at)
