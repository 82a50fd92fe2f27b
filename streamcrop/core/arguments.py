"""The library's arguments: images, detections and their IDs; errors say what to write instead."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from streamcrop.core.background import CropOptions
from streamcrop.core.crop import Crop
from streamcrop.core.pixels import ArrayPixels
from streamcrop.core.values import Pixels

if TYPE_CHECKING:
    import supervision as sv

_MADE = "detections.data['detection_id'] = np.array([str(uuid4()) for _ in detections.xyxy])"
_READ = "cv2.imread(path), which gives None where there is no picture"
_DECODE = "cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)"
_SEVERAL = "np.asarray(image, np.uint8); several images are crop_batch's"
_NOTHING = "sv.Detections.empty(), where nothing was found"
# By the name of a type or of its package: what to write instead.
_IMAGES = {
    "PIL": "np.asarray(image)[:, :, ::-1], after image.convert('RGB') where its mode is another",
    "torch": "image.permute(1, 2, 0).cpu().numpy(), where channels come first",
    "Crop": "crop.image, with parent=crop",
    "str": _READ,
    "pathlib": _READ,
    "None": _READ,
    "bytes": _DECODE,
    "bytearray": _DECODE,
    "memoryview": _DECODE,
    "_io": "cv2.imdecode(np.frombuffer(image.read(), np.uint8), cv2.IMREAD_COLOR)",
    "VideoFrame": "image.to_ndarray(format='bgr24')",
    "UMat": "image.get()",
    "cupy": "image.get()",
    "generator": _SEVERAL,
    "list": _SEVERAL,
    "tuple": _SEVERAL,
}
_DETECTIONS = {
    "dict": "sv.Detections.from_inference(detections), for a response of inference",
    "inference": "sv.Detections.from_inference(detections)",
    "ultralytics": "sv.Detections.from_ultralytics(detections)",
    "KeyPoints": "detections.as_detections()",
    "list": "sv.Detections.merge(detections), for a list of them",
    "tuple": "sv.Detections.merge([*detections]), for some of them",
    "ndarray": "sv.Detections(xyxy=detections), for boxes",
    "None": _NOTHING,
}


def pixels_in(image: npt.NDArray[np.uint8] | Pixels) -> Pixels:
    """An image as `Pixels`.

    Raises:
        TypeError: If it is something else; its text says how to make one of it.
        ValueError: If it is an array of another dtype or shape.
    """
    if isinstance(image, np.ndarray):
        return ArrayPixels.of(image)
    if not callable(getattr(type(image), "region", None)):
        raise TypeError(
            _refusal("an image is a NumPy array of uint8, BGR, or Pixels", image, _IMAGES)
        )
    return image


def check_detections(detections: "sv.Detections") -> None:
    """Look at detections.

    Raises:
        TypeError: If they are something else; its text says how to make some of it.
    """
    if not (isinstance(getattr(detections, "data", None), dict) and hasattr(detections, "xyxy")):
        raise TypeError(
            _refusal("detections are a supervision.Detections", detections, _DETECTIONS)
        )


def check_more(options: CropOptions | None, parent: Crop | None) -> None:
    """Look at the other arguments.

    Raises:
        TypeError: If they are something else.
    """
    if options is not None and not isinstance(options, CropOptions):
        raise TypeError(
            _refusal("options are CropOptions", options, {"dict": "CropOptions(**...)"})
        )
    if parent is not None and not isinstance(parent, Crop):
        raise TypeError(_refusal("parent is the Crop that the image is", parent, {}))


def check_batch(images: object, detections: object) -> None:
    """Look at several images and the detections of each.

    Raises:
        TypeError: If it is one image, or detections of one.
    """
    one = isinstance(images, np.ndarray) and (
        images.ndim == 2 or (images.ndim == 3 and images.shape[2] in {3, 4})
    )
    several = all(
        hasattr(each, "__iter__") and not isinstance(each, (dict, str, bytes))
        for each in (images, detections)
    )
    if one or hasattr(detections, "xyxy") or not several:
        raise TypeError("crop_batch takes several images and as many detections: [image], [found]")


def is_missing(value: object) -> bool:
    """True if a row of a column says nothing: None, or NaN, as tables have it.

    Example:
        >>> is_missing(None), is_missing(np.float32("nan")), is_missing("")
        (True, True, False)
    """
    return value is None or (isinstance(value, (float, np.floating)) and bool(np.isnan(value)))


def boxes_of(detections: "sv.Detections") -> npt.NDArray[Any]:
    """The boxes as numbers; None is not a number.

    Raises:
        ValueError: If they are no numbers, or not four in a row.
    """
    xyxy: npt.NDArray[Any] = np.asarray(detections.xyxy)
    if xyxy.dtype.kind not in "iuf":
        try:
            # Text, or objects; others, as complex numbers and truth, are no places.
            xyxy = xyxy.astype(np.float64) if xyxy.dtype.kind in "OSU" else np.empty(0)
        except (TypeError, ValueError):
            xyxy = np.empty(0)
    if xyxy.ndim != 2 or xyxy.shape[1] != 4:
        raise ValueError(
            "detections.xyxy is an (n, 4) array of numbers: x_min, y_min, x_max, y_max"
        )
    return xyxy


def ids_of(detections: "sv.Detections") -> list[str]:
    """The IDs as texts.

    Raises:
        ValueError: If one of them is missing.
    """
    column = detections.data.get("detection_id")
    if column is None:
        msg = "detections.data has no 'detection_id': give each detection an ID, for instance"
        raise ValueError(f"{msg} {_MADE}")
    ids = np.asarray(column, object).tolist()
    if not isinstance(ids, list) or len(ids) != len(detections):
        raise ValueError("detections.data['detection_id'] has not one ID for each detection")
    for row, each in enumerate(ids):
        if type(each) is str and each:
            continue  # as nearly all are
        if isinstance(each, (bytes, list, tuple, dict, np.ndarray)):
            msg = f"detections.data['detection_id'] has a {type(each).__name__} in row {row}"
            raise ValueError(f"{msg}: an ID is a text or a number")  # noqa: TRY004  # of a value
        if is_missing(each) or each == "":
            msg = f"detections.data['detection_id'] has no ID in row {row}: give each one, or"
            raise ValueError(f"{msg} {_MADE}")
    return [*map(str, ids)]


def _refusal(wanted: str, given: object, cures: dict[str, str]) -> str:
    kind = type(given)
    package = kind.__module__.partition(".")[0]
    name = "None" if given is None else kind.__name__
    # Whatever it is, it knows how to become an array.
    array = "np.asarray(image)" if cures is _IMAGES and hasattr(given, "__array__") else None
    named = {"builtins": name, "PIL": "PIL.Image"}.get(package, f"{package}.{name}")
    cure = cures.get(name) or cures.get(package) or array
    return f"{wanted}, not {named}" + (f": {cure}" if cure else "")
