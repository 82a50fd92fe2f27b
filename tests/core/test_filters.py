"""`streamcrop.core.filters`: which rows are of interest."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.core.filters import Filter

FRAME = (200, 100)
BOX = np.array([10.0, 20.0, 50.0, 60.0])
SQUARE = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]


def test_without_options_all_passes() -> None:
    """And nobody asks where it is."""
    plain = Filter()
    assert plain.passes(None, None, BOX)
    assert plain.passes("car", 0.0, BOX)
    assert plain.zones_at(BOX, FRAME) is None


@pytest.mark.parametrize(
    ("options", "name", "passes"),
    [
        ({"classes": ["car", "bus"]}, "bus", True),
        ({"classes": ["car", "bus"]}, "dog", False),
        ({"classes": ["car"]}, None, False),
        ({"classes": ["7"]}, 7, False),
        ({"not_classes": ["car"]}, "car", False),
        ({"not_classes": ["car"]}, "dog", True),
        ({"not_classes": ["car"]}, None, True),
        ({"classes": ["car"], "not_classes": ["dog"]}, "car", True),
    ],
)
def test_classes(options: dict[str, Any], name: object, passes: bool) -> None:
    """Those that are wanted, without those that are not."""
    assert Filter(**options).passes(name, 1.0, BOX) is passes


@pytest.mark.parametrize(
    ("least", "confidence", "passes"),
    [(0, None, True), (0, 0, True), (0.5, 0.5, True), (0.5, 0.49, False), (0.5, None, False),
     (0.5, math.nan, False), (1, 1, True)],
)  # fmt: skip
def test_confidence(least: float, confidence: float | None, passes: bool) -> None:
    """What nobody said is not enough."""
    assert Filter(min_confidence=least).passes("car", confidence, BOX) is passes


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        ({"min_size": (40, 40)}, True),
        ({"min_size": (40.1, 40)}, False),
        ({"min_size": (40, 41)}, False),
        ({"max_size": (40, 40)}, True),
        ({"max_size": (39, 40)}, False),
        ({"max_size": (40, 39)}, False),
        ({"min_size": (40, 40), "max_size": (40, 40)}, True),
    ],
)
def test_sizes(options: dict[str, Any], passes: bool) -> None:
    """In pixels of the frame, ends included."""
    assert Filter(**options).passes("car", 1.0, BOX) == passes


def test_the_foot_or_the_centre_decides() -> None:
    """The middle of the box's lower side, or of the box."""
    zones = {"low": [(0, 0.55), (1, 0.55), (1, 1), (0, 1)], "high": [(0, 0), (1, 0), (0, 0.59)]}
    assert Filter(zones=zones).zones_at(BOX, FRAME) == ["low"]
    assert Filter(zones=zones, zone_anchor="centre").zones_at(BOX, FRAME) == ["high"]


def test_edges_are_inside() -> None:
    """A zone to the frame's edge has the feet that stand on it, and beyond it."""
    drive = Filter(zones={"drive": [[0.1, 0.5], [1, 0.5], [1, 1], [0.1, 1]]})
    for box in ([100, 20, 140, 100], [100, 20, 140, 104], [190, 20, 300, 90], [10, 20, 30, 50]):
        assert drive.zones_at(np.array(box, np.float64), FRAME) == ["drive"]
    assert drive.zones_at(np.array([9.0, 20, 30, 50]), FRAME) == []


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_square_zone(x: float, y: float) -> None:
    """Within it, and not outside it; not asked so near to its edge that float32 decides."""
    if min(abs(place - edge) for place in (x, y) for edge in (0.1, 0.9)) < 1e-6:
        return
    box = np.array([x * 200 - 5, 0, x * 200 + 5, y * 100])
    inside = 0.1 < x < 0.9 and 0.1 < y < 0.9
    assert Filter(zones={"square": SQUARE}).zones_at(box, FRAME) == ["square"] * inside


def test_a_zone_that_is_bent() -> None:
    """Its notch is outside."""
    bent = [(0, 0), (1, 0), (1, 1), (0.5, 0.2), (0, 1)]
    rule = Filter(zones={"bent": bent}, zone_anchor="centre")
    assert rule.zones_at(np.array([95.0, 45, 105, 55]), FRAME) == []
    assert rule.zones_at(np.array([15.0, 45, 25, 55]), FRAME) == ["bent"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"classes": []}, "classes must be a list of names"),
        ({"classes": "car"}, "classes must be a list of names"),
        ({"classes": ["car", ""]}, "classes must be a list of names"),
        ({"classes": [7]}, "classes must be a list of names"),
        ({"not_classes": ["x" * 257]}, "not_classes must be a list of names"),
        ({"classes": ["car"], "not_classes": ["car"]}, "'car' stands in classes and in not_"),
        ({"min_confidence": 1.1}, "min_confidence must be"),
        ({"min_confidence": math.nan}, "min_confidence must be"),
        ({"min_confidence": True}, "min_confidence must be"),
        ({"min_size": [1]}, r"min_size must be \[width, height\]"),
        ({"min_size": [1, -1]}, "min_size must be"),
        ({"max_size": [1, math.inf]}, "max_size must be"),
        ({"max_size": "10"}, "max_size must be"),
        ({"min_size": (9, 1), "max_size": (8, 1)}, "no box has"),
        ({"zone_anchor": "head"}, "zone_anchor must be one of foot, centre"),
        ({"zones": {}}, "zones must be polygons by name"),
        ({"zones": [SQUARE]}, "zones must be polygons by name"),
        ({"zones": {"": SQUARE}}, "zones must be a list of names"),
        ({"zones": {"a": [[0, 0], [1, 1]]}}, "'a' must have 3 or more corners"),
        ({"zones": {"a": "abc"}}, "'a' must have 3 or more corners"),
        ({"zones": {"a": [[0, 0], [1, 1], [0]]}}, "'a' must have 3 or more corners"),
        ({"zones": {"a": [[0, 0], [1, 1], [0, math.nan]]}}, "'a' must have 3 or more corners"),
        ({"zones": {"a": [[0, 0], [640, 0], [0, 480]]}}, "'a' must lie within 0 to 1"),
        ({"zones": {"a": [[0, 0], [1, 1], [0.5, 0.5]]}}, "'a' lie on one line"),
    ],
)
def test_what_no_filter_is(options: dict[str, Any], text: str) -> None:
    """It is refused, by name, with what was expected."""
    with pytest.raises(ValueError, match=text):
        Filter(**options)
