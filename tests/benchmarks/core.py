"""What the crop core costs: ``python -m tests.benchmarks core``.

Every figure is a median of runs in one process, and what counts is the ratio to the floor (a NumPy
slice and copy of the same regions) and, where Roboflow's ``inference`` is installed
(``pip install inference-core``), to its Dynamic Crop block, which runs in turn with ours. Warm: the
same work was done right before. Cold: a buffer larger than the caches was touched in between.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import supervision as sv
from benchmarks.report import Row

from streamcrop import CropOptions, crop_and_translate
from streamcrop.stream.render import Style, metadata_of

WIDTH, HEIGHT, COUNT = 1920, 1080, 20
STYLE = ("benchmark", "benchmark")
# More than the caches of any machine hold.
CACHES = 1 << 28
TARGETS = {
    "boxes": 15,
    "masks at opacity 1": 60,
    "JSON to JSON, boxes": 10,
    "boxes, all taken": 4,
    "masks at opacity 1, all taken": 35,
}


def message_to_metadata(
    image: npt.NDArray[np.uint8], message: bytes, options: CropOptions
) -> list[bytes]:
    """One JSON of metadata for each crop of a detection message, by the node's own path.

    Args:
        image: The frame, ``(H, W, 3)`` uint8 BGR. Not modified.
        message: An inference response.
        options: How crops are made.
    """
    return list(metadata_of(image, message, Style(STYLE, options)))


def scene(seed: int = 0) -> tuple[npt.NDArray[np.uint8], sv.Detections, bytes]:
    """A frame with 20 objects of about 150 x 300, as arrays and as a message."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    width, height = rng.uniform(100, 200, COUNT), rng.uniform(200, 400, COUNT)
    left, top = rng.uniform(0, WIDTH - width), rng.uniform(0, HEIGHT - height)
    xyxy = np.stack([left, top, left + width, top + height], 1)
    masks, predictions = np.zeros((COUNT, HEIGHT, WIDTH), bool), []
    for at, (x_0, y_0, x_1, y_1) in enumerate(xyxy.tolist()):
        turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        radius = rng.uniform(0.7, 1, 40)
        x = (x_0 + x_1) / 2 + radius * np.cos(turn) * (x_1 - x_0) / 2
        y = (y_0 + y_1) / 2 + radius * np.sin(turn) * (y_1 - y_0) / 2
        outline = np.stack([x, y], 1).astype(np.int32)
        filled = np.zeros((HEIGHT, WIDTH), np.uint8)
        masks[at] = cv2.fillPoly(filled, [outline], 1)
        predictions.append(
            {
                "x": (x_0 + x_1) / 2,
                "y": (y_0 + y_1) / 2,
                "width": x_1 - x_0,
                "height": y_1 - y_0,
                "confidence": 0.9,
                "class": "person",
                "class_id": 0,
                "detection_id": f"detection {at}",
                "points": [{"x": float(px), "y": float(py)} for px, py in outline],
            }
        )
    detections = sv.Detections(
        xyxy=xyxy,
        mask=masks,
        confidence=np.full(COUNT, 0.9),
        class_id=np.zeros(COUNT, int),
        data={
            "detection_id": np.array([str(at) for at in range(COUNT)]),
            "class_name": np.array(["person"] * COUNT),
            **_origin(),
        },
    )
    size = {"width": WIDTH, "height": HEIGHT}
    text = msgspec.json.encode({"frame_id": 1, "image": size, "predictions": predictions})
    return image, detections, text


def _origin() -> dict[str, npt.NDArray[Any]]:
    """What inference says beside, of each object, of the image that it was found in."""
    texts = ("parent_id", "root_parent_id", "prediction_type", "inference_id")
    places = ("parent_coordinates", "root_parent_coordinates")
    sizes = ("image_dimensions", "parent_dimensions", "root_parent_dimensions")
    return {
        **{key: np.array(["image"] * COUNT) for key in texts},
        **{key: np.zeros((COUNT, 2), int) for key in places},
        **{key: np.array([[HEIGHT, WIDTH]] * COUNT) for key in sizes},
    }


def taken(
    image: npt.NDArray[np.uint8], detections: sv.Detections, options: CropOptions
) -> list[Any]:
    """Everything that a crop has."""
    crops = crop_and_translate(image, detections, options)
    return [(crop.image, crop.detections, crop.transform, crop.lineage) for crop in crops]


def reference(image: npt.NDArray[np.uint8]) -> dict[str, Callable[..., Any]]:
    """The block's own functions, where they are installed."""
    try:
        from inference.core.workflows.core_steps.common import deserializers, serializers  # noqa: PLC0415  # optional
        from inference.core.workflows.core_steps.transformations.dynamic_crop.v1 import crop_image  # noqa: PLC0415  # installed by hand
        from inference.core.workflows.execution_engine.entities.base import (  # noqa: PLC0415  # the same
            ImageParentMetadata,
            WorkflowImageData,
        )
    except ImportError:
        return {}

    def crop(detections: sv.Detections, opacity: float) -> Any:
        data = WorkflowImageData(ImageParentMetadata("image"), numpy_image=image)
        return crop_image(data, detections, opacity, "#000000")

    def metadata(message: bytes) -> Any:
        found = deserializers.deserialize_detections_kind("x", msgspec.json.decode(message))
        crops = crop(found, 0.0)
        rows = [serializers.serialise_sv_detections(each["predictions"]) for each in crops]
        return [msgspec.json.encode(row) for row in rows]

    return {"crop": crop, "metadata": metadata}


def measure(_: Path, *, quick: bool) -> list[Row]:
    """Warm and cold, beside the floor and beside the block."""
    runs = 5 if quick else 60
    cv2.setNumThreads(1)
    image, detections, message = scene()
    boxes = sv.Detections(
        xyxy=detections.xyxy,
        confidence=detections.confidence,
        class_id=detections.class_id,
        data=detections.data,
    )
    corners = detections.xyxy.round().astype(int).tolist()
    outlined = msgspec.json.decode(message)
    rows = [{k: v for k, v in row.items() if k != "points"} for row in outlined["predictions"]]
    boxed = msgspec.json.encode({**outlined, "predictions": rows})
    black, plain = CropOptions(1.0), CropOptions(0.0)
    block = reference(image)
    crop, metadata = block.get("crop"), block.get("metadata")
    # What it is called, ours, and the block's.
    table: list[tuple[str, Callable[[], Any], Callable[[], Any] | None]] = [
        ("floor", lambda: [image[y:b, x:r].copy() for x, y, r, b in corners], None),
        (
            "boxes",
            lambda: [c.image for c in crop_and_translate(image, boxes, plain)],
            crop and (lambda: crop(boxes, 0.0)),
        ),
        (
            "boxes, all taken",
            lambda: taken(image, boxes, plain),
            crop and (lambda: crop(boxes, 0.0)),
        ),
        (
            "masks at opacity 1, all taken",
            lambda: taken(image, detections, black),
            crop and (lambda: crop(detections, 1.0)),
        ),
        (
            "masks at opacity 1",
            lambda: [c.image for c in crop_and_translate(image, detections, black)],
            crop and (lambda: crop(detections, 1.0)),
        ),
        (
            "JSON to JSON, polygons",
            lambda: message_to_metadata(image, message, plain),
            metadata and (lambda: metadata(message)),
        ),
        (
            "JSON to JSON, boxes",
            lambda: message_to_metadata(image, boxed, plain),
            metadata and (lambda: metadata(boxed)),
        ),
    ]
    buffer = np.zeros(CACHES, np.uint8)
    rows_: list[Row] = []
    for state in ("warm", "cold"):
        floor = 0.0
        for name, *works in table:
            between = None if state == "warm" else lambda: np.add(buffer, 1, out=buffer)
            ours, *theirs = _medians([work for work in works if work], between, runs)
            floor = floor or ours
            rows_.append(Row("core", f"{name}, {state}: of the floor", ours / floor))
            for each in theirs:
                target = TARGETS.get(name) if state == "warm" else None
                label = f"{name}, {state}: faster than the block"
                rows_.append(Row("core", label, each / ours, target=target, more=True))
        rows_.append(Row("core", f"the floor, {state}", 1e3 * floor, "ms"))
    return rows_


def _medians(
    works: list[Callable[[], Any]], between: Callable[[], Any] | None, runs: int
) -> list[float]:
    """Seconds of each work, in turn; before each run ``between``, or else the work itself."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(runs):
        for work, taken in zip(works, times, strict=True):
            (between or work)()
            since = time.perf_counter()
            work()
            taken.append(time.perf_counter() - since)
    return [statistics.median(taken) for taken in times]
