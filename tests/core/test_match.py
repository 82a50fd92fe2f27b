"""`streamcrop.core.match`: indexes of keys; how they are used is held by `test_pairing`."""

from dataclasses import dataclass
from typing import Any

import pytest

from streamcrop.core.match import ByKey, ByTime, Entry, Exact, Nearest


@dataclass(frozen=True)
class Thing:
    key: Any


def entry(key: Any, number: int = 0) -> Entry:
    """An entry of a key."""
    return Entry(Thing(key), "frames", number, 0.0)


def test_equal_keys() -> None:
    """The one that came first stands first; what is removed is gone."""
    index = Exact().index()
    assert isinstance(index, ByKey)
    first, second, other = entry("a", 1), entry("a", 2), entry("b", 3)
    for one in (first, second, other):
        index.add(one)
    assert index.same("a") == [first, second]
    assert index.near("a") == [(0, first), (0, second)]
    assert index.decided_by("b", None) == [other]
    assert index.settled("c")
    assert index.latest is None
    index.remove(first)
    assert index.same("a") == [second]
    index.remove(second)
    assert index.same("a") == index.near("a") == []
    assert Exact().residual("a", "a") == 0.0


def test_near_keys() -> None:
    """Nearest first, within the tolerance; equal ones apart."""
    index = Nearest(10).index()
    assert isinstance(index, ByTime)
    late, early, same = entry(109, 1), entry(95, 2), entry(95, 3)
    for one in (late, early, same):
        index.add(one)
    assert index.latest == 109
    assert index.near(100) == [(5, early), (5, same), (9, late)]
    assert index.near(84) == []
    assert index.same(95) == [early, same]
    assert index.same(96) == []
    index.remove(early)
    assert index.same(95) == [same]
    assert Nearest(10).residual(100, 97) == -3.0


def test_a_later_frame_settles() -> None:
    """One beyond the tolerance, not at it."""
    index = Nearest(10).index()
    assert not index.settled(100)
    index.add(entry(110))
    assert not index.settled(100)
    index.add(entry(111))
    assert index.settled(100)


@pytest.mark.parametrize(("interval", "at_once"), [(21, True), (20, False)])
def test_intervals_settle(interval: int, *, at_once: bool) -> None:
    """Two frames within the tolerance of one time lie at most twice that apart."""
    index = Nearest(10).index()
    for number in range(8):
        index.add(entry(number * interval, number))
        assert not index.settled(number * interval + 1)
    index.add(entry(8 * interval, 8))
    assert index.settled(8 * interval + 1) == at_once


def test_a_frame_between_two_others_counts_with_both() -> None:
    """Frames need not come in the order of their times."""
    index = Nearest(10).index()
    for number in range(20):
        index.add(entry(number * 30, number))
    assert index.settled(600)
    index.add(entry(555, 20))
    assert not index.settled(600)


def test_what_a_new_frame_may_decide() -> None:
    """Messages behind the frame before, as far as two tolerances reach, up to one beyond it."""
    index = Nearest(10).index()
    entries = [entry(at, at) for at in (60, 80, 100, 110, 111)]
    for one in entries:
        index.add(one)
    assert index.decided_by(100, None) == entries[1:4]
    assert index.decided_by(100, 80) == entries[:4]
    assert index.decided_by(100, 130) == entries[1:4]


def test_a_short_interval_is_forgotten() -> None:
    """A thousand or two later: a camera that slipped for once is not waited for for ever."""
    index = Nearest(10).index()
    for at in (0, 5, *range(30, 30 * 900, 30)):
        index.add(entry(at, at))
    assert not index.settled(30 * 900)
    for at in range(30 * 900, 30 * 2001, 30):
        index.add(entry(at, at))
    assert index.settled(30 * 2001)


@pytest.mark.parametrize("tolerance", [-1, float("nan")])
def test_a_tolerance_is_none_below_0(tolerance: float) -> None:
    """Such a mistake is refused at the start."""
    with pytest.raises(ValueError, match="tolerance must be 0 or more"):
        Nearest(tolerance)
