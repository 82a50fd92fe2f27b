"""A prediction in the coordinates of a crop that is scaled, turned or seen from the side.

`coordinates` knows the keys; here each place goes through the crop's view. A box becomes the hull
of its moved corners, whatever form repeats it. Where an image lies in the one it was cut from
(``parent_origin``) can't say how it was turned, and is left out: `lineage` says it.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import atan2, cos, degrees, hypot, isfinite, radians, sin
from typing import Any

import numpy as np
import numpy.typing as npt

from streamcrop.core.align import HORIZON
from streamcrop.core.framing import Parts
from streamcrop.core.shape import Shape
from streamcrop.core.view import Keypoints, View
from streamcrop.formats import coordinates
from streamcrop.formats.coordinates import (
    BOXES,
    CORNERS,
    HEIGHTS,
    JOINTS,
    NAMES_X,
    NAMES_Y,
    ORIGINS,
    OUTLINES,
    PAIRS,
    WIDTHS,
    Point,
)

# By how much a box is turned around its centre, in degrees, clockwise as seen.
TURNS = ("rotation", "angle")
# Where a joint says its name, and how sure it is.
_NAMES = ("class", "class_name", "name", "label")
_SURE = ("confidence", "score", "visible", "visibility")
# By how much the two scales of a view may differ that keeps angles.
_ALIKE = 1e-9


def shown(row: Mapping[str, Any], view: View) -> dict[str, Any]:
    """A prediction of the frame, in the coordinates of a crop that shows it through a view.

    Args:
        row: A prediction that is settled (`settle.settled`). Not modified.
        view: Of the crop.

    Example:
        >>> half = View(np.diag([0.5, 0.5, 1.0]), (50, 50), (0, 0, 50, 50))
        >>> shown({"x": 30, "y": 20, "width": 4, "height": 6, "class": "a"}, half)
        {'x': 15.0, 'y': 10.0, 'width': 2.0, 'height': 3.0, 'class': 'a'}
    """
    if view.is_translation:
        return coordinates.moved(row, origin=view.origin)
    way = _Way(view)
    result = {key: value for key, value in row.items() if key not in ORIGINS}
    result.update(way.own_box(row))
    for key in (*JOINTS, *PAIRS, "points"):
        if (value := row.get(key)) is not None:
            result[key] = way.points(value)
    for key in OUTLINES:
        if (value := row.get(key)) is not None:
            result[key] = way.outline(value)
    for key in BOXES:
        if (value := row.get(key)) is not None:
            result[key] = way.box(value, row, result)
    if not CORNERS.isdisjoint(row):
        result.update(way.names({key: row[key] for key in CORNERS & row.keys()}, row, result))
    return result


class _Way:
    """The way of places through a view."""

    def __init__(self, view: View) -> None:
        self._rows: list[list[float]] = view.matrix.tolist()
        (a, b, _), (c, d, _), _ = self._rows
        turns = not view.is_perspective and hypot(a - d, b + c) <= _ALIKE * hypot(a, c)
        self._turn = (hypot(a, c), degrees(atan2(c, a))) if turns else None

    def place(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Where a point goes; one that has no place gets none."""
        if x is None or y is None:
            return None, None
        to_x, to_y, depth = (a * x + b * y + c for a, b, c in self._rows)
        depth = max(depth, HORIZON)
        return to_x / depth, to_y / depth

    def own_box(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row's box by its centre, and how it is turned."""
        turned = [key for key in TURNS if _is_number(row.get(key))]
        if turned and self._turn is not None:
            scale, angle = self._turn
            x, y = self.place(row["x"], row["y"])
            size = {key: row[key] * scale for key in ("width", "height")}
            return {"x": x, "y": y, **size, **{key: row[key] + angle for key in turned}}
        corners = [self.place(x, y) for x, y in _box_corners(row).tolist()]
        (left, right), (top, bottom) = ((min(v), max(v)) for v in zip(*corners, strict=True))
        found = {"x": (left + right) / 2, "y": (top + bottom) / 2}
        found |= {"width": right - left, "height": bottom - top}
        # A hull stands upright.
        return found | dict.fromkeys(turned, 0.0)

    def point(self, point: Any) -> Any:
        if type(point) is Point:
            return Point(*self.place(point.x, point.y))
        if type(point) is dict:
            x, y = self.place(point["x"], point["y"])
            return {**point, "x": x, "y": y}
        return point and [*self.place(point[0], point[1]), *point[2:]]

    def points(self, value: Any) -> Any:
        return self.axes(value) if type(value) is dict else [*map(self.point, value)]

    def axes(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Lists of x and of y."""
        moved = [self.place(x, y) for x, y in zip(value["x"], value["y"], strict=True)]
        return {**value, "x": [x for x, _ in moved], "y": [y for _, y in moved]}

    def outline(self, value: Any) -> Any:
        """In turn x and y, in one list or in several."""
        if type(value) is dict:
            return self.axes(value)
        if value and type(value[0]) is list:
            return [*map(self.outline, value)]
        pairs = zip(value[::2], value[1::2], strict=True)
        return [side for x, y in pairs for side in self.place(x, y)]

    def box(self, value: Any, row: Mapping[str, Any], result: Mapping[str, Any]) -> Any:
        """A box that repeats the row's own, in the form in which it does."""
        if type(value) is dict:
            return {**value, **self.names(value, row, result)}
        forms = (coordinates.edges(row), *coordinates.sizes(row))
        nearest = min(range(3), key=lambda form: coordinates.differs(value, forms[form]))
        return [*(coordinates.edges(result), *coordinates.sizes(result))[nearest]]

    def names(
        self, value: Mapping[str, Any], row: Mapping[str, Any], result: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Sides of the row's box, or its four corners, by name."""
        if "x3" in value:
            found: dict[str, Any] = {}
            for corner in "1234":
                x, y = f"x{corner}", f"y{corner}"
                moved = zip((x, y), self.place(value.get(x), value.get(y)), strict=True)
                found |= {key: side for key, side in moved if key in value}
            return found
        return {
            key: _side(key, side, row, result)
            for key, side in value.items()
            if side is not None and key in NAMES_X | NAMES_Y | WIDTHS | HEIGHTS
        }


def _side(key: str, value: float, row: Mapping[str, Any], result: Mapping[str, Any]) -> Any:
    """The side of the new box that a side of the old one is."""
    if key in WIDTHS or key in HEIGHTS:
        return result["width" if key in WIDTHS else "height"]
    axis, at = ("x", 0) if key in NAMES_X else ("y", 1)
    old, new = coordinates.edges(row), coordinates.edges(result)
    sides = (old[at], row[axis], old[at + 2])
    nearest = min(range(3), key=lambda side: abs(value - sides[side]))
    return (new[at], result[axis], new[at + 2])[nearest]


def _is_number(value: Any) -> bool:
    return type(value) in {int, float} and isfinite(value)


def _box_corners(row: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """``(4, 2)``, the corners of a row's box, top left first, clockwise."""
    angle = radians(next((row[key] for key in TURNS if _is_number(row.get(key))), 0.0))
    right, down = row["width"] / 2, row["height"] / 2
    signs = np.array([[-right, -down], [right, -down], [right, down], [-right, down]])
    turn = np.array([[cos(angle), sin(angle)], [-sin(angle), cos(angle)]])
    return np.asarray(signs @ turn + (row["x"], row["y"]))


def parts_of(rows: Iterable[Mapping[str, Any]], shape: Shape | None) -> Parts:
    """The parts of rows that a shape needs beyond their boxes; empty where it needs none."""
    corners = shape is not None and shape.upright is not None
    keypoints = shape is not None and shape.align is not None
    return Parts(
        [*map(corners_of, rows)] if corners else (), [*map(keypoints_of, rows)] if keypoints else ()
    )


def corners_of(row: Mapping[str, Any]) -> npt.NDArray[np.float64] | None:
    """The corners of a row's oriented box, ``(4, 2)``; None where it has none.

    Of ``xyxyxyxy``, of ``x1`` to ``y4``, also below ``box``, or of the box and how it is turned.

    Example:
        >>> corners_of({"x": 5, "y": 5, "width": 4, "height": 2, "rotation": 90}).round(9).tolist()
        [[6.0, 3.0], [6.0, 7.0], [4.0, 7.0], [4.0, 3.0]]
    """
    pairs = row.get("xyxyxyxy")
    if type(pairs) is list and len(pairs) == 4:
        return np.array(pairs, np.float64)
    for named in (row, row.get("box")):
        if type(named) is dict and named.keys() >= CORNERS:
            places = [(named[f"x{corner}"], named[f"y{corner}"]) for corner in "1234"]
            return np.array(places, np.float64)
    return _box_corners(row) if any(_is_number(row.get(key)) for key in TURNS) else None


def keypoints_of(row: Mapping[str, Any]) -> Keypoints | None:
    """The joints of a row; None where it has none.

    Of ``keypoints``, else of ``landmarks``, in any of their forms. One that was not seen, or whose
    confidence is 0, has no place.

    Example:
        >>> keypoints_of({"keypoints": [{"x": 3, "y": 4, "class": "nose"}]}).names
        ('nose',)
    """
    value = row.get("keypoints") or row.get("landmarks")
    if not value:
        return None
    listed: Sequence[Any] = _listed(value) if type(value) is dict else value
    joints = [joint if type(joint) is dict else _in_order(joint) for joint in listed]
    said = [[joint[key] for key in _NAMES if joint.get(key) is not None] for joint in joints]
    names, places = [str(each[0]) if each else "" for each in said], [*map(_joint_place, joints)]
    return Keypoints(tuple(names) if any(names) else (), np.array(places, np.float64))


def _listed(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Lists of x, of y and of what else, as one of joints."""
    lists = {key: each for key, each in value.items() if type(each) is list}
    count = len(value["x"])
    return [{key: each[at] for key, each in lists.items() if at < len(each)} for at in range(count)]


def _in_order(joint: Sequence[Any] | None) -> dict[str, Any]:
    return dict(zip(("x", "y", "confidence"), joint or (), strict=False))


def _joint_place(joint: Mapping[str, Any]) -> tuple[float, float]:
    x, y = joint.get("x"), joint.get("y")
    unsure = any(joint.get(key) == 0 for key in _SURE)
    return (float("nan"), float("nan")) if x is None or y is None or unsure else (x, y)
