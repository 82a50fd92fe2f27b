"""`streamcrop.core.masks`: a mask gives a part of itself as if it had been made whole."""

import tracemalloc
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from streamcrop.core.masks import MAX_SIDE, Patch, Polygon, Rle, dense_masks
from streamcrop.core.values import Corners

Size = tuple[int, int]
MEGABYTE = 1 << 20
# pycocotools 2.0 speaks to NumPy as before NumPy 2.
old_numpy = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))


@st.composite
def boxes_in(draw: st.DrawFn, resolution_wh: Size) -> Corners:
    """A box of at least one pixel inside an image."""
    width, height = resolution_wh
    x_min, y_min = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return (x_min, y_min, draw(st.integers(x_min + 1, width)), draw(st.integers(y_min + 1, height)))


@st.composite
def dense(draw: st.DrawFn) -> npt.NDArray[np.uint8]:
    """A small mask of any texture, from speckles to large areas."""
    width, height = draw(sizes)
    if draw(st.booleans()):
        return draw(arrays(np.uint8, (height, width), elements=st.integers(0, 1)))
    mask = np.zeros((height, width), np.uint8)
    for x_min, y_min, x_max, y_max in draw(st.lists(boxes_in((width, height)), max_size=3)):
        mask[y_min:y_max, x_min:x_max] ^= 1
    return mask


def part(mask: npt.NDArray[Any], box: Corners) -> npt.NDArray[Any]:
    """A box of an array."""
    x_min, y_min, x_max, y_max = box
    return mask[y_min:y_max, x_min:x_max]


def scaled(mask: npt.NDArray[Any], resolution_wh: Size) -> npt.NDArray[Any]:
    """Nearest neighbour by pixel centres, pixel by pixel."""
    width, height = resolution_wh
    rows = [(2 * y + 1) * mask.shape[0] // (2 * height) for y in range(height)]
    columns = [(2 * x + 1) * mask.shape[1] // (2 * width) for x in range(width)]
    return mask[np.ix_(rows, columns)]


# --- run lengths ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        ({"size": [2, 3], "counts": [2, 3, 1]}, [2, 3, 1]),
        ({"size": (2, 3), "counts": (6,)}, [6]),
        ({"size": [2, 3], "counts": np.array([0, 6], np.uint8)}, [0, 6]),
        ({"size": [2, 3], "counts": "231"}, [2, 3, 1]),
        ({"size": [2, 3], "counts": b"231"}, [2, 3, 1]),
        ({"size": [2, 3], "counts": np.bytes_(b"231")}, [2, 3, 1]),
        ({"size": [2, 3], "counts": [0, 0, 0, 6]}, [0, 0, 0, 6]),
    ],
)
def test_every_form_of_counts_is_read(value: Any, counts: list[int]) -> None:
    """Counts come as text, bytes or integers."""
    rle = Rle.parse(value)
    assert rle.size == (2, 3)
    assert rle.counts.tolist() == counts
    assert rle.counts.dtype == np.int64


HOSTILE = {
    "nothing": None,
    "a list": [[2, 3], [6]],
    "a text": "231",
    "no size": {"counts": [6]},
    "no counts": {"size": [2, 3]},
    "one side": {"size": [6], "counts": [6]},
    "three sides": {"size": [1, 2, 3], "counts": [6]},
    "a side of text": {"size": ["2", 3], "counts": [6]},
    "a side of a float": {"size": [2.0, 3], "counts": [6]},
    "a side of a bool": {"size": [True, 6], "counts": [6]},
    "a side of zero": {"size": [0, 3], "counts": [0]},
    "a negative side": {"size": [-2, -3], "counts": [6]},
    "10^9 pixels in a row": {"size": [1, 10**9], "counts": [10**9]},
    "10^9 pixels in a column": {"size": [10**9, 1], "counts": "0000"},
    "10^9 pixels, not covered": {"size": [40_000, 25_000], "counts": [10**9 - 1]},
    "10^9 pixels as text": {"size": [40_000, 25_000], "counts": "231"},
    "a huge side": {"size": [10**30, 1], "counts": [10**30]},
    "counts of nothing": {"size": [2, 3], "counts": None},
    "counts of a number": {"size": [2, 3], "counts": 6},
    "counts of a dict": {"size": [2, 3], "counts": {"0": 6}},
    "counts of floats": {"size": [2, 3], "counts": [2.0, 4.0]},
    "counts of bools": {"size": [2, 1], "counts": [True, True]},
    "counts of texts": {"size": [2, 3], "counts": ["2", "4"]},
    "counts of lists": {"size": [2, 3], "counts": [[2, 4]]},
    "counts beside a text": {"size": [2, 3], "counts": ["x" * 100_000, *[1] * 1000]},
    "ragged counts": {"size": [2, 3], "counts": [[2], [2, 2]]},
    "no runs": {"size": [2, 3], "counts": []},
    "no text": {"size": [2, 3], "counts": ""},
    "too few": {"size": [2, 3], "counts": [2, 3]},
    "too many": {"size": [2, 3], "counts": [2, 3, 2]},
    "a negative run": {"size": [2, 3], "counts": [8, -2]},
    "a negative run as text": {"size": [2, 3], "counts": "8N"},
    "a huge run": {"size": [2, 3], "counts": [10**18, 6]},
    "a run beyond int64": {"size": [2, 3], "counts": [2**64 - 1, 7]},
    "a run beyond uint64": {"size": [2, 3], "counts": [2**80]},
    "a sum that wraps": {"size": [2, 3], "counts": [2**62, 2**62, 2**62, 2**62, 6]},
    "more runs than pixels": {"size": [2, 3], "counts": [0] * 7 + [6]},
    "a low character": {"size": [2, 3], "counts": "2/1"},
    "a high character": {"size": [2, 3], "counts": "2p1"},
    "a character of two bytes": {"size": [2, 3], "counts": "2\xe9"},
    "half a character": {"size": [2, 3], "counts": "\ud800"},
    "a text that ends within a number": {"size": [2, 3], "counts": "23Q"},
    "a number of eight characters": {"size": [2, 3], "counts": "PPPPPPP0"},
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_rle_is_refused_and_allocates_nothing(value: Any) -> None:
    """Bad runs are a `ValueError`, and what they claim is never allocated."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"RLE|codec|inhomogeneous"):
            Rle.parse(value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEGABYTE


def test_a_true_claim_allocates_nothing_either() -> None:
    """A mask of 10^9 pixels costs what the box in the frame costs."""
    tracemalloc.start()
    try:
        rle = Rle.parse({"size": [40_000, 25_000], "counts": [10**8, 9 * 10**8]})
        inside = rle.region((600, 0, 640, 480), (640, 480))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert inside.all()
    assert peak < MEGABYTE


def test_the_largest_image_is_read() -> None:
    """An image of the largest sides is within the limits, one more pixel is not."""
    area = MAX_SIDE * MAX_SIDE
    text = "0QPPloo3"  # 0, and all of them
    assert Rle.parse({"size": [MAX_SIDE, MAX_SIDE], "counts": text}).counts.tolist() == [0, area]
    with pytest.raises(ValueError, match=r"two sides from 1 to 65535"):
        Rle.parse({"size": [MAX_SIDE + 1, 1], "counts": [MAX_SIDE + 1]})


@old_numpy
@given(dense())
def test_runs_are_those_of_pycocotools(mask: npt.NDArray[np.uint8]) -> None:
    """`Rle.of` and `as_json` write what pycocotools writes, and `parse` reads it."""
    reference = coco.encode(np.asfortranarray(mask))
    rle = Rle.of(mask * 255)
    assert rle.as_json() == {"size": list(mask.shape), "counts": reference["counts"].decode()}
    parsed = Rle.parse(reference)
    assert parsed.counts.tolist() == rle.counts.tolist()
    plain = rle.as_json(compressed=False)
    assert plain["counts"] == rle.counts.tolist()
    assert coco.frPyObjects(plain, *mask.shape)["counts"] == reference["counts"]
    whole = parsed.region((0, 0, *mask.shape[::-1]), (mask.shape[1], mask.shape[0]))
    np.testing.assert_array_equal(whole, coco.decode(reference))


@old_numpy
@given(dense(), st.data())
def test_a_region_is_a_slice_of_the_whole(mask: npt.NDArray[np.uint8], data: st.DataObject) -> None:
    """`Rle.region` equals decoding all, scaling to the frame and slicing; `crop` its encoding."""
    size = data.draw(sizes | st.just(mask.shape[::-1]))
    box = data.draw(boxes_in(size))
    reference = coco.encode(np.asfortranarray(mask))
    rle = Rle.parse(reference)
    before = rle.counts.copy()
    expected = part(scaled(coco.decode(reference), size), box)
    region = rle.region(box, size)
    assert region.dtype == np.uint8
    np.testing.assert_array_equal(region, expected)
    np.testing.assert_array_equal(rle.counts, before)
    cropped = rle.crop(box, size)
    again = coco.encode(np.asfortranarray(expected))
    assert cropped.as_json() == {"size": again["size"], "counts": again["counts"].decode()}


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.data())
def test_runs_of_zero_change_nothing(counts: list[int], data: st.DataObject) -> None:
    """A run of no pixels anywhere is legal, and two changes at one place are none."""
    for at in data.draw(st.lists(st.integers(0, len(counts)), max_size=4)):
        counts[at:at] = [0, 0]
    total = sum(counts)
    height = data.draw(st.sampled_from([side for side in range(1, total + 1) if not total % side]))
    rle = Rle((height, total // height), np.array(counts))
    values = np.repeat(np.arange(len(counts)) & 1, counts)
    whole = values.reshape(-1, height).T
    size = data.draw(sizes)
    box = data.draw(boxes_in(size))
    np.testing.assert_array_equal(rle.region(box, size), part(scaled(whole, size), box))


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
