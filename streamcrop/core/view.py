"""Which pixels a crop has: a map from the image to the crop, and the crop's size.

Coordinates are continuous: pixel (0, 0) covers [0, 1) x [0, 1), so that a scale of s is x * s. The
plain case, a box cut out of the image, needs none of this: see `geometry`.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamcrop.core.align import Matrix, Points, moved
from streamcrop.core.values import Corners

# What rounding leaves of a whole number.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Keypoints:
    """The joints of one object that were seen.

    Attributes:
        names: ``k`` texts; empty where they have none.
        xy: ``(k, 2)`` in pixels of the image; NaN for one that has no place, or confidence 0.
    """

    names: tuple[str, ...]
    xy: Points


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Which pixels of an image a crop shows, and where.

    Attributes:
        matrix: ``(3, 3)``, image -> crop.
        size: ``(width, height)`` of the crop.
        content: The half-open box of the crop that shows the image; what is beside it is filled.
        border: What stands for pixels outside the image: ``constant`` (filled) or ``replicate``.
        box: The half-open box of the image that is shown, where the view is not turned; parts of
            it may lie outside the image.
    """

    matrix: Matrix
    size: tuple[int, int]
    content: Corners
    border: str = "constant"
    box: Corners | None = None

    @property
    def transform(self) -> npt.NDArray[np.float64]:
        """The map image -> crop: ``(2, 3)``, or ``(3, 3)`` with perspective."""
        return self.matrix.copy() if self.is_perspective else self.matrix[:2].copy()

    @property
    def is_perspective(self) -> bool:
        """True if parallels do not stay parallel."""
        return bool(np.any(self.matrix[2, :2]))

    @property
    def is_translation(self) -> bool:
        """True if pixels stay as they are, and only change their place."""
        return self.box is not None and self.size == lengths(self.box)

    @property
    def origin(self) -> tuple[int, int]:
        """The image's pixel at the top left of the hull of what the crop covers."""
        if self.box is not None and self.is_translation:
            return self.box[:2]
        left, top = self._hull((0, 0, *self.size))[:2]
        return math.floor(left + _ROUNDING), math.floor(top + _ROUNDING)

    def points(self, xy: npt.NDArray[Any]) -> Points:
        """Points ``(..., 2)`` of the image in the crop; None becomes NaN. Not modified."""
        numbers: Points = np.asarray(xy).astype(np.float64)
        if self.is_translation:
            return np.asarray(numbers - np.array(self.origin))
        return moved(self.matrix, numbers)

    def back(self, xy: npt.NDArray[Any]) -> Points:
        """Points ``(..., 2)`` of the crop in the image; the inverse of `points`."""
        inverse: Matrix = np.linalg.inv(self.matrix).astype(np.float64)
        return moved(inverse, np.asarray(xy).astype(np.float64))

    def xyxy(self, box: npt.NDArray[Any]) -> Points:
        """A box ``(4,)`` of the image in the crop: the hull of its moved corners."""
        left, top, right, bottom = map(float, box)
        corners = self.points(
            np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        )
        return np.concatenate((corners.min(0), corners.max(0)))

    def reach(self, resolution_wh: tuple[int, int], beyond: int = 0, step: int = 1) -> Corners:
        """The half-open box of the image that has the pixels which the crop shows; never empty.

        Args:
            resolution_wh: ``(width, height)`` of the image.
            beyond: So many pixels more on each side, where the image has them.
            step: Left and top are multiples of it, right and bottom too or the image's edge.
        """
        hull = self.box or self._hull(self.content)
        low, high = [], []
        for first, last, most in zip(hull[:2], hull[2:], resolution_wh, strict=True):
            start = math.floor(first + _ROUNDING) - beyond
            stop = math.ceil(last - _ROUNDING) + beyond
            low.append(min(max(start, 0), most - 1) // step * step)
            high.append(min(max(-(-stop // step) * step, low[-1] + 1), most))
        return low[0], low[1], high[0], high[1]

    def shrinks(self) -> int:
        """The whole factor by which the image is reduced, before the rest of the way."""
        left, top, right, bottom = self.content
        middle = self.back(np.array([(left + right) / 2, (top + bottom) / 2]))
        ahead = self.points(middle + np.array([[0.5, 0], [0, 0.5], [-0.5, 0], [0, -0.5]]))
        jacobian = np.stack((ahead[0] - ahead[2], ahead[1] - ahead[3]))
        largest = float(np.linalg.svd(jacobian, compute_uv=False)[0])
        return max(1, int(1 / largest + _ROUNDING)) if largest > 0 else 1

    def _hull(self, box: Corners) -> tuple[float, float, float, float]:
        left, top, right, bottom = box
        corners = self.back(np.array([[left, top], [right, top], [right, bottom], [left, bottom]]))
        low, high = corners.min(0).tolist(), corners.max(0).tolist()
        return low[0], low[1], high[0], high[1]


def lengths(box: Corners) -> tuple[int, int]:
    """``(width, height)`` of a box."""
    return box[2] - box[0], box[3] - box[1]
