"""`streamcrop.core.seen`: columns that a view needs, and those that go through it."""

from typing import Any

import numpy as np
import pytest
import supervision as sv

from streamcrop.core.background import CropOptions
from streamcrop.core.columns import TRANSLATIONS
from streamcrop.core.interop import crop_and_translate
from streamcrop.core.runs import Rle
from streamcrop.core.seen import SEEN, parts_of
from streamcrop.core.view import View
from streamcrop.core.warp import mask_through

WIDTH, HEIGHT = 60, 40
HALF = View(np.diag([0.5, 0.5, 1.0]), (30, 20), (0, 0, 30, 20), box=(0, 0, 60, 40))
PLAIN = View(
    np.array([[1.0, 0, -5], [0, 1, 3], [0, 0, 1]]), (9, 8), (0, 0, 9, 8), box=(5, -3, 14, 5)
)
CORNERS = [[10, 10], [30, 10], [30, 20], [10, 20]]


def column(*rows: Any) -> np.ndarray[Any, Any]:
    """An object array of rows of any shape."""
    made = np.empty(len(rows), object)
    made[:] = rows
    return made


def test_all_that_moves_goes_through_a_view() -> None:
    """The keys of both tables are the same."""
    assert SEEN.keys() == TRANSLATIONS.keys() | {"rle_mask"}


@pytest.mark.parametrize("key", ["keypoints_xy", "polygon", "xyxyxyxy", "rect"])
def test_points(key: str) -> None:
    """Of one array, or of rows of unequal length."""
    halved = [[5, 5], [15, 5], [15, 10], [5, 10]]
    for values in (np.array([CORNERS]), column(np.array(CORNERS)), column(CORNERS)):
        found = SEEN[key](values, HALF, (WIDTH, HEIGHT))
        assert np.array(found.tolist()).tolist() == [halved]


def test_sizes_and_parents() -> None:
    """A crop has its own size; where it begins in its parent only a plain one can say."""
    size = np.array([[HEIGHT, WIDTH]])
    assert SEEN["image_dimensions"](size, HALF, (WIDTH, HEIGHT)).tolist() == [[20, 30]]
    for key in ("parent_coordinates", "root_parent_coordinates"):
        assert SEEN[key](np.array([[7, 7]]), PLAIN, (WIDTH, HEIGHT)).tolist() == [[12, 4]]
        assert SEEN[key](np.array([[7, 7]]), HALF, (WIDTH, HEIGHT)).tolist() == [None]


@pytest.mark.parametrize("form", ["text", "bytes", "integers"])
def test_run_lengths_keep_their_form(form: str) -> None:
    """And cover the crop as its mask does."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:20, 10:31] = 1
    value = Rle.of(mask).as_json(compressed=form != "integers")
    if form == "bytes":
        value["counts"] = value["counts"].encode()
    [found] = SEEN["rle_mask"](column({**value, "note": 1}), HALF, (WIDTH, HEIGHT))
    assert type(found["counts"]) is type(value["counts"])
    assert (found["size"], found["note"]) == ([20, 30], 1)
    expected = mask_through(Rle.of(mask), HALF, (WIDTH, HEIGHT))
    assert np.array_equal(Rle.parse(found).pixels(), expected)


def test_parts_of_detections() -> None:
    """Each row has its own; what was not seen has no place."""
    parts = parts_of(
        {
            "xyxyxyxy": np.array([CORNERS, CORNERS]),
            "keypoints_xy": column(np.array([[1.0, 2], [3, 4]]), np.array([[5.0, 6]])),
            "keypoints_class_name": column(["nose", "ear"], ["nose"]),
            "keypoints_confidence": column(np.array([0.5, 0.0]), np.array([1.0])),
        },
        2,
    )
    assert [None if each is None else each.tolist() for each in parts.corners] == [CORNERS] * 2
    first, second = parts.keypoints
    assert first is not None
    assert second is not None
    assert (first.names, second.names) == (("nose", "ear"), ("nose",))
    assert np.array_equal(first.xy, [[1, 2], [np.nan, np.nan]], equal_nan=True)
    assert second.xy.tolist() == [[5, 6]]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"xyxyxyxy": None, "keypoints_xy": [None]},
        {"xyxyxyxy": [[1, 2, 3]], "keypoints_xy": ["nowhere"]},
        {"xyxyxyxy": [[[1, 2]] * 5], "keypoints_xy": [[[1, 2, 3]] * 3]},
        {"xyxyxyxy": [CORNERS] * 2, "keypoints_xy": [[[1, 2]]], "keypoints_confidence": [[0, 1]]},
    ],
)
def test_what_cannot_be_read_is_none(data: dict[str, Any]) -> None:
    """So that a shape that needs it refuses the row."""
    parts = parts_of(data, 1)
    assert list(parts.corners) == [None]
    assert list(parts.keypoints) == [None]


def test_keypoints_without_names() -> None:
    """They have none; what was not changed is the caller's."""
    xy = np.array([[[1.0, 2]]])
    [joints] = parts_of({"keypoints_xy": xy, "keypoints_confidence": [[0]]}, 1).keypoints
    assert joints is not None
    assert joints.names == ()
    assert xy.tolist() == [[[1, 2]]]
    assert np.isnan(joints.xy).all()
    [joints] = parts_of({"keypoints_xy": xy}, 1).keypoints
    assert joints is not None
    assert joints.xy.tolist() == [[1, 2]]


def test_a_library_s_crop_in_a_shape() -> None:
    """Its detection is in the crop's coordinates, each column of it; the rest is kept."""
    image = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    mask = np.zeros((2, HEIGHT, WIDTH), bool)
    mask[:, 10:20, 10:30] = True
    detections = sv.Detections(
        xyxy=np.array([[10.0, 10, 30, 20], [0, 0, 9, 9]]),
        mask=mask,
        class_id=np.array([3, 4]),
        data={
            "detection_id": np.array(["a", "b"]),
            "xyxyxyxy": np.array([CORNERS, CORNERS]),
            "parent_coordinates": np.array([[7, 7], [7, 7]]),
            "image_dimensions": np.array([[HEIGHT, WIDTH]] * 2),
            "polygon": column(np.array([[10, 10], [30, 10], [30, 20]]), None),
            "class_name": np.array(["plate", "car"]),
        },
    )
    crops = crop_and_translate(image, detections, CropOptions(size=(40, 40), upright="corners"))
    first, second = (crop.detections for crop in crops)
    assert first.xyxy == pytest.approx(np.array([[0, 10, 40, 30]]))
    assert first.class_id is not None
    assert first.class_id.tolist() == [3]
    assert first.mask is not None
    assert first.mask.shape == (1, 40, 40)
    assert first.mask[0, 11:29].all()
    assert not first.mask[0, :9].any()
    assert first.data["xyxyxyxy"][0].tolist() == [[0, 10], [40, 10], [40, 30], [0, 30]]
    assert first.data["polygon"][0].tolist() == [[0, 10], [40, 10], [40, 30]]
    assert first.data["parent_coordinates"].tolist() == [None]
    assert first.data["image_dimensions"].tolist() == [[40, 40]]
    assert first.data["class_name"].tolist() == ["plate"]
    assert second.data["polygon"][0] is None
    again = crops[0].copy().detections
    assert again.data["xyxyxyxy"][0].tolist() == first.data["xyxyxyxy"][0].tolist()
    plain = crop_and_translate(image, detections, CropOptions(margin="5px"))
    assert plain[0].detections.data["parent_coordinates"].tolist() == [[12, 12]]
    assert plain[0].detections.xyxy.tolist() == [[5, 5, 25, 15]]
