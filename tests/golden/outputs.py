"""What goes into the node and the library, and what comes out, in words that a file can keep."""

from typing import Any

import numpy as np
import supervision as sv

from streamcrop import CropOptions, crop_and_translate
from streamcrop.core.pixels import ArrayPixels
from streamcrop.core.values import Frame
from streamcrop.formats import inference
from streamcrop.stream.render import Style, render

IMAGE = np.random.default_rng(0).integers(0, 256, (72, 96, 3), np.uint8)


def written(message: str) -> list[str]:
    """The metadata of each crop of a message, and behind them the frame's."""
    frame = Frame("7", ArrayPixels(IMAGE), captured_at=1_700_000_000_000_000)
    style = Style(("edge", "gate"), CropOptions(1.0))
    parts = render(frame, inference.decode(message.encode()), 0.5, style)
    events = [event for part in parts for event in part.events]
    return [(event.metadata or event.data).decode() for event in events]


def described(case: dict[str, Any]) -> list[str]:
    """The detections of each crop, with the kind of every value."""
    data = {key: _column(*column) for key, column in case["data"].items()}
    ids = np.array([f"d{row}" for row in range(len(case["xyxy"]))])
    xyxy = np.array(case["xyxy"], case["dtype"])
    detections = sv.Detections(xyxy=xyxy, data={"detection_id": ids, **data})
    crops = crop_and_translate(IMAGE, detections, CropOptions(1.0))
    return [f"{crop.box} {_shown(dict(sorted(vars(crop.detections).items())))}" for crop in crops]


def _column(rows: list[Any], dtype: str | None) -> Any:
    if dtype != "object":
        return rows if dtype is None else np.array(rows, dtype)
    column = np.empty(len(rows), object)
    column[:] = [np.array(row) if isinstance(row, list) else row for row in rows]
    return column


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        rows = [*map(_shown, value)] if value.dtype == object else value.tolist()
        return f"{value.dtype}{value.shape}{rows}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(each)}" for key, each in value.items()) + "}"
    return repr(value)
