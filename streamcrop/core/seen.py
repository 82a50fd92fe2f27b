"""The columns of `supervision.Detections` that a view needs, and those that go through it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from streamcrop.core.framing import Parts
from streamcrop.core.runs import Rle
from streamcrop.core.view import Keypoints, View
from streamcrop.core.warp import mask_through

Values = npt.NDArray[Any]
Size = tuple[int, int]


def parts_of(data: Mapping[str, Any], count: int) -> Parts:
    """The parts of detections that a shape needs beyond their boxes.

    Args:
        data: ``Detections.data``: ``xyxyxyxy``, ``keypoints_xy``, ``keypoints_class_name`` and
            ``keypoints_confidence`` count. Not modified.
        count: How many detections there are.

    Example:
        >>> parts = parts_of({"xyxyxyxy": [[[0, 0], [4, 0], [4, 2], [0, 2]], None]}, 2)
        >>> [None if corners is None else corners.shape for corners in parts.corners]
        [(4, 2), None]
    """
    corners = _column(data, "xyxyxyxy", count)
    places = _column(data, "keypoints_xy", count)
    names = _column(data, "keypoints_class_name", count)
    sure = _column(data, "keypoints_confidence", count)
    return Parts(
        [_corners(value) for value in corners],
        [_keypoints(*joints) for joints in zip(places, names, sure, strict=True)],
    )


def _column(data: Mapping[str, Any], key: str, count: int) -> list[Any]:
    column = data.get(key)
    rows = [] if column is None else list(column)
    return rows if len(rows) == count else [None] * count


def _corners(value: Any) -> npt.NDArray[np.float64] | None:
    try:
        return np.asarray(value, np.float64).reshape(4, 2)
    except (TypeError, ValueError):
        return None


def _keypoints(places: Any, names: Any, sure: Any) -> Keypoints | None:
    try:
        xy = np.array(places, np.float64).reshape(-1, 2)
        if sure is not None:
            xy[np.asarray(sure, np.float64) == 0] = np.nan
        return Keypoints(() if names is None else tuple(map(str, names)), xy)
    except (IndexError, TypeError, ValueError):
        return None


def _points(values: Values, view: View, _: Size) -> Values:
    if values.ndim == 1:
        # Rows of unequal length.
        rows = np.empty_like(values)
        rows[:] = [view.points(np.asarray(row).reshape(-1, 2)) for row in values]
        return rows
    return view.points(values)


def _rle(values: Values, view: View, resolution_wh: Size) -> Values:
    """The run lengths of the crop, in the form (text, bytes, integers) in which they came."""
    came = values[0]["counts"]
    mask = Rle.parse(values[0])
    shown = Rle.of(mask_through(mask, view, resolution_wh))
    moved = shown.as_json(compressed=isinstance(came, str | bytes))
    if isinstance(came, bytes):
        moved["counts"] = moved["counts"].encode()
    result = np.empty(1, object)
    result[0] = {**values[0], **moved}
    return result


def _size(values: Values, view: View, _: Size) -> Values:
    return np.array([view.size[::-1]], values.dtype)


def _parent(values: Values, view: View, _: Size) -> Values:
    """Where the parent begins; a crop that is scaled or turned begins nowhere in it."""
    grown: Values = values + np.array(view.origin) if view.is_translation else np.array([None])
    return grown


# As `columns.TRANSLATIONS`, through a view: of one row, and the size of the image.
SEEN: dict[str, Callable[[Values, View, Size], Values]] = {
    "keypoints_xy": _points,
    "polygon": _points,
    "xyxyxyxy": _points,
    "rect": _points,
    "rle_mask": _rle,
    "image_dimensions": _size,
    "parent_coordinates": _parent,
    "root_parent_coordinates": _parent,
}
