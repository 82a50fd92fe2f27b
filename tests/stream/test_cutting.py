"""A paired frame is read and cut: `streamcrop.stream.cutting`."""

import json
from typing import Any

import numpy as np

from streamcrop.core.background import CropOptions
from streamcrop.core.pixels import ArrayPixels
from streamcrop.core.values import Frame, Reason
from streamcrop.formats import inference
from streamcrop.stream.cutting import Style, cut_frame, cut_read, read_frame

STYLE = Style(("edge", "gate"), CropOptions(), max_predictions=4)
BOX = {"x": 30, "y": 25, "width": 20, "height": 10, "class": "person"}


class Watched(ArrayPixels):
    """Counts how often it is decoded."""

    decoded = 0

    def decode(self) -> ArrayPixels:
        Watched.decoded += 1
        return ArrayPixels(self.array)


def read_of(*rows: Any) -> Any:
    """A frame of 80 x 60 with what is said of it."""
    Watched.decoded = 0
    frame = Frame("7", Watched(np.zeros((60, 80, 3), np.uint8)))
    message = inference.decode(json.dumps({"frame_id": 7, "predictions": rows}).encode())
    return frame, message


def test_reading_looks_at_no_pixel() -> None:
    """It says what all crops have in common, and the rows in pixels of the frame."""
    frame, message = read_of(BOX, {**BOX, "x": "left"})
    found = read_frame(frame, message, 0.25, STYLE)
    assert Watched.decoded == 0
    assert found.name == "gate/7"
    assert found.head == {
        "stream": "gate",
        "frame_id": "7",
        "paired_by": "frame_id",
        "residual": 0.25,
    }
    assert found.read.instances.xyxy[0].tolist() == [20, 20, 40, 30]
    assert found.read.instances.refused == {1: Reason.MALFORMED}


def test_rows_may_be_refused_before_they_are_cut() -> None:
    """What could not be read keeps its own reason; nothing is decoded where nothing is left."""
    frame, message = read_of(BOX, BOX, {**BOX, "x": "left"})
    found = read_frame(frame, message, 0.0, STYLE)
    some = cut_read(found, STYLE, {0: Reason.FILTERED, 2: Reason.FILTERED})
    assert [crop.index for crop in some.crops] == [1]
    assert some.refused == [(0, Reason.FILTERED), (2, Reason.MALFORMED)]
    assert Watched.decoded == 1
    none = cut_read(found, STYLE, {0: Reason.FILTERED, 1: Reason.FILTERED})
    assert none.crops == []
    assert Watched.decoded == 1
    undecoded = cut_read(found, STYLE, decoded=False)
    assert [crop.index for crop in undecoded.crops] == [0, 1]
    assert Watched.decoded == 1
    assert (undecoded.held, undecoded.supersedes) == ((), {})


def test_both_at_once() -> None:
    """With what lies beyond the limit, and why a box has no crop, in words."""
    frame, message = read_of(BOX, {**BOX, "x": 500}, BOX, BOX, BOX, BOX)
    found = cut_frame(frame, message, 0.0, STYLE)
    assert [crop.index for crop in found.crops] == [0, 2, 3]
    assert found.refused == [
        (1, Reason.OUTSIDE_FRAME), (4, Reason.OVER_LIMIT), (5, Reason.OVER_LIMIT),
    ]  # fmt: skip
    text = "prediction 1, from 490, 20, 510, 30, has no pixel of the frame's 80 x 60"
    assert found.said == {"prediction_outside_frame": text}
