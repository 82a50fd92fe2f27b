"""`streamcrop.core.runs`: run lengths give a part of themselves as if they had been decoded."""

import tracemalloc
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from streamcrop.core.runs import MAX_SIDE, Rle, crop_runs, parse_runs
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


def rle_to_string(counts: Iterable[int]) -> str:
    """The reference's ``rleToString`` in plain Python."""
    counts, text = list(counts), ""
    for at, count in enumerate(counts):
        number = count - counts[at - 2] if at > 2 else count
        more = True
        while more:
            code = number & 0x1F
            number >>= 5
            more = number != (-1 if code & 0x10 else 0)
            text += chr(48 + (code | 0x20 if more else code))
    return text


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


GOOD = {"size": [2, 3], "counts": "231"}
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
    "a negative run as text": {"size": [2, 3], "counts": rle_to_string([8, -2])},
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
    text = rle_to_string([0, area])
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


@given(st.lists(st.sampled_from([*HOSTILE.values(), GOOD]), max_size=9))
def test_what_is_none_costs_no_other(values: list[Any]) -> None:
    """Of several each is read as if it were alone, and what is none says why."""
    for value, found in zip(values, parse_runs(values), strict=True):
        [alone] = parse_runs([value])
        assert repr(found) == repr(alone)
        assert isinstance(alone, Rle) == (value == GOOD)


@given(st.lists(dense(), min_size=1, max_size=5), st.booleans(), st.data())
def test_each_is_cut_as_if_it_were_alone(
    masks: list[npt.NDArray[np.uint8]], alike: bool, data: st.DataObject
) -> None:
    """Masks of one size or of several, each to a box of its own, equal slices of the pixels."""
    if alike:
        masks = [masks[0], *(scaled(mask, masks[0].shape[::-1]) for mask in masks[1:])]
    size = data.draw(sizes | st.just(masks[0].shape[::-1]))
    boxes = [data.draw(boxes_in(size)) for _ in masks]
    # What was refused has a box, too.
    masks.insert(1, masks[0])
    boxes.insert(1, data.draw(st.sampled_from([(3, 0, 3, 5), (4, 0, 2, 5), (0, 4, 5, 2)])))
    rles = [Rle.of(mask) for mask in masks]
    before = [rle.counts.copy() for rle in rles]
    for row, (mask, box, cut) in enumerate(
        zip(masks, boxes, crop_runs(rles, boxes, size), strict=True)
    ):
        if row == 1:
            assert not cut.counts.any()
            continue
        expected = part(scaled(mask, size), box)
        np.testing.assert_array_equal(cut.pixels(), expected)
        assert cut.counts.tolist() == Rle.of(expected).counts.tolist()
    for rle, counts in zip(rles, before, strict=True):
        np.testing.assert_array_equal(rle.counts, counts)
    assert crop_runs([], [], size) == []


def test_what_is_cut_together_is_written_together() -> None:
    """Texts are those of each alone, in any order and more than once."""
    rles = [Rle.of(np.tri(5 + at, dtype=np.uint8)) for at in range(3)]
    cut = crop_runs(rles, [(0, 0, 5, 5), (1, 0, 4, 5), (0, 2, 5, 3)], (9, 9))
    for rle in (*cut[::-1], *cut):
        assert rle.as_json() == Rle(rle.size, rle.counts).as_json()
