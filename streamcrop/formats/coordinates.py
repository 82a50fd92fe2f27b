"""Which keys of a prediction hold coordinates, and how they move.

`settle.settled` looks at a row as it came, `moved` brings it into other coordinates. Both know
these keys, and no others; what stands under any other key stays as it is.

| keys | what |
|---|---|
| ``x y width height`` | the box, by its centre |
| ``points`` | the outline of the mask: `Point`, or ``{x, y}`` |
| ``keypoints landmarks`` | joints: ``{x, y}``, ``[x, y, ...]``, or lists of ``x`` and of ``y`` |
| ``polygon rect xyxyxyxy`` | ``[x, y]`` |
| ``segmentation segments`` | ``[x, y, x, y, ...]``, one or several, or lists of x and of y |
| ``bbox box xyxy`` | the box again: four numbers, or by names as ``x1``, ``left``, ``xmin`` |
| ``x1 y1`` to ``x4 y4`` | corners |
| ``parent_origin root_parent_origin`` | where an image lies in the one it was cut from |
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec

from streamcrop.formats.documents import Finite

JOINTS = ("keypoints", "landmarks")
PAIRS = ("polygon", "rect", "xyxyxyxy")
OUTLINES = ("segmentation", "segments")
BOXES = ("bbox", "box", "xyxy")
ORIGINS = ("parent_origin", "root_parent_origin")
CORNERS_X, CORNERS_Y = ("x1", "x2", "x3", "x4"), ("y1", "y2", "y3", "y4")
CORNERS = {*CORNERS_X, *CORNERS_Y}
NAMES_X = {*CORNERS_X, "x", "cx", "xc", "x_center", "xmin", "xmax", "x_min", "x_max"}
NAMES_X |= {"left", "right", "l", "r", "topleftx", "bottomrightx"}
NAMES_Y = {*CORNERS_Y, "y", "cy", "yc", "y_center", "ymin", "ymax", "y_min", "y_max"}
NAMES_Y |= {"top", "bottom", "t", "b", "toplefty", "bottomrighty"}
WIDTHS, HEIGHTS = {"width", "w"}, {"height", "h"}


_Whole: Any = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


class Point(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A vertex of an outline that says no more than where it is.

    Half of what a dictionary costs to be moved, and less to be read.
    """

    x: _Whole | Finite
    y: _Whole | Finite


class _Move(NamedTuple):
    """Scaled, then moved."""

    sx: float
    sy: float
    left: float
    top: float

    def x(self, value: Any) -> Any:
        return None if value is None else value * self.sx - self.left

    def y(self, value: Any) -> Any:
        return None if value is None else value * self.sy - self.top

    def point(self, point: Any) -> Any:
        if type(point) is dict:
            return {**point, "x": self.x(point["x"]), "y": self.y(point["y"])}
        return point and [self.x(point[0]), self.y(point[1]), *point[2:]]

    def points(self, value: Any) -> Any:
        sx, sy, left, top = self
        if value and type(value) is list and type(value[0]) is Point:
            return [Point(p.x * sx - left, p.y * sy - top) for p in value]
        try:
            # As nearly all others are.
            return [{**p, "x": p["x"] * sx - left, "y": p["y"] * sy - top} for p in value]
        except TypeError:
            pass
        return self.axes(value) if type(value) is dict else [*map(self.point, value)]

    def axes(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Lists of x and of y."""
        return {**value, "x": [*map(self.x, value["x"])], "y": [*map(self.y, value["y"])]}

    def outline(self, value: Any) -> Any:
        """In turn x and y, in one list or in several."""
        if type(value) is dict:
            return self.axes(value)
        if value and type(value[0]) is list:
            return [*map(self.outline, value)]
        return [self.y(part) if at % 2 else self.x(part) for at, part in enumerate(value)]

    def box(self, value: Any, row: Mapping[str, Any]) -> Any:
        """A box that repeats the row's own."""
        if type(value) is dict:
            return {key: self.named(key, part) for key, part in value.items()}
        a, b, c, d = value
        if differs(value, edges(row)) <= min(differs(value, way) for way in sizes(row)):
            return [self.x(a), self.y(b), self.x(c), self.y(d)]
        return [self.x(a), self.y(b), c * self.sx, d * self.sy]

    def named(self, key: str, value: Any) -> Any:
        if value is None:
            return None
        if key in NAMES_X:
            return self.x(value)
        if key in NAMES_Y:
            return self.y(value)
        return value * self.sx if key in WIDTHS else value * self.sy if key in HEIGHTS else value

    def origin(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """The parent of a crop stays the image it was, so that its origin grows."""
        return {
            **value,
            "offset_x": value["offset_x"] * self.sx + self.left,
            "offset_y": value["offset_y"] * self.sy + self.top,
            "width": value["width"] * self.sx,
            "height": value["height"] * self.sy,
        }


def edges(row: Mapping[str, Any]) -> tuple[float, ...]:
    """Left, top, right and lower edge of a row's box."""
    x, y, right, down = row["x"], row["y"], row["width"] / 2, row["height"] / 2
    return x - right, y - down, x + right, y + down


def sizes(row: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Corner or centre of a row's box, and its size: both move in the same way."""
    left, top, _, _ = edges(row)
    x, y, width, height = row["x"], row["y"], row["width"], row["height"]
    return (left, top, width, height), (x, y, width, height)


def differs(value: Sequence[float], other: Sequence[float]) -> float:
    """By how much, at most."""
    return max(abs(a - b) for a, b in zip(value, other, strict=True))


_Mover = Callable[[_Move, Any, Mapping[str, Any]], Any]
_MOVERS: dict[str, _Mover] = {
    **dict.fromkeys(("points", *JOINTS, *PAIRS), lambda move, value, _: move.points(value)),
    **dict.fromkeys(OUTLINES, lambda move, value, _: move.outline(value)),
    **dict.fromkeys(BOXES, lambda move, value, row: move.box(value, row)),
    **dict.fromkeys(CORNERS_X, lambda move, value, _: move.x(value)),
    **dict.fromkeys(CORNERS_Y, lambda move, value, _: move.y(value)),
    **dict.fromkeys(ORIGINS, lambda move, value, _: move.origin(value)),
}
MOVED = frozenset(_MOVERS)


def moved(
    row: Mapping[str, Any], *, scale: tuple[float, float] = (1, 1), origin: tuple[int, int] = (0, 0)
) -> dict[str, Any]:
    """A prediction in other coordinates: scaled, then moved into a crop that begins at ``origin``.

    What stands under other keys is kept. Run lengths are not touched: only the caller knows how
    large the image is that they are to cover.

    Args:
        row: A prediction that is settled. Not modified.
        scale: Of x and of y.
        origin: ``(x, y)``, in pixels after scaling.

    Example:
        >>> moved({"x": 30, "y": 20, "width": 4, "height": 4, "class": "a"}, origin=(28, 10))
        {'x': 2, 'y': 10, 'width': 4, 'height': 4, 'class': 'a'}
    """
    left, top = origin
    sx, sy = scale
    result = dict(row)
    result["x"], result["y"] = row["x"] * sx - left, row["y"] * sy - top
    result["width"], result["height"] = row["width"] * sx, row["height"] * sy
    if not MOVED.isdisjoint(row):
        move = _Move(sx, sy, left, top)
        for key in MOVED.intersection(row):
            if (value := row[key]) is not None:
                result[key] = _MOVERS[key](move, value, row)
    return result
