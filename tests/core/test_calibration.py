"""Offsets between made streams; `tests/scenes.py` has them, and a longer sweep."""

import tracemalloc
from functools import cache

import numpy as np
import pytest
import scenes
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import CASES, Stream, play

from streamcrop.core.calibration import Kind, Verdict, compare
from streamcrop.core.motion import GRID, Series

SECONDS = 30.0


def pair(seed: int = 3, **other: float) -> tuple[Series, Series]:
    """A walker by two streams, the second at a fifth of the rate."""
    chance = np.random.default_rng(seed)
    scene = scenes.walker(chance)
    sub = Stream(rate=5, noise=0.5, **other)
    return Stream().of(scene, SECONDS, chance), sub.of(scene, SECONDS, chance)


@cache
def played(name: str, seed: int) -> tuple[Verdict, float | None, float]:
    """A play takes half a second, and several tests look at it."""
    return play(CASES[name], seed)


@pytest.mark.parametrize("name", CASES)
def test_it_is_never_wrong(name: str) -> None:
    """What is told is right within half an interval of the main stream; the rest is refused."""
    verdict, truth, interval = played(name, 0)
    assert (verdict.offset is None) == (verdict.kind != Kind.TOLD)
    if verdict.offset is not None:
        assert truth is not None
        assert verdict.offset == pytest.approx(truth, abs=interval / 2)


@pytest.mark.parametrize("name", ["walker", "passer", "street", "crowd", "walker, clock"])
def test_what_can_be_told_is_told(name: str) -> None:
    """One person who walks, anywhere, is enough, as a rule."""
    told = [played(name, seed)[0].kind for seed in range(3)]
    assert told.count(Kind.TOLD) >= 2


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("still", Kind.STILL),
        ("still, by night", Kind.STILL),
        ("clock", Kind.STILL),
        ("swing", Kind.REPEATS),
        ("two streets", Kind.DIFFERENT),
        ("street, step", Kind.APART),
        ("street, 6 s", Kind.SHORT),
        ("exposure", Kind.UNSURE),
    ],
)
def test_what_cannot_be_told_has_its_reason(name: str, kind: Kind) -> None:
    """The reason is the right one."""
    assert kind in {played(name, seed)[0].kind for seed in range(2)}


def test_memory_is_that_of_one_table() -> None:
    """Half a minute at 60 a second; two minutes would have been gigabytes."""
    count = 30 * 60
    pictures = np.random.default_rng(1).normal(100, 30, (count, *GRID)).astype(np.float32)
    main = Series(np.arange(count) / 60, pictures)
    tracemalloc.start()
    try:
        assert compare(main, Series(main.times + 0.1, pictures), search=10).kind != Kind.SHORT
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 200 << 20


def test_no_pictures_are_too_few() -> None:
    """Nothing at all is no offset."""
    nothing = Series(np.zeros(0), np.zeros((0, *GRID), np.float32))
    assert compare(nothing, nothing).kind == Kind.SHORT


def test_a_best_offset_at_the_edge_is_none() -> None:
    """An offset that lies just beyond the searched ones is not met by the last of them."""
    main, sub = pair(shift=-0.5)
    assert compare(main, sub, search=0.45).kind == Kind.FAR
    assert compare(main, sub, search=0.6).offset == pytest.approx(0.5, abs=0.002)


@given(shift=st.floats(-1.5, 1.5), days=st.integers(-3, 3))
@settings(max_examples=8)
def test_an_offset_is_added_to_the_other_streams_times(shift: float, days: int) -> None:
    """Whatever the clock says, the offset is what it lacks; also where it is days ahead."""
    main, sub = pair()
    late = Series(sub.times + shift + days * 86400, sub.pictures)
    verdict = compare(main, late, centre=-days * 86400.0)
    assert verdict.offset is not None
    assert verdict.offset == pytest.approx(-shift - days * 86400, abs=0.002)
    assert verdict.spread < 0.003
    assert abs(verdict.drift) < 1e-4


def test_the_order_of_the_streams_is_the_sign() -> None:
    """Each stream's clock lacks what the other's has too much of."""
    main, sub = pair(shift=0.2)
    there, back = compare(main, sub).offset, compare(sub, main).offset
    assert there == pytest.approx(-0.2, abs=0.002)
    assert back == pytest.approx(0.2, abs=0.01)


def test_a_drift_is_told() -> None:
    """Clocks of different pace."""
    main, sub = pair(drift=1e-4)
    verdict = compare(main, sub)
    assert verdict.drift == pytest.approx(-1e-4, abs=4e-5)
    main, sub = pair(drift=6e-4)
    assert compare(main, sub).kind == Kind.APART


def test_pictures_between_the_main_ones_keep_the_best_offset() -> None:
    """Where the streams do not show the same pictures, what lies between is found as well."""
    chance = np.random.default_rng(4)
    scene = scenes.crowd(chance)
    main = Stream(rate=20).of(scene, SECONDS, chance)
    sub = Stream(rate=7.3, shift=0.1).of(scene, SECONDS, chance)
    verdict = compare(main, sub)
    assert verdict.offset == pytest.approx(-0.1, abs=0.01)
    assert verdict.spread > 0.02


def test_pictures_that_are_missing_are_no_pictures() -> None:
    """Across a gap of the main stream nothing is compared."""
    main, sub = pair()
    there = (main.times < 14) | (main.times > 14.5)
    verdict = compare(Series(main.times[there], main.pictures[there]), sub)
    assert verdict.offset == pytest.approx(0, abs=0.002)
