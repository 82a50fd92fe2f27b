"""The columns of `supervision.Detections`, of which each crop gets its row, moved along."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from streamcrop.core.crop import Crop
from streamcrop.core.masks import Rle
from streamcrop.core.translate import move_xy

if TYPE_CHECKING:
    import supervision as sv


def _grow(value: npt.NDArray[Any], crop: Crop) -> npt.NDArray[Any]:
    grown: npt.NDArray[Any] = value + np.array(crop.origin)
    return grown


def _move(value: npt.NDArray[Any], crop: Crop) -> npt.NDArray[Any]:
    return move_xy(value, crop.origin)


def _crop_size(value: npt.NDArray[Any], crop: Crop) -> npt.NDArray[Any]:
    width, height = crop.resolution_wh
    return np.array([[height, width]], value.dtype)


def _crop_rle(value: npt.NDArray[Any], crop: Crop) -> npt.NDArray[Any]:
    """The run lengths of the crop, in the form (text, bytes, integers) in which they came."""
    came = value[0]["counts"]
    image = crop.lineage[-2]
    runs = Rle.parse(value[0]).crop(crop.box, (image.width, image.height))
    moved = runs.as_json(compressed=isinstance(came, str | bytes))
    if isinstance(came, bytes):
        moved["counts"] = moved["counts"].encode()
    result = np.empty(1, object)
    result[0] = {**value[0], **moved}
    return result


# What each key of `Detections.data` becomes in the crop; None, which is "has none", stays None, and
# what cannot be read becomes it. All other keys are kept as they are. The parent and the root stay
# the images they were, so their `..._dimensions` do not change.
TRANSLATIONS: dict[str, Callable[[npt.NDArray[Any], Crop], npt.NDArray[Any]]] = {
    "keypoints_xy": _move,
    "polygon": _move,
    "xyxyxyxy": _move,
    "rect": _move,
    "rle_mask": _crop_rle,
    "image_dimensions": _crop_size,
    "parent_coordinates": _grow,
    "root_parent_coordinates": _grow,
}


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Builds `Crop.detections`. It holds plain values, and no masks, which are of the whole image.

    Attributes:
        kind: The type of the detections.
        has_mask: Whether they have masks of their own.
        columns: By the name of an attribute; without boxes, masks and ``data``.
        data: By the key of ``data``.
        moved: Those of its keys that are translated.
    """

    kind: "type[sv.Detections]"
    has_mask: bool
    columns: dict[str, Any]
    data: dict[str, Any]
    moved: tuple[str, ...]

    @classmethod
    def of(cls, detections: "sv.Detections") -> "Columns":
        """Those of some detections, which are not copied."""
        columns = {
            field.name: getattr(detections, field.name)
            for field in fields(detections)
            if field.name not in {"xyxy", "mask", "data"}
        }
        data = dict(detections.data)
        moved = tuple(key for key in data if key in TRANSLATIONS)
        return cls(type(detections), detections.mask is not None, columns, data, moved)

    def only(self, row: int) -> "Columns":
        """The columns of one row, copied."""
        columns = {name: _row(column, row) for name, column in self.columns.items()}
        data = {key: _row(column, row) for key, column in self.data.items()}
        return replace(self, columns=columns, data=data)

    def __call__(self, crop: Crop, row: int) -> "sv.Detections":
        """The detection of a row in a crop's coordinates."""
        # The row of checked detections needs no second check, which costs more than the crop.
        made = object.__new__(self.kind)
        for name, column in self.columns.items():
            setattr(made, name, _row(column, row))
        made.xyxy = crop.xyxy[None].copy()
        mask = crop.mask if self.has_mask else None
        made.mask = None if mask is None else mask[None].astype(bool)
        made.data = {key: _row(column, row) for key, column in self.data.items()}
        for key in self.moved:
            value: Any = made.data[key]
            if value is None or value[0] is None:
                continue
            try:
                made.data[key] = TRANSLATIONS[key](np.asarray(value), crop)
            except (KeyError, TypeError, ValueError):
                # It is none, and left as it is it would speak of another image.
                made.data[key] = np.array([None])
        return made


def _row(column: Any, row: int) -> Any:  # arrays, lists and metadata
    if isinstance(column, (np.ndarray, list)):
        return column[row : row + 1].copy()
    return copy(column)
