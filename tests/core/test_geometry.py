"""`streamcrop.core.geometry`: from real corners to whole ones inside the image."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streamcrop.core.geometry import slices
from streamcrop.core.values import Corners, Reason

WIDTH, HEIGHT = 100, 50
sizes = st.tuples(st.integers(1, 4000), st.integers(1, 4000))
boxes = arrays(
    np.float64,
    st.tuples(st.integers(0, 6), st.just(4)),
    elements=st.floats(-5000, 5000) | st.floats(),
)


@pytest.mark.parametrize(
    ("xyxy", "corners"),
    [
        ((10, 5, 20, 15), (10, 5, 20, 15)),
        ((10.4, 5.4, 20.6, 15.6), (10, 5, 21, 16)),
        # Halves go to the even neighbour.
        ((0.5, 1.5, 2.5, 3.5), (0, 2, 2, 4)),
        ((10.5, 11.5, 20.5, 21.5), (10, 12, 20, 22)),
        # Partly outside on each side.
        ((-3.2, 5, 20, 15), (0, 5, 20, 15)),
        ((10, -7, 20, 15), (10, 0, 20, 15)),
        ((10, 5, 130, 15), (10, 5, 100, 15)),
        ((10, 5, 20, 51), (10, 5, 20, 50)),
        ((-1e300, -1e300, 1e300, 1e300), (0, 0, 100, 50)),
        ((99.4, 49.4, 100.4, 50.4), (99, 49, 100, 50)),
    ],
)
def test_corners_are_rounded_and_clipped(xyxy: tuple[float, ...], corners: Corners) -> None:
    """Corners are rounded half to even, and then clipped to the image."""
    assert slices(np.array([xyxy]), (WIDTH, HEIGHT)) == ([corners], {})


@pytest.mark.parametrize(
    ("xyxy", "reason"),
    [
        ((np.nan, 5, 20, 15), Reason.NOT_FINITE),
        ((10, 5, 20, np.nan), Reason.NOT_FINITE),
        ((10, 5, np.inf, 15), Reason.NOT_FINITE),
        ((10, -np.inf, 20, 15), Reason.NOT_FINITE),
        ((100, 5, 120, 15), Reason.OUTSIDE_FRAME),
        ((-20, 5, 0, 15), Reason.OUTSIDE_FRAME),
        ((10, 50, 20, 60), Reason.OUTSIDE_FRAME),
        ((10, -9, 20, 0.5), Reason.OUTSIDE_FRAME),
        ((20, 5, 10, 15), Reason.OUTSIDE_FRAME),
        ((10, 15, 20, 5), Reason.OUTSIDE_FRAME),
        ((10.1, 5, 10.4, 15), Reason.OUTSIDE_FRAME),
    ],
)
def test_a_box_without_pixels_is_refused(xyxy: tuple[float, ...], reason: Reason) -> None:
    """A box that is not finite or has no pixel is refused, and its neighbours survive."""
    corners, refused = slices(np.array([(1, 1, 2, 2), xyxy, (3, 3, 4, 4)]), (WIDTH, HEIGHT))
    assert refused == {1: reason}
    assert (corners[0], corners[2]) == ((1, 1, 2, 2), (3, 3, 4, 4))
    assert len(corners) == 3


def test_no_boxes_are_no_corners() -> None:
    """An empty array is an answer."""
    assert slices(np.empty((0, 4)), (WIDTH, HEIGHT)) == ([], {})


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int16, np.int64, np.uint16])
def test_any_real_dtype_is_read(dtype: npt.DTypeLike) -> None:
    """Whole numbers are the same corners in any dtype, as plain integers."""
    [corners], refused = slices(np.array([[1, 2, 30, 40]], dtype), (WIDTH, HEIGHT))
    assert corners == (1, 2, 30, 40)
    assert {type(side) for side in corners} == {int}
    assert not refused


@given(boxes, sizes)
def test_a_box_lies_inside_or_is_refused(
    xyxy: npt.NDArray[np.float64], size: tuple[int, int]
) -> None:
    """What is not refused has a pixel, lies inside the image and is the rounded box there."""
    before = xyxy.copy()
    corners, refused = slices(xyxy, size)
    np.testing.assert_array_equal(xyxy, before)
    assert len(corners) == len(xyxy)
    for row, (x_min, y_min, x_max, y_max) in enumerate(corners):
        assert 0 <= x_min <= size[0]
        assert 0 <= x_max <= size[0]
        assert 0 <= y_min <= size[1]
        assert 0 <= y_max <= size[1]
        if row not in refused:
            assert x_min < x_max
            assert y_min < y_max
            low = [max(0, round(float(side))) for side in xyxy[row, :2]]
            high = [min(s, round(float(side))) for s, side in zip(size, xyxy[row, 2:], strict=True)]
            assert [x_min, y_min, x_max, y_max] == [*low, *high]
        elif np.isfinite(xyxy[row]).all():
            assert refused[row] is Reason.OUTSIDE_FRAME
        else:
            assert refused[row] is Reason.NOT_FINITE


@given(boxes, sizes)
def test_clipping_twice_is_clipping_once(
    xyxy: npt.NDArray[np.float64], size: tuple[int, int]
) -> None:
    """Whole boxes inside the image stay as they are."""
    once, refused = slices(xyxy, size)
    twice, again = slices(np.array(once, float).reshape(-1, 4), size)
    assert twice == once
    assert {row for row in again if row not in refused} == set()
