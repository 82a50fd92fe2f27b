"""What counts as motion."""

import numpy as np
import numpy.typing as npt
import pytest
import scenes
from scenes import Stream

from streamcrop.core.motion import GRID, Series, shared

CELLS = GRID[0] * GRID[1]


def taken(scene: scenes.Scene, seed: int, **how: float) -> Series:
    """A stream of it."""
    return Stream(rate=10, **how).of(scene, 20, np.random.default_rng(seed))


def powers(scene: scenes.Scene) -> npt.NDArray[np.float64]:
    """The mean squares of its cells, as the first of two streams shows them."""
    first, second = shared(taken(scene, 1), taken(scene, 2))
    assert first.shape == second.shape == (200, CELLS)
    return np.asarray((first**2).mean(0).reshape(GRID), np.float64)


def room(*things: scenes.Thing) -> scenes.Scene:
    """A still room with these in it."""
    scene = scenes.still(np.random.default_rng(1))
    scene.things += things
    return scene


def to_and_fro(x: float, y: float) -> scenes.Thing:
    """Something that goes three cells to and fro, not by the second."""
    return scenes.Thing((2, 2), 60, lambda t: x + 3 * np.sin(2.3 * t), lambda t: y + 0 * t)


def test_what_moves_has_power_where_it_moves() -> None:
    """Cells with motion have about 1 while it is there, all others nothing."""
    found = powers(room(to_and_fro(30, 10)))
    assert found[10:12, 28:34].min() > 0.3
    assert found.max() < 0.8
    found[10:12, 26:36] = 0
    assert not found.any()


def test_noise_is_no_motion() -> None:
    """Neither a still room nor a black one moves."""
    assert not powers(room()).any()
    assert not powers(scenes.black(np.random.default_rng(1))).any()


def test_light_is_no_motion() -> None:
    """What changes everywhere at once is left out, and motion below it is kept."""
    scene = room(to_and_fro(30, 10))
    scene.light = lambda t: 1 + 0.1 * np.sin(3.1 * t)
    found = powers(scene)
    assert found[10:12, 28:34].min() > 0.25
    found[10:12, 26:36] = 0
    assert found.mean() < 0.01


def test_what_one_stream_alone_shows_is_not_shared() -> None:
    """A cell that stands still in one of them counts in neither."""
    first, second = shared(taken(room(to_and_fro(30, 10)), 1), taken(room(), 2))
    assert not first.any()
    assert not second.any()


def test_what_goes_by_the_second_is_left_out() -> None:
    """The time that a camera writes into its picture is not motion; who walks below it is."""
    scene = room(to_and_fro(30, 10))
    scene.clock = (32, 50)
    found = powers(scene)
    assert not found[32:34, 50:53].any()
    assert found[10:12, 28:34].min() > 0.3


def test_what_is_slow_is_left_out() -> None:
    """Shadows that creep have next to no part in it."""
    slow = scenes.Thing((10, 10), 40, lambda t: 20 + 0 * t, lambda t: 10 + 0 * t, lambda t: t / 20)
    steady = room(slow)
    assert powers(steady).max() < 0.5


def test_the_interval_is_the_usual_one() -> None:
    """One picture that is missing changes nothing."""
    times = np.array([0, 0.04, 0.08, 0.2, 0.24])
    assert Series(times, np.zeros((5, *GRID), np.float32)).interval == pytest.approx(0.04)


def test_slow_pictures_have_no_seconds() -> None:
    """At five pictures a second whoever passes does not seem to go by the second."""
    way = scenes.wander(np.random.default_rng(2), 2, 50, 6.0)
    scene = room(scenes.Thing((1.6, 4), 60, way, lambda t: 20 + 0 * t))
    chance = np.random.default_rng(1)
    found = [Stream(rate=5, noise=0.2).of(scene, 30, chance) for _ in range(2)]
    moving = (shared(*found)[0] ** 2).max(0).reshape(GRID)
    assert (moving[20:24].max(0) > 0.5).sum() > 25
