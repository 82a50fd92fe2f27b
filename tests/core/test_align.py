"""`streamcrop.core.align`: maps that bring points to their places."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamcrop.core.align import FACE, FACE_NAMES, face_name, moved, perspective, similarity

Points = npt.NDArray[np.float64]
coordinates = st.floats(-4000, 4000)


def turned(points: Points, scale: float, angle: float, shift: tuple[float, float]) -> Points:
    """A scale, a turn (clockwise as seen), a shift."""
    cos, sin = np.cos(angle), np.sin(angle)
    return scale * points @ np.array([[cos, sin], [-sin, cos]]) + np.array(shift)


@given(
    st.lists(st.tuples(st.floats(-200, 200), st.floats(-200, 200)), min_size=2, max_size=9),
    st.floats(0.05, 20),
    st.floats(-4, 4),
    st.tuples(coordinates, coordinates),
)
def test_a_similarity_is_found_again(
    points: list[tuple[float, float]], scale: float, angle: float, shift: tuple[float, float]
) -> None:
    """However many points, and wherever they went; within a thousandth of a pixel."""
    came = np.array(points)
    assume(np.ptp(came, 0).max() > 2)
    found = similarity(came, turned(came, scale, angle, shift))
    assert found is not None
    anywhere = np.array([[0.0, 0], [300, -20], [-50, 700]])
    assert moved(found, anywhere) == pytest.approx(turned(anywhere, scale, angle, shift), abs=1e-3)


@given(st.integers(0, 10_000))
def test_a_similarity_is_the_best_one(seed: int) -> None:
    """No other one near it leaves less."""
    chance = np.random.default_rng(seed)
    points = turned(FACE, 2.0, 0.3, (50, 80)) + chance.normal(0, 4, FACE.shape)
    found = similarity(points, FACE)
    assert found is not None
    left = np.square(moved(found, points) - FACE).sum()
    for _ in range(20):
        a, b, x, y = chance.normal(0, 0.01, 4)
        other = found + np.array([[a, -b, x * 100], [b, a, y * 100], [0, 0, 0]])
        assert np.square(moved(other, points) - FACE).sum() >= left - 1e-9


@pytest.mark.parametrize("noise", [0, 3])
def test_mirrored_points_are_refused(noise: float) -> None:
    """A face in a mirror is none; but a pair of points has no other side."""
    chance = np.random.default_rng(1)
    mirrored = FACE * (-3, 3) + (400, 10) + chance.normal(0, noise, FACE.shape)
    assert similarity(mirrored, FACE) is None
    assert similarity(mirrored[:2], FACE[:2]) is not None


@pytest.mark.parametrize("noise", [0, 1, 4, 8])
def test_a_face_is_found_in_spite_of_noise(noise: float) -> None:
    """Of a landmark model, at 50 pixels between the eyes."""
    chance = np.random.default_rng(2)
    for _ in range(50):
        points = turned(FACE, 1.4, chance.normal(), (90, 20)) + chance.normal(0, noise, FACE.shape)
        assert similarity(points, FACE) is not None


def test_points_in_one_place_are_refused() -> None:
    """They have no turn and no scale."""
    assert similarity(np.full((5, 2), 70.0), FACE) is None
    assert similarity(np.array([[70.0, 70], [70.0001, 70]]), FACE[:2]) is None


def test_the_face_is_the_published_one() -> None:
    """Half a pixel further: its numbers are indices of pixels."""
    assert FACE_NAMES == ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
    assert FACE[0].tolist() == [38.7946, 52.1963]
    assert FACE[4].tolist() == [71.2299, 92.7041]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("left_eye", "left_eye"), ("Right Eye", "right_eye"), ("nose-tip", "nose"),
     ("mouth_left", "left_mouth"), ("right mouth corner", "right_mouth"), ("left_ear", None),
     ("", None)],
)  # fmt: skip
def test_names_of_a_face(name: str, meant: str | None) -> None:
    """As models write them."""
    assert face_name(name) == meant


SQUARE = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])


@given(st.integers(0, 10_000), coordinates, coordinates, st.floats(20, 500))
def test_a_perspective_is_opencv_s(seed: int, x: float, y: float, side: float) -> None:
    """Another implementation finds the same map; corners come to corners."""
    chance = np.random.default_rng(seed)
    corners = side * (SQUARE + chance.uniform(-0.25, 0.25, SQUARE.shape)) + (x, y)
    found = perspective(corners, (120, 40))
    assert found is not None
    places = SQUARE * (120, 40)
    assert moved(found, corners) == pytest.approx(places, abs=1e-6)
    near = (corners - (x, y)).astype(np.float32)
    other = cv2.getPerspectiveTransform(near, places.astype(np.float32))
    inside = np.array([[0.5, 0.5], [0.4, 0.6]]) * side
    theirs = cv2.perspectiveTransform(inside[None], other)[0]
    assert moved(found, inside + np.array([x, y])) == pytest.approx(theirs, abs=0.01)


@pytest.mark.parametrize(
    "corners",
    [
        SQUARE[::-1],  # mirrored
        SQUARE[[0, 2, 1, 3]],  # crossed
        [[0, 0], [1, 0], [0.3, 0.3], [0, 1]],  # a notch
        [[0, 0], [1, 0], [2, 0], [0, 1]],  # a triangle
        [[0, 0], [1, 0], [2, 0], [3, 0]],  # a line
        [[0, 0], [0, 0], [1, 1], [0, 1]],  # one on another
        [[5, 5]] * 4,
    ],
)
def test_what_is_no_quadrilateral(corners: Any) -> None:
    """Nobody could see it as a picture."""
    assert perspective(100 * np.array(corners, np.float64), (120, 40)) is None


def test_points_of_any_shape_are_moved() -> None:
    """Through a perspective too."""
    found = perspective(SQUARE * 10, (20, 20))
    assert found is not None
    assert moved(found, np.full((2, 3, 2), 5.0)) == pytest.approx(np.full((2, 3, 2), 10.0))


def test_a_point_beyond_the_horizon_goes_far_away() -> None:
    """It is no division by zero, and no place on the other side."""
    found = perspective(np.array([[10.0, 10], [20, 10], [30, 30], [0, 30]]), (20, 20))
    assert found is not None
    far = moved(found, np.array([[15.0, -10], [15, -500]]))
    assert np.isfinite(far).all()
    assert np.abs(far).max() > 1e4
