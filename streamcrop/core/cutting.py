"""`cut`: one frame and its instances become crops."""

from collections.abc import Sequence

from streamcrop.core.background import CropOptions
from streamcrop.core.crop import Crop, Describe, Original
from streamcrop.core.framing import NO_PARTS, Parts, views_of
from streamcrop.core.geometry import slices
from streamcrop.core.limits import Budget
from streamcrop.core.lineage import Lineage, LineageEntry
from streamcrop.core.masks import Patch, Polygon
from streamcrop.core.runs import Rle, crop_runs
from streamcrop.core.values import Corners, Instances, Mask, Pixels, Reason
from streamcrop.core.view import View, lengths
from streamcrop.core.warp import reach_of, seen_mask

# The box of an instance that is refused.
_NOWHERE = (0, 0, 0, 0)


def cut(
    pixels: Pixels,
    instances: Instances,
    options: CropOptions,
    *,
    lineage: Lineage | None = None,
    describe: Describe | None = None,
    parts: Parts = NO_PARTS,
    budget: Budget | None = None,
) -> tuple[list[Crop], list[tuple[int, Reason]]]:
    """Cut every instance out of a frame.

    Args:
        pixels: The frame. Not modified; the crops are views of it until they are looked at.
        instances: Boxes, IDs and masks in frame pixels. Not modified.
        options: How crops are made.
        lineage: The chain of images that ends with this frame; default: a root named ``image``.
        describe: Builds `Crop.detections`.
        parts: What a shape needs of the instances beyond their boxes.
        budget: Of the pixels that may be looked at; what does not find room in it is `over_limit`.

    Returns:
        The crops in the order of the instances, and ``(index, reason)`` of each instance that was
        refused: those of ``instances.refused``, `not_finite`, `outside_frame` where no pixel is
        left of the box, and `no_shape` where it lacks what the shape needs.

    Example:
        >>> import numpy as np
        >>> from streamcrop.core.pixels import ArrayPixels
        >>> frame = ArrayPixels(np.arange(300, dtype=np.uint8).reshape(10, 10, 3))
        >>> boxes = np.array([[-3, 2.6, 4.2, 9], [40, 0, 50, 9], [0, 0, np.nan, 9]])
        >>> crops, refused = cut(frame, Instances(boxes, ["a", "b", "c"]), CropOptions())
        >>> crops[0].origin, crops[0].image.shape, crops[0].xyxy.round(2).tolist()
        ((0, 3), (6, 4, 3), [-3.0, -0.4, 4.2, 6.0])
        >>> refused
        [(1, <Reason.OUTSIDE_FRAME: 'outside_frame'>), (2, <Reason.NOT_FINITE: 'not_finite'>)]
    """
    resolution_wh = pixels.resolution_wh
    if lineage is None:
        lineage = Lineage([LineageEntry("image", None, *resolution_wh)])
    if options.shape is None:
        boxes, refused = slices(instances.xyxy, resolution_wh)
        views: Sequence[View | None] = [None] * len(boxes)
    else:
        views, refused = views_of(options.shape, instances.xyxy, resolution_wh, parts)
        boxes = [reach_of(view, resolution_wh) if view else _NOWHERE for view in views]
    refused |= instances.refused
    masks = instances.masks or [None] * len(boxes)
    original = Original(pixels, instances.xyxy.copy(), boxes, lineage, options, describe)
    kept = [
        (index, box, mask)
        for index, (box, mask) in enumerate(zip(boxes, masks, strict=True))
        if index not in refused
    ]
    if budget is not None:
        # Before a mask is touched.
        costs = [_cost(box, views[index], mask, original) for index, box, mask in kept]
        over = {each[0] for each, cost in zip(kept, costs, strict=True) if not budget.take(cost)}
        refused |= dict.fromkeys(over, Reason.OVER_LIMIT)
        kept = [each for each in kept if each[0] not in over]
    if options.shape is None:
        shown = _parts(kept, resolution_wh)
    else:
        shown = [seen_mask(mask, views[index], resolution_wh) for index, _, mask in kept]
    crops = [
        Crop(instances.detection_id[index], index, box, original, mask, views[index])
        for (index, box, _), mask in zip(kept, shown, strict=True)
    ]
    return crops, sorted(refused.items())


def _cost(box: Corners, view: View | None, mask: Mask | None, original: Original) -> int:
    """The pixels that are to be looked at for a crop."""
    wide, high = lengths(box)
    pixels = wide * high + (0 if view is None else view.size[0] * view.size[1])
    if isinstance(mask, Polygon) and original.options.mask_opacity > 0:
        pixels += mask.cost(box, original.pixels.resolution_wh)
    return pixels


def _parts(
    kept: Sequence[tuple[int, Corners, Mask | None]], resolution_wh: tuple[int, int]
) -> list[Mask | None]:
    """Of masks what is in a crop: it must not hold that of the whole frame."""
    parts = [mask.cut(box) if isinstance(mask, Patch) else mask for _, box, mask in kept]
    runs = [(row, mask) for row, mask in enumerate(parts) if isinstance(mask, Rle)]
    boxes = [kept[row][1] for row, _ in runs]
    for (row, _), part in zip(
        runs, crop_runs([mask for _, mask in runs], boxes, resolution_wh), strict=True
    ):
        parts[row] = part
    return parts
