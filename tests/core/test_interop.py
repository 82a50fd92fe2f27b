"""`streamcrop.core.interop`: `supervision.Detections` in, crops with such detections out."""

import gc
import pickle
import weakref
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import supervision as sv
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as coco
from supervision.detection.compact_mask import CompactMask

from streamcrop.core.background import CropOptions
from streamcrop.core.crop import Crop
from streamcrop.core.interop import crop_and_translate, crop_batch
from streamcrop.core.pixels import ArrayPixels, YuvPixels

WIDTH, HEIGHT = 100, 60
# pycocotools 2.0 speaks to NumPy as before NumPy 2.
old_numpy = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
IMAGE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
IMAGE.setflags(write=False)


def objects(*rows: Any) -> npt.NDArray[Any]:
    """An object array of rows of any length."""
    result = np.empty(len(rows), object)
    result[:] = rows
    return result


def detect(xyxy: Any, dtype: npt.DTypeLike = float, mask: Any = None, **data: Any) -> sv.Detections:
    """Detections whose IDs are ``d0``, ``d1``, ..."""
    boxes = np.array(xyxy, dtype).reshape(-1, 4)
    ids = np.array([f"d{row}" for row in range(len(boxes))])
    return sv.Detections(xyxy=boxes, mask=mask, data={"detection_id": ids, **data})


def one(*args: Any, image: Any = IMAGE, options: CropOptions | None = None, **data: Any) -> Crop:
    """The crop of a single detection."""
    [crop] = crop_and_translate(image, detect(*args, **data), options)
    return crop


def blot(x_min: int, y_min: int, x_max: int, y_max: int) -> npt.NDArray[np.bool_]:
    """A rectangle as a mask of the whole image."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y_min:y_max, x_min:x_max] = True
    return mask


# --- boxes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("xyxy", "box", "moved"),
    [
        ([10, 20, 30, 40], (10, 20, 30, 40), [0, 0, 20, 20]),
        ([10.25, 20.75, 30.25, 40.75], (10, 21, 30, 41), [0.25, -0.25, 20.25, 19.75]),
        # Halves go to the even neighbour.
        ([10.5, 11.5, 20.5, 21.5], (10, 12, 20, 22), [0.5, -0.5, 10.5, 9.5]),
        ([0.5, 1.5, 2.5, 3.5], (0, 2, 2, 4), [0.5, -0.5, 2.5, 1.5]),
        # Partly outside on each side: cut to the frame, moved by the clipped corner.
        ([-5.5, 20, 30, 40], (0, 20, 30, 40), [-5.5, 0, 30, 20]),
        ([10, -7.25, 30, 40], (10, 0, 30, 40), [0, -7.25, 20, 40]),
        ([90, 20, 130.5, 40], (90, 20, 100, 40), [0, 0, 40.5, 20]),
        ([10, 50, 30, 90], (10, 50, 30, 60), [0, 0, 20, 40]),
        ([-10, -20, 300, 400], (0, 0, 100, 60), [-10, -20, 300, 400]),
    ],
)
def test_a_box_by_hand(xyxy: list[float], box: tuple[int, ...], moved: list[float]) -> None:
    """Corners are rounded half to even and clipped; the box moves by the clipped corner."""
    crop = one(xyxy)
    x_min, y_min, x_max, y_max = box
    assert crop.box == box
    assert crop.origin == (x_min, y_min)
    assert crop.detections.xyxy.tolist() == [moved]
    assert crop.xyxy.tolist() == moved
    np.testing.assert_array_equal(crop.image, IMAGE[y_min:y_max, x_min:x_max])


@pytest.mark.parametrize(
    "bad",
    [
        [np.nan, 1, 9, 9],
        [1, 1, np.inf, 9],
        [1, -np.inf, 9, 9],
        [100, 1, 120, 9],
        [-9, 1, 0, 9],
        [1, 60, 9, 70],
        [9, 1, 9, 9],
        [9, 9, 1, 1],
        [5.1, 1, 5.4, 9],
    ],
)
def test_a_box_without_pixels_gives_no_crop(bad: list[float]) -> None:
    """Such a row is left out, its neighbours survive and `index` keeps the alignment."""
    detections = detect([[1, 2, 3, 4], [0, 0, 1, 1], [5, 6, 7, 8]])
    detections.xyxy[1] = bad  # newer supervision refuses NaN, but only when built
    crops = crop_and_translate(IMAGE, detections)
    assert [(crop.index, crop.detection_id) for crop in crops] == [(0, "d0"), (2, "d2")]
    assert [crop.detections.data["detection_id"].tolist() for crop in crops] == [["d0"], ["d2"]]


@pytest.mark.parametrize(
    ("came", "goes"),
    [
        (np.float16, np.float64),
        (np.float32, np.float64),
        (np.float64, np.float64),
        (np.int32, np.int64),
        (np.int64, np.int64),
    ],
)
def test_dtypes(came: npt.DTypeLike, goes: npt.DTypeLike) -> None:
    """Short floats become float64 so that nothing is rounded; integers stay integers."""
    keypoints = np.array([[[12, 24]]], came)
    crop = one([10, 20, 30, 40], came, keypoints_xy=keypoints)
    assert crop.detections.xyxy.dtype == goes
    assert crop.detections.xyxy.tolist() == [[0, 0, 20, 20]]
    assert crop.detections.data["keypoints_xy"].dtype == goes
    assert crop.detections.data["keypoints_xy"].tolist() == [[[2, 4]]]


@given(arrays(np.float64, (3, 4), elements=st.floats(-200, 200)))
def test_inputs_are_not_modified_and_not_shared(xyxy: npt.NDArray[np.float64]) -> None:
    """Whoever writes to a crop's detections writes to a copy."""
    points = np.arange(6.0).reshape(3, 1, 2)
    score = np.array([0.1, 0.2, 0.3])
    before = xyxy.copy(), points.copy(), score.copy()
    detections = detect(xyxy, keypoints_xy=points, score=score)
    for crop in crop_and_translate(IMAGE, detections):
        crop.detections.xyxy[:] = 0
        crop.detections.data["keypoints_xy"][:] = 0
        crop.detections.data["score"][:] = 0
    for now, then in zip((detections.xyxy, points, score), before, strict=True):
        np.testing.assert_array_equal(now, then)


# --- what comes along ----------------------------------------------------------------------------

BOX = [10.4, 20.4, 30, 40]  # the origin is (10, 20)

DATA: dict[str, tuple[str, Any, Any]] = {
    "key points": (
        "keypoints_xy",
        np.array([[[12.5, 22.5], [0, 0]]], np.float32),
        [[[2.5, 2.5], [-10, -20]]],
    ),
    "key points of unequal number": (
        "keypoints_xy",
        objects(np.array([[12.5, 22.5]])),
        [[[2.5, 2.5]]],
    ),
    "no key points": ("keypoints_xy", objects(np.empty((0, 2))), [[]]),
    "a polygon": (
        "polygon",
        np.array([[[10, 20], [30, 20], [30, 40]]]),
        [[[0, 0], [20, 0], [20, 20]]],
    ),
    "polygons in a list": (
        "polygon",
        [np.array([[10, 20], [30, 20], [30, 40]])],
        [[[0, 0], [20, 0], [20, 20]]],
    ),
    "an oriented box": (
        "xyxyxyxy",
        np.array([[[10, 25], [20, 20], [30, 35], [20, 40]]], np.float32),
        [[[0, 5], [10, 0], [20, 15], [10, 20]]],
    ),
    "a rectangle": ("rect", np.array([[[11, 21], [30, 21]]]), [[[1, 1], [20, 1]]]),
    "the image's size": ("image_dimensions", np.array([[HEIGHT, WIDTH]]), [[20, 20]]),
    "where the parent is": ("parent_coordinates", np.array([[100, 200]]), [[110, 220]]),
    "where the root is": ("root_parent_coordinates", np.array([[5, 6]]), [[15, 26]]),
    "the parent's size": ("parent_dimensions", np.array([[480, 640]]), [[480, 640]]),
    "the root's size": ("root_parent_dimensions", np.array([[480, 640]]), [[480, 640]]),
    "a class name": ("class_name", np.array(["car"]), ["car"]),
    "anything in a list": ("note", [{"a": 1}], [{"a": 1}]),
}


@pytest.mark.parametrize(("key", "value", "expected"), DATA.values(), ids=DATA.keys())
def test_data_by_hand(key: str, value: Any, expected: Any) -> None:
    """Coordinates move by the origin, the parent's and the root's grow, all else is kept."""
    result = one(BOX, **{key: value}).detections.data[key]
    rows = [row.tolist() if isinstance(row, np.ndarray) else row for row in result]
    assert len(result) == 1
    assert rows == expected


def test_each_row_gets_its_own_data() -> None:
    """Ragged rows, arrays and lists are taken at the crop's row."""
    points = objects(np.array([[1.0, 2.0]]), np.array([[50.0, 40.0], [60.0, 50.0]]))
    detections = detect([[0, 0, 9, 9], [45, 35, 70, 55]], keypoints_xy=points, tag=["a", "b"])
    crops = [crop.detections for crop in crop_and_translate(IMAGE, detections)]
    assert [crop.data["keypoints_xy"][0].tolist() for crop in crops] == [
        [[1.0, 2.0]],
        [[5.0, 5.0], [15.0, 15.0]],
    ]
    assert [crop.data["tag"] for crop in crops] == [["a"], ["b"]]


def test_other_columns_are_kept() -> None:
    """Class, confidence, tracker and metadata come along; the type is that of the detections."""
    detections = detect([[0, 0, 9, 9], BOX])
    detections.class_id = np.array([3, 4])
    detections.confidence = np.array([0.25, 0.5], np.float32)
    detections.metadata = {"camera": "door"}
    [_, crop] = crop_and_translate(IMAGE, detections)
    assert type(crop.detections) is sv.Detections
    assert len(crop.detections) == 1
    assert crop.detections.class_id.tolist() == [4]
    assert crop.detections.confidence.tolist() == [0.5]
    assert crop.detections.tracker_id is None
    assert crop.detections.mask is None
    assert crop.detections.metadata == {"camera": "door"}
    crop.detections.metadata["camera"] = "gate"
    assert detections.metadata == {"camera": "door"}
    # It passes supervision's own checks.
    assert sv.Detections.merge([crop.detections]).xyxy.shape == (1, 4)


def test_coordinates_of_parent_and_root_lead_back() -> None:
    """Going back to root coordinates gives the original numbers, also from a nested crop."""
    start = np.zeros((1, 2), int)
    crop = one(BOX, parent_coordinates=start, root_parent_coordinates=start)
    inner = crop.detections
    inner.xyxy = np.array([[2.5, 3.5, 9.0, 9.0]])
    [nested] = crop_and_translate(crop.image, inner, parent=crop)
    root = nested.detections.data["root_parent_coordinates"][0]
    assert root.tolist() == [12, 24]
    assert (nested.detections.xyxy[0, :2] + root).tolist() == [12.5, 23.5]


# --- run lengths ---------------------------------------------------------------------------------


def coco_form(mask: npt.NDArray[np.bool_], form: str) -> dict[str, Any]:
    """A mask as COCO writes it in one of three forms."""
    packed = coco.encode(np.asfortranarray(mask, np.uint8))
    if form == "bytes":
        return packed
    if form == "text":
        return {**packed, "counts": packed["counts"].decode()}
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flat))))
    return {**packed, "counts": np.diff([0, *edges, flat.size]).tolist()}


@old_numpy
@pytest.mark.parametrize("form", ["text", "bytes", "list"])
def test_run_lengths_are_written_as_they_came(form: str) -> None:
    """An ``rle_mask`` is cut to the crop and stays text, bytes or integers."""
    mask = blot(15, 5, 25, 33)
    mask[::3] = False
    came = {**coco_form(mask, form), "score": 7}
    crop = one(BOX, rle_mask=objects(came))
    expected = {**coco_form(mask[20:40, 10:30], form), "score": 7}
    assert crop.detections.data["rle_mask"].tolist() == [expected]
    np.testing.assert_array_equal(crop.mask, mask[20:40, 10:30])
    assert crop.detections.mask is None
    assert came == {**coco_form(mask, form), "score": 7}


def test_a_missing_rle_mask_stays_none() -> None:
    """Where another mask is used, an object may have no run lengths."""
    crop = one(BOX, mask=blot(0, 0, 99, 59)[None], rle_mask=objects(None))
    assert crop.detections.data["rle_mask"].tolist() == [None]


@pytest.mark.parametrize("bad", [7, {"size": [HEIGHT, WIDTH], "counts": "231"}, {}])
def test_an_unreadable_rle_mask_costs_its_own_row(bad: Any) -> None:
    """A row whose mask cannot be read is left out, and its neighbours survive."""
    good = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}
    detections = detect([BOX] * 3, rle_mask=objects(good, bad, good))
    assert [crop.index for crop in crop_and_translate(IMAGE, detections)] == [0, 2]


def test_nested_run_lengths_are_cut_twice() -> None:
    """In a nested crop the run lengths are those of the crop it is cut from."""
    mask = blot(12, 24, 20, 38)
    first = one(BOX, rle_mask=objects(coco_form(mask, "list")))
    inner = first.detections
    inner.xyxy = np.array([[1, 3, 12, 15]])
    [nested] = crop_and_translate(first.image, inner, parent=first)
    expected = coco_form(mask[23:35, 11:22], "list")
    assert nested.detections.data["rle_mask"].tolist() == [expected]


# --- which mask ----------------------------------------------------------------------------------

RLE = coco_form(blot(12, 22, 20, 30), "text")
POLYGON = np.array([[14, 24], [18, 24], [18, 28], [14, 28]], float)


@pytest.mark.parametrize(
    ("mask", "data", "expected"),
    [
        (None, {}, None),
        (blot(11, 21, 29, 39)[None], {}, blot(11, 21, 29, 39)),
        (
            blot(11, 21, 29, 39)[None],
            {"rle_mask": objects(RLE), "polygon": POLYGON[None]},
            blot(11, 21, 29, 39),
        ),
        (None, {"rle_mask": objects(RLE), "polygon": POLYGON[None]}, blot(12, 22, 20, 30)),
        (None, {"rle_mask": [RLE]}, blot(12, 22, 20, 30)),
        (None, {"polygon": POLYGON[None]}, blot(14, 24, 19, 29)),
        (None, {"polygon": [POLYGON.tolist()]}, blot(14, 24, 19, 29)),
        (None, {"polygon": objects(POLYGON + 0.9)}, blot(14, 24, 19, 29)),
    ],
    ids=["none", "mask", "mask of all", "runs of two", "runs", "polygon", "list", "truncated"],
)
def test_the_mask_that_is_used(mask: Any, data: dict[str, Any], expected: Any) -> None:
    """``detections.mask`` stands before ``rle_mask``, and that before ``polygon``."""
    crop = one(BOX, mask=mask, **data)
    if expected is None:
        assert crop.mask is None
    else:
        np.testing.assert_array_equal(crop.mask, expected[20:40, 10:30])
    if mask is None:
        assert crop.detections.mask is None
    else:
        assert crop.detections.mask.dtype == bool
        np.testing.assert_array_equal(crop.detections.mask, expected[None, 20:40, 10:30])


@pytest.mark.parametrize(
    "bad",
    [
        np.empty((0, 2)),
        np.array([[1.0, 2.0], [3.0, 4.0]]),
        np.array([[1, 2], [3, 4], [5, np.nan]]),
        np.array([[1, 2], [3, 4], [5, np.inf]]),
        np.arange(6.0),
        np.zeros((4, 3)),
        [[1, 2], [3, 4], [5]],
        {"x": 1},
        "polygon",
    ],
    ids=[
        *("empty", "two vertices", "nan", "infinite"),
        *("flat", "three dimensions", "ragged", "dict", "text"),
    ],
)
def test_an_unreadable_polygon_costs_its_own_row(bad: Any) -> None:
    """A polygon of fewer than three finite vertices is left out with its row."""
    detections = detect([BOX] * 3, polygon=objects(POLYGON, bad, POLYGON))
    assert [crop.index for crop in crop_and_translate(IMAGE, detections)] == [0, 2]


@pytest.mark.parametrize(
    "box",
    [[10.4, 20.4, 30, 40], [-5, -5, 300, 300], [0, 0, 5, 5], [95, 55, 99, 59], [13, 23, 14, 24]],
)
def test_a_compact_mask_is_cut_as_a_dense_one(box: list[float]) -> None:
    """Compact masks of supervision give their part in the crop, wherever the box lies to them."""
    dense = np.array([blot(12, 22, 28, 38), blot(50, 0, 100, 30), blot(0, 40, 9, 60)])
    dense[:, ::4] = False
    outer = np.array([[12, 22, 27, 37], [50, 0, 99, 29], [0, 40, 8, 59]])
    compact = CompactMask.from_dense(dense, outer, (HEIGHT, WIDTH))
    for row in range(3):
        crop = one(box, mask=compact[[row]])
        x_min, y_min, x_max, y_max = crop.box
        np.testing.assert_array_equal(crop.mask, dense[row, y_min:y_max, x_min:x_max])
        assert crop.detections.mask.tolist() == [crop.mask.astype(bool).tolist()]


@pytest.mark.parametrize(
    ("mask", "data"),
    [
        (np.zeros((1, HEIGHT, WIDTH - 1), bool), {}),
        (CompactMask.from_dense(np.zeros((1, 9, 9), bool), np.array([[0, 0, 8, 8]]), (9, 9)), {}),
        (None, {"rle_mask": [{"size": [9, 9], "counts": [81]}]}),
    ],
    ids=["dense", "compact", "runs"],
)
def test_a_mask_of_another_size_is_refused(mask: Any, data: dict[str, Any]) -> None:
    """A mask that does not fit the image is the caller's mistake."""
    with pytest.raises(ValueError, match="must have the image's size"):
        crop_and_translate(IMAGE, detect([BOX], mask=mask, **data))


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((1, HEIGHT, WIDTH), bool),
        [np.zeros((HEIGHT, WIDTH), bool), None],
        [np.zeros((HEIGHT, WIDTH), bool), np.zeros((HEIGHT, 1), bool)],
    ],
    ids=["one", "none", "shapes"],
)
def test_a_detection_without_a_mask_among_others(mask: Any) -> None:
    """There are as many as detections, each an array of the image's size."""
    found = detect([BOX] * 2)
    found.mask = mask
    with pytest.raises(ValueError, match=r"detections.mask is an array of \(2, \d+, \d+\), a mask"):
        crop_and_translate(IMAGE, found)


def test_a_list_of_masks_is_taken() -> None:
    """As an array of them is."""
    found = detect([BOX] * 2)
    found.mask = [blot(12, 22, 20, 30), blot(14, 24, 19, 29)]
    for crop, mask in zip(crop_and_translate(IMAGE, found), found.mask, strict=True):
        np.testing.assert_array_equal(crop.mask, mask[20:40, 10:30])


@pytest.mark.parametrize(
    ("opacity", "color", "outside"),
    [
        (0.0, "#fff", [10, 20, 31]),
        (0.5, "#fff", [132, 138, 143]),
        (1.0, (1, 2, 3), [3, 2, 1]),
        (1.0, "#000000", [0, 0, 0]),
    ],
)
def test_the_background(opacity: float, color: Any, outside: list[int]) -> None:
    """Pixels inside the mask are untouched, those outside are blended with the colour."""
    image = np.tile(np.array([10, 20, 31], np.uint8), (HEIGHT, WIDTH, 1))
    options = CropOptions(opacity, color)
    crop = one([10, 20, 12, 21], image=image, options=options, mask=blot(0, 0, 11, 60)[None])
    assert crop.image.tolist() == [[[10, 20, 31], outside]]
    assert (image == [10, 20, 31]).all()


def test_whole_masks_are_not_held() -> None:
    """A crop's memory is that of the crop: it does not hold the masks of the image."""
    mask = blot(0, 0, 50, 50)[None]
    gone = weakref.ref(mask)
    crop = one(BOX, mask=mask)
    del mask
    gc.collect()
    assert gone() is None
    assert crop.detections.mask.shape == (1, 20, 20)


@pytest.mark.parametrize(
    ("runs", "outline", "expected"),
    [
        (None, None, None),
        (np.nan, np.float32("nan"), None),
        (None, POLYGON, blot(14, 24, 19, 29)),
        (RLE, None, blot(12, 22, 20, 30)),
        (RLE, POLYGON, blot(12, 22, 20, 30)),
        (RLE, "unreadable", blot(12, 22, 20, 30)),
    ],
)
def test_none_in_a_row_is_no_mask(runs: Any, outline: Any, expected: Any) -> None:
    """A row without a mask gets a crop without one; run lengths stand before a polygon."""
    columns = {"rle_mask": objects(RLE, runs), "polygon": objects(None, outline)}
    _, crop = crop_and_translate(IMAGE, detect([BOX] * 2, **columns), CropOptions(1.0))
    assert (crop.mask is None) == (expected is None)
    if expected is not None:
        np.testing.assert_array_equal(crop.mask, expected[20:40, 10:30])
    assert (crop.detections.data["rle_mask"][0] is None) == (runs is not RLE)
    assert (crop.detections.data["polygon"][0] is None) == (outline is not POLYGON)


@pytest.mark.parametrize(
    ("runs", "outline", "indices"),
    [(7, POLYGON, [0]), (None, "unreadable", [0]), (7, None, [0]), (7, "unreadable", [0])],
)
def test_an_unreadable_mask_beside_another(runs: Any, outline: Any, indices: list[int]) -> None:
    """Where the mask that decides cannot be read, no other takes its place."""
    columns = {"rle_mask": objects(None, runs), "polygon": objects(None, outline)}
    crops = crop_and_translate(IMAGE, detect([BOX] * 2, **columns))
    assert [crop.index for crop in crops] == indices


def test_a_column_that_is_none() -> None:
    """It is as if it were not there."""
    detections = detect([BOX])
    detections.data["polygon"] = None
    [crop] = crop_and_translate(IMAGE, detections)
    assert crop.mask is None
    assert crop.detections.data["polygon"] is None


# --- images --------------------------------------------------------------------------------------


def test_a_crop_is_a_view_and_a_copy_is_none() -> None:
    """Writing to a crop writes to the image; its copy owns its pixels and its description."""
    image = IMAGE.copy()
    crop = one(BOX, image=image)
    copy = crop.copy()
    crop.image[:] = 7
    assert (image[20:40, 10:30] == 7).all()
    np.testing.assert_array_equal(copy.image, IMAGE[20:40, 10:30])
    assert copy.detections.xyxy.tolist() == crop.detections.xyxy.tolist()


@pytest.mark.parametrize("opacity", [0.0, 1.0])
def test_a_copy_keeps_its_mask_and_run_lengths(opacity: float) -> None:
    """A copy describes itself by the image it was cut from, not by its own size."""
    crop = one(BOX, options=CropOptions(opacity), rle_mask=objects(RLE))
    copy = crop.copy()
    np.testing.assert_array_equal(copy.mask, blot(12, 22, 20, 30)[20:40, 10:30])
    assert copy.detections.data["rle_mask"].tolist() == crop.detections.data["rle_mask"].tolist()


@pytest.mark.parametrize("channels", [(), (1,), (4,)])
def test_grey_and_bgra(channels: tuple[int, ...]) -> None:
    """Grey is repeated, alpha is left out; the crop is BGR."""
    image = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, *channels), np.uint8)
    expected = image.reshape(HEIGHT, WIDTH, -1)[20:40, 10:30]
    expected = expected[..., :3] if channels == (4,) else expected.repeat(3, 2)
    np.testing.assert_array_equal(one(BOX, image=image).image, expected)


@pytest.mark.parametrize(
    "image",
    [np.zeros((9, 9, 3), np.float32), np.zeros((9, 9, 3), np.uint16), np.zeros(9, np.uint8)],
)
def test_another_image_is_refused(image: Any) -> None:
    """An image of another dtype or shape is refused, also where nothing was detected."""
    with pytest.raises(ValueError, match="an image must be"):
        crop_and_translate(image, sv.Detections.empty())


def test_pixels_are_taken_as_they_are() -> None:
    """A picture in planes is cropped without being converted as a whole."""
    plane = np.full((30, 50), 128, np.uint8)
    planes = YuvPixels(IMAGE[..., 0].copy(), plane, plane)
    assert isinstance(one(BOX, image=planes).pixels, YuvPixels)
    np.testing.assert_array_equal(one(BOX, image=planes).image, planes.bgr()[20:40, 10:30])
    assert one(BOX, image=ArrayPixels(IMAGE)).origin == (10, 20)


# --- the door ------------------------------------------------------------------------------------


@pytest.mark.parametrize("detections", [sv.Detections.empty(), detect([])])
def test_no_detections_are_no_crops(detections: sv.Detections) -> None:
    """An empty answer is an empty list, also without IDs."""
    assert crop_and_translate(IMAGE, detections) == []


def test_a_missing_id_names_the_key() -> None:
    """Detections without IDs are refused with the name of what is missing."""
    with pytest.raises(ValueError, match=r"detections.data has no 'detection_id'"):
        crop_and_translate(IMAGE, sv.Detections(xyxy=np.array([[1.0, 2, 3, 4]])))


@pytest.mark.parametrize(
    ("image", "detections", "expected"),
    [
        (Image.new("RGB", (9, 9)), detect([BOX]), "PIL.Image: np.asarray(image)[:, :, ::-1]"),
        (IMAGE, {"predictions": []}, "not dict: sv.Detections.from_inference"),
        (np.zeros((9, 9, 3)), detect([BOX]), "an image must be uint8, not float64"),
        (IMAGE, detect([BOX], detection_id=objects(None)), "has no ID in row 0"),
    ],
)
def test_what_is_none_is_refused(image: Any, detections: Any, expected: str) -> None:
    """Each argument is looked at, and the error says what to write."""
    with pytest.raises((TypeError, ValueError)) as info:
        crop_and_translate(image, detections)
    assert expected in str(info.value)
    with pytest.raises((TypeError, ValueError)) as info:
        crop_batch([image], [detections])
    assert expected in str(info.value)
    with pytest.raises(TypeError, match="options are CropOptions, not dict"):
        crop_and_translate(IMAGE, detect([]), cast("Any", {"mask_opacity": 1}))
    with pytest.raises(TypeError, match="crop_batch takes several images"):
        crop_batch(IMAGE, [detect([])])


def test_a_process_pool_takes_crops() -> None:
    """A crop that went through `pickle` says what it said before."""
    data = {"polygon": objects(POLYGON, POLYGON + 1), "rle_mask": objects(RLE, None)}
    detections = detect([[0, 0, 9, 9], BOX], tag=["a", "b"], **data)
    detections.confidence = np.array([0.25, 0.5])
    detections.metadata = {"camera": "door"}
    detections.data["keypoints_xy"] = np.zeros((2, 1, 2))
    for crop in crop_and_translate(IMAGE, detections, CropOptions(1.0)):
        other = pickle.loads(pickle.dumps(crop))  # noqa: S301  # our own
        # What is written to the input afterwards concerns the copy no more.
        detections.data["keypoints_xy"][:] = 7
        np.testing.assert_array_equal(other.image, crop.image)
        assert other.detections.xyxy.tolist() == crop.detections.xyxy.tolist()
        assert other.detections.confidence.tolist() == crop.detections.confidence.tolist()
        assert other.detections.metadata == {"camera": "door"}
        for key in ("polygon", "rle_mask", "tag", "detection_id"):
            mine, its = crop.detections.data[key], other.detections.data[key]
            assert repr(mine) == repr(its)
        assert other.detections.data["keypoints_xy"].tolist() != [[[7, 7]]]
        detections.data["keypoints_xy"][:] = 0
        [inner] = crop_and_translate(other.image, other.detections, parent=other)
        assert len(inner.lineage) == 3


def test_an_id_is_text() -> None:
    """IDs of any type are named as text."""
    detections = sv.Detections(
        xyxy=np.array([[1.0, 2, 3, 4]]), data={"detection_id": np.array([17])}
    )
    [crop] = crop_and_translate(IMAGE, detections)
    assert crop.detection_id == "17"
    assert crop.detections.data["detection_id"].tolist() == [17]


@given(st.integers(4, 6), st.data())
def test_nested_crops_know_the_whole_chain(depth: int, data: st.DataObject) -> None:
    """A point in the innermost crop is brought back to the root within 1e-9."""
    image, parent = np.asarray(IMAGE), None
    for _ in range(depth):
        height, width = image.shape[:2]
        x, y = data.draw(st.floats(-1, width / 4)), data.draw(st.floats(-1, height / 4))
        found = detect([[x, y, width, height]])
        [parent] = crop_and_translate(image, found, parent=parent)
        image = parent.image
    assert parent is not None
    assert len(parent.lineage) == depth + 1
    left, top = parent.lineage.origin
    np.testing.assert_array_equal(image, IMAGE[top:, left:])
    point = np.array([data.draw(st.floats(-1e4, 1e4)), data.draw(st.floats(-1e4, 1e4)), 1])
    forth = np.vstack([parent.lineage.transform, [0, 0, 1]])
    np.testing.assert_allclose(np.linalg.inv(forth) @ forth @ point, point, rtol=0, atol=1e-9)


def test_a_batch_is_one_after_the_other() -> None:
    """Several images give as many lists of crops, each by its own detections."""
    batch = crop_batch(
        [IMAGE, IMAGE, IMAGE],
        [detect([BOX]), sv.Detections.empty(), detect([BOX, [0, 0, 5, 5]])],
        CropOptions(1.0, "#fff"),
    )
    assert [[crop.detection_id for crop in crops] for crops in batch] == [["d0"], [], ["d0", "d1"]]
    assert batch[0][0].original.options == CropOptions(1.0, "#fff")
    assert crop_batch([], []) == []


@pytest.mark.parametrize(("images", "answers"), [(1, 2), (2, 1), (0, 1)])
def test_a_batch_of_unequal_lengths_is_refused(images: int, answers: int) -> None:
    """No image is silently left out."""
    with pytest.raises(ValueError, match="as many detections as images, one for each"):
        crop_batch([IMAGE] * images, [detect([BOX])] * answers)
