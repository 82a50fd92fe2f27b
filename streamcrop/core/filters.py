"""Which rows are of interest, by class, confidence, size and place."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

Anchor = Literal["foot", "centre"]
Zone = Sequence[Sequence[float]]
Size = Sequence[float]
MIN_CORNERS = 3
MAX_NAME = 256


@dataclass(frozen=True, slots=True)
class Filter:
    """The conditions that a row must meet to become a crop; checked when built.

    Args:
        classes: Those of interest; None: all. A row without a class is none of them.
        not_classes: Those that are of none.
        min_confidence: From 0 to 1; above 0, a row without a confidence does not have it.
        min_size: ``(width, height)`` that the box has at least, in pixels of the frame.
        max_size: ``(width, height)`` that the box has at most.
        zones: By name the corners ``(x, y)`` of a polygon, in parts of the frame's width and
            height; a row must lie in one or more. None: anywhere.
        zone_anchor: Where a row lies: at the ``foot`` of its box, the middle of the lower side, or
            at its ``centre``. A point outside the frame counts as the nearest in it.

    Raises:
        ValueError: Names the option that is wrong, and what was expected.

    Example:
        >>> rule = Filter(classes=["car"], zones={"drive": [(0, 0.5), (1, 0.5), (1, 1), (0, 1)]})
        >>> car = np.array([10.0, 10.0, 30.0, 60.0])
        >>> rule.passes("car", 0.9, car), rule.zones_at(car, (100, 100))
        (True, ['drive'])
    """

    classes: Sequence[str] | None = None
    not_classes: Sequence[str] | None = None
    min_confidence: float = 0.0
    min_size: Size | None = None
    max_size: Size | None = None
    zones: Mapping[str, Zone] | None = None
    zone_anchor: Anchor = "foot"
    _classes: frozenset[str] | None = field(init=False, repr=False, compare=False)
    _polygons: dict[str, npt.NDArray[np.float32]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        wanted = None if self.classes is None else _names("classes", self.classes)
        unwanted = _names("not_classes", self.not_classes) if self.not_classes else frozenset()
        if both := unwanted & (wanted or frozenset()):
            msg = f"{min(both)!r:.80} stands in classes and in not_classes"
            raise ValueError(msg)
        if not _is_number(self.min_confidence) or not 0 <= self.min_confidence <= 1:
            msg = f"min_confidence must be a number from 0 to 1, not {self.min_confidence!r:.80}"
            raise ValueError(msg)
        for name in ("min_size", "max_size"):
            _check_size(name, getattr(self, name))
        for least, most in zip(self.min_size or (), self.max_size or (), strict=False):
            if least > most:
                msg = f"no box has min_size {self.min_size} and max_size {self.max_size}"
                raise ValueError(msg)
        if self.zone_anchor not in get_args(Anchor):
            msg = f"zone_anchor must be one of {', '.join(get_args(Anchor))}"
            raise ValueError(msg)
        object.__setattr__(self, "_classes", wanted)
        object.__setattr__(self, "_polygons", _polygons(self.zones))

    def passes(self, name: object, confidence: float | None, xyxy: npt.NDArray[np.float64]) -> bool:
        """True if a row's class, confidence and size are of interest; its place does not count.

        Args:
            name: Of its class, or None.
            confidence: As the detector says it, or None.
            xyxy: ``(4,)``, its box in pixels of the frame.
        """
        if self._classes is not None and name not in self._classes:
            return False
        if name in (self.not_classes or ()):
            return False
        # Not `confidence < min_confidence`, which a NaN is not.
        if self.min_confidence > 0 and not (confidence or 0) >= self.min_confidence:
            return False
        size = (float(xyxy[2] - xyxy[0]), float(xyxy[3] - xyxy[1]))
        least, most = self.min_size or size, self.max_size or size
        return all(low <= side <= high for low, side, high in zip(least, size, most, strict=True))

    def zones_at(
        self, xyxy: npt.NDArray[np.float64], resolution_wh: tuple[int, int]
    ) -> list[str] | None:
        """The zones that a finite box lies in, edges included; None where there are none at all.

        Args:
            xyxy: ``(4,)``, in pixels of the frame.
            resolution_wh: ``(width, height)`` of the frame.
        """
        if self.zones is None:
            return None
        left, top, right, bottom = xyxy
        middle = bottom if self.zone_anchor == "foot" else (top + bottom) / 2
        point = [
            float(min(max(place / side, 0.0), 1.0))
            for place, side in zip(((left + right) / 2, middle), resolution_wh, strict=True)
        ]
        return [
            name
            for name, polygon in self._polygons.items()
            if cv2.pointPolygonTest(polygon, point, measureDist=False) >= 0
        ]


def _is_number(value: Any) -> bool:
    return type(value) is not bool and isinstance(value, Real) and math.isfinite(value)


def _names(option: str, names: Any) -> frozenset[str]:
    is_list = isinstance(names, Sequence) and not isinstance(names, str) and len(names) > 0
    if not is_list or not all(
        isinstance(name, str) and 0 < len(name) <= MAX_NAME for name in names
    ):
        msg = (
            f"{option} must be a list of names, each of 1 to {MAX_NAME} characters; or leave it out"
        )
        raise ValueError(msg)
    return frozenset(names)


def _check_size(option: str, size: Any) -> None:
    if size is None:
        return
    if not _is_pair(size) or min(size) < 0:
        msg = f"{option} must be [width, height] in pixels, not {size!r:.80}"
        raise ValueError(msg)


def _is_pair(value: Any) -> bool:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return is_list and len(value) == 2 and all(map(_is_number, value))


def _polygons(zones: Any) -> dict[str, npt.NDArray[np.float32]]:
    if zones is None:
        return {}
    if not isinstance(zones, Mapping) or not zones:
        raise ValueError("zones must be polygons by name, as {drive: [[0, 0.5], ...]}")
    _names("zones", [*zones])
    return {name: _polygon(name, corners) for name, corners in zones.items()}


def _polygon(name: str, corners: Any) -> npt.NDArray[np.float32]:
    is_list = isinstance(corners, Sequence) and not isinstance(corners, str)
    if not is_list or len(corners) < MIN_CORNERS or not all(map(_is_pair, corners)):
        msg = f"the zone {name!r:.80} must have {MIN_CORNERS} or more corners [x, y], all numbers"
        raise ValueError(msg)
    polygon = np.array(corners, np.float32)
    if polygon.min() < 0 or polygon.max() > 1:
        msg = f"the zone {name!r:.80} must lie within 0 to 1, parts of the frame's width and height"
        raise ValueError(msg)
    if cv2.contourArea(cv2.convexHull(polygon)) == 0:
        msg = f"the corners of the zone {name!r:.80} lie on one line"
        raise ValueError(msg)
    return polygon
