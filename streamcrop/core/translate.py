"""Which coordinates: from the detector's image to the frame, and from the frame to the crop.

Everything moves by the same whole-pixel origin and is neither rounded nor clipped, so going back
is exact: coordinates that are multiples of 1/1024 come back bit for bit.
"""

from typing import Any

import numpy as np
import numpy.typing as npt


def move_xy(points: npt.NDArray[Any], origin: tuple[int, int]) -> npt.NDArray[Any]:
    """Move points into a crop.

    Args:
        points: Shape ``(..., 2)``, ``(x, y)`` in pixels; also an object array of such arrays. Not
            modified. float16 and float32 become float64, integers stay integers, None becomes NaN.
        origin: The crop's top-left pixel ``(x, y)``.

    Returns:
        A new array in crop coordinates.

    Example:
        >>> move_xy(np.array([[10.25, 20.0]], np.float32), (8, 20)).tolist()
        [[2.25, 0.0]]
    """
    if points.ndim == 1 and points.dtype == object:
        # Rows of unequal length; plain subtraction would broadcast over the rows.
        rows = np.empty_like(points)
        rows[:] = [_numbers(row).reshape(-1, 2) - np.array(origin) for row in points]
        return rows
    moved: npt.NDArray[Any] = _numbers(points) - np.array(origin)
    return moved


def _numbers(points: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.asarray(points)
    return array.astype(np.float64) if array.dtype == object else array


def move_xyxy(xyxy: npt.NDArray[Any], origin: tuple[int, int]) -> npt.NDArray[Any]:
    """Move a box, shape ``(4,)``, into a crop that begins at ``origin``; as `move_xy` else.

    Example:
        >>> move_xyxy(np.array([3, 4, 9, 8]), (3, 5)).tolist()
        [0, -1, 6, 3]
    """
    moved: npt.NDArray[Any] = xyxy - np.array(origin * 2)
    return moved


def nearest(source: int, target: int, start: int, stop: int) -> npt.NDArray[np.intp]:
    """For the pixels ``start..stop`` of an axis of ``target`` pixels, the nearest of ``source``.

    Pixel centres are compared, so both images cover the same area.

    Example:
        >>> nearest(3, 6, 1, 5).tolist()
        [0, 1, 1, 2]
    """
    centres = 2 * np.arange(start, stop, dtype=np.int64) + 1
    return centres * source // (2 * target)
