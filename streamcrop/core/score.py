"""How good a crop is: confidence x size x border x sharpness, each from 0 to 1.

The score compares crops of one object, so it counts what differs between them. A hundred pixels
are half of all that size can give: what doubles a small object says much, what doubles a large one
little. Sharpness is looked at in one size for all, or large crops would count as sharp ones.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from streamcrop.core.values import Corners

# Pixels at which `size` is 1/2.
HALF_SIZE = 100.0
# Pixels: an object that comes so near to the frame's edge may be cut off by it.
EDGE = 2
CUT_OFF = 0.5
# Pixels of the side of the square on which sharpness is looked at.
SHARPNESS_SIDE = 64
# The square of the Laplacian at which `sharpness` is 1/2. Of 852 things that move in the demo's
# clip half have 105 to 895; blurred by a Gaussian of 1 pixel 20 to 246, of 2 pixels 4 to 47
# (2026-11-28).
HALF_SHARP = 300.0


@dataclass(frozen=True, slots=True)
class Score:
    """The parts of a score, each from 0 to 1.

    Attributes:
        confidence: The detector's; 1 where it says none.
        size: ``s / (s + 100)``, with ``s`` the square root of the crop's area in pixels.
        border: The part of the object's box that lies in the frame; half of it where the box comes
            within 2 pixels of the frame's edge.
        sharpness: ``(v + 1) / (v + 300)``, with ``v`` the mean square of the Laplacian of the luma,
            the crop brought to 64 x 64 pixels.
    """

    confidence: float
    size: float
    border: float
    sharpness: float

    @property
    def total(self) -> float:
        """Their product."""
        return self.confidence * self.size * self.border * self.sharpness

    def parts(self) -> dict[str, float]:
        """The same by name, for the metadata."""
        names = ("confidence", "size", "border", "sharpness")
        return {name: round(getattr(self, name), 6) for name in names}


def score(
    confidence: float | None,
    xyxy: npt.NDArray[np.float64],
    resolution_wh: tuple[int, int],
    luma: npt.NDArray[np.uint8],
) -> Score:
    """Score a crop.

    Args:
        confidence: As the detector says it, or None.
        xyxy: ``(4,)``, the object's finite box in pixels of the frame.
        resolution_wh: ``(width, height)`` of the frame.
        luma: ``(h, w)`` uint8, the brightness of the object's pixels. Not modified.

    Example:
        >>> flat = np.full((50, 200), 90, np.uint8)
        >>> score(0.8, np.array([100.0, 60, 300, 110]), (640, 480), flat).parts()
        {'confidence': 0.8, 'size': 0.5, 'border': 1.0, 'sharpness': 0.003333}
    """
    width, height = resolution_wh
    left, top, right, bottom = map(float, xyxy)
    visible = (max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height))
    area = _area(visible)
    is_near = left < EDGE or top < EDGE or right > width - EDGE or bottom > height - EDGE
    whole = _area((left, top, right, bottom))
    seen = area / whole if whole > 0 else 0.0
    return Score(
        1.0 if confidence is None else min(max(float(confidence), 0.0), 1.0),
        area**0.5 / (area**0.5 + HALF_SIZE),
        seen * (CUT_OFF if is_near else 1.0),
        sharpness(luma),
    )


def sharpness(luma: npt.NDArray[np.uint8]) -> float:
    """How much detail there is, from 0 to 1; see `Score`."""
    side = (SHARPNESS_SIDE, SHARPNESS_SIDE)
    shrinks = min(luma.shape) >= SHARPNESS_SIDE
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    same = cv2.resize(np.ascontiguousarray(luma), side, interpolation=way)
    detail = cv2.Laplacian(same, cv2.CV_32F)
    value = float(np.square(detail).mean())
    # Never 0: among flat crops the other parts are to decide.
    return (value + 1) / (value + HALF_SHARP)


def _area(box: tuple[float, float, float, float] | Corners) -> float:
    left, top, right, bottom = box
    return max(right - left, 0.0) * max(bottom - top, 0.0)
