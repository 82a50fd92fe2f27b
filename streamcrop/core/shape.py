"""How a crop is shaped: the words of the options, checked when built.

Order: box, margin, aspect, min_side, round half to even, border, size. `view` puts them into a map.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, cast, get_args

import numpy as np

from streamcrop.core.align import FACE, FACE_NAMES, FACE_SIDE, Points

Border = Literal["clip", "constant", "replicate"]
Fit = Literal["letterbox", "stretch"]
Upright = Literal["nearest", "long", "corners"]
# Of a picture: 8K, and a side that JPEG, WebP and PNG hold.
MAX_SIDE = 8192
# Of a margin: ten times the box on each side.
MAX_PART = 10.0
# Less than 60: YAML reads 1:1 without quotes as 61.
MAX_ASPECT = 50.0


@dataclass(frozen=True, slots=True)
class Align:
    """Keypoints and the places that they are brought to.

    Attributes:
        names: Of the keypoints.
        places: ``(k, 2)``, where they are to lie in the crop; None: in its four corners.
        size: ``(width, height)`` of the crop.
        is_face: Whether five points without names are those of a face, in their order.
    """

    names: tuple[str, ...]
    places: Points | None
    size: tuple[int, int]
    is_face: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """How crops are shaped.

    Attributes:
        margin: Left, top, right, bottom; each a part of the box's side, or pixels.
        aspect: Width / height, or None.
        min_side: In pixels of the image.
        border: What lies outside the image.
        size: ``(width, height)`` of the crop, or None.
        fit: How the box is brought to that size.
        upright: How oriented boxes are turned; None: not.
        align: Decides instead of all these but ``border``, or None.
    """

    margin: tuple[tuple[float, bool], ...] = ((0.0, False),) * 4
    aspect: float | None = None
    min_side: float = 0.0
    border: Border = "clip"
    size: tuple[int, int] | None = None
    fit: Fit = "letterbox"
    upright: Upright | None = None
    align: Align | None = None

    @classmethod
    def of(cls, words: Mapping[str, Any]) -> "Shape | None":
        """Read the options of `CropOptions`; None where all are as nobody changed them.

        Raises:
            ValueError: Names the option that is wrong, and what was expected.

        Example:
            >>> Shape.of({"margin": [0.1, "4px", 0, 0], "aspect": "4:3"}).margin
            ((0.1, False), (4.0, True), (0.0, False), (0.0, False))
            >>> Shape.of({"margin": 0, "border": "clip"}) is None
            True
        """
        found = {name: read(words[name]) for name, read in _READERS.items() if name in words}
        size = found.get("size")
        if words.get("align") is not None:
            found["align"] = _align(words["align"], size)
            for name in ("margin", "aspect", "min_side", "upright"):
                if found.get(name) != _PLAIN_VALUES[name] and name in found:
                    msg = (
                        f"align says where the points lie, so that {name} has no meaning beside it"
                    )
                    raise ValueError(msg)
        shape = cls(**found)
        return None if shape.is_plain else shape

    @property
    def is_plain(self) -> bool:
        """True if a crop is the box, cut out."""
        margins = any(value for value, _ in self.margin)
        changed = margins or self.aspect or self.min_side or self.border != "clip"
        return not (changed or self.size or self.upright or self.align)

    def growth(self, width: float, height: float) -> tuple[float, float, float, float]:
        """By how much a box grows on its left, top, right and lower side, in pixels.

        Example:
            >>> Shape(margin=((0.1, False),) * 4, aspect=1.0).growth(100, 50)
            (10.0, 35.0, 10.0, 35.0)
        """
        sides = (width, height, width, height)
        left, top, right, bottom = (
            value if is_pixels else value * side
            for (value, is_pixels), side in zip(self.margin, sides, strict=True)
        )
        wide, high = width + left + right, height + top + bottom
        to_wide, to_high = wide, high
        if self.aspect is not None:
            to_wide, to_high = max(wide, high * self.aspect), max(high, wide / self.aspect)
            if min(to_wide, to_high) < self.min_side:
                to_wide = self.min_side * max(1.0, self.aspect)
                to_high = self.min_side * max(1.0, 1 / self.aspect)
        to_wide, to_high = max(to_wide, self.min_side), max(to_high, self.min_side)
        more_x, more_y = (to_wide - wide) / 2, (to_high - high) / 2
        return left + more_x, top + more_y, right + more_x, bottom + more_y

    def placed(self, width: float, height: float) -> tuple[int, int, int, int]:
        """Where a picture lies in the crop of `size` that shows it: a half-open box.

        Example:
            >>> Shape(size=(224, 224)).placed(100, 51)
            (0, 55, 224, 169)
        """
        to_wide, to_high = cast("tuple[int, int]", self.size)
        if self.fit == "stretch":
            return 0, 0, to_wide, to_high
        scale = min(to_wide / width, to_high / height)
        wide, high = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (to_wide - wide) // 2, (to_high - high) // 2
        return left, top, left + wide, top + high


def is_number(value: Any) -> bool:
    """True for a finite number; true and false are none."""
    return type(value) is not bool and isinstance(value, Real) and math.isfinite(value)


def _is_list(value: Any, count: int) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) == count


def _margin(value: Any) -> tuple[tuple[float, bool], ...]:
    sides = value if _is_list(value, 4) else [value] * 4
    return tuple(map(_side, sides))


def _side(value: Any) -> tuple[float, bool]:
    try:
        if isinstance(value, str) and value.endswith("px"):
            number, is_pixels, most = float(value[:-2]), True, float(MAX_SIDE)
        else:
            number, is_pixels, most = value, False, MAX_PART
        if is_number(number) and 0 <= number <= most:
            return float(number), is_pixels
    except ValueError:
        pass
    msg = (
        f"margin {value!r:.80}: a side is a part of the box from 0 to {MAX_PART:g}, or pixels as "
        f"'12px', up to {MAX_SIDE}; one, or [left, top, right, bottom]"
    )
    raise ValueError(msg)


def _aspect(value: Any) -> float | None:
    number = value
    if isinstance(value, str) and value.count(":") == 1:
        try:
            width, height = map(float, value.split(":"))
            number = width / height
        except (ValueError, ZeroDivisionError):
            number = None
    if value is not None and not (is_number(number) and 1 / MAX_ASPECT <= number <= MAX_ASPECT):
        msg = f"aspect {value!r:.80}: width / height, as 1 or '4:3' in quotes, from 1/50 to 50"
        raise ValueError(msg)
    return number if number is None else float(number)


def _min_side(value: Any) -> float:
    if value is None:
        return 0.0
    if not is_number(value) or not 0 < value <= MAX_SIDE:
        msg = f"min_side must be pixels, above 0 and up to {MAX_SIDE}, not {value!r:.80}"
        raise ValueError(msg)
    return float(value)


def _size(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    whole = _is_list(value, 2) and all(is_number(side) and side == int(side) for side in value)
    if not whole or not all(0 < side <= MAX_SIDE for side in value):
        msg = f"size must be [width, height], whole pixels from 1 to {MAX_SIDE}, not {value!r:.80}"
        raise ValueError(msg)
    return int(value[0]), int(value[1])


def _word(option: str, kind: Any) -> Any:
    def read(value: Any) -> Any:
        if value not in get_args(kind):
            msg = f"{option} must be one of {', '.join(get_args(kind))}, not {value!r:.80}"
            raise ValueError(msg)
        return value

    return read


def _upright(value: Any) -> Upright | None:
    if value is False or value is None:
        return None
    return "nearest" if value is True else _word("upright", Upright)(value)


def _align(value: Any, size: tuple[int, int] | None) -> Align:
    kinds = value.keys() - {"size"} if isinstance(value, Mapping) else set()
    if len(kinds) != 1 or (kind := kinds.pop()) not in _ALIGNS:
        raise ValueError(
            "align must have one of template: face, points: {name: [x, y]} and "
            "quad: [name, name, name, name], and a size"
        )
    size = _size(value.get("size")) or size
    if size is None and kind != "template":
        raise ValueError("align must have a size: [width, height]")
    return cast("Align", _ALIGNS[kind](value[kind], size))


def _template(value: Any, size: tuple[int, int] | None) -> Align:
    if value != "face":
        msg = f"align knows the template face, not {value!r:.80}"
        raise ValueError(msg)
    size = size or (FACE_SIDE, FACE_SIDE)
    return Align(FACE_NAMES, FACE * np.array(size) / FACE_SIDE, size, is_face=True)


def _points(value: Any, size: tuple[int, int]) -> Align:
    pairs = value.values() if isinstance(value, Mapping) else ()
    is_pair = [_is_list(pair, 2) and all(map(is_number, pair)) for pair in pairs]
    if len(is_pair) < 2 or not all(is_pair):
        raise ValueError("align.points must be two or more places {name: [x, y]}, all numbers")
    _check_names(value)
    places = np.array([*pairs], np.float64)
    around = places - places.mean(0)
    # The smaller singular value is how far they leave one line, the larger how far one point.
    spread = np.linalg.svd(around, compute_uv=False)
    if spread[0] < 1 or (len(places) > 2 and spread[1] < spread[0] / 100):
        raise ValueError("align.points lie in one point or on one line, so that they fix no turn")
    if np.abs(places).max() > 2 * MAX_SIDE:
        raise ValueError("align.points lie far outside any crop")
    return Align(tuple(value), places, size)


def _quad(value: Any, size: tuple[int, int]) -> Align:
    if not _is_list(value, 4) or len({*map(str, value)}) != 4:
        raise ValueError("align.quad must be four names: top left, top right, bottom right, left")
    _check_names(value)
    return Align(tuple(value), None, size)


def _check_names(names: Any) -> None:
    if not all(isinstance(name, str) and name for name in names):
        raise ValueError("align needs names of keypoints that are text")


_ALIGNS: dict[str, Any] = {"template": _template, "points": _points, "quad": _quad}
_READERS: dict[str, Any] = {
    "margin": _margin,
    "aspect": _aspect,
    "min_side": _min_side,
    "border": _word("border", Border),
    "size": _size,
    "fit": _word("fit", Fit),
    "upright": _upright,
}
_PLAIN_VALUES = {"margin": ((0.0, False),) * 4, "aspect": None, "min_side": 0.0, "upright": None}
