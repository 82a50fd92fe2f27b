"""`streamcrop.formats.shown`: a prediction in a crop that is scaled, turned or in perspective."""

import copy
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.core.align import perspective
from streamcrop.core.shape import Shape
from streamcrop.core.view import View
from streamcrop.formats.coordinates import Point, moved
from streamcrop.formats.shown import corners_of, keypoints_of, parts_of, shown

BOX = {"x": 50, "y": 40, "width": 20, "height": 12}
# By key, a value, and its places in order; they are those that must be found again.
PLACES: list[tuple[str, Any]] = [
    ("points", [{"x": 41, "y": 35}, {"x": 59, "y": 36, "z": 7}, {"x": 50, "y": 46}]),
    ("keypoints", [{"x": 44, "y": 37, "class": "nose", "confidence": 0.5}]),
    ("keypoints", {"x": [44, 50], "y": [37, 38], "visible": [0.9, 1]}),
    ("landmarks", [[44, 37], [50, 38, 0.5]]),
    ("polygon", [[41, 35], [59, 36], [50, 46]]),
    ("rect", [[40, 34], [60, 34], [60, 46], [40, 46]]),
    ("xyxyxyxy", [[45, 34], [60, 39], [55, 46], [40, 41]]),
    ("segmentation", [41, 35, 59, 36, 50, 46]),
    ("segmentation", [[41, 35, 59, 36, 50, 46], [44, 40, 45, 40, 45, 41]]),
    ("segments", {"x": [41, 59], "y": [35, 36]}),
    ("box", {"x1": 45, "y1": 34, "x2": 60, "y2": 39, "x3": 55, "y3": 46, "x4": 40, "y4": 41}),
]


def turned(scale: float, angle: float, x: float, y: float) -> View:
    """A view that keeps angles."""
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return View(np.array([[cos, sin, x], [-sin, cos, y], [0, 0, 1]]), (90, 80), (0, 0, 90, 80))


def stretched() -> View:
    """A view of a box that does not."""
    return View(
        np.array([[3.0, 0, -90], [0, 0.5, -10], [0, 0, 1]]),
        (90, 10),
        (0, 0, 90, 10),
        box=(30, 20, 60, 40),
    )


def from_the_side() -> View:
    """A view that keeps no parallels."""
    matrix = perspective(np.array([[30.0, 20], [80, 25], [75, 60], [28, 50]]), (90, 80))
    assert matrix is not None
    return View(matrix, (90, 80), (0, 0, 90, 80))


views = st.one_of(
    st.builds(turned, st.floats(0.1, 9), st.floats(-4, 4), st.floats(-99, 99), st.floats(-99, 99)),
    st.just(stretched()),
    st.just(from_the_side()),
)


def places(value: Any) -> list[float]:
    """All places in order, x and y in turn."""
    if type(value) is dict and type(value.get("x")) is list:
        return [side for pair in zip(value["x"], value["y"], strict=True) for side in pair]
    if type(value) is dict:
        return [side for key, side in value.items() if key[0] in "xy"]
    if type(value[0]) in {int, float}:
        return list(value[:2]) if len(value) < 4 else list(value)
    return [side for part in value for side in places(part)]


@given(views, st.sampled_from(PLACES))
def test_every_point_goes_through_the_view(view: View, case: tuple[str, Any]) -> None:
    """Exactly, and comes back within a thousandth of a pixel; what else it says stays."""
    key, value = case
    row = {**BOX, key: value, "class": "car", "detection_id": "d"}
    before = copy.deepcopy(row)
    found = shown(row, view)
    assert row == before
    came = np.array(places(value), np.float64).reshape(-1, 2)
    went = np.array(places(found[key]), np.float64).reshape(-1, 2)
    assert went == pytest.approx(view.points(came), abs=1e-9)
    assert view.back(went) == pytest.approx(came, abs=1e-3)
    assert (found["class"], found["detection_id"]) == ("car", "d")
    assert type(found[key]) is type(value)


@given(views)
def test_a_box_becomes_the_hull_of_its_corners(view: View) -> None:
    """In each form that repeats it."""
    left, top, right, bottom = hull = view.xyxy(np.array([40.0, 34, 60, 46])).tolist()
    row = {
        **BOX,
        "bbox": [40, 34, 60, 46],
        "box": {"left": 40, "top": 34, "w": 20, "h": 12, "xc": 50, "yc": 40, "note": 1, "r": None},
        "x1": 40, "y1": 34, "x2": 60, "y2": 46,
    }  # fmt: skip
    found = shown(row, view)
    assert [found[key] for key in BOX] == pytest.approx(
        [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
    )
    assert found["bbox"] == pytest.approx(hull)
    assert [found[key] for key in ("x1", "y1", "x2", "y2")] == pytest.approx(hull)
    box = found["box"]
    assert [box["left"], box["top"], box["w"], box["h"]] == pytest.approx(
        [left, top, right - left, bottom - top]
    )
    assert (box["xc"], box["yc"]) == pytest.approx((found["x"], found["y"]))
    assert (box["note"], box["r"]) == (1, None)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [([40, 34, 20, 12], [20, 17, 10, 6]), ([50, 40, 20, 12], [25, 20, 10, 6]),
     ([40, 34, 60, 46], [20, 17, 30, 23])],
)  # fmt: skip
def test_four_numbers_keep_their_form(value: list[int], wanted: list[int]) -> None:
    """A corner or the centre with a size, or two corners."""
    half = View(np.diag([0.5, 0.5, 1.0]), (50, 40), (0, 0, 50, 40))
    assert shown({**BOX, "xyxy": value}, half)["xyxy"] == wanted


def test_a_plain_view_moves_by_whole_pixels() -> None:
    """As `coordinates.moved` does, parents and all."""
    view = View(
        np.array([[1.0, 0, -30], [0, 1, -20], [0, 0, 1]]),
        (30, 20),
        (0, 0, 30, 20),
        box=(30, 20, 60, 40),
    )
    origin = {"offset_x": 1, "offset_y": 2, "width": 3, "height": 4}
    row = {**BOX, "keypoints": [{"x": 50, "y": 40}], "parent_origin": origin}
    assert shown(row, view) == moved(row, origin=(30, 20))
    assert "parent_origin" not in shown(row, stretched())


def test_what_was_not_seen_stays_so() -> None:
    """A joint without a place gets none."""
    row = {**BOX, "keypoints": [{"x": None, "y": None}, None], "landmarks": None, "polygon": None}
    row |= {"segments": None, "bbox": None, "segmentation": []}
    found = shown(row, turned(2, 1, 0, 0))
    assert found["keypoints"] == [{"x": None, "y": None}, None]
    assert [found[key] for key in ("landmarks", "polygon", "segments", "bbox")] == [None] * 4
    assert found["segmentation"] == []


def test_a_box_that_says_its_turn_is_turned() -> None:
    """Where angles are kept; else the hull of its corners stands upright."""
    row = {**BOX, "rotation": 30, "angle": 30}
    found = shown(row, turned(2, math.radians(30), 0, 0))
    assert [found["width"], found["height"]] == pytest.approx([40, 24])
    assert [found["rotation"], found["angle"]] == pytest.approx([0, 0])
    hull = shown(row, stretched())
    corners = stretched().points(corners_of(row))
    assert [hull["width"], hull["height"]] == pytest.approx([*np.ptp(corners, 0)])
    assert (hull["rotation"], hull["angle"]) == (0, 0)


RECTANGLE = [[45, 34], [60, 39], [55, 46], [40, 41]]
NAMED = {
    f"{axis}{at}": side
    for at, xy in enumerate(RECTANGLE, 1)
    for axis, side in zip("xy", xy, strict=True)
}


@pytest.mark.parametrize(
    "said", [{"xyxyxyxy": RECTANGLE}, NAMED, {"box": NAMED}, {"xyxyxyxy": None, **NAMED}]
)
def test_corners_of_an_oriented_box(said: dict[str, Any]) -> None:
    """In each form."""
    found = corners_of({**BOX, **said})
    assert found is not None
    assert found.tolist() == RECTANGLE


@pytest.mark.parametrize(
    "said", [{}, {"xyxyxyxy": RECTANGLE[:3]}, {"rotation": None}, {"rotation": math.nan},
             {"box": [1, 2, 3, 4]}, {"angle": True}],
)  # fmt: skip
def test_what_has_no_corners(said: dict[str, Any]) -> None:
    """It is a plain box."""
    assert corners_of({**BOX, **said}) is None


@pytest.mark.parametrize(
    ("value", "names", "xy"),
    [
        (
            [{"x": 1, "y": 2, "class": "nose"}, {"x": 3, "y": 4, "name": "ear"}],
            ("nose", "ear"),
            [[1, 2], [3, 4]],
        ),
        ([{"x": 1, "y": 2, "class_id": 0}, {"x": None, "y": 4}], (), [[1, 2], None]),
        (
            [{"x": 1, "y": 2, "class": "a", "confidence": 0}, {"x": 1, "y": 2}],
            ("a", ""),
            [None, [1, 2]],
        ),
        ([[1, 2], [3, 4, 0], None, [5, 6, 0.1]], (), [[1, 2], None, None, [5, 6]]),
        (
            {"x": [1, 3], "y": [2, 4], "visible": [0.0, 1.0], "name": ["a"]},
            ("a", ""),
            [None, [3, 4]],
        ),
    ],
)
def test_joints_in_each_form(value: Any, names: tuple[str, ...], xy: list[Any]) -> None:
    """By name where they have one; without a place where they were not seen."""
    for key in ("keypoints", "landmarks"):
        found = keypoints_of({key: value})
        assert found is not None
        assert found.names == names
        wanted = np.array([[math.nan] * 2 if place is None else place for place in xy])
        assert np.array_equal(found.xy, wanted, equal_nan=True)
    assert keypoints_of({"keypoints": []}) is None
    assert keypoints_of({}) is None


def test_parts_are_read_where_they_are_needed() -> None:
    """By the shape; a refused row is empty, and has none."""
    rows = [{**BOX, "xyxyxyxy": RECTANGLE, "keypoints": [{"x": 1, "y": 2, "class": "nose"}]}, {}]
    for words, upright, aligned in (
        ({}, 0, 0),
        ({"margin": 1}, 0, 0),
        ({"upright": True}, 2, 0),
        ({"align": {"template": "face"}}, 0, 2),
    ):
        parts = parts_of(rows, Shape.of(words))
        assert (len(parts.corners), len(parts.keypoints)) == (upright, aligned)
        assert [*parts.corners, *parts.keypoints, None][-1] is None


@given(views)
def test_a_vertex_goes_where_a_dictionary_goes(view: View) -> None:
    """To the same numbers."""
    vertices = [{"x": 41, "y": 35.5}, {"x": 59.25, "y": 36}]
    expected = shown({**BOX, "points": vertices}, view)["points"]
    found = shown({**BOX, "points": [Point(**vertex) for vertex in vertices]}, view)["points"]
    assert msgspec.to_builtins(found) == expected
