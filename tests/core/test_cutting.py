"""`streamcrop.core.cutting`: one frame and its instances become crops."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from streamcrop.core.background import CropOptions
from streamcrop.core.cutting import cut
from streamcrop.core.framing import Parts
from streamcrop.core.limits import Budget, Limits
from streamcrop.core.lineage import Lineage, LineageEntry
from streamcrop.core.masks import Patch, Polygon
from streamcrop.core.pixels import ArrayPixels
from streamcrop.core.runs import Rle
from streamcrop.core.values import Instances, Mask, Reason
from streamcrop.core.view import Keypoints

QUAD = np.array([[10.0, 8], [22, 10], [20, 18], [9, 16]])


def noise(size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A BGR image of noise, ``(width, height)``."""
    return np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)


def instances(xyxy: npt.NDArray[Any], **more: Any) -> Instances:
    """Instances whose IDs are their rows."""
    return Instances(xyxy, [str(row) for row in range(len(xyxy))], **more)


def test_no_instances_are_no_crops() -> None:
    """An empty frame is an answer."""
    assert cut(ArrayPixels(noise((4, 4))), instances(np.empty((0, 4))), CropOptions()) == ([], [])


def test_each_refusal_has_its_reason_and_its_neighbours_survive() -> None:
    """What cannot be cut is told with its row and reason, in order; the rest is cut."""
    xyxy = np.array(
        [[0, 0, 2, 2], [np.nan, 0, 2, 2], [1, 1, 3, 3], [9, 9, 12, 12], [2, 2, 4, 4], [1, 1, 2, 2]]
    )
    found = instances(xyxy, refused={5: Reason.BAD_MASK, 1: Reason.MALFORMED})
    crops, refused = cut(ArrayPixels(noise((4, 4))), found, CropOptions())
    assert [crop.index for crop in crops] == [0, 2, 4]
    assert refused == [(1, Reason.MALFORMED), (3, Reason.OUTSIDE_FRAME), (5, Reason.BAD_MASK)]


def test_masks_are_as_many_as_boxes() -> None:
    """Masks that are not aligned with the boxes are the caller's mistake."""
    found = instances(np.array([[0, 0, 2, 2]]), masks=[None, None])
    with pytest.raises(ValueError, match="zip"):
        cut(ArrayPixels(noise((4, 4))), found, CropOptions())


def test_what_has_no_shape_is_refused() -> None:
    """With its reason, and its neighbours survive."""
    options = CropOptions(align={"quad": ["a", "b", "c", "d"], "size": (20, 10)})
    boxes = np.array([[9.0, 8, 22, 18], [0, 0, 9, 9], [np.nan, 0, 9, 9], [0, 0, 5, 5]])
    joints = [Keypoints(("a", "b", "c", "d"), QUAD), None]
    found = instances(boxes, refused={3: Reason.BAD_MASK})
    crops, refused = cut(ArrayPixels(noise((40, 30))), found, options, parts=Parts((), joints))
    assert [crop.index for crop in crops] == [0]
    assert refused == [(1, Reason.NO_SHAPE), (2, Reason.NOT_FINITE), (3, Reason.BAD_MASK)]


TRIANGLE = Polygon(np.array([[2.0, 1], [6, 1], [2, 8]]))


@pytest.mark.parametrize(
    ("options", "mask", "cost"),
    [
        (CropOptions(), None, 28),
        (CropOptions(), TRIANGLE, 28),
        (CropOptions(1.0), Patch(np.ones((9, 9), bool)), 28),
        # The canvas of 5 x 8, and two edges of 7 lines.
        (CropOptions(1.0), TRIANGLE, 28 + 40 + 20 * 14),
        (CropOptions(size=(50, 20)), TRIANGLE, 28 + 1000),
        (CropOptions(1.0, size=(50, 20)), TRIANGLE, 28 + 1000 + 40 + 20 * 14),
    ],
)
def test_a_crop_has_a_price(options: CropOptions, mask: Mask | None, cost: int) -> None:
    """Its pixels and those it is made from, and an outline where one is drawn for them."""
    image, box = noise((9, 9)), np.array([[2, 1, 6, 8]] * 2)
    instances = Instances(box, ["a", "b"], [mask] * 2)
    for most, expected in ((2 * cost, 2), (2 * cost - 1, 1), (cost, 1), (cost - 1, 0)):
        budget = Budget(Limits(crop_pixels=most), "crop_pixels")
        crops, refused = cut(ArrayPixels(image), instances, options, budget=budget)
        assert len(crops) == expected
        assert refused == [(row, Reason.OVER_LIMIT) for row in range(expected, 2)]


@pytest.mark.parametrize("options", [CropOptions(), CropOptions(margin="1px")])
def test_each_crop_has_its_own_mask(options: CropOptions) -> None:
    """In whatever form it came, and none where there is none; nothing is as large as the frame."""
    mask = np.zeros((30, 40), np.uint8)
    mask[12:18, 11:21] = 1
    outline = Polygon(np.array([[11.0, 12], [20, 12], [20, 17], [11, 17]]))
    masks: list[Mask | None] = [Patch(mask), Rle.of(mask), outline, None]
    boxes = np.array([[10, 10, 22, 20]] * 4)
    crops, refused = cut(ArrayPixels(noise((40, 30))), instances(boxes, masks=masks), options)
    assert refused == []
    x, y = crops[0].origin
    width, height = crops[0].resolution_wh
    for crop in crops[:3]:
        assert crop.mask is not None
        assert np.array_equal(crop.mask, mask[y : y + height, x : x + width])
    assert crops[3].mask is None
    assert (crops[1].runs is None, crops[0].runs) == (False, None)


def test_the_lineage_is_that_of_the_frame_and_the_crop() -> None:
    """A frame without a name is a root named ``image``."""
    frame, found = ArrayPixels(noise((9, 8))), instances(np.array([[2, 1, 6, 8]]))
    [unnamed], _ = cut(frame, found, CropOptions())
    assert [entry.id for entry in unnamed.lineage] == ["image", "0"]
    root = Lineage([LineageEntry("door/17", None, 9, 8)])
    [named], _ = cut(frame, found, CropOptions(), lineage=root)
    assert [entry.id for entry in named.lineage] == ["door/17", "0"]
