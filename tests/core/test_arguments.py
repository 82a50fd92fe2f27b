"""`streamcrop.core.arguments`: what the library takes, and what it says to others."""

import sys
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest
import supervision as sv
from PIL import Image

from streamcrop.core import arguments
from streamcrop.core.background import CropOptions
from streamcrop.core.crop import Crop
from streamcrop.core.cutting import cut
from streamcrop.core.pixels import ArrayPixels
from streamcrop.core.values import Instances

BOXES = np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]])


def detections(**data: Any) -> sv.Detections:
    """Two, whose ``data`` is not checked."""
    made = sv.Detections(xyxy=BOXES.copy())
    made.data = data
    return made


def a_crop() -> Crop:
    """A crop of some image."""
    pixels = ArrayPixels(np.zeros((9, 9, 3), np.uint8))
    return cut(pixels, Instances(BOXES[:1], ["a"]), CropOptions())[0][0]


class Tensor:
    """Stands for another library's."""


Tensor.__module__ = "torch"


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("RGB", (2, 2)), "not PIL.Image: np.asarray(image)[:, :, ::-1], after"),
        (Tensor(), "not torch.Tensor: image.permute(1, 2, 0).cpu().numpy()"),
        (a_crop(), "not streamcrop.Crop: crop.image, with parent=crop"),
        ("clip.png", "not str: cv2.imread(path)"),
        (Path("clip.png"), "not pathlib.PosixPath: cv2.imread(path)"),
        (None, "not None: cv2.imread(path)"),
        (b"jpeg", "not bytes: cv2.imdecode("),
        (memoryview(b"jpeg"), "not memoryview: cv2.imdecode("),
        (BytesIO(b"jpeg"), "not _io.BytesIO: cv2.imdecode(np.frombuffer(image.read(), "),
        (av.VideoFrame(4, 4), "not av.VideoFrame: image.to_ndarray(format='bgr24')"),
        (np.uint8(7), "not numpy.uint8: np.asarray(image)"),
        ((each for each in ()), "several images are crop_batch's"),
        ([[0, 0, 0]], "not list: np.asarray(image, np.uint8)"),
        (ArrayPixels, "not type"),
        (7, "not int"),
    ],
)
def test_no_image(image: Any, expected: str) -> None:
    """Its type is named, and where it is a usual one, what to write instead."""
    with pytest.raises(TypeError, match=r"^an image is a NumPy array of uint8, BGR") as info:
        arguments.pixels_in(image)
    assert expected in str(info.value)


def test_images() -> None:
    """An array is checked, and `Pixels` are taken as they are."""
    array = np.zeros((4, 6, 3), np.uint8)
    assert arguments.pixels_in(array).resolution_wh == (6, 4)
    assert arguments.pixels_in(pixels := ArrayPixels(array)) is pixels
    with pytest.raises(ValueError, match="an image must be"):
        arguments.pixels_in(array[0, 0])


def test_no_detections(monkeypatch: pytest.MonkeyPatch) -> None:
    """As images."""
    results = type("Results", (), {"__module__": "ultralytics.engine.results"})
    monkeypatch.setitem(sys.modules, "ultralytics", ModuleType("ultralytics"))
    points = sv.KeyPoints(xy=np.zeros((1, 2, 2)))
    for given, expected in (
        ({"predictions": []}, "not dict: sv.Detections.from_inference"),
        ([detections()], "not list: sv.Detections.merge"),
        (BOXES, "not numpy.ndarray: sv.Detections(xyxy=detections)"),
        (None, "not None: sv.Detections.empty()"),
        (results(), "not ultralytics.Results: sv.Detections.from_ultralytics"),
        (points, "not supervision.KeyPoints: detections.as_detections()"),
        ("a", "not str"),
    ):
        with pytest.raises(TypeError, match=r"^detections are a supervision.Detections") as info:
            arguments.check_detections(given)
        assert expected in str(info.value)
    arguments.check_detections(detections())


def test_other_arguments() -> None:
    """Options and parent are what they are said to be, or are not given."""
    for options, parent in ((None, None), (CropOptions(), a_crop())):
        arguments.check_more(options, parent)
    wrong: Any
    for wrong, expected in (({}, r"not dict: CropOptions\(\*\*"), (0.5, "not float"), ("a", "str")):
        with pytest.raises(TypeError, match=f"options are CropOptions, .*{expected}"):
            arguments.check_more(wrong, None)
    for wrong in (a_crop().lineage, "a", True):
        with pytest.raises(TypeError, match="parent is the Crop that the image is, not"):
            arguments.check_more(None, wrong)


def test_a_batch() -> None:
    """One image, or the detections of one, are no batch; a stack of grey images is."""
    found = [detections(), detections()]
    for images in ([0, 0], np.zeros((2, 9, 9)), np.zeros((2, 9, 9, 3)), iter([])):
        arguments.check_batch(images, found)
    wrong: Any
    for wrong in (
        np.zeros((9, 9, 3)),
        np.zeros((9, 9, 4)),
        None,
        Image.new("RGB", (9, 9)),
        np.zeros((9, 9)),
        "ab",
        {"a": 1},
        b"ab",
    ):
        with pytest.raises(TypeError, match="crop_batch takes several images"):
            arguments.check_batch(wrong, found)
    with pytest.raises(TypeError, match="crop_batch takes several images"):
        arguments.check_batch([0], found[0])
    for wrong in (None, {"a": found[0]}, "a", 7):
        with pytest.raises(TypeError, match="crop_batch takes several images"):
            arguments.check_batch([0], wrong)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.uint16])
def test_boxes_of_numbers(dtype: Any) -> None:
    """They are taken as they are."""
    found = detections()
    found.xyxy = BOXES.astype(dtype)
    assert arguments.boxes_of(found) is found.xyxy


def test_boxes_of_others() -> None:
    """A list is read, None is not a number, and what is none is refused."""
    found = detections()
    for given in (BOXES.tolist(), BOXES.astype(str), BOXES.astype(object)):
        found.xyxy = given
        np.testing.assert_array_equal(arguments.boxes_of(found), BOXES)
    found.xyxy = np.array([[1, None, 3, 4]], object)
    assert np.isnan(arguments.boxes_of(found)).tolist() == [[False, True, False, False]]
    for wrong in (
        np.array([["a"] * 4]),
        np.zeros(4),
        np.zeros((2, 3)),
        np.array([[{}] * 4]),
        np.ones((2, 4), bool),
        np.ones((2, 4), complex),
    ):
        found.xyxy = wrong
        with pytest.raises(ValueError, match=r"detections.xyxy is an \(n, 4\) array of numbers"):
            arguments.boxes_of(found)


def test_ids() -> None:
    """Of any type, as texts."""
    for given, expected in (
        (np.array(["a", "b"]), ["a", "b"]),
        (["a", 7], ["a", "7"]),
        (np.array([7, 8]), ["7", "8"]),
        (np.array([7.5, "a"], object), ["7.5", "a"]),
    ):
        assert arguments.ids_of(detections(detection_id=given)) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, "has no 'detection_id': give each detection an ID, for instance detections.data"),
        ({"detection_id": None}, "has no 'detection_id'"),
        ({"detection_id": [None, None]}, "has no ID in row 0: give each one, or"),
        ({"detection_id": np.array(["a", None], object)}, "has no ID in row 1"),
        ({"detection_id": ["a", ""]}, "has no ID in row 1"),
        ({"detection_id": np.array([1, np.nan])}, "has no ID in row 1"),
        ({"detection_id": np.array(["a", np.float32("nan")], object)}, "has no ID in row 1"),
        ({"detection_id": np.array([b"a", b"b"])}, "has a bytes in row 0: an ID is a text or a"),
        ({"detection_id": np.array([["a"], ["b"]])}, "has a list in row 0"),
        ({"detection_id": ["a"]}, "has not one ID for each detection"),
        ({"detection_id": "ab"}, "has not one ID for each detection"),
    ],
)
def test_missing_ids(data: dict[str, Any], expected: str) -> None:
    """A column or an ID that is missing is no ID ``None``."""
    with pytest.raises(ValueError, match=r"^detections\.data") as info:
        arguments.ids_of(detections(**data))
    assert expected in str(info.value)
