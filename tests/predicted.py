"""Messages as a detector writes them, and what is read of them."""

import json
from typing import Any

from streamcrop.core.values import Predictions
from streamcrop.formats.inference import decode, predictions

BOX = {"x": 5, "y": 4, "width": 2, "height": 4}
SQUARE = [{"x": 1, "y": 1}, {"x": 5, "y": 1}, {"x": 5, "y": 5}, {"x": 1, "y": 5}]
RLE = {"size": [10, 20], "counts": [45, 3, 7, 3, 142]}

FULL = {
    **BOX,
    "points": [{"x": 1, "y": 2, "z": 3}, {"x": 4, "y": 2}, {"x": 4, "y": 6}],
    "keypoints": [{"x": 3, "y": 5, "confidence": 0.5, "class": "nose", "class_id": 0}],
    "polygon": [[1, 2], [3, 4], [5, 6]],
    "rect": [[1, 2], [3, 2], [3, 4], [1, 4]],
    "xyxyxyxy": [[1, 2], [3, 2], [3, 4], [1, 4]],
    "parent_origin": {"offset_x": 7, "offset_y": 8, "width": 20, "height": 10, "id": "p"},
    "root_parent_origin": {"offset_x": 9, "offset_y": 1, "width": 40, "height": 50},
    "landmarks": [{"x": 1, "y": 2}],
    "class": "person",
    "parent_id": "image",
    "unknown": {"x": 1, "deep": [1, None, {"x": 2}]},
    "detection_id": "a",
}


def encoded(*rows: object, **fields: Any) -> bytes:
    """A message as a detector writes it."""
    return json.dumps({"frame_id": 1, **fields, "predictions": list(rows)}).encode()


def read(
    payload: bytes, resolution_wh: tuple[int, int] = (20, 10), *, limit: int = 100
) -> Predictions:
    """Both steps of reading a message."""
    return predictions(decode(payload), resolution_wh, name="gate/1", limit=limit)


def region(found: Predictions, row: int = 0, wh: tuple[int, int] = (20, 10)) -> Any:
    """The pixels of a row's mask in the whole frame."""
    mask = found.instances.masks[row]
    assert mask is not None
    return mask.region((0, 0, *wh), wh)
