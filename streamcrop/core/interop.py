"""`supervision.Detections` in, crops with `supervision.Detections` out.

The only place that knows supervision, and it imports it only when detections are handed in.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from streamcrop.core.background import CropOptions
from streamcrop.core.crop import Crop, cut
from streamcrop.core.masks import MIN_VERTICES, Patch, Polygon, Rle, dense_masks
from streamcrop.core.pixels import ArrayPixels
from streamcrop.core.translate import move_xy
from streamcrop.core.values import Instances, Mask, Pixels, Reason

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
    result = np.empty(1, object)
    if value[0] is not None:
        came = value[0]["counts"]
        text = isinstance(came, str | bytes)
        image = crop.lineage[-2]
        runs = Rle.parse(value[0]).crop(crop.box, (image.width, image.height))
        moved = runs.as_json(compressed=text)
        if isinstance(came, bytes):
            moved["counts"] = moved["counts"].encode()
        result[0] = {**value[0], **moved}
    return result


# What each key of `Detections.data` becomes in the crop. All other keys are kept as they are.
# The parent and the root stay the images they were, so their `..._dimensions` do not change.
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


def crop_and_translate(
    image: npt.NDArray[np.uint8] | Pixels,
    detections: "sv.Detections",
    options: CropOptions | None = None,
    *,
    parent: Crop | None = None,
) -> list[Crop]:
    """Cut every detection out of an image and move it into crop coordinates.

    Corners are rounded half to even and clipped to the image; the detection is moved by the
    clipped corner and is itself neither rounded nor clipped. The mask that is used is
    ``detections.mask``, else ``data["rle_mask"]``, else ``data["polygon"]``.

    Args:
        image: ``(H, W, 3)`` uint8 BGR, ``(H, W)`` grey, ``(H, W, 4)`` BGRA, or `Pixels`. Not
            modified.
        detections: ``n`` detections in pixels of ``image``, with ``data["detection_id"]`` unless
            empty. Not modified.
        options: Opacity and colour of the background; default: crops stay as they are.
        parent: The crop that ``image`` is, for nested crops; default: ``image`` is an original.

    Returns:
        One crop for each detection that is finite, has a pixel inside the image and, if it has a
        mask, a readable one; in the order of ``detections``. `Crop.index` is the row.

    Raises:
        ValueError: If ``detection_id`` is missing, the image is not uint8 or of another shape, or
            a mask is not of the image's size.

    Example:
        >>> import supervision as sv
        >>> image = np.zeros((100, 200, 3), np.uint8)
        >>> detections = sv.Detections(
        ...     xyxy=np.array([[10.6, 20, 50, 60]]), data={"detection_id": np.array(["a"])}
        ... )
        >>> [crop] = crop_and_translate(image, detections)
        >>> crop.image.shape, crop.origin, crop.detections.xyxy.round(1).tolist()
        ((40, 39, 3), (11, 20), [[-0.4, 0.0, 39.0, 40.0]])
    """
    pixels = ArrayPixels.of(image) if isinstance(image, np.ndarray) else image
    if len(detections) == 0:
        return []
    if "detection_id" not in detections.data:
        raise ValueError(
            "detections.data has no 'detection_id': give each detection an ID, for instance "
            "detections.data['detection_id'] = np.array([str(uuid4()) for _ in detections.xyxy])"
        )
    ids = [*map(str, np.asarray(detections.data["detection_id"], object).tolist())]
    masks, unreadable = _masks(detections, pixels.resolution_wh)
    crops, _ = cut(
        pixels,
        Instances(detections.xyxy, ids, masks, dict.fromkeys(unreadable, Reason.BAD_MASK)),
        options or CropOptions(),
        lineage=None if parent is None else parent.lineage,
        # Without the masks: a crop must not hold those of the whole image.
        describe=_describer(detections),
    )
    return crops


def crop_batch(
    images: Iterable[npt.NDArray[np.uint8] | Pixels],
    detections: Iterable["sv.Detections"],
    options: CropOptions | None = None,
) -> list[list[Crop]]:
    """`crop_and_translate` for several images.

    Raises:
        ValueError: If there are not as many images as detections.

    Example:
        >>> import supervision as sv
        >>> crop_batch([np.zeros((9, 9, 3), np.uint8)], [sv.Detections.empty()])
        [[]]
    """
    pairs = zip(images, detections, strict=True)
    return [crop_and_translate(image, found, options) for image, found in pairs]


def _masks(
    detections: "sv.Detections", resolution_wh: tuple[int, int]
) -> tuple[Sequence[Mask | None], list[int]]:
    """The masks of all rows, and the rows whose mask cannot be read."""
    mask: Any = detections.mask
    if mask is None:
        for key, parse in (("rle_mask", _rle), ("polygon", _polygon)):
            if key in detections.data:
                rows = [parse(value, resolution_wh) for value in detections.data[key]]
                return rows, [row for row, parsed in enumerate(rows) if parsed is None]
        return (), []
    if isinstance(mask, np.ndarray):
        return dense_masks(mask, resolution_wh), []
    if mask.image_shape != resolution_wh[::-1]:
        msg = f"masks must have the image's size {resolution_wh[::-1]}, not {mask.image_shape}"
        raise ValueError(msg)
    offsets = mask.offsets.tolist()
    return [Patch(mask.crop(row), tuple(offset)) for row, offset in enumerate(offsets)], []


def _rle(value: Any, resolution_wh: tuple[int, int]) -> Rle | None:  # user data
    try:
        rle = Rle.parse(value)
    except ValueError:
        return None
    if rle.size != resolution_wh[::-1]:
        msg = f"an rle_mask must have the image's size {resolution_wh[::-1]}, not {rle.size}"
        raise ValueError(msg)
    return rle


def _polygon(value: Any, resolution_wh: tuple[int, int]) -> Polygon | None:
    del resolution_wh
    try:
        xy = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return None
    if xy.shape[1:] != (2,) or len(xy) < MIN_VERTICES or not np.isfinite(xy).all():
        return None
    return Polygon(xy)


def _describer(detections: "sv.Detections") -> Callable[[Crop], "sv.Detections"]:
    """What builds `Crop.detections`; it does not hold the masks, which are of the whole image."""
    kind, has_mask = type(detections), detections.mask is not None
    columns = {
        field.name: getattr(detections, field.name)
        for field in fields(detections)
        if field.name not in {"xyxy", "mask", "data"}
    }
    data = dict(detections.data)
    translated = [key for key in data if key in TRANSLATIONS]

    def describe(crop: Crop) -> "sv.Detections":
        # The row of checked detections needs no second check, which costs more than the crop.
        row = object.__new__(kind)
        for name, column in columns.items():
            setattr(row, name, _row(column, crop.index))
        row.xyxy = crop.xyxy[None].copy()
        row.mask = crop.mask[None].astype(bool) if has_mask and crop.mask is not None else None
        row.data = {key: _row(column, crop.index) for key, column in data.items()}
        for key in translated:
            row.data[key] = TRANSLATIONS[key](np.asarray(row.data[key]), crop)
        return row

    return describe


def _row(column: Any, index: int) -> Any:  # arrays, lists and metadata
    if isinstance(column, (np.ndarray, list)):
        return column[index : index + 1].copy()
    return copy(column)
