"""Masks in all the forms in which they arrive, cut to a crop without ever being whole.

A mask knows how to give the part of itself that lies in a region of the frame; for run lengths see
`runs`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from streamcrop.core.outline import crossings, fill
from streamcrop.core.values import Corners, MaskPixels

# Far outside every image, and near enough that OpenCV's fixed point cannot overflow.
_FAR = 1 << 24
MIN_VERTICES = 3


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Pixels that are known for a part of the frame and 0 elsewhere.

    Attributes:
        pixels: ``(h, w)``, bool or a number that is not 0 inside the object.
        origin: The top-left pixel ``(x, y)`` in the frame.
    """

    pixels: npt.NDArray[Any]
    origin: tuple[int, int] = (0, 0)

    def region(self, box: Corners, resolution_wh: tuple[int, int]) -> MaskPixels:
        """See `Mask.region`."""
        del resolution_wh
        return self.cut(box).pixels

    def cut(self, box: Corners) -> "Patch":
        """The patch of a box of the frame, with pixels of its own, uint8, 0 or 1."""
        x_min, y_min, x_max, y_max = box
        left, top = self.origin
        height, width = self.pixels.shape
        x_0, y_0 = max(x_min, left), max(y_min, top)
        # Not before the start: a negative index would take pixels from the other side.
        x_1, y_1 = max(x_0, min(x_max, left + width)), max(y_0, min(y_max, top + height))
        known = self.pixels[y_0 - top : y_1 - top, x_0 - left : x_1 - left]
        # NumPy copies a bool three times as fast as it compares one.
        ones = known.copy() if known.dtype == bool else known != 0
        if known.shape == (y_max - y_min, x_max - x_min):
            return Patch(ones.view(np.uint8), (x_min, y_min))
        result = np.zeros((y_max - y_min, x_max - x_min), np.uint8)
        result[y_0 - y_min : y_1 - y_min, x_0 - x_min : x_1 - x_min] = ones
        return Patch(result, (x_min, y_min))


@dataclass(frozen=True, slots=True, eq=False)
class Polygon:
    """The outline of an object.

    Attributes:
        xy: ``(k, 2)`` finite vertices in frame pixels, ``k`` at least 3.
    """

    xy: npt.NDArray[Any]

    def region(self, box: Corners, resolution_wh: tuple[int, int]) -> MaskPixels:
        """See `Mask.region`.

        The vertices are cut to integers and filled by `cv2.fillPoly`, as in the block's own
        deserialiser. OpenCV shortens an edge at the border of its image and may then fill other
        pixels, so the canvas is what polygon and box cover together, within the frame: the result
        is that of a whole frame, bit for bit (5,000 random polygons, 2026-11-22).
        """
        vertices, (left, top, right, bottom) = self._drawing(box, resolution_wh)
        x_min, y_min, x_max, y_max = box
        canvas = np.zeros((bottom - top, right - left), np.uint8)
        fill(canvas, vertices - np.array((left, top), np.int32))
        return canvas[y_min - top : y_max - top, x_min - left : x_max - left]

    def cost(self, box: Corners, resolution_wh: tuple[int, int]) -> int:
        """The cost of `region`, in pixels: its canvas, and 20 for each line of each edge."""
        vertices, (left, top, right, bottom) = self._drawing(box, resolution_wh)
        crossed = crossings(vertices[:, 1], top, bottom)
        return (right - left) * (bottom - top) + 20 * crossed

    def _drawing(
        self, box: Corners, resolution_wh: tuple[int, int]
    ) -> tuple[npt.NDArray[np.int32], Corners]:
        """The vertices, and the canvas."""
        width, height = resolution_wh
        # Not `numpy.clip`, which costs more than all of this.
        vertices = np.minimum(np.maximum(self.xy, -_FAR), _FAR).astype(np.int32)
        x_min, y_min, x_max, y_max = box
        x, y, wide, high = cv2.boundingRect(vertices)
        left, top = max(0, min(x_min, x)), max(0, min(y_min, y))
        right, bottom = min(width, max(x_max, x + wide)), min(height, max(y_max, y + high))
        return vertices, (left, top, right, bottom)


def dense_masks(masks: npt.NDArray[Any], resolution_wh: tuple[int, int]) -> Sequence[Patch]:
    """Whole-frame masks of shape ``(n, height, width)`` as masks of the core; views, not copies.

    Raises:
        ValueError: If they are of another size than the image.
    """
    width, height = resolution_wh
    if masks.ndim != 3 or masks.shape[1:] != (height, width):  # (n, h, w)
        msg = f"masks must have the image's size (n, {height}, {width}), not {masks.shape}"
        raise ValueError(msg)
    return [Patch(mask) for mask in masks]
