"""`streamcrop.formats.coordinates`: which keys of a prediction move, and how."""

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.formats.coordinates import Point, moved
from streamcrop.formats.settle import settled

BOX = {"x": 5, "y": 4, "width": 2, "height": 4}
FULL = {
    **BOX,
    "points": [{"x": 1, "y": 2, "z": 3}, {"x": 4, "y": 2}, {"x": 4, "y": 6}],
    "keypoints": [{"x": 3, "y": 5, "confidence": 0.5, "class": "nose", "class_id": 0}],
    "polygon": [[1, 2], [3, 4], [5, 6]],
    "rect": [[1, 2], [3, 2], [3, 4], [1, 4]],
    "xyxyxyxy": [[1, 2], [3, 2], [3, 4], [1, 4]],
    "parent_origin": {"offset_x": 7, "offset_y": 8, "width": 20, "height": 10, "id": "p"},
    "root_parent_origin": {"offset_x": 9, "offset_y": 1, "width": 40, "height": 50},
    "landmarks": [{"x": 1, "y": 2}],
    "class": "person",
    "parent_id": "image",
    "unknown": {"x": 1, "deep": [1, None, {"x": 2}]},
    "detection_id": "a",
}


# By key, what it says of the box from (4, 2) to (6, 6) in a detector's image of 20 x 10, what that
# is in a frame of 40 x 30, and in a crop of it that begins at (8, 6).
Case = tuple[str, Any, Any, Any]
NAMED = {"x1": 4, "y1": 2, "x2": 6, "y2": 6}
MOVES: list[Case] = [
    (
        "landmarks",
        [{"x": 5, "y": 3, "c": 1}],
        [{"x": 10, "y": 9, "c": 1}],
        [{"x": 2, "y": 3, "c": 1}],
    ),
    ("landmarks", [[5, 3], [4, 2, 0.5]], [[10, 9], [8, 6, 0.5]], [[2, 3], [0, 0, 0.5]]),
    ("landmarks", [None, [None, None]], [None, [None, None]], [None, [None, None]]),
    ("keypoints", [{"x": None, "y": None}], [{"x": None, "y": None}], [{"x": None, "y": None}]),
    (
        "keypoints",
        {"x": [5, None], "y": [3, None], "visible": [0.9, 0]},
        {"x": [10, None], "y": [9, None], "visible": [0.9, 0]},
        {"x": [2, None], "y": [3, None], "visible": [0.9, 0]},
    ),
    ("polygon", [[4, 2], [6, 2], [6, 6]], [[8, 6], [12, 6], [12, 18]], [[0, 0], [4, 0], [4, 12]]),
    ("segmentation", [[4, 2, 6, 2, 6, 6]], [[8, 6, 12, 6, 12, 18]], [[0, 0, 4, 0, 4, 12]]),
    ("segmentation", [4, 2, 6, 2, 6, 6], [8, 6, 12, 6, 12, 18], [0, 0, 4, 0, 4, 12]),
    ("segmentation", [[4, 2], [6, 6]], [[8, 6], [12, 18]], [[0, 0], [4, 12]]),
    ("segmentation", [], [], []),
    (
        "segments",
        {"x": [4, 6], "y": [2, 6]},
        {"x": [8, 12], "y": [6, 18]},
        {"x": [0, 4], "y": [0, 12]},
    ),
    ("bbox", [4, 2, 6, 6], [8, 6, 12, 18], [0, 0, 4, 12]),
    ("bbox", [4, 2, 2, 4], [8, 6, 4, 12], [0, 0, 4, 12]),
    ("bbox", [5, 4, 2, 4], [10, 12, 4, 12], [2, 6, 4, 12]),
    ("xyxy", [4.4, 1.8, 6.2, 5.9], [8.8, 5.4, 12.4, 17.7], [0.8, -0.6, 4.4, 11.7]),
    ("box", {**NAMED, "angle": 7}, {"x1": 8, "y1": 6, "x2": 12, "y2": 18, "angle": 7}, None),
    (
        "box",
        {"xc": 5, "yc": 4, "width": 2, "height": 4},
        {"xc": 10, "yc": 12, "width": 4, "height": 12},
        None,
    ),
    ("bbox", {"left": 4, "top": 2, "w": 2, "h": 4}, {"left": 8, "top": 6, "w": 4, "h": 12}, None),
    (
        "bbox",
        {"xmin": 4, "ymin": 2, "xmax": 6, "ymax": None},
        {"xmin": 8, "ymin": 6, "xmax": 12, "ymax": None},
        None,
    ),
    ("box", {"l": 4, "t": 2, "r": 6, "b": 6}, {"l": 8, "t": 6, "r": 12, "b": 18}, None),
    (
        "bbox",
        {"topleftx": 4, "toplefty": 2, "bottomrightx": 6, "bottomrighty": 6},
        {"topleftx": 8, "toplefty": 6, "bottomrightx": 12, "bottomrighty": 18},
        None,
    ),
    ("x1", 4, 8, 0),
    ("y2", 6, 18, 12),
    ("x3", 3, 6, -2),
]


@pytest.mark.parametrize(("key", "said", "in_frame", "in_crop"), MOVES, ids=range(len(MOVES)))
def test_what_moves(key: str, said: Any, in_frame: Any, in_crop: Any) -> None:
    """Scaled to the frame, moved into a crop, and into a crop of that crop; and back."""
    row, left_out = settled({**BOX, key: said})
    assert (row[key], left_out) == (said, [])
    frame = moved(row, scale=(2, 3))
    assert frame[key] == pytest.approx(in_frame) if is_flat(in_frame) else frame[key] == in_frame
    crop = moved(frame, origin=(8, 6))
    if in_crop is not None:
        assert crop[key] == pytest.approx(in_crop) if is_flat(in_crop) else crop[key] == in_crop
    assert moved(moved(crop, origin=(1, 2)), origin=(-1, -2)) == crop
    inner, _ = settled(crop)
    assert inner == crop


def is_flat(value: object) -> bool:
    """Whether it is a list of numbers."""
    return isinstance(value, list) and all(isinstance(part, int | float) for part in value)


def test_null_and_unknown_keys_stay() -> None:
    """A null says nothing; what stands under other keys is the frame's."""
    row = {**BOX, "keypoints": None, "bbox": None, "x1": None, "other": {"x": 1}, "center": [5, 4]}
    assert settled(row) == (row, [])
    assert moved(row, scale=(2, 3), origin=(1, 1)) == {
        **row,
        "x": 9,
        "y": 11,
        "width": 4,
        "height": 12,
    }


@pytest.mark.parametrize(
    "row", [BOX, {**BOX, "points": None, "keypoints": [], "polygon": None, "parent_origin": None}]
)
def test_moved_empty(row: dict[str, Any]) -> None:
    """What is not there, null or empty is not made up."""
    assert moved(row, origin=(3, 1)) == {**row, "x": 2, "y": 3}
    assert moved(row) == row


def test_moved_into_a_crop() -> None:
    """Points move by the crop's origin, lengths do not; the parent's origin grows."""
    found = moved(FULL, origin=(3, 1))
    assert (found["x"], found["y"], found["width"], found["height"]) == (2, 3, 2, 4)
    assert found["points"][0] == {"x": -2, "y": 1, "z": 3}
    assert found["keypoints"][0]["class"] == "nose"
    assert found["polygon"] == [[-2, 1], [0, 3], [2, 5]]
    assert found["parent_origin"] == {
        "offset_x": 10,
        "offset_y": 9,
        "width": 20,
        "height": 10,
        "id": "p",
    }
    for key in ("class", "parent_id", "unknown", "detection_id"):
        assert found[key] == FULL[key]


@pytest.mark.parametrize("scale", [(1, 1), (2, 3)])
def test_inputs_are_not_modified(scale: tuple[int, int]) -> None:
    """Neither a row nor anything in it changes."""
    kept = copy.deepcopy(FULL)
    moved(FULL, scale=scale, origin=(3, 1))
    settled(FULL)
    assert kept == FULL


any_number = st.floats(-1e5, 1e5) | st.integers(-100_000, 100_000)
pair = st.tuples(any_number, any_number).map(list)
point = st.fixed_dictionaries(
    {"x": any_number, "y": any_number}, optional={"confidence": any_number}
)
origin_of = st.fixed_dictionaries(
    dict.fromkeys(("offset_x", "offset_y", "width", "height"), any_number)
)
moving_row = st.fixed_dictionaries(
    dict.fromkeys(("x", "y", "width", "height"), any_number),
    optional={
        "points": st.lists(point, max_size=4),
        "keypoints": st.lists(point, max_size=4),
        "polygon": st.lists(pair, max_size=4),
        "rect": st.lists(pair, max_size=4),
        "xyxyxyxy": st.lists(pair, max_size=4),
        "parent_origin": origin_of,
        "root_parent_origin": origin_of,
        "class": st.text(max_size=4),
    },
)


def numbers(value: object) -> list[float]:
    """All numbers of a JSON value, in order."""
    if isinstance(value, dict):
        return [found for key in sorted(value) for found in numbers(value[key])]
    if isinstance(value, list):
        return [found for part in value for found in numbers(part)]
    return [value] if isinstance(value, int | float) else []


@given(moving_row, st.tuples(st.integers(0, 65_535), st.integers(0, 65_535)))
def test_there_and_back(row: dict[str, Any], origin: tuple[int, int]) -> None:
    """Into a crop and back again restores every number within 1e-9."""
    back = moved(moved(row, origin=origin), origin=(-origin[0], -origin[1]))
    assert list(back) == list(row)
    assert numbers(back) == pytest.approx(numbers(row), rel=0, abs=1e-9)


def test_a_vertex_moves_as_a_dictionary_does() -> None:
    """To the same numbers, whole where they were whole; the row that came stays as it is."""
    places = [{"x": 7, "y": 3}, {"x": 0.1, "y": -0.0}, {"x": 1e299, "y": 1 << 62}]
    typed = [Point(**place) for place in places]
    for how in ({}, {"origin": (5, 4)}, {"scale": (1 / 3, 2), "origin": (1, 0)}):
        expected = moved({**BOX, "points": places}, **how)["points"]
        found = moved({**BOX, "points": typed}, **how)["points"]
        assert repr(msgspec.to_builtins(found)) == repr(expected)
    assert typed == [Point(**place) for place in places]
