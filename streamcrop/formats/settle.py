"""Looks at the coordinates of a row as it came: what of them can be moved, and what is left out."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from math import hypot
from typing import Any

from streamcrop.errors import FormatError
from streamcrop.formats.coordinates import (
    BOXES,
    CORNERS,
    HEIGHTS,
    JOINTS,
    MOVED,
    NAMES_X,
    NAMES_Y,
    ORIGINS,
    OUTLINES,
    PAIRS,
    WIDTHS,
    differs,
    edges,
    sizes,
)
from streamcrop.formats.documents import FARTHEST

_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
# By how much places may differ from the box that they repeat: rounded, and a little.
_PIXELS, _SHARE = 1.5, 0.02
_SCALED = (*JOINTS, *PAIRS, *OUTLINES)


def settled(row: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Look at the coordinates of a row that its box and mask do not need.

    A joint that was not seen, null or not finite, stays in its place with null for x and y; a
    number may be written as text.

    Args:
        row: A prediction whose box and points are numbers. Not modified.

    Returns:
        The row, and the keys that are left out, since what they say could not be moved: of a wrong
        kind, or in other coordinates than the row's box: a box or corners that are not its own,
        other places that all lie within 0 to 1 where it does not.

    Example:
        >>> box = {"x": 5, "y": 4, "width": 2, "height": 4}
        >>> row, out = settled({**box, "keypoints": [{"x": "5", "y": 3}, {"x": None}], "rect": 7})
        >>> row["keypoints"], out
        ([{'x': 5.0, 'y': 3}, {'x': None, 'y': None}], ['rect'])
    """
    result, left_out = dict(row), []
    for key in MOVED.intersection(row) - {"points"}:
        if (value := row[key]) is not None:
            try:
                result[key] = _READERS[key](value, row)
                _check_scale(key, result[key], row)
            except (FormatError, KeyError, TypeError, ValueError):
                del result[key]
                left_out.append(key)
    return result, sorted(left_out)


def relative(row: Mapping[str, Any]) -> list[str]:
    """The keys of a row of the right kinds whose places are relative where its box is not.

    Example:
        >>> box = {"x": 50, "y": 40, "width": 20, "height": 40}
        >>> relative({**box, "landmarks": [{"x": 0.5, "y": 0.4}], "rect": [[40, 20], [60, 60]]})
        ['landmarks']
    """
    return [key for key in _SCALED if row.get(key) and _is_relative(key, row[key], row)]


def number(value: Any) -> Any:
    """A finite number, which may be written as text.

    Raises:
        FormatError: `malformed`, if it is none.

    Example:
        >>> number(7), number("12.5")
        (7, 12.5)
    """
    found = float(value) if type(value) is str and _NUMBER.fullmatch(value) else value
    if type(found) in {int, float} and -FARTHEST < found < FARTHEST:
        return found
    msg = "a coordinate is a finite number"
    raise FormatError(msg)


def _seen(x: Any, y: Any) -> tuple[Any, Any]:
    try:
        return number(x), number(y)
    except FormatError:
        return None, None


def _joint(value: Any) -> Any:
    if type(value) is dict:
        x, y = _seen(value.get("x"), value.get("y"))
        return {**value, "x": x, "y": y}
    if value is None:
        return None
    x, y, *rest = _list(value)
    return [*_seen(x, y), *rest]


def _joints(value: Any, _: Any) -> Any:
    if type(value) is dict:
        pairs = [_seen(x, y) for x, y in zip(_list(value["x"]), _list(value["y"]), strict=True)]
        return {**value, "x": [x for x, _ in pairs], "y": [y for _, y in pairs]}
    return [*map(_joint, _list(value))]


def _pairs(value: Any, _: Any) -> Any:
    return [[number(x), number(y)] for x, y in map(_list, _list(value))]


def _outline(value: Any, _: Any) -> Any:
    if type(value) is dict:
        x, y = ([*map(number, _list(value[key]))] for key in "xy")
        return {**value, "x": x, "y": y}
    if _list(value) and type(value[0]) is list:
        return [*map(_in_turn, value)]
    return _in_turn(value)


def _in_turn(value: Any) -> list[Any]:
    if len(_list(value)) % 2:
        msg = "an outline has an x for each y"
        raise FormatError(msg)
    return [*map(number, value)]


def _box(value: Any, row: Mapping[str, Any]) -> Any:
    if type(value) is dict:
        places = (value.keys() & (NAMES_X | WIDTHS), value.keys() & (NAMES_Y | HEIGHTS))
        if not all(places):
            msg = "a box has places of x and of y"
            raise FormatError(msg)
        said = [key for names in places for key in names if value[key] is not None]
        found = {key: number(value[key]) for key in said}
        for key in said:
            _check_own(key, found[key], row, turned="x3" in value)
        return {**value, **found}
    four = [*map(number, _list(value))]
    if len(four) != 4:  # corners, or a place and a size
        msg = "a box is four numbers"
        raise FormatError(msg)
    if min(differs(four, way) for way in (edges(row), *sizes(row))) > _near(row):
        msg = "four numbers that are not the row's own box may be anything"
        raise FormatError(msg)
    return four


def _corner(key: str, value: Any, row: Mapping[str, Any]) -> Any:
    found = number(value)
    _check_own(key, found, row, turned="x3" in row)
    return found


def _near(row: Mapping[str, Any]) -> float:
    return _PIXELS + _SHARE * float(max(row["width"], row["height"]))


def _check_own(key: str, value: float, row: Mapping[str, Any], *, turned: bool) -> None:
    """Hold what stands below a name to the row's own box; a turned one has corners around it."""
    left, top, right, down = edges(row)
    x, y, width, height = row["x"], row["y"], row["width"], row["height"]
    if key in WIDTHS or key in HEIGHTS:
        differs = abs(value - (width if key in WIDTHS else height))
    else:
        first, middle, last = (left, x, right) if key in NAMES_X else (top, y, down)
        differs = min(abs(value - first), abs(value - middle), abs(value - last))
        if turned and key in CORNERS:
            differs = abs(value - middle) - hypot(width, height) / 2
    if differs > _near(row):
        msg = "a place that is not of the row's own box may be in any coordinates"
        raise FormatError(msg)


def _check_scale(key: str, value: Any, row: Mapping[str, Any]) -> None:
    if key in _SCALED and _is_relative(key, value, row):
        msg = "places within 0 to 1 beside a box in pixels are relative"
        raise FormatError(msg)


def _is_relative(key: str, value: Any, row: Mapping[str, Any]) -> bool:
    """True if all places lie within 0 to 1, not all at 0 as joints that nobody saw; not the box."""
    _, _, right, down = edges(row)
    if max(right, down) <= 1 + _PIXELS:
        return False
    within = all(0 <= place <= 1 for place in _places(key, value) if place is not None)
    return within and any(_places(key, value))


def _places(key: str, value: Any) -> Iterator[Any]:
    if type(value) is dict:
        value = [value["x"], value["y"]]
    elif type(value) is not list:
        yield value
        return
    for part in value:
        # Behind a joint's place stands how sure it is.
        yield from _places(key, part[:2] if key in JOINTS and type(part) is list else part)


def _origin(value: Any, _: Any) -> Any:
    keys = ("offset_x", "offset_y", "width", "height")
    return {**value, **{key: number(value[key]) for key in keys}}


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        msg = "it is no list"
        raise FormatError(msg)
    return value


_READERS: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    **dict.fromkeys(JOINTS, _joints),
    **dict.fromkeys(PAIRS, _pairs),
    **dict.fromkeys(OUTLINES, _outline),
    **dict.fromkeys(BOXES, _box),
    **{key: partial(_corner, key) for key in CORNERS},
    **dict.fromkeys(ORIGINS, _origin),
}
