"""Which pixels: from real corners to the slice of the image that is cropped.

Corners are rounded half to even (`numpy.rint`), as Roboflow's Dynamic Crop block does, and then
clipped to the image, as it does not: there a negative index takes pixels from the other side.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from streamcrop.core.values import Corners, Reason


def slices(
    xyxy: npt.NDArray[Any], resolution_wh: tuple[int, int]
) -> tuple[list[Corners], dict[int, Reason]]:
    """Round and clip boxes.

    Args:
        xyxy: ``(n, 4)``, ``(x_min, y_min, x_max, y_max)`` in pixels, any real dtype. Not modified.
        resolution_wh: ``(width, height)`` of the image.

    Returns:
        ``n`` half-open integer boxes inside the image, and for each row that is to be refused its
        reason: `not_finite`, or `outside_frame` where no pixel is left.

    Example:
        >>> slices(np.array([[-3.0, 2.5, 9.5, 7.0], [50, 0, 60, 9]]), (20, 10))
        ([(0, 2, 10, 7), (20, 0, 20, 9)], {1: <Reason.OUTSIDE_FRAME: 'outside_frame'>})
    """
    # Not `numpy.clip`, which costs more than all of this; fmax makes a number of a NaN.
    whole = np.fmin(np.fmax(np.rint(xyxy), 0), np.array(resolution_wh * 2))
    boxes = [*map(tuple, whole.astype(int).tolist())]
    refused = {
        row: Reason.OUTSIDE_FRAME
        for row, (x_min, y_min, x_max, y_max) in enumerate(boxes)
        if x_min >= x_max or y_min >= y_max
    }
    if not (finite := np.isfinite(xyxy)).all():
        for row in np.flatnonzero(~finite.all(axis=1)).tolist():
            refused[row] = Reason.NOT_FINITE
    return boxes, refused
