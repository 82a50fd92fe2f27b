"""Which coordinates: from the detector's image to the frame, and from the frame to the crop.

Everything moves by the same whole-pixel origin and is neither rounded nor clipped, so going back
is exact: coordinates that are multiples of 1/1024 come back bit for bit.
"""

from typing import Any

import numpy as np
import numpy.typing as npt


def move_xy(points: npt.NDArray[Any], origin: npt.ArrayLike) -> npt.NDArray[Any]:
    """Move points into a crop, or each row of them into a crop of its own.

    Args:
        points: Shape ``(..., 2)``, ``(x, y)`` in pixels; also an object array of such arrays. Not
            modified. float16 and float32 become float64, integers stay integers, None becomes NaN.
        origin: The crop's top-left pixel ``(x, y)``; or ``(n, 2)``, that of each of ``n`` rows.

    Returns:
        A new array in crop coordinates.

    Example:
        >>> move_xy(np.array([[10.25, 20.0]], np.float32), (8, 20)).tolist()
        [[2.25, 0.0]]
        >>> move_xy(np.array([[[3, 4], [5, 6]], [[3, 4], [5, 6]]]), [[0, 0], [3, 3]]).tolist()
        [[[3, 4], [5, 6]], [[0, 1], [2, 3]]]
    """
    origins = np.asarray(origin)
    if points.ndim == 1 and points.dtype == object:
        # Rows of unequal length; plain subtraction would broadcast over the rows.
        rows = np.empty_like(points)
        pairs = zip(points, np.broadcast_to(origins, (len(points), 2)), strict=True)
        rows[:] = [_numbers(row).reshape(-1, 2) - origin for row, origin in pairs]
        return rows
    moved: npt.NDArray[Any] = _numbers(points) - per_row(origins, points)
    return moved


def _numbers(points: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.asarray(points)
    return array.astype(np.float64) if array.dtype == object else array


def per_row(origins: npt.NDArray[Any], points: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One origin for all points, or of each row one, shaped so that it can be added to them."""
    return origins.reshape(-1, *[1] * (points.ndim - 2), 2) if origins.ndim > 1 else origins


def move_xyxy(xyxy: npt.NDArray[Any], origin: npt.ArrayLike) -> npt.NDArray[Any]:
    """Move a box, shape ``(4,)``, or ``(n, 4)`` boxes each into its crop; as `move_xy` else.

    Example:
        >>> move_xyxy(np.array([3, 4, 9, 8]), (3, 5)).tolist()
        [0, -1, 6, 3]
        >>> move_xyxy(np.array([[3, 4, 9, 8], [3, 4, 9, 8]]), [[3, 5], [0, 0]]).tolist()
        [[0, -1, 6, 3], [3, 4, 9, 8]]
    """
    origins = np.asarray(origin)
    moved: npt.NDArray[Any] = xyxy - np.concatenate((origins, origins), axis=-1)
    return moved


def first_nearest(at: npt.NDArray[np.int64], source: int, target: int) -> npt.NDArray[np.int64]:
    """Of an axis of ``target`` pixels the first whose nearest of ``source`` is ``at``, or later.

    Pixel centres are compared, so both images cover the same area.

    Example:
        >>> first_nearest(np.array([0, 1, 2, 3]), 3, 6).tolist()
        [0, 2, 4, 6]
        >>> first_nearest(np.array([0, 1, 2, 3]), 3, 2).tolist()
        [0, 1, 1, 2]
    """
    # The nearest of pixel y is (2 y + 1) source // (2 target).
    return at if source == target else -((source - 2 * target * at) // (2 * source))
