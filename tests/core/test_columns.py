"""`streamcrop.core.columns`: a crop's row of each column, moved along."""

import pickle
from typing import Any

import numpy as np
import pytest
import supervision as sv

from streamcrop.core.background import CropOptions
from streamcrop.core.columns import TRANSLATIONS, Columns
from streamcrop.core.crop import Crop
from streamcrop.core.cutting import cut
from streamcrop.core.masks import Patch
from streamcrop.core.pixels import ArrayPixels
from streamcrop.core.values import Instances

WIDTH, HEIGHT = 40, 30
MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[12:15, 22:26] = True


def column(*rows: Any) -> np.ndarray[Any, Any]:
    """An object array of rows of any shape."""
    made = np.empty(len(rows), object)
    made[:] = rows
    return made


def described(row: int = 0, mask: Any = None, **data: Any) -> tuple[Crop, sv.Detections]:
    """A crop with the origin (20, 10) and its detection."""
    rows = len(next(iter(data.values()))) if data else 1
    boxes = np.array([[20.25, 10, 30, 20]] * rows)
    detections = sv.Detections(xyxy=boxes, data=data, mask=mask)
    masks = [] if mask is None else [Patch(each) for each in mask]
    found = Instances(boxes, ["a"] * rows, masks)
    pixels = ArrayPixels(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    columns = Columns.of(detections)
    crop = cut(pixels, found, CropOptions(), describe=columns)[0][row]
    return crop, columns(crop, row)


POINTS = np.array([[22.5, 11], [24, 12]])
MOVED = [[2.5, 1], [4, 2]]
RUNS = {"size": [HEIGHT, WIDTH], "counts": [22 * HEIGHT + 12, 3, (17 * HEIGHT) + 15]}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("keypoints_xy", column(POINTS), [MOVED]),
        ("keypoints_xy", POINTS[None], [MOVED]),
        ("keypoints_xy", [POINTS.tolist()], [MOVED]),
        ("polygon", column(POINTS), [MOVED]),
        ("xyxyxyxy", np.array([[[20, 10], [21, 10], [21, 12], [20, 12]]]), None),
        ("rect", POINTS[None], [MOVED]),
        ("image_dimensions", np.array([[HEIGHT, WIDTH]]), [[10, 10]]),
        ("parent_coordinates", np.array([[1, 2]]), [[21, 12]]),
        ("root_parent_coordinates", np.array([[1, 2]]), [[21, 12]]),
        ("parent_dimensions", np.array([[1, 2]]), [[1, 2]]),
        ("note", ["a"], ["a"]),
    ],
)
def test_each_key(key: str, value: Any, expected: Any) -> None:
    """Points move with the crop, the parent's and the root's places grow, all else is kept."""
    found = described(**{key: value})[1].data[key]
    rows = [row.tolist() if isinstance(row, np.ndarray) else row for row in found]
    assert rows == ([[[0, 0], [1, 0], [1, 2], [0, 2]]] if expected is None else expected)


@pytest.mark.parametrize("key", TRANSLATIONS)
@pytest.mark.parametrize("listed", [False, True])
def test_none_stays_none(key: str, listed: bool) -> None:
    """In any column that is moved, None is "has none"."""
    crop, found = described(**{key: [None] if listed else column(None)})
    assert [*found.data[key]] == [None]
    assert crop.detections.data[key][0] is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("polygon", "polygon"),
        ("keypoints_xy", [1.0, 2.0, 3.0]),
        ("keypoints_xy", {"x": 1}),
        ("rle_mask", {}),
        ("rle_mask", 7),
        ("rle_mask", {"size": [9, 9], "counts": [7]}),
        ("rect", object()),
    ],
)
def test_what_cannot_be_read_becomes_none(key: str, value: Any) -> None:
    """Left as it is it would be taken for the crop's."""
    assert [*described(**{key: column(value)})[1].data[key]] == [None]
    assert [*described(**{key: [value]})[1].data[key]] == [None]


def test_a_point_without_coordinates() -> None:
    """None within a row is not a number, and its neighbours are moved."""
    for row in ([[22.5, 11], [None, None]], np.array([[22.5, 11], [None, None]], object)):
        found = described(keypoints_xy=column(row))[1].data["keypoints_xy"][0]
        np.testing.assert_array_equal(found, [[2.5, 1], [np.nan, np.nan]])


@pytest.mark.parametrize("form", ["list", "text", "bytes"])
def test_run_lengths_keep_their_form(form: str) -> None:
    """They are cut to the crop and written as they came."""
    text = "".join(map(chr, _compressed(RUNS["counts"])))
    counts: Any = {"list": RUNS["counts"], "text": text, "bytes": text.encode()}[form]
    [found] = described(rle_mask=column({**RUNS, "counts": counts}))[1].data["rle_mask"]
    assert found["size"] == [10, 10]
    expected = [2 * 10 + 2, 3, 75]
    if form == "list":
        assert found["counts"] == expected
    else:
        packed_text = bytes(_compressed(expected))
        given = found["counts"]
        assert (given if isinstance(given, bytes) else given.encode()) == packed_text
        assert isinstance(given, bytes) == (form == "bytes")


def _compressed(counts: list[int]) -> list[int]:
    """COCO's text: differences to the count before the last, in groups of five bits."""
    codes = []
    for at, count in enumerate(counts):
        left = count - counts[at - 2] if at > 2 else count
        more = True
        while more:
            group, left = left & 31, left >> 5
            more = left != (-1 if group & 16 else 0)
            codes.append((group | 32 if more else group) + 48)
    return codes


def test_a_mask_of_the_detections() -> None:
    """It is there as booleans where the detections had masks of their own."""
    crop, found = described(mask=MASK[None])
    np.testing.assert_array_equal(found.mask, MASK[None, 10:20, 20:30])
    assert found.mask.dtype == bool
    assert crop.detections.mask.tolist() == found.mask.tolist()
    assert described()[1].mask is None


def test_one_row() -> None:
    """The columns of one row are copies, and describe it as all columns do."""
    data = {"keypoints_xy": np.array([POINTS, POINTS + 1]), "tag": ["a", "b"]}
    crop, expected = described(1, **data)
    columns = Columns.of(sv.Detections(xyxy=np.zeros((2, 4)), data=data, metadata={"x": [1]}))
    only, alone = columns.only(1), crop.copy()
    data["keypoints_xy"][:] = 0
    for made in (only(alone, 0), pickle.loads(pickle.dumps(only))(alone, 0)):  # noqa: S301  # our own
        assert made.data["tag"] == ["b"]
        np.testing.assert_array_equal(made.data["keypoints_xy"], expected.data["keypoints_xy"])
        assert (len(made), made.metadata, made.confidence) == (1, {"x": [1]}, None)


def test_crops_do_not_write_to_each_other() -> None:
    """Crops have rows of one copy: none is another's, and none is the input's."""
    data = {
        "keypoints_xy": np.array([POINTS, POINTS]),
        "polygon": column(POINTS, POINTS),
        "score": np.array([0.5, 0.5]),
        "tag": ["a", "a"],
    }
    before = {key: repr(value) for key, value in data.items()}
    first, second = (described(row, **data)[0] for row in (0, 1))
    second = Crop(second.detection_id, 1, second.box, first.original)
    expected = repr(second.copy().detections)
    for name in data:
        first.detections.data[name][0] = 7
    first.detections.xyxy[:] = 7
    assert repr(second.detections) == expected
    assert repr(first.copy().detections) == expected
    assert {key: repr(value) for key, value in data.items()} == before


def test_a_column_that_is_none_is_left_alone() -> None:
    """Nothing is moved in it."""
    detections = sv.Detections(xyxy=np.zeros((1, 4)))
    detections.data = {"polygon": None}
    crop, _ = described()
    assert Columns.of(detections)(crop, 0).data == {"polygon": None}


def test_a_row_goes_through_the_view_of_its_crop() -> None:
    """Each by itself; what can't be read is None, and what is None stays so."""
    boxes = np.array([[20.0, 10, 30, 20], [20, 10, 30, 20]])
    data = {
        "polygon": column(POINTS, "nowhere"),
        "rect": [None, POINTS],
        "note": np.array(["a", "b"]),
        "image_dimensions": np.array([[HEIGHT, WIDTH]] * 2),
    }
    detections = sv.Detections(xyxy=boxes, class_id=np.array([5, 6]), data=data)
    columns, pixels = Columns.of(detections), ArrayPixels(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    options = CropOptions(size=(20, 20))
    crops, _ = cut(pixels, Instances(boxes, ["a", "b"]), options, describe=columns)
    first, second = (crop.detections for crop in crops)
    assert first.xyxy.tolist() == [[0, 0, 20, 20]]
    assert first.data["polygon"][0].tolist() == [[5, 2], [8, 4]]
    assert first.data["rect"] == [None]
    assert first.data["image_dimensions"].tolist() == [[20, 20]]
    assert (second.class_id.tolist(), second.data["note"].tolist()) == ([6], ["b"])
    assert second.data["polygon"].tolist() == [None]
    assert second.data["rect"].tolist() == [[[5, 2], [8, 4]]]
