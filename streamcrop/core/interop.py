"""`supervision.Detections` in, crops with `supervision.Detections` out.

It imports supervision nowhere: who hands in detections has done so.
"""

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from streamcrop.core.arguments import (
    boxes_of,
    check_batch,
    check_detections,
    check_more,
    ids_of,
    is_missing,
    pixels_in,
)
from streamcrop.core.background import CropOptions
from streamcrop.core.columns import Columns
from streamcrop.core.crop import Crop
from streamcrop.core.cutting import cut
from streamcrop.core.framing import NO_PARTS
from streamcrop.core.masks import MIN_VERTICES, Patch, Polygon, dense_masks
from streamcrop.core.runs import Rle, parse_runs
from streamcrop.core.seen import parts_of
from streamcrop.core.values import Instances, Mask, Pixels, Reason

if TYPE_CHECKING:
    import supervision as sv


# In place of an image or of detections where there are fewer of them.
_NONE_LEFT: Any = object()


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
    ``detections.mask``, else ``data["rle_mask"]``, else ``data["polygon"]``; None in a row is "has
    none", as it is of the other columns.

    Args:
        image: ``(H, W, 3)`` uint8 BGR, ``(H, W)`` grey, ``(H, W, 4)`` BGRA, or `Pixels`. Not
            modified.
        detections: ``n`` detections in pixels of ``image``, with ``data["detection_id"]`` unless
            empty. Not modified.
        options: How crops are shaped, and what lies outside a mask; default: a crop is its box.
        parent: The crop that ``image`` is, for nested crops; default: ``image`` is an original.

    Returns:
        One crop for each detection that is finite, has a pixel inside the image, what the options'
        shape needs and, if it has a mask, a readable one; in the order of ``detections``.
        `Crop.index` is the row.

    Raises:
        TypeError: If an argument is of another type, as a Pillow image; its text says what to
            write.
        ValueError: If an ID is missing, the image is not uint8 or of another shape, or a mask is
            not of the image's size.

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
    pixels = pixels_in(image)
    check_detections(detections)
    check_more(options, parent)
    if len(detections) == 0:
        return []
    ids, boxes = ids_of(detections), boxes_of(detections)
    masks, unreadable = _masks(detections, pixels.resolution_wh)
    options = options or CropOptions()
    crops, _ = cut(
        pixels,
        Instances(boxes, ids, masks, dict.fromkeys(unreadable, Reason.BAD_MASK)),
        options,
        lineage=None if parent is None else parent.lineage,
        describe=Columns.of(detections),
        parts=NO_PARTS if options.shape is None else parts_of(detections.data, len(boxes)),
    )
    return crops


def crop_batch(
    images: Iterable[npt.NDArray[np.uint8] | Pixels],
    detections: Iterable["sv.Detections"],
    options: CropOptions | None = None,
) -> list[list[Crop]]:
    """`crop_and_translate` for several images.

    Raises:
        TypeError: As `crop_and_translate`, and if it is one image.
        ValueError: As `crop_and_translate`, and if there are not as many images as detections.

    Example:
        >>> import supervision as sv
        >>> crop_batch([np.zeros((9, 9, 3), np.uint8)], [sv.Detections.empty()])
        [[]]
    """
    check_batch(images, detections)
    crops = []
    for image, found in zip_longest(images, detections, fillvalue=_NONE_LEFT):
        if image is _NONE_LEFT or found is _NONE_LEFT:
            raise ValueError("crop_batch takes as many detections as images, one for each")
        crops.append(crop_and_translate(image, found, options))
    return crops


def _masks(
    detections: "sv.Detections", resolution_wh: tuple[int, int]
) -> tuple[Sequence[Mask | None], list[int]]:
    """The masks of all rows, and the rows whose mask cannot be read."""
    mask: Any = detections.mask
    if mask is None:
        return _masks_of_rows(detections, resolution_wh)
    if not hasattr(mask, "image_shape"):
        return dense_masks(_stacked(mask, resolution_wh, len(detections)), resolution_wh), []
    if mask.image_shape != resolution_wh[::-1]:
        msg = f"masks must have the image's size {resolution_wh[::-1]}, not {mask.image_shape}"
        raise ValueError(msg)
    offsets = mask.offsets.tolist()
    return [Patch(mask.crop(row), tuple(offset)) for row, offset in enumerate(offsets)], []


def _stacked(
    mask: Any,  # user data
    resolution_wh: tuple[int, int],
    count: int,
) -> npt.NDArray[Any]:
    """Masks as one array, as many as there are detections."""
    width, height = resolution_wh
    wanted = f"detections.mask is an array of ({count}, {height}, {width}), a mask a detection"
    try:
        masks: npt.NDArray[Any] = np.asarray(mask)
    except ValueError:
        msg = f"{wanted}, not a {type(mask).__name__} of several shapes or with None"
        raise ValueError(msg) from None
    if masks.ndim == 3 and len(masks) != count:
        msg = f"{wanted}, not {masks.shape}"
        raise ValueError(msg)
    return masks


def _masks_of_rows(
    detections: "sv.Detections", resolution_wh: tuple[int, int]
) -> tuple[Sequence[Mask | None], list[int]]:
    """As `_masks`, of the columns in ``data``, in which None is "has none"."""
    if detections.data.keys().isdisjoint(("polygon", "rle_mask")):
        return (), []
    masks: list[Mask | None] = [None] * len(detections)
    unreadable: set[int] = set()
    # Run lengths last: they decide.
    for key, parse in (("polygon", _polygons), ("rle_mask", _runs)):
        column: Any = detections.data.get(key)
        rows = [
            row
            for row, value in enumerate(() if column is None else column)
            if not is_missing(value)
        ]
        for row, mask in zip(
            rows, parse([column[row] for row in rows], resolution_wh), strict=True
        ):
            masks[row] = mask
            (unreadable.add if mask is None else unreadable.discard)(row)
    return masks if masks.count(None) < len(masks) else (), [*unreadable]


def _runs(values: list[Any], resolution_wh: tuple[int, int]) -> list[Rle | None]:  # user data
    runs = [None if isinstance(rle, ValueError) else rle for rle in parse_runs(values)]
    for rle in runs:
        if rle is not None and rle.size != resolution_wh[::-1]:
            size = resolution_wh[::-1]
            msg = f"an rle_mask must have the image's size {size}, not {rle.size}"
            raise ValueError(msg)
    return runs


def _polygons(values: list[Any], _: tuple[int, int]) -> list[Polygon | None]:
    return [*map(_polygon, values)]


def _polygon(value: Any) -> Polygon | None:
    try:
        xy = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return None
    if xy.shape[1:] != (2,) or len(xy) < MIN_VERTICES or not np.isfinite(xy).all():
        return None
    return Polygon(xy)
