"""What comes as pictures by MQTT, and as the events of other nodes."""

import json
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import cv2
import numpy as np
from fakes import FakeBroker
from fuzz.detections import INFERENCE, STAMP
from fuzz.target import Target

from streamcrop.core.background import CropOptions
from streamcrop.core.values import Frame, Note, Reason
from streamcrop.errors import CorruptError, FormatError
from streamcrop.formats import DETECTION_FORMATS, exif
from streamcrop.formats.events import CROP_TYPE, FRAME_TYPE, MODES, Event, attributes, read
from streamcrop.sources.mqtt import MqttSource, _Picture
from streamcrop.sources.pictures import still
from streamcrop.stream.history import History
from streamcrop.stream.render import Style, render, render_tap

ENTRIES = [
    {"id": "gate/7", "width": 64, "height": 48},
    {"id": "car", "width": 16, "height": 12, "origin": [3, 4]},
]
METADATA = {"id": "gate/7/car", "frame_id": "7", "captured_at": STAMP, "lineage": ENTRIES}
STILLS = {
    suffix: cv2.imencode(suffix, np.full((12, 16, 3), 90, np.uint8))[1].tobytes()
    for suffix in (".jpg", ".png", ".webp")
}
_TIFF = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"
_APP1 = b"Exif\0\0" + _TIFF
TURNED = b"\xff\xd8\xff\xe1" + (len(_APP1) + 2).to_bytes(2) + _APP1 + STILLS[".jpg"][2:]
_MESSAGE = json.dumps(INFERENCE).encode()


def event_of(picture: bytes, kind: str, metadata: bytes, mode: str) -> tuple[bytes, dict[str, str]]:
    """A picture as a node publishes it."""
    described = attributes(
        kind=kind, node="n", stream="gate", event_id="gate/7/car", subject="car", time=1
    )
    packet = MODES[mode](Event("t", picture, "image/png", described, metadata))
    return packet.payload, dict(packet.user_properties)


def take(payload: bytes, said: Mapping[str, str], **how: Any) -> None:
    """A picture's way through a source, the tap and the history: a frame, or a reason why not."""
    source = MqttSource(FakeBroker(), "cams/+/jpg", **how)  # type: ignore[arg-type]
    items = source._read(_Picture(payload, {"topic": "cams/a/jpg", **said}, 1, len(payload)))
    *notes, last = items
    for note in items:
        if isinstance(note, Note):
            assert note.kind != "failed", note.text
    if isinstance(last, Reason):
        assert last in {Reason.CORRUPT, Reason.NO_KEY, Reason.AMBIGUOUS}
        assert len(notes) == (last != Reason.AMBIGUOUS)
        return
    assert isinstance(last, Frame)
    History().note(last, "received")
    with suppress(CorruptError):
        tapped = render_tap(last, ("node", "gate"), 8, 90)
        json.loads(tapped.metadata)
        message = DETECTION_FORMATS["inference"].decode(_MESSAGE)
        style = Style(("node", "gate"), CropOptions())
        assert [part.unexpected for part in render(last, message, 0.0, style)] == [[]]


def framed(said: Mapping[str, str], payload: bytes) -> bytes:
    """A message as one input: its user properties, and its payload behind them."""
    return json.dumps(said).encode() + b"\n" + payload


def unframed(data: bytes) -> tuple[dict[str, str], bytes] | None:
    """The inverse; None where the properties are none that MQTT could carry."""
    head, _, payload = data.partition(b"\n")
    try:
        said = json.loads(head)
    except (RecursionError, ValueError):
        return None
    if not isinstance(said, dict):
        return None
    return {str(name): value for name, value in said.items() if isinstance(value, str)}, payload


def take_framed(data: bytes) -> None:
    """See `take`; a picture whose ID stands in each of the places where one may."""
    if message := unframed(data):
        said, payload = message
        place = said.pop("place", None)
        places = {None, "property:frame_id", "property:time", "level:1", "level:9", "level:-1"}
        place = place if place in places else None
        take(payload, said, frame_id=place, unnamed="unnamed" in said)


def read_framed(data: bytes) -> None:
    """An event in either mode, or an error."""
    if message := unframed(data):
        said, payload = message
        with suppress(FormatError):
            assert isinstance(read(payload, said).metadata, dict)


def show(data: bytes) -> None:
    """A still: upright pixels, or refused."""
    with suppress(FormatError):
        width, height = still(data).resolution_wh
        assert width >= 1
        assert height >= 1


def turn(data: bytes) -> None:
    """An orientation: one of eight, or none."""
    matrix = exif.orientation(data)
    assert matrix is None or sorted(map(abs, matrix)) == [0, 0, 1, 1]


_EVENTS = [
    framed(said, payload)
    for kind in (CROP_TYPE, FRAME_TYPE)
    for mode in MODES
    for payload, said in [event_of(STILLS[".png"], kind, json.dumps(METADATA).encode(), mode)]
]
_NAMED = [framed({"frame_id": "7"}, each) for each in (*STILLS.values(), TURNED)]
_TIMED = [framed({"time": STAMP, "place": "level:1", "unnamed": ""}, STILLS[".jpg"])]
_LONE = framed({}, b'{"specversion": "1.0", "data_base64": "' + b64encode(b"x") + b'"}')
TARGETS = {
    "picture": Target(take_framed, [*_NAMED, *_TIMED, *_EVENTS], "framed"),
    "event": Target(read_framed, [*_EVENTS, _LONE], "framed"),
    "still": Target(show, [*STILLS.values(), TURNED]),
    "exif": Target(turn, [*STILLS.values(), TURNED]),
}
