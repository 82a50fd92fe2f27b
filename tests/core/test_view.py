"""`streamcrop.core.view`: a map from the image to the crop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.core.align import perspective
from streamcrop.core.view import Keypoints, View, lengths

coordinates = st.floats(-5000, 5000)


def affine(scale: float, angle: float, x: float, y: float) -> View:
    """A turned view of 100 x 80."""
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cos, sin, x], [-sin, cos, y], [0, 0, 1]])
    return View(matrix, (100, 80), (0, 0, 100, 80))


views = st.builds(affine, st.floats(0.02, 50), st.floats(-4, 4), coordinates, coordinates)


@given(views, coordinates, coordinates)
def test_a_point_goes_and_comes_back(view: View, x: float, y: float) -> None:
    """Within a thousandth of a pixel, at any scale and turn."""
    assert view.back(view.points(np.array([x, y]))) == pytest.approx([x, y], abs=1e-3)
    inverse = np.linalg.inv(np.vstack([view.transform, [0, 0, 1]]))
    moved = view.points(np.array([x, y]))
    assert (inverse @ [*moved, 1])[:2] == pytest.approx([x, y], abs=1e-3)


def test_a_translation_is_exact() -> None:
    """Numbers that are multiples of 1/1024 lose nothing; places without a number stay so."""
    view = View(
        np.array([[1.0, 0, -7], [0, 1, 3], [0, 0, 1]]), (4, 5), (0, 0, 4, 5), box=(7, -3, 11, 2)
    )
    assert view.is_translation
    assert view.origin == (7, -3)
    assert view.points(np.array([[8 + 1 / 1024, None]], object)).tolist()[0][0] == 1 + 1 / 1024
    assert np.isnan(view.points(np.array([[8, None]], object))[0, 1])
    assert view.xyxy(np.array([6.5, 0, 12, 1])).tolist() == [-0.5, 3, 5, 4]
    assert view.transform.tolist() == [[1, 0, -7], [0, 1, 3]]


def test_a_box_becomes_the_hull_of_its_corners() -> None:
    """Turned by 45 degrees it is as wide as its diagonal."""
    view = affine(1, np.pi / 4, 0, 0)
    assert view.xyxy(np.array([0, 0, 10, 10])) == pytest.approx([0, -(50**0.5), 200**0.5, 50**0.5])


def test_a_perspective() -> None:
    """Its transform has three rows; the crop's corners lie where they were."""
    corners = np.array([[10.0, 12], [50, 14], [48, 40], [8, 44]])
    matrix = perspective(corners, (64, 32))
    assert matrix is not None
    view = View(matrix, (64, 32), (0, 0, 64, 32))
    assert view.is_perspective
    assert view.transform.shape == (3, 3)
    assert view.origin == (8, 12)
    assert view.reach((100, 100)) == (8, 12, 50, 44)
    assert view.reach((45, 30), beyond=3, step=4) == (4, 8, 45, 30)
    assert view.reach((100, 100), beyond=2, step=4) == (4, 8, 52, 48)
    assert view.back(np.array([[0, 0], [64, 32]])) == pytest.approx(corners[[0, 2]], abs=1e-9)
    changed = view.transform
    changed[:] = 0
    assert view.transform.any()


def test_the_reach_of_a_box() -> None:
    """What of it lies in the image."""
    matrix = np.array([[2.0, 0, 20], [0, 2, 0], [0, 0, 1]])
    view = View(matrix, (40, 40), (0, 0, 40, 40), box=(-10, 0, 10, 20))
    assert not view.is_translation
    assert not view.is_perspective
    assert view.reach((100, 15)) == (0, 0, 10, 15)
    assert view.origin == (-10, 0)


@pytest.mark.parametrize(
    ("scale", "factor"), [(3, 1), (1, 1), (0.51, 1), (0.5, 2), (0.34, 2), (1 / 3, 3), (0.01, 100)]
)
def test_it_shrinks_by_whole_factors(scale: float, factor: int) -> None:
    """So that less than a factor of two is left."""
    assert affine(scale, 0.7, 5, 6).shrinks() == factor


def test_where_it_stretches_the_larger_scale_counts() -> None:
    """Or the way that shrinks less would be blurred; a view of nothing shrinks by nothing."""
    flat = View(np.diag([0.1, 0.5, 1.0]), (10, 10), (0, 0, 10, 10))
    assert flat.shrinks() == 2
    tiny = View(np.diag([1e-300, 1e-300, 1.0]), (10, 10), (0, 0, 10, 10))
    assert tiny.shrinks() >= 1


def test_small_values() -> None:
    """A box has a width and a height; joints have names and places."""
    assert lengths((1, 2, 5, 9)) == (4, 7)
    assert Keypoints(("nose",), np.zeros((1, 2))).names == ("nose",)
