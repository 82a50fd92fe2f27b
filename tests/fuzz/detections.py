"""What detectors send: all the way that a message takes through a node."""

import json
from contextlib import suppress
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from fuzz.target import Target

from streamcrop.core.background import CropOptions
from streamcrop.core.pixels import ArrayPixels
from streamcrop.core.runs import Rle
from streamcrop.core.values import Frame
from streamcrop.errors import FormatError
from streamcrop.formats import DETECTION_FORMATS
from streamcrop.formats.documents import document
from streamcrop.formats.events import MODES
from streamcrop.keys import KEYS
from streamcrop.stream.history import History
from streamcrop.stream.render import Style, render

STAMP = "2026-11-22T10:00:00.5Z"
_TOPIC = "{stream}/{class}/{detection_id}/{frame_id}"
ROW = {
    "x": 4,
    "y": 3,
    "width": 4,
    "height": 2,
    "confidence": 0.9,
    "class": "car",
    "class_id": 1,
    "detection_id": "d",
    "tracker_id": 7,
    "points": [{"x": 2, "y": 2}, {"x": 6, "y": 2}, {"x": 6, "y": 4}],
    "rle": {"size": [6, 8], "counts": [18, 3, 27]},
    "keypoints": [{"x": 3, "y": 3, "class": "nose", "confidence": 0.5}],
    "landmarks": [[3, 3]],
    "polygon": [[2, 2], [6, 2], [6, 4]],
    "segmentation": [[2, 2, 6, 2, 6, 4]],
    "bbox": [2, 2, 6, 4],
    "box": {"x1": 2, "y1": 2, "x2": 6, "y2": 4},
    "x1": 2,
    "parent_origin": {"offset_x": 1, "offset_y": 1, "width": 8, "height": 6},
}
INFERENCE = {
    "frame_id": 7,
    "image": {"width": 8, "height": 6},
    "pts": 3600,
    "time_base": "1/90000",
    "captured_at": "2026-11-22T10:00:00.5Z",
    "session": "s",
    "reported_at": 1795341600.5,
    "inference_metadata": {"frame_id": 8},
    "video_metadata": {"frame_number": 9},
    "predictions": [ROW, {**ROW, "detection_id": None}, {"x": 4, "y": 3, "width": 2, "height": 2}],
}
EDGES = {"left": 0.25, "top": 0.25, "right": 0.75, "bottom": 0.75}
CAR = {
    "track_id": "1",
    "timestamp": STAMP,
    "bounding_box": EDGES,
    "class": {"type": "Car", "score": 1},
}
AXIS = {"channel_id": 1, "timestamp": STAMP, "detections": [CAR, {"bounding_box": EDGES}]}
BETA = {"frame": {"timestamp": STAMP, "observations": [CAR], "operations": []}}
HUMAN = {
    "@ObjectId": 15,
    "Appearance": {
        "Transformation": {"Translate": {"@x": 0.0, "@y": 0.0}, "Scale": {"@x": 1.0, "@y": 1.0}},
        "Shape": {
            "BoundingBox": {"@left": -0.5, "@top": 0.5, "@right": 0.5, "@bottom": -0.5},
            "Polygon": {"Point": [{"@x": 0, "@y": 0}, {"@x": 0.5, "@y": 0}, {"@x": 0, "@y": 0.5}]},
        },
        "Class": {"Type": [{"@Likelihood": 0.8, "#text": "Human"}], "ClassCandidate": []},
    },
}
ONVIF = {"Frame": [{"@UtcTime": STAMP, "Transformation": None, "Object": [HUMAN]}]}
XML = b"""<?xml version="1.0"?><tt:MetadataStream xmlns:tt="http://www.onvif.org/ver10/schema">
<tt:VideoAnalytics><tt:Frame UtcTime="2026-11-22T10:00:00.5Z"><tt:Object ObjectId="15">
<tt:Appearance><tt:Shape><tt:BoundingBox left="-0.5" top="0.5" right="0.5" bottom="-0.5"/>
</tt:Shape><tt:Class><tt:Type Likelihood="0.8">Human</tt:Type></tt:Class></tt:Appearance>
</tt:Object></tt:Frame></tt:VideoAnalytics></tt:MetadataStream>"""
MESSAGES: dict[str, list[Any]] = {
    "inference": [INFERENCE],
    "axis": [AXIS, BETA, {"data": BETA}],
    "onvif": [ONVIF, {"MetadataStream": {"VideoAnalytics": ONVIF}}],
}
FRAME = Frame(
    "7", ArrayPixels(np.zeros((12, 16, 3), np.uint8)), pts=1, time_base=Fraction(1), captured_at=1
)


def no_json(text: str) -> None:
    """Refuse what JSON does not know."""
    msg = f"{text} is no JSON"
    raise AssertionError(msg)


def through(name: str, payload: bytes) -> None:
    """Decoded, keyed, remembered, cut, described and packed; or refused with a reason."""
    form = DETECTION_FORMATS[name]
    try:
        message = form.decode(payload)
    except FormatError:
        return
    for key in KEYS.values():
        with suppress(FormatError):
            hash(key.of_message(message, 1_795_341_600_000_000))
    History().note_message(message, "late")
    options = CropOptions(mask_opacity=1)
    style = Style(("node", "gate"), options, format=name, max_predictions=9, topic=_TOPIC)
    parts = list(render(FRAME, message, 0.0, style))
    first = parts[0]
    assert first.received == first.made + first.refused.total()
    assert [part.unexpected for part in parts] == [[]] * len(parts)
    json.dumps(first.said)
    events = [event for part in parts for event in part.events]
    assert sum(event.is_crop for event in events) == first.made
    for event in events:
        assert not {*"+#\0"} & {*event.topic}
        json.loads(event.metadata or event.data, parse_constant=no_json)
        for mode in MODES.values():
            assert mode(event).payload


def read_rle(data: bytes) -> None:
    """Run lengths: refused, or pixels of the size that they claim, there and back."""
    if len(data) < 2:
        return
    height, width = 1 + data[0], 1 + data[1]
    try:
        rle = Rle.parse({"size": [height, width], "counts": data[2:]})
    except ValueError:
        return
    box = (0, 0, width, height)
    pixels = rle.pixels()
    assert pixels.shape == (height, width)
    again = Rle.parse(rle.crop(box, (width, height)).as_json())
    assert np.array_equal(again.region(box, (width, height)), pixels)


def read_document(data: bytes) -> None:
    """JSON of strangers: a value that can be written again, or refused."""
    with suppress(FormatError):
        json.dumps(document(data)).encode()


def _runs(mask: npt.NDArray[Any]) -> bytes:
    height, width = mask.shape
    counts = Rle.of(mask.astype(np.uint8)).as_json()["counts"]
    return bytes([height - 1, width - 1]) + str(counts).encode()


def _texts(values: list[Any]) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


TARGETS = {
    name: Target(partial(through, name), _texts(seeds) + [XML] * (name == "onvif"), "json")
    for name, seeds in MESSAGES.items()
}
TARGETS["rle"] = Target(read_rle, [_runs(each) for each in (np.eye(6, 8), np.ones((200, 2)))])
TARGETS["document"] = Target(read_document, _texts([INFERENCE, [1, "\ud800", "é"]]), "json")
