"""`streamcrop.core.translate`: coordinates move by whole origins and come back exactly."""

from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from streamcrop.core.translate import first_nearest, move_xy, move_xyxy

origins = st.tuples(st.integers(0, 65_535), st.integers(0, 65_535))
points = array_shapes(max_dims=3).flatmap(
    lambda shape: arrays(np.float64, (*shape, 2), elements=st.floats(-1e5, 1e5))
)
fine_points = array_shapes(max_dims=2).flatmap(
    lambda shape: arrays(np.int64, (*shape, 2), elements=st.integers(-(1 << 28), 1 << 28))
)


@given(points, origins)
def test_moving_back_restores_the_points(
    xy: npt.NDArray[np.float64], origin: tuple[int, int]
) -> None:
    """Going back is right within 1e-9, and the input is not modified."""
    before = xy.copy()
    moved = move_xy(xy, origin)
    np.testing.assert_array_equal(xy, before)
    assert moved.shape == xy.shape
    np.testing.assert_allclose(moved + origin, xy, rtol=0, atol=1e-9)


@given(fine_points, origins)
def test_multiples_of_a_1024th_come_back_bit_for_bit(
    steps: npt.NDArray[np.int64], origin: tuple[int, int]
) -> None:
    """Coordinates that are multiples of 1/1024 lose nothing on the way."""
    xy = steps / 1024
    assert (move_xy(xy, origin) + origin).tolist() == xy.tolist()


@pytest.mark.parametrize(
    ("came", "goes"),
    [
        (np.float16, np.float64),
        (np.float32, np.float64),
        (np.float64, np.float64),
        (np.int32, np.int64),
        (np.int64, np.int64),
        (np.uint8, np.int64),
    ],
)
def test_precision_only_grows(came: npt.DTypeLike, goes: npt.DTypeLike) -> None:
    """Short floats become float64 and integers stay integers, so that nothing is rounded."""
    xy = move_xy(np.array([[10, 20]], came), (300, 400))
    xyxy = move_xyxy(np.array([10, 20, 30, 40], came), (300, 400))
    assert (xy.dtype, xyxy.dtype) == (np.dtype(goes), np.dtype(goes))
    assert xy.tolist() == [[-290, -380]]
    assert xyxy.tolist() == [-290, -380, -270, -360]


def test_ragged_rows_move_each_by_itself() -> None:
    """Rows of unequal length move point by point; an empty row stays empty."""
    rows = np.empty(3, object)
    rows[:] = [np.array([[10.5, 20.0], [30.0, 40.0]]), [], [[5, 6]]]
    moved = move_xy(rows, (10, 20))
    assert moved.dtype == object
    assert [row.tolist() for row in moved] == [[[0.5, 0.0], [20.0, 20.0]], [], [[-5, -14]]]
    assert rows[0].tolist() == [[10.5, 20.0], [30.0, 40.0]]


def test_ragged_rows_of_two_points_are_points() -> None:
    """Two rows of points are not mistaken for one x and one y."""
    rows = np.empty(2, object)
    rows[:] = [np.array([[1, 2]]), np.array([[3, 4], [5, 6]])]
    assert [row.tolist() for row in move_xy(rows, (1, 2))] == [[[0, 0]], [[2, 2], [4, 4]]]


def test_a_box_that_is_moved_stays_what_it_was() -> None:
    """Both corners move by the crop's origin, in an array of their own."""
    box = np.array([3, 4, 9, 8])
    assert move_xyxy(box, (3, 5)).tolist() == [0, -1, 6, 3]
    assert box.tolist() == [3, 4, 9, 8]


@given(points, st.data())
def test_each_row_moves_into_its_own_crop(xy: npt.NDArray[np.float64], data: st.DataObject) -> None:
    """All rows at once are each by itself, whatever their shape; of unequal length, too."""
    rows = xy.reshape(-1, *xy.shape[-2:]) if xy.ndim > 2 else xy
    origin = np.array([data.draw(origins) for _ in rows])
    alone = [move_xy(row, at) for row, at in zip(rows, origin, strict=True)]
    np.testing.assert_array_equal(move_xy(rows, origin), alone)
    ragged = np.empty(len(rows), object)
    ragged[:] = [[*row.reshape(-1, 2)[at % 2 :]] for at, row in enumerate(rows)]
    for row, part, at in zip(move_xy(ragged, origin), ragged, origin, strict=True):
        np.testing.assert_array_equal(row, move_xy(np.array(part).reshape(-1, 2), at))


@given(arrays(np.float64, (3, 4), elements=st.floats(-1e5, 1e5)), st.data())
def test_boxes_move_each_into_its_own_crop(
    xyxy: npt.NDArray[np.float64], data: st.DataObject
) -> None:
    """As one by one."""
    origin = [data.draw(origins) for _ in xyxy]
    alone = [move_xyxy(box, at) for box, at in zip(xyxy, origin, strict=True)]
    np.testing.assert_array_equal(move_xyxy(xyxy, origin), alone)


@pytest.mark.parametrize(
    ("source", "target", "first"),
    [
        (1, 3, [0, 3]),
        (3, 3, [0, 1, 2, 3]),
        (3, 1, [0, 0, 1, 1]),
        (4, 2, [0, 0, 1, 1, 2]),
        (2, 4, [0, 2, 4]),
        (3, 5, [0, 2, 3, 5]),
    ],
)
def test_nearest_by_hand(source: int, target: int, first: list[int]) -> None:
    """Pixel centres are compared; a tie goes to the later pixel."""
    assert first_nearest(np.arange(source + 1), source, target).tolist() == first


@given(st.integers(1, 65_535), st.integers(1, 65_535), st.data())
def test_nearest_is_the_pixel_under_the_centre(
    source: int, target: int, data: st.DataObject
) -> None:
    """The first pixel whose centre lies in the source pixel or behind it, and no later one."""
    at = data.draw(st.integers(0, source))
    [first] = first_nearest(np.array([at]), source, target).tolist()
    assert 0 <= first <= target
    assert (first + Fraction(1, 2)) * source / target >= at or first == target
    assert first == 0 or (first - Fraction(1, 2)) * source / target < at
