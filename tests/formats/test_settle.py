"""`streamcrop.formats.settle`: what of a row's coordinates can be moved, and what is left out."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.errors import FormatError
from streamcrop.formats.coordinates import moved
from streamcrop.formats.settle import number, relative, settled

BOX = {"x": 5, "y": 4, "width": 2, "height": 4}
NAMED = {"x1": 4, "y1": 2, "x2": 6, "y2": 6}


@pytest.mark.parametrize(
    "more",
    [
        {"keypoints": {"x": [4, None], "y": [5, None], "visible": [1, 0]}},
        {"polygon": [[4, 2], [6, 2]], "rect": None},
        {"segmentation": [4, 2, 6, 2], "segments": [[4, 2, 6, 2], []]},
        {"segments": {"x": [4, 6], "y": [2, 3]}},
        {"bbox": [4, 2, 6, 6], "box": [4, 2, 2, 4], "xyxy": [5, 4, 2, 4]},
        {"box": {**NAMED, "score": "a", "left": None}, **NAMED},
        {"bbox": {"cx": 5, "cy": 4, "w": 2, "h": 4}},
        {"x1": 5, "y1": 6, "x3": 5, "y3": 2},
        {"parent_origin": {"offset_x": 7, "offset_y": 8, "width": 20, "height": 10, "id": "p"}},
    ],
)
def test_what_is_right_stays(more: dict[str, Any]) -> None:
    """In each form in which detectors say it."""
    row = {**BOX, **more}
    assert settled(row) == (row, [])


LEFT_OUT: list[tuple[str, Any]] = [
    ("keypoints", 7),
    ("keypoints", "null"),
    ("keypoints", [7]),
    ("keypoints", [[1]]),
    ("keypoints", {"x": [1, 2], "y": [1]}),
    ("keypoints", {"x": 1, "y": 1}),
    ("keypoints", {}),
    ("landmarks", [1, 2, 3]),
    ("polygon", [[1, 2, 3]]),
    ("polygon", [[1, None]]),
    ("rect", [{"x": 1, "y": 2}]),
    ("segmentation", {"size": [10, 20], "counts": "abc"}),
    ("segmentation", [1, 2, 3]),
    ("segmentation", [[1, 2], 3]),
    ("segmentation", [[[1, 2]]]),
    ("segmentation", "x"),
    ("segments", {"x": [1], "y": ["a"]}),
    ("bbox", [0, 0, 1, 1]),
    ("bbox", [0.2, 0.2, 0.3, 0.6]),
    ("bbox", [4, 2, 6]),
    ("bbox", [4, 2, 6, 6, 0.9]),
    ("bbox", [4, 2, 6, "far"]),
    ("bbox", {"angle": 1}),
    ("bbox", {"x1": 1, "x2": 2}),
    ("bbox", {"x1": "a", "y1": 1}),
    ("box", 7),
    ("x1", "a"),
    ("x1", True),
    ("x1", [4]),
    ("y4", float("nan")),
    ("parent_origin", []),
    ("parent_origin", {"offset_x": 1}),
]


@pytest.mark.parametrize(("key", "said"), LEFT_OUT, ids=range(len(LEFT_OUT)))
def test_what_cannot_be_moved_is_left_out(key: str, said: object) -> None:
    """It would pass as the crop's; the row stays."""
    assert settled({**BOX, key: said, "class": "a"}) == ({**BOX, "class": "a"}, [key])


# A box of 30 x 40 pixels in an image of 1000 x 1000, and what says the same relative to it.
IN_PIXELS = {"x": 350, "y": 100, "width": 30, "height": 40}
RELATIVE: list[tuple[str, Any]] = [
    ("bbox", {"xmin": 0.335, "ymin": 0.08, "xmax": 0.365, "ymax": 0.12}),
    ("box", {"cx": 0.35, "cy": 0.1, "w": 0.03, "h": 0.04}),
    ("xyxy", {"cx": 350, "cy": 100, "w": 0.03, "h": 40}),
    ("bbox", {"x": 350, "y": 100, "width": 30, "height": 0.04}),
    ("bbox", {"x1": 0.335, "y1": 0.08, "x2": 0.365, "y2": 0.12}),
    ("bbox", {"x1": 670, "y1": 160, "x2": 730, "y2": 240}),
    ("bbox", {"x1": 0.3, "y1": 0.1, "x2": 0.4, "y2": 0.1, "x3": 0.4, "y3": 0.1}),
    ("x1", 0.335),
    ("y4", 0.12),
    ("x2", 730),
    ("polygon", [[0.335, 0.08], [0.365, 0.08], [1, 0]]),
    ("xyxyxyxy", [[0.335, 0.08], [0.365, 0.08], [0.365, 0.12]]),
    ("segmentation", [0.335, 0.08, 0.365, 0.08, 0.365, 0.12]),
    ("segmentation", [[0.335, 0.08], [0.365, 0.08]]),
    ("segments", {"x": [0.335, 0.365], "y": [0.08, 0.12]}),
    ("keypoints", [{"x": 0.34, "y": 0.09}, {"x": None, "y": None}]),
    ("keypoints", {"x": [0.34, 0], "y": [0.09, 0], "visible": [2, 0]}),
    ("landmarks", [[0.34, 0.09, 2], None]),
]


@pytest.mark.parametrize(("key", "said"), RELATIVE, ids=range(len(RELATIVE)))
def test_what_is_relative_beside_a_box_in_pixels_is_left_out(key: str, said: object) -> None:
    """Moved as pixels it would be another place; and so would pixels of another image."""
    places = {key} - {"bbox", "box", "xyxy", "x1", "x2", "y4"}
    assert relative({**IN_PIXELS, "rect": [[9, 9]], key: said}) == [*places]
    assert settled({**IN_PIXELS, key: said}) == (IN_PIXELS, [key])


@pytest.mark.parametrize(
    "row",
    [
        {"x": 0.35, "y": 0.1, "width": 0.03, "height": 0.04, "landmarks": [[0.35, 0.1]]},
        {**IN_PIXELS, "landmarks": [[0, 0, 0.0], [0, 0, 0.0]]},
        {**IN_PIXELS, "landmarks": [[0.5, 0.5], [340, 90]]},
        {**IN_PIXELS, "polygon": [], "segments": {"x": [], "y": []}},
        {**IN_PIXELS, "x1": 325, "y1": 100, "x2": 350, "y2": 75, "x3": 375, "y3": 100},
        {**IN_PIXELS, "bbox": {"x1": 325, "y1": 100, "x3": 375, "y3": 100}},
    ],
    ids=range(6),
)
def test_what_is_as_its_box_stays(row: dict[str, Any]) -> None:
    """Both relative; joints that nobody saw, at 0; a box that is turned around its middle."""
    assert settled(row) == (row, [])


def test_joints_that_were_not_seen_keep_their_place() -> None:
    """Null for both, whichever of them is none."""
    nan = float("nan")
    joints = [{"x": nan, "y": 3, "class": "a"}, {"y": 3}, {"x": 1, "y": "2"}, {"x": 1e301, "y": 1}]
    row, left_out = settled(
        {**BOX, "keypoints": joints, "landmarks": [[nan, 1, 0.5], None, [1, 2]]}
    )
    assert left_out == []
    assert [(joint["x"], joint["y"]) for joint in row["keypoints"]] == [
        (None, None),
        (None, None),
        (1, 2),
        (None, None),
    ]
    assert row["keypoints"][0]["class"] == "a"
    assert row["landmarks"] == [[None, None, 0.5], None, [1, 2]]


@pytest.mark.parametrize(
    ("value", "expected"), [(7, 7), (-1.5, -1.5), ("12.5", 12.5), ("-1e3", -1000)]
)
def test_numbers(value: object, expected: float) -> None:
    """A number is one, also as text; integers stay integers."""
    assert number(value) == expected
    assert type(number(value)) is type(expected) or isinstance(value, str)


@pytest.mark.parametrize(
    "value",
    [None, True, "", "a", "nan", "1e999", "1" * 5000, 1e300, -1e301, 10**400, float("nan"), [], {}],
)
def test_no_numbers(value: object) -> None:
    """Anything else is none."""
    with pytest.raises(FormatError, match="finite number"):
        number(value)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda child: (
        st.lists(child, max_size=4)
        | st.dictionaries(
            st.sampled_from(["x", "y", "x1", "y1", "left", "top", "width", "offset_x"]),
            child,
            max_size=4,
        )
    ),
    max_leaves=8,
)
KEYS = [
    "keypoints",
    "landmarks",
    "polygon",
    "rect",
    "xyxyxyxy",
    "segmentation",
    "segments",
    "bbox",
    "box",
    "xyxy",
    "x1",
    "y1",
    "x4",
    "y4",
    "parent_origin",
    "root_parent_origin",
]


@given(
    st.dictionaries(st.sampled_from(KEYS), anything, max_size=4),
    st.tuples(st.floats(0.01, 100), st.floats(0.01, 100)),
)
def test_whatever_is_settled_moves(more: dict[str, Any], scale: tuple[float, float]) -> None:
    """No value raises; what is left out is gone, and all that is left moves, and again."""
    row, left_out = settled({**BOX, **more})
    assert set(left_out) == {*more} - {*row}
    there = moved(row, scale=scale, origin=(3, 1))
    assert list(there) == list(row)
    moved(settled(there)[0], origin=(8, 8))
