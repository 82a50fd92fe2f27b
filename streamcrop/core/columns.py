"""The columns of `supervision.Detections`, of which each crop gets its row, moved along.

All columns are copied and moved once, for all crops of an image together: row by row it takes three
times as long.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from streamcrop.core.crop import Crop, Original
from streamcrop.core.runs import Rle, crop_runs, parse_runs
from streamcrop.core.seen import SEEN
from streamcrop.core.translate import move_xy, move_xyxy, per_row
from streamcrop.core.values import Corners
from streamcrop.core.view import View

if TYPE_CHECKING:
    import supervision as sv

Boxes = npt.NDArray[np.int64]
T = TypeVar("T")


def _grow(values: npt.NDArray[Any], boxes: Boxes, _: tuple[int, int]) -> npt.NDArray[Any]:
    grown: npt.NDArray[Any] = values + per_row(boxes[:, :2], values)
    return grown


def _move(values: npt.NDArray[Any], boxes: Boxes, _: tuple[int, int]) -> npt.NDArray[Any]:
    return move_xy(values, boxes[:, :2])


def _crop_size(values: npt.NDArray[Any], boxes: Boxes, _: tuple[int, int]) -> npt.NDArray[Any]:
    """Height and width."""
    return (boxes[:, 3:1:-1] - boxes[:, 1::-1]).astype(values.dtype)


# What each key of `Detections.data` becomes in crops: of some rows of a column, with the boxes of
# as many crops, and the size of the image. None, which is "has none", stays None, and what cannot
# be read becomes it. All other keys are kept as they are. The parent and the root stay the images
# they were, so their `..._dimensions` do not change.
TRANSLATIONS: dict[str, Callable[[npt.NDArray[Any], Boxes, tuple[int, int]], npt.NDArray[Any]]] = {
    "keypoints_xy": _move,
    "polygon": _move,
    "xyxyxyxy": _move,
    "rect": _move,
    "image_dimensions": _crop_size,
    "parent_coordinates": _grow,
    "root_parent_coordinates": _grow,
}


@dataclass(slots=True, eq=False)
class Columns:
    """Builds `Crop.detections`. It holds plain values, and no masks, which are of the whole image.

    Attributes:
        kind: The type of the detections.
        has_mask: Whether they have masks of their own.
        columns: By the name of an attribute; without boxes, masks and ``data``.
        data: By the key of ``data``.
    """

    kind: "type[sv.Detections]"
    has_mask: bool
    columns: dict[str, Any]
    data: dict[str, Any]
    # Of each row its box, attributes and data, made when the first is asked for.
    _rows: list[tuple[Any, ...]] | None = field(default=None, init=False)

    @classmethod
    def of(cls, detections: "sv.Detections") -> "Columns":
        """Those of some detections, which are not copied."""
        columns = {
            field.name: getattr(detections, field.name)
            for field in fields(detections)
            if field.name not in {"xyxy", "mask", "data"}
        }
        return cls(type(detections), detections.mask is not None, columns, dict(detections.data))

    def only(self, row: int) -> "Columns":
        """The columns of one row, copied."""
        columns = {name: _row(column, row) for name, column in self.columns.items()}
        data = {key: _row(column, row) for key, column in self.data.items()}
        return replace(self, columns=columns, data=data)

    def __call__(self, crop: Crop, row: int) -> "sv.Detections":
        """The detection of a row in a crop's coordinates."""
        if crop.view is not None:
            values = self._shown(crop, crop.view, row)
        else:
            if self._rows is None:
                self._rows = self._moved(crop.original)
            values = self._rows[row]
        # The row of checked detections needs no second check, which costs more than the crop.
        made = object.__new__(self.kind)
        rest = iter(values)
        made.xyxy = next(rest)
        for name in self.columns:
            setattr(made, name, next(rest))
        mask = crop.mask if self.has_mask else None
        made.mask = None if mask is None else mask[None].astype(bool)
        made.data = dict(zip(self.data, rest, strict=True))
        return made

    def _shown(self, crop: Crop, view: View, row: int) -> tuple[Any, ...]:
        """A row in the coordinates of a crop that shows the image through a view."""
        image = crop.original.lineage[-1]
        values = [crop.xyxy[None].copy(), *(_row(column, row) for column in self.columns.values())]
        for key, column in self.data.items():
            value = _row(column, row)
            if key in SEEN:
                value = _tried(SEEN[key], value, view, (image.width, image.height))
            values.append(value)
        return tuple(values)

    def _moved(self, original: Original) -> list[tuple[Any, ...]]:
        """All rows, each in the coordinates of its crop."""
        boxes, image = np.array(original.boxes), original.lineage[-1]
        columns = [move_xyxy(original.xyxy, boxes[:, :2]), *self.columns.values()]
        spread = [_spread(column, len(boxes)) for column in columns]
        for key, column in self.data.items():
            if key == "rle_mask":
                spread.append(_cut_runs(column, original.boxes, (image.width, image.height)))
            elif key in TRANSLATIONS:
                spread.append(_translated(key, column, boxes, (image.width, image.height)))
            else:
                spread.append(_spread(column, len(boxes)))
        return [*zip(*spread, strict=True)]


def _translated(key: str, column: Any, boxes: Boxes, resolution_wh: tuple[int, int]) -> list[Any]:
    """The rows of a column, each moved into its crop."""
    is_array = isinstance(column, np.ndarray) and column.ndim > 1 and column.dtype.kind in "iuf"
    if is_array and column.shape[-1] == 2:
        return _spread(TRANSLATIONS[key](column, boxes, resolution_wh), len(boxes))
    # Rows of unequal length, and what may be none.
    pairs = zip(_spread(column, len(boxes)), boxes[:, None], strict=True)
    return [_tried(TRANSLATIONS[key], value, box, resolution_wh) for value, box in pairs]


def _tried(
    move: Callable[[Any, T, tuple[int, int]], Any], value: Any, to: T, size: tuple[int, int]
) -> Any:
    """A row of a column, moved; None where it can't be."""
    if value is None or value[0] is None:
        return value
    try:
        return move(np.asarray(value), to, size)
    except (IndexError, KeyError, TypeError, ValueError):
        # It is none, and left as it is it would speak of another image.
        return np.array([None])


def _cut_runs(column: Any, boxes: list[Corners], resolution_wh: tuple[int, int]) -> list[Any]:
    """Run lengths of crops, in the forms (text, bytes, integers) in which they came."""
    rows = _spread(column, len(boxes))
    came = {at: row[0] for at, row in enumerate(rows) if row is not None and row[0] is not None}
    found = dict(zip(came, parse_runs([*came.values()]), strict=True))
    whole = {at: rle for at, rle in found.items() if isinstance(rle, Rle)}
    cut = crop_runs([*whole.values()], [boxes[at] for at in whole], resolution_wh)
    rows = [np.array([None]) if at in came else row for at, row in enumerate(rows)]
    for at, rle in zip(whole, cut, strict=True):
        said = came[at]["counts"]
        moved = rle.as_json(compressed=isinstance(said, str | bytes))
        if isinstance(said, bytes):
            moved["counts"] = moved["counts"].encode()
        rows[at] = np.empty(1, object)
        rows[at][0] = {**came[at], **moved}
    return rows


def _spread(column: Any, count: int) -> list[Any]:  # arrays, lists and metadata
    """Each row of a column, copied; of an array, views of one copy."""
    if isinstance(column, np.ndarray):
        return [*column.copy()[:, None]]
    if isinstance(column, list):
        return [[value] for value in column]
    return [column] * count if column is None else [copy(column) for _ in range(count)]


def _row(column: Any, row: int) -> Any:
    if isinstance(column, (np.ndarray, list)):
        return column[row : row + 1].copy()
    return copy(column)
