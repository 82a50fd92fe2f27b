"""`streamcrop.core.masks`: a mask gives a part of itself as if it had been made whole."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streamcrop.core.masks import Patch, Polygon, dense_masks
from streamcrop.core.values import Corners

Size = tuple[int, int]


@st.composite
def boxes_in(draw: st.DrawFn, resolution_wh: Size) -> Corners:
    """A box of at least one pixel inside an image."""
    width, height = resolution_wh
    x_min, y_min = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return (x_min, y_min, draw(st.integers(x_min + 1, width)), draw(st.integers(y_min + 1, height)))


def part(mask: npt.NDArray[Any], box: Corners) -> npt.NDArray[Any]:
    """A box of an array."""
    x_min, y_min, x_max, y_max = box
    return mask[y_min:y_max, x_min:x_max]


# --- polygons ------------------------------------------------------------------------------------


@st.composite
def outlines(draw: st.DrawFn, resolution_wh: Size) -> npt.NDArray[np.float64]:
    """Vertices in and around an image, now and then far away."""
    width, height = resolution_wh
    near = st.tuples(st.floats(-width, 2.0 * width), st.floats(-height, 2.0 * height))
    far = st.tuples(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5))
    vertices = st.lists(near | near | near | far, min_size=3, max_size=8)
    return np.array(draw(vertices), np.float64)


@settings(max_examples=300)
@given(st.tuples(st.integers(1, 60), st.integers(1, 60)), st.data())
def test_a_polygon_is_filled_as_on_the_whole_frame(size: Size, data: st.DataObject) -> None:
    """`Polygon.region` equals slicing a frame's `cv2.fillPoly` of truncated vertices."""
    xy = data.draw(outlines(size))
    box = data.draw(boxes_in(size))
    before = xy.copy()
    frame = np.zeros(size[::-1], np.uint8)
    cv2.fillPoly(frame, [np.trunc(xy).astype(np.int32)], 1)
    region = Polygon(xy).region(box, size)
    np.testing.assert_array_equal(region, part(frame, box))
    np.testing.assert_array_equal(xy, before)


@pytest.mark.parametrize(
    ("xy", "box", "cost"),
    [
        # 4 x 3 pixels and two edges of three lines; the box adds to the canvas, the frame ends it.
        ([(1, 1), (4, 1), (4, 4), (1, 4)], (2, 2, 3, 3), 16 + 20 * 6),
        ([(1, 1), (4, 1), (4, 4), (1, 4)], (0, 0, 10, 10), 100 + 20 * 6),
        ([(-9, -9), (30, -9), (30, 30), (-9, 30)], (2, 2, 3, 3), 100 + 20 * 20),
        ([(1, 20), (4, 20), (4, 40)], (2, 2, 3, 3), 4 * 8),
    ],
)
def test_what_a_polygon_costs(xy: Any, box: Corners, cost: int) -> None:
    """Its canvas, and each line that an edge of it crosses there, by its vertices alone."""
    assert Polygon(np.array(xy, np.float64)).cost(box, (10, 10)) == cost


@pytest.mark.parametrize(
    ("xy", "box", "rows"),
    [
        ([(1, 1), (4, 1), (4, 3), (1, 3)], (0, 0, 6, 4), ["000000", "011110", "011110", "011110"]),
        ([(1.9, 1.9), (4.9, 1.9), (4.9, 3.9), (1.9, 3.9)], (3, 2, 6, 4), ["110", "110"]),
        ([(-0.9, -0.9), (2, -0.9), (2, 0.9), (-0.9, 0.9)], (0, 0, 4, 2), ["1110", "0000"]),
        ([(-50, -50), (60, -50), (60, 60), (-50, 60)], (2, 1, 4, 3), ["11", "11"]),
        ([(-9, 0), (-5, 0), (-5, 3)], (0, 0, 3, 1), ["000"]),
        ([(20, 20), (30, 20), (30, 30)], (0, 0, 3, 1), ["000"]),
        ([(-1e30, -1e30), (1e30, -1e30), (1e30, 1e30), (-1e30, 1e30)], (0, 0, 2, 1), ["11"]),
    ],
)
def test_a_polygon_by_hand(xy: Any, box: Corners, rows: list[str]) -> None:
    """Vertices are truncated towards zero and belong to the object; far ones do not overflow."""
    region = Polygon(np.array(xy)).region(box, (6, 4))
    assert ["".join(map(str, row)) for row in region.tolist()] == rows
    assert region.dtype == np.uint8


# --- patches -------------------------------------------------------------------------------------


@given(
    arrays(
        st.sampled_from([np.bool_, np.uint8, np.float32]),
        st.tuples(st.integers(1, 8), st.integers(1, 8)),
        elements=st.sampled_from([0, 1]),
    ),
    st.tuples(st.integers(0, 24), st.integers(0, 24)),
    boxes_in((32, 32)),
)
def test_a_patch_is_cut_as_if_it_were_whole(
    pixels: npt.NDArray[Any], origin: tuple[int, int], box: Corners
) -> None:
    """What is not known of the frame is 0, wherever the patch lies, also beside the box."""
    x, y = origin
    frame = np.zeros((32, 32), np.uint8)
    frame[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    patch = Patch(pixels, origin)
    cut = patch.cut(box)
    np.testing.assert_array_equal(cut.pixels, part(frame, box))
    assert cut.origin == box[:2]
    assert cut.pixels.dtype == np.uint8
    assert not np.shares_memory(cut.pixels, pixels)
    np.testing.assert_array_equal(patch.region(box, (32, 32)), part(frame, box))


def test_a_patch_is_zero_or_one() -> None:
    """Whatever number stands for inside, the mask says 1."""
    assert Patch(np.array([[0, 7, 255]])).region((0, 0, 3, 1), (3, 1)).tolist() == [[0, 1, 1]]


def test_whole_masks_are_views() -> None:
    """Masks of the image's size are taken without a copy, none as none."""
    masks = np.zeros((2, 4, 6), bool)
    patches = dense_masks(masks, (6, 4))
    assert [patch.origin for patch in patches] == [(0, 0), (0, 0)]
    assert all(np.shares_memory(patch.pixels, masks) for patch in patches)
    assert dense_masks(np.zeros((0, 4, 6), bool), (6, 4)) == []


@pytest.mark.parametrize("shape", [(4, 6), (2, 6, 4), (2, 4, 5), (2, 4, 6, 1)])
def test_masks_of_another_size_are_refused(shape: tuple[int, ...]) -> None:
    """A mask that does not fit the image is the caller's mistake."""
    with pytest.raises(ValueError, match=r"masks must have the image's size \(n, 4, 6\)"):
        dense_masks(np.zeros(shape, bool), (6, 4))
