"""`streamcrop.core.crop`: one object, cut out of one image."""

import pickle
from collections.abc import Callable
from copy import deepcopy
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streamcrop.core.background import CropOptions, remove_background
from streamcrop.core.crop import Crop
from streamcrop.core.cutting import cut
from streamcrop.core.framing import Parts
from streamcrop.core.lineage import Lineage, LineageEntry
from streamcrop.core.masks import Patch, Polygon
from streamcrop.core.pixels import ArrayPixels, YuvPixels
from streamcrop.core.runs import Rle
from streamcrop.core.values import Instances, Mask
from streamcrop.core.view import Keypoints
from streamcrop.core.warp import mask_through

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
real_boxes = arrays(
    np.float64, st.tuples(st.integers(0, 6), st.just(4)), elements=st.floats(-60, 60) | st.floats()
)
fine_boxes = arrays(
    np.int64, st.tuples(st.integers(1, 6), st.just(4)), elements=st.integers(-(1 << 16), 1 << 16)
)


def noise(size: tuple[int, int], seed: int = 0) -> npt.NDArray[np.uint8]:
    """A BGR image of noise, ``(width, height)``."""
    return np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)


def instances(xyxy: npt.NDArray[Any], **more: Any) -> Instances:
    """Instances whose IDs are their rows."""
    return Instances(xyxy, [str(row) for row in range(len(xyxy))], **more)


def one(image: npt.NDArray[np.uint8], xyxy: list[float], **more: Any) -> Crop:
    """The crop of one box of an image."""
    options = more.pop("options", CropOptions())
    describe = more.pop("describe", None)
    found = instances(np.array([xyxy], float), **more)
    [crop], _ = cut(ArrayPixels(image), found, options, describe=describe)
    return crop


# --- properties ----------------------------------------------------------------------------------


@given(sizes, seeds, real_boxes)
def test_a_crop_is_the_slice_of_its_frame(
    size: tuple[int, int], seed: int, xyxy: npt.NDArray[np.float64]
) -> None:
    """A crop's pixels are those of its box, its row is kept and nothing is modified."""
    image = noise(size, seed)
    before = image.copy(), xyxy.copy()
    crops, refused = cut(ArrayPixels(image), instances(xyxy), CropOptions())
    for crop in crops:
        x_min, y_min, x_max, y_max = crop.box
        np.testing.assert_array_equal(crop.image, image[y_min:y_max, x_min:x_max])
        assert crop.image.shape == (*crop.resolution_wh[::-1], 3)
        assert min(crop.resolution_wh) > 0
        assert crop.origin == (x_min, y_min)
        assert crop.detection_id == str(crop.index)
        assert not {crop.index} & dict(refused).keys()
    assert sorted([*(crop.index for crop in crops), *dict(refused)]) == [*range(len(xyxy))]
    assert [crop.index for crop in crops] == sorted(crop.index for crop in crops)
    assert refused == sorted(refused)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(xyxy, before[1])


@given(sizes, real_boxes)
def test_moving_back_restores_the_box(size: tuple[int, int], xyxy: npt.NDArray[np.float64]) -> None:
    """The box in crop coordinates, moved by the origin, is the detection's within 1e-9."""
    crops, _ = cut(ArrayPixels(noise(size)), instances(xyxy), CropOptions())
    for crop in crops:
        back = crop.xyxy + np.tile(crop.origin, 2)
        np.testing.assert_allclose(back, xyxy[crop.index], rtol=1e-15, atol=1e-9)
        inverse = np.linalg.inv(np.vstack([crop.transform, [0, 0, 1]]))
        corner = inverse @ [*crop.xyxy[:2], 1]
        np.testing.assert_allclose(corner[:2], xyxy[crop.index, :2], rtol=1e-15, atol=1e-9)


@given(sizes, fine_boxes)
def test_a_box_of_1024ths_comes_back_bit_for_bit(
    size: tuple[int, int], steps: npt.NDArray[np.int64]
) -> None:
    """Boxes that are multiples of 1/1024 lose nothing on the way."""
    xyxy = steps / 1024
    crops, _ = cut(ArrayPixels(noise(size)), instances(xyxy), CropOptions())
    for crop in crops:
        assert (crop.xyxy + np.tile(crop.origin, 2)).tolist() == xyxy[crop.index].tolist()


@given(sizes, real_boxes)
def test_cutting_a_clipped_box_is_cutting_the_box(
    size: tuple[int, int], xyxy: npt.NDArray[np.float64]
) -> None:
    """Clipping twice is clipping once."""
    pixels = ArrayPixels(noise(size))
    crops, _ = cut(pixels, instances(xyxy), CropOptions())
    boxes = np.array([crop.box for crop in crops]).reshape(-1, 4)
    again, refused = cut(pixels, instances(boxes), CropOptions())
    assert [crop.box for crop in again] == [crop.box for crop in crops]
    assert refused == []


@given(seeds, st.integers(4, 7), st.booleans(), st.data())
def test_nested_crops_lead_back_to_the_root(
    seed: int, depth: int, yuv: bool, data: st.DataObject
) -> None:
    """However deep, a crop is a slice of the root and `Lineage.transform` leads there."""
    size = (61, 47)
    image = noise(size, seed)
    pixels: Any = ArrayPixels(image)
    if yuv:
        chroma = np.ascontiguousarray(image[::2, ::2, 1]), np.ascontiguousarray(image[::2, ::2, 2])
        pixels = YuvPixels(np.ascontiguousarray(image[..., 0]), *chroma)
    root, lineage = pixels.bgr(), None
    crop = None
    for level in range(depth):
        width, height = pixels.resolution_wh
        x, y = data.draw(st.integers(0, width // 3)), data.draw(st.integers(0, height // 3))
        box = [x - 0.25, y + 0.25, data.draw(st.integers(x + 1, width)), height]
        found = Instances(np.array([box]), [f"level {level}"])
        [crop], _ = cut(pixels, found, CropOptions(), lineage=lineage)
        pixels, lineage = crop.pixels, crop.lineage
    assert crop is not None
    assert [entry.id for entry in crop.lineage] == ["image", *(f"level {n}" for n in range(depth))]
    assert crop.lineage[0] == LineageEntry("image", None, *size)
    assert [(entry.width, entry.height) for entry in crop.lineage][-1] == crop.resolution_wh
    left, top = crop.lineage.origin
    width, height = crop.resolution_wh
    np.testing.assert_array_equal(crop.image, root[top : top + height, left : left + width])
    point = np.array([data.draw(st.floats(-1e4, 1e4)), data.draw(st.floats(-1e4, 1e4))])
    forth = np.vstack([crop.lineage.transform, [0, 0, 1]])
    step_by_step = point
    for entry in crop.lineage[1:]:
        step_by_step = step_by_step - np.array(entry.origin)
    moved = forth @ [*point, 1]
    np.testing.assert_allclose(moved[:2], step_by_step, rtol=0, atol=1e-9)
    np.testing.assert_allclose((np.linalg.inv(forth) @ moved)[:2], point, rtol=0, atol=1e-9)


# --- one crop ------------------------------------------------------------------------------------


def test_a_crop_is_lazy_and_looks_once() -> None:
    """Pixels, mask and image are built when they are first looked at, and kept."""
    crop = one(noise((9, 9)), [1, 2, 5, 7], masks=[Polygon(np.array([[1, 1], [4, 1], [4, 9]]))])
    assert not {"pixels", "mask", "image"} & vars(crop).keys()
    assert crop.image is crop.image
    assert crop.mask is crop.mask
    assert crop.pixels is crop.pixels


def test_what_is_not_kept_is_built_anew() -> None:
    """`bgr` and `to_mask` leave nothing behind in the crop."""
    options = CropOptions(1.0, "#fff")
    mask = Polygon(np.array([[1, 1], [4, 1], [4, 9]]))
    crop = one(noise((9, 9)), [1, 2, 5, 7], masks=[mask], options=options)
    np.testing.assert_array_equal(crop.bgr(), crop.bgr())
    assert crop.bgr() is not crop.bgr()
    assert crop.to_mask() is not crop.to_mask()
    assert not {"mask", "image"} & vars(crop).keys()
    np.testing.assert_array_equal(crop.image, crop.bgr())


def test_documentation_tools_see_the_lazy_attributes() -> None:
    """On the class, an attribute is its description."""
    assert Crop.image.__doc__ is not None
    assert "built on first use" in Crop.image.__doc__


def test_the_image_is_a_view() -> None:
    """Where nothing is blended, writing to a crop writes to its frame, as documented."""
    image = noise((9, 9))
    crop = one(image, [1, 2, 5, 7])
    crop.image[:] = 7
    assert (image[2:7, 1:5] == 7).all()


MASKS: dict[str, Mask] = {
    "patch": Patch(np.eye(9, dtype=bool)),
    "polygon": Polygon(np.array([[0, 0], [8, 0], [8, 8]])),
    "rle": Rle.of(np.tri(9, dtype=np.uint8)),
}


@pytest.mark.parametrize("opacity", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_what_lies_outside_a_mask_is_blended(mask: Mask, opacity: float) -> None:
    """Whatever form a mask has, its part in the crop decides what is blended."""
    image, options = noise((9, 9)), CropOptions(opacity, "#102030")
    before = image.copy()
    crop = one(image, [2, 1, 6, 8], masks=[mask], options=options)
    inside = mask.region((0, 0, 9, 9), (9, 9))[1:8, 2:6]
    assert crop.mask is not None
    np.testing.assert_array_equal(crop.mask, inside)
    np.testing.assert_array_equal(crop.image, remove_background(image[1:8, 2:6], inside, options))
    np.testing.assert_array_equal(crop.pixels.bgr(), image[1:8, 2:6])
    assert np.shares_memory(crop.image, image) == (opacity == 0)
    np.testing.assert_array_equal(image, before)


def planes(size: tuple[int, int], seed: int = 0) -> YuvPixels:
    """A picture whose colours all exist, ``(width, height)``."""
    random = np.random.default_rng(seed)
    halved = (size[1] + 1) // 2, (size[0] + 1) // 2
    chroma = (random.integers(120, 137, halved, np.uint8) for _ in range(2))
    return YuvPixels(random.integers(60, 190, size[::-1], np.uint8), *chroma)


@pytest.mark.parametrize("box", [[2, 4, 9, 11], [3, 4, 10, 12], [2, 5, 8, 13], [5, 3, 13, 8]])
@pytest.mark.parametrize("opacity", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("mask", [None, *MASKS.values()], ids=["none", *MASKS.keys()])
def test_planes_show_what_the_image_shows(
    mask: Mask | None, opacity: float, box: list[float]
) -> None:
    """As a JPEG stores it, a crop has the luma and the mean chroma of its image, within levels."""
    shown = planes((14, 14))
    masks = [Patch(np.pad(mask.region((0, 0, 9, 9), (9, 9)), 3)[:14, :14]) if mask else None]
    found = instances(np.array([box], float), masks=masks)
    [crop], _ = cut(shown, found, CropOptions(opacity, "#806040"))
    stored = crop.jfif()
    assert stored is not None
    b, g, r = np.moveaxis(crop.image.astype(float), 2, 0)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    height, width = luma.shape
    whole = (luma, 128 + (b - luma) / 1.772, 128 + (r - luma) / 1.402)
    exact = [np.pad(plane, ((0, height & 1), (0, width & 1)), "edge") for plane in whole]
    for at in (1, 2):
        pairs = exact[at].reshape(exact[at].shape[0] // 2, 2, exact[at].shape[1] // 2, 2)
        exact[at] = pairs.mean((1, 3))
    # At the edge of a mask, chroma between the pairs may lean on a neighbour: 8 from the middle.
    for plane, expected, bound in zip(stored, exact, (2.5, 11, 11), strict=True):
        assert plane.shape == expected.shape
        assert np.abs(plane - expected).max() <= bound


def test_planes_are_asked_for_before_the_mask() -> None:
    """A crop of an array has no planes, and its mask is not built to find out."""
    crop = one(noise((9, 9)), [2, 1, 6, 8], masks=[MASKS["rle"]], options=CropOptions(1.0))
    assert crop.jfif() is None
    assert not {"mask", "image"} & vars(crop).keys()


def test_without_a_mask_nothing_is_blended() -> None:
    """An object without a mask is cropped as it is, whatever the opacity; None stands for none."""
    image = noise((9, 9))
    crop = one(image, [2, 1, 6, 8], options=CropOptions(1.0))
    assert crop.mask is None
    assert crop.to_mask() is None
    np.testing.assert_array_equal(crop.image, image[1:8, 2:6])
    assert one(image, [2, 1, 6, 8], masks=[None], options=CropOptions(1.0)).mask is None


def test_a_crop_holds_no_more_of_a_mask_than_it_needs() -> None:
    """A mask of the whole frame is cut when the crop is made, not kept."""
    mask = np.ones((90, 90), bool)
    crop = one(noise((90, 90)), [2, 1, 6, 8], masks=[Patch(mask)])
    assert isinstance(crop._mask, Patch)
    assert crop._mask.pixels.shape == (7, 4)
    assert not np.shares_memory(crop._mask.pixels, mask)
    shaped = one(noise((90, 90)), [2, 1, 6, 8], masks=[Patch(mask)], options=CropOptions(margin=1))
    assert isinstance(shaped._mask, Patch)
    assert shaped._mask.pixels.shape == (15, 10)
    assert not np.shares_memory(shaped._mask.pixels, mask)


@pytest.mark.parametrize("shape", [{}, {"margin": 1}])
@pytest.mark.parametrize("mask", [None, *MASKS.values()], ids=["none", *MASKS.keys()])
def test_only_an_outline_is_drawn(mask: Mask | None, shape: dict[str, Any]) -> None:
    """What a mask costs that is asked for later; others are there already."""
    crop = one(noise((9, 9)), [2, 1, 6, 8], masks=[mask], options=CropOptions(**shape))
    is_outline = isinstance(mask, Polygon)
    assert crop.mask_cost == (mask.cost(crop.box, (9, 9)) if is_outline else 0)


@pytest.mark.parametrize("opacity", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("mask", [None, *MASKS.values()], ids=["none", *MASKS.keys()])
def test_a_copy_owns_its_pixels(mask: Mask | None, opacity: float) -> None:
    """A copy looks the same in every way, and holds nothing of the frame."""
    image = noise((9, 9))
    options = CropOptions(opacity, "#fff")
    crop = one(image, [2, 1, 6, 8], masks=[mask], options=options)
    expected, before = crop.image.copy(), image.copy()
    copy = crop.copy()
    for image_of_it in (copy.image, copy.bgr(), copy.copy().image, copy.copy().bgr()):
        np.testing.assert_array_equal(image_of_it, expected)
        assert not np.shares_memory(image_of_it, image)
    np.testing.assert_array_equal(copy.pixels.bgr(), image[1:8, 2:6])
    for mask_of_it in (copy.mask, copy.to_mask(), copy.copy().to_mask()):
        assert (mask_of_it is None) == (mask is None)
        if mask_of_it is not None:
            np.testing.assert_array_equal(mask_of_it, crop.mask)
    assert not np.shares_memory(copy.original.pixels.bgr(), image)
    assert (copy.box, copy.lineage, copy.index) == (crop.box, crop.lineage, crop.index)
    assert copy.xyxy.tolist() == crop.xyxy.tolist()
    copy.image[:] = 0
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(crop.image, expected)


def test_a_crop_describes_itself_once() -> None:
    """`detections` is what the maker's function says, asked once."""
    asked: list[Any] = []

    def describe(crop: Crop, row: int) -> Any:
        asked.append((crop, row))
        return "detections"

    crop = one(noise((9, 9)), [2, 1, 6, 8], describe=describe)
    assert asked == []
    assert (crop.detections, crop.detections) == ("detections", "detections")
    assert asked == [(crop, 0)]


def _own(crop: Crop) -> Crop:
    return crop.copy()


def _deep(crop: Crop) -> Crop:
    return deepcopy(crop)


def _pickled(crop: Crop) -> Crop:
    return cast("Crop", pickle.loads(pickle.dumps(crop)))  # noqa: S301  # our own


@pytest.mark.parametrize("again", [_own, _deep, _pickled])
@pytest.mark.parametrize("form", ["none", "patch", "runs"])
def test_a_crop_that_goes_elsewhere_is_the_same(again: Callable[[Crop], Crop], form: str) -> None:
    """A copied or pickled crop has what the crop has, and nothing of the image, once or twice."""
    image = noise((400, 300))
    mask = np.zeros((300, 400), bool)
    mask[60:90, 110:130] = True
    masks: dict[str, list[Mask | None]] = {
        "none": [],
        "patch": [None, Patch(mask)],
        "runs": [None, Rle.parse({"size": [300, 400], "counts": coco_counts(mask)})],
    }
    xyxy = np.array([[0, 0, 9, 9], [100.4, 50, 140, 100]])
    found = instances(xyxy, masks=masks[form])
    _, crop = cut(ArrayPixels(image), found, CropOptions(1.0, "#123456"))[0]
    expected = crop.bgr()
    for other in (again(crop), again(again(crop))):
        np.testing.assert_array_equal(other.image, expected)
        np.testing.assert_array_equal(other.xyxy, crop.xyxy)
        assert (other.detection_id, other.index, other.box) == ("1", 1, crop.box)
        assert other.lineage == crop.lineage
        assert other.transform.tolist() == crop.transform.tolist()
        assert not np.shares_memory(other.pixels.bgr(), image)
        assert (other.mask is None) == (crop.mask is None)
        if crop.mask is not None and other.mask is not None:
            np.testing.assert_array_equal(other.mask, crop.mask)
            assert not np.shares_memory(other.mask, crop.mask)
        assert (other.runs is None) == (form != "runs")
        assert other.runs is None or other.runs.as_json() == crop.runs.as_json()
    pixels = crop.image.nbytes + (0 if crop.mask is None else crop.mask.nbytes)
    assert len(pickle.dumps(crop)) < pixels + 2000


def coco_counts(mask: npt.NDArray[np.bool_]) -> list[int]:
    """The run lengths of a mask, column by column, zeros first."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flat))))
    return [int(run) for run in np.diff([0, *edges, flat.size])]


def test_a_crop_in_a_line() -> None:
    """Printed, it says which it is, and no pixels."""
    crop = one(noise((90, 90)), [2, 1, 60, 80])
    assert repr(crop) == "Crop(detection_id='0', index=0, box=(2, 1, 60, 80))"


def test_a_crop_of_the_node_has_no_detections() -> None:
    """A crop that was not made from supervision.Detections says so."""
    with pytest.raises(TypeError, match="made by the node"):
        _ = one(noise((9, 9)), [2, 1, 6, 8]).detections


def test_a_lineage_begins_with_the_root_that_is_given() -> None:
    """A frame's own name stands first where it has one, else ``image``."""
    frame = ArrayPixels(noise((9, 8)))
    root = Lineage([LineageEntry("door/17", None, 9, 8)])
    found = instances(np.array([[2, 1, 6, 8]]))
    [named], _ = cut(frame, found, CropOptions(), lineage=root)
    [unnamed], _ = cut(frame, found, CropOptions())
    assert named.lineage == (root[0], LineageEntry("0", (2, 1), 4, 7))
    assert unnamed.lineage == (LineageEntry("image", None, 9, 8), LineageEntry("0", (2, 1), 4, 7))
    assert named.transform.tolist() == [[1, 0, -2], [0, 1, -1]]


# --- views ---------------------------------------------------------------------------------------

SHAPES: dict[str, dict[str, Any]] = {
    "margin": {"margin": "1px"},
    "filled": {"margin": 1.0, "border": "constant", "fill": "#102030"},
    "sized": {"size": (12, 9), "min_side": 5, "border": "replicate"},
    "stretched": {"size": (3, 15), "fit": "stretch"},
    "upright": {"upright": "long", "margin": 0.2},
    "aligned": {"align": {"points": {"a": [2, 2], "b": [9, 3]}, "size": (12, 8)}},
    "four corners": {"align": {"quad": ["a", "b", "c", "d"], "size": (20, 10)}},
}
QUAD = np.array([[10.0, 8], [22, 10], [20, 18], [9, 16]])
PARTS = Parts([QUAD], [Keypoints(("a", "b", "c", "d"), QUAD)])


def shaped(image: Any, shape: dict[str, Any], **more: Any) -> Crop:
    """The crop of one object of an image, 40 x 30, in a shape."""
    options = CropOptions(more.pop("opacity", 0.0), "#fff", **shape)
    found = instances(np.array([[9.0, 8, 22.4, 18]]), **more)
    [crop], refused = cut(image, found, options, parts=PARTS)
    assert refused == []
    return crop


def whole(transform: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A map with three rows."""
    rows = np.eye(3)
    rows[: len(transform)] = transform
    return rows


@pytest.mark.parametrize("name", SHAPES)
def test_a_shaped_crop_is_consistent(name: str) -> None:
    """Its size, map, lineage and box speak of the pixels that it has."""
    image = noise((40, 30))
    crop = shaped(ArrayPixels(image), SHAPES[name])
    width, height = crop.resolution_wh
    assert crop.image.shape == (height, width, 3)
    assert crop.lineage.transform == pytest.approx(crop.transform)
    assert crop.lineage.origin == crop.origin
    entry = crop.lineage[-1]
    assert (entry.width, entry.height) == (width, height)
    assert (entry.transform is None) == (name in {"margin", "filled"})
    matrix = whole(crop.transform)
    corners = np.array([[9.0, 8, 1], [22.4, 8, 1], [22.4, 18, 1], [9, 18, 1]]) @ matrix.T
    corners = corners[:, :2] / corners[:, 2:]
    assert crop.xyxy == pytest.approx([*corners.min(0), *corners.max(0)])
    x_min, y_min, x_max, y_max = crop.box
    assert 0 <= x_min < x_max <= 40
    assert 0 <= y_min < y_max <= 30


def test_a_margin_is_the_grown_box() -> None:
    """To the bit, and still a view of the image."""
    image = noise((40, 30))
    crop = shaped(ArrayPixels(image), SHAPES["margin"])
    assert crop.origin == (8, 7)
    assert np.array_equal(crop.image, image[7:19, 8:23])
    assert crop.xyxy.tolist() == [1, 1, 14.399999999999999, 11]
    filled = shaped(ArrayPixels(image), SHAPES["filled"])
    assert filled.origin == (-4, -2)
    assert np.array_equal(filled.image[2:, 4:], image[:28, :36])
    assert (filled.image[:2] == (0x30, 0x20, 0x10)).all()


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("form", ["patch", "runs", "outline"])
def test_masks_go_through_the_view(name: str, form: str) -> None:
    """In every form; what lies outside is blended, and what is filled counts as outside."""
    image, mask = noise((40, 30)), np.zeros((30, 40), np.uint8)
    outline = np.array([[8, 7], [24, 7], [24, 19], [8, 19]])
    cv2.fillPoly(mask, [outline.astype(np.int32)], 1)
    masks: dict[str, Mask] = {
        "patch": Patch(mask),
        "runs": Rle.of(mask),
        "outline": Polygon(outline.astype(float)),
    }
    plain = shaped(ArrayPixels(image), SHAPES[name])
    crop = shaped(ArrayPixels(image), SHAPES[name], masks=[masks[form]], opacity=1.0)
    assert crop.view is not None
    inside = mask_through(masks[form], crop.view, (40, 30))
    assert inside.any()
    assert crop.mask is not None
    assert np.array_equal(crop.mask, inside)
    assert (crop.image[inside == 0] == 255).all()
    assert np.array_equal(crop.image[inside == 1], plain.image[inside == 1])
    assert (crop.runs is None) == (form != "runs")
    if crop.runs is not None:
        assert np.array_equal(crop.runs.pixels(), inside)


@pytest.mark.parametrize("again", [_own, _deep, _pickled])
@pytest.mark.parametrize("name", SHAPES)
def test_a_shaped_crop_can_be_copied(again: Callable[[Crop], Crop], name: str) -> None:
    """It looks the same in every way."""
    image, mask = noise((40, 30)), np.ones((30, 40), bool)
    crop = shaped(ArrayPixels(image), SHAPES[name], masks=[Patch(mask)], opacity=1.0)
    other = again(again(crop))
    assert np.array_equal(other.image, crop.image)
    assert (other.box, other.lineage, other.origin) == (crop.box, crop.lineage, crop.origin)
    assert other.xyxy.tolist() == crop.xyxy.tolist()
    assert other.transform.tolist() == crop.transform.tolist()
    assert other.mask is not None
    assert crop.mask is not None
    assert np.array_equal(other.mask, crop.mask)
    assert not np.shares_memory(other.pixels.bgr(), image)


def test_planes_of_a_shaped_crop() -> None:
    """They are made from the image's planes, background and all."""
    grey = np.full((15, 20), 128, np.uint8)
    luma = np.random.default_rng(1).integers(0, 256, (30, 40), np.uint8)
    image = YuvPixels(luma, grey, grey, full_range=True)
    mask = np.zeros((30, 40), np.uint8)
    mask[10:14, 12:18] = 1
    crop = shaped(image, SHAPES["sized"], masks=[Patch(mask)], opacity=1.0)
    stored = crop.jfif()
    assert stored is not None
    assert np.abs(stored[0][:9, :12].astype(int) - crop.image[..., 0]).max() <= 2
    assert (stored[0][:9, :12][crop.mask == 0] == 255).all()


@given(st.lists(st.sampled_from([*SHAPES]), min_size=2, max_size=4))
def test_shaped_crops_of_crops_lead_back_to_the_root(names: list[str]) -> None:
    """Through any chain: a point of the root goes into the last, and comes back."""
    pixels: Any = ArrayPixels(noise((400, 300)))
    lineage, points = None, np.array([[200.0, 150], [210, 155]])
    root = points
    for name in names:
        middle = points.mean(0)
        quad = QUAD - QUAD.mean(0) + middle
        parts = Parts([quad], [Keypoints(("a", "b", "c", "d"), quad)])
        found = instances(np.array([[*(middle - 9), *(middle + 9)]]))
        [crop], _ = cut(pixels, found, CropOptions(**SHAPES[name]), lineage=lineage, parts=parts)
        assert crop.view is not None
        points = crop.view.points(points)
        pixels, lineage = ArrayPixels(crop.image), crop.lineage
    assert lineage is not None
    back = np.column_stack([points, [1, 1]]) @ np.linalg.inv(whole(lineage.transform)).T
    assert back[:, :2] / back[:, 2:] == pytest.approx(root, abs=1e-3)
