"""Whatever comes in from outside, out comes a value or an error of ours, at every entry."""

import json
import string
from contextlib import suppress
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import FakeBroker
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcrop.core.background import CropOptions
from streamcrop.core.pixels import ArrayPixels
from streamcrop.core.values import Frame, Note, Reason
from streamcrop.errors import CorruptError, FormatError
from streamcrop.formats import DETECTION_FORMATS
from streamcrop.formats.events import CROP_TYPE, FRAME_TYPE, MODES, Event, attributes, read
from streamcrop.formats.images import encode
from streamcrop.sources.mqtt import MqttSource, _Picture
from streamcrop.stream.history import History
from streamcrop.stream.keys import KEYS
from streamcrop.stream.render import Style, render, render_tap

# Times that RFC 3339 can write and no calendar holds in UTC, text that no encoder takes, numbers
# that no float holds.
EVIL: list[Any] = [None, True, False, 0, -1, 1, 0.5, 2**63, 10**400, 1e308, -1e301, 5e-324]
EVIL += [float("nan"), float("inf"), float("-inf"), "", " ", "a", "\x00", "\ud800", "\U0001f600"]
EVIL += ["12.5", "-3", "1e999", "null", "NaN", "9999-12-31T23:59:59-23:59", "1/0", "1e999999999"]
EVIL += ["0001-01-01T00:00:00+23:59", "0000-01-01T00:00:00Z", "2026-12-31T23:59:60Z", "x" * 3000]
EVIL += [[], {}, [[]], [None], [{}], [1, 2, 3, 4], {"x": 1}, {"": {}}, {"\ud800": 1}, [["\udfff"]]]
EVIL += [{"size": [6, 8], "counts": "\ud800"}, {"size": [6, 8], "counts": [48]}, 1790000000123]
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
STAMP = "2026-11-22T10:00:00.5Z"
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


def changed(value: Any, path: list[int], evil: Any) -> Any:
    """A copy of a JSON value with another one somewhere within; the path says where."""
    if not path or not isinstance(value, dict | list) or not value:
        return evil
    first, *rest = path
    if isinstance(value, dict):
        key = [*value][first % len(value)]
        if rest and rest[0] % 13 == 0:
            return {k: part for k, part in value.items() if k != key}
        return {**value, key: changed(value[key], rest, evil)}
    at = first % len(value)
    return [*value[:at], changed(value[at], rest, evil), *value[at + 1 :]]


def bitten(payload: bytes, bites: list[tuple[int, int, bytes]]) -> bytes:
    """Bytes of which some were taken out, and others put there."""
    for at, length, instead in bites:
        place = at % (len(payload) + 1)
        payload = payload[:place] + instead + payload[place + length :]
    return payload


paths = st.lists(st.integers(0, 40), min_size=1, max_size=7)
bites = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(0, 40), st.binary(max_size=4)), max_size=4
)


def mutations(seeds: list[Any]) -> st.SearchStrategy[bytes]:
    """Messages that are nearly right: values within them replaced, and bytes."""
    one = st.tuples(paths, st.sampled_from(EVIL))
    values = st.builds(
        lambda seed, changes: json.dumps(
            seed if not changes else _all(seed, changes), ensure_ascii=True
        ).encode(),
        st.sampled_from(seeds),
        st.lists(one, max_size=3),
    )
    return values | st.builds(bitten, values, bites)


def _all(seed: Any, changes: list[tuple[list[int], Any]]) -> Any:
    for path, evil in changes:
        seed = changed(seed, path, evil)
    return seed


FRAME = Frame(
    "7", ArrayPixels(np.zeros((12, 16, 3), np.uint8)), pts=1, time_base=Fraction(1), captured_at=1
)


def through(name: str, payload: bytes) -> None:
    """All the way that a message takes through a node."""
    form = DETECTION_FORMATS[name]
    try:
        message = form.decode(payload)
    except FormatError:
        return
    for key in KEYS.values():
        with suppress(FormatError):
            hash(key.of_message(message, 1_795_341_600_000_000))
    History().note_message(message, "late")
    style = Style(("node", "gate"), CropOptions(mask_opacity=1), format=name, max_predictions=9)
    parts = list(render(FRAME, message, 0.0, style))
    first = parts[0]
    assert first.received == first.made + first.refused.total()
    assert [part.failed for part in parts] == [[]] * len(parts)
    json.dumps(first.said)
    events = [event for part in parts for event in part.events]
    assert sum(event.is_crop for event in events) == first.made
    for event in events:
        json.loads(event.metadata or event.data, parse_constant=pytest.fail)
        for mode in MODES.values():
            mode(event).payload  # noqa: B018  # it is made here


@settings(max_examples=400)
@given(st.data())
@pytest.mark.parametrize("name", DETECTION_FORMATS)
def test_detections(name: str, data: st.DataObject) -> None:
    """Decoded, keyed, remembered, cut, described and packed; or refused with a reason."""
    through(name, data.draw(mutations(MESSAGES[name])))


@settings(max_examples=300)
@given(st.builds(bitten, st.just(XML), bites))
def test_detections_in_xml(payload: bytes) -> None:
    """The same in XML."""
    through("onvif", payload)


@given(st.binary(max_size=200) | st.text(string.printable, max_size=80).map(str.encode))
@pytest.mark.parametrize("name", DETECTION_FORMATS)
def test_detections_of_any_bytes(name: str, payload: bytes) -> None:
    """The same of what is nothing at all."""
    through(name, payload)


def test_the_seeds_are_right() -> None:
    """What is mutated is a message of which every row is cut, or nothing would be tested."""
    for name, seeds in MESSAGES.items():
        form = DETECTION_FORMATS[name]
        for payload in [json.dumps(seed).encode() for seed in seeds] + [XML] * (name == "onvif"):
            found = form.predictions(form.decode(payload), (16, 12), name="gate/7", limit=9)
            assert not found.instances.refused
            assert not found.said
            assert len(found.rows) >= 1


# Pictures and events

ENTRIES = [
    {"id": "gate/7", "width": 64, "height": 48},
    {"id": "car", "width": 16, "height": 12, "origin": [3, 4]},
]
METADATA = {"id": "gate/7/car", "frame_id": "7", "captured_at": STAMP, "lineage": ENTRIES}
STILLS = {
    suffix: cv2.imencode(suffix, np.full((12, 16, 3), 90, np.uint8))[1].tobytes()
    for suffix in (".jpg", ".png", ".webp")
}


def event_of(picture: bytes, kind: str, metadata: bytes, mode: str) -> tuple[bytes, dict[str, str]]:
    """A picture as a node publishes it."""
    described = attributes(
        kind=kind, node="n", stream="gate", event_id="gate/7/car", subject="car", time=1
    )
    packet = MODES[mode](Event("t", picture, "image/png", described, metadata))
    return packet.payload, dict(packet.user_properties)


texts = st.sampled_from([value for value in EVIL if isinstance(value, str)]) | st.text(max_size=4)
properties = st.dictionaries(
    st.sampled_from(["frame_id", "time", "captured_at", "type", "specversion", "id", "metadata"]),
    texts,
    max_size=3,
)
pictures = st.builds(bitten, st.sampled_from([*STILLS.values()]), st.just([]) | bites) | st.binary(
    max_size=50
)
as_event = st.builds(
    event_of,
    pictures,
    st.sampled_from([CROP_TYPE, FRAME_TYPE]),
    mutations([METADATA]).filter(lambda text: text.isascii()),
    st.sampled_from([*MODES]),
)


def take(payload: bytes, said: dict[str, str], **how: Any) -> None:
    """A picture's way through a source, the tap and the history."""
    source = MqttSource(FakeBroker(), "cams/+/jpg", **how)  # type: ignore[arg-type]
    items = source._read(_Picture(payload, {"topic": "cams/a/jpg", **said}, 1))
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
        message = DETECTION_FORMATS["inference"].decode(json.dumps(INFERENCE).encode())
        style = Style(("node", "gate"), CropOptions())
        assert [part.failed for part in render(last, message, 0.0, style)] == [[]]


@settings(max_examples=300)
@given(
    st.tuples(pictures, st.just({"frame_id": "7"})) | as_event,
    properties,
    st.none() | st.sampled_from(["property:frame_id", "property:time", "level:1", "level:9"]),
    st.booleans(),
    bites,
)
def test_pictures(
    came: tuple[bytes, dict[str, str]],
    more: dict[str, str],
    place: str | None,
    unnamed: bool,  # drawn
    bitten_at: list[tuple[int, int, bytes]],
) -> None:
    """A frame, or a reason that says why."""
    payload, said = came
    payload = bitten(payload, bitten_at) if len(more) % 2 else payload
    take(payload, {**said, **more}, frame_id=place, unnamed=unnamed)


@settings(max_examples=200)
@given(as_event, properties, bites)
def test_events(
    came: tuple[bytes, dict[str, str]], more: dict[str, str], eaten: list[tuple[int, int, bytes]]
) -> None:
    """An event, or an error."""
    payload, said = came
    with suppress(FormatError):
        found = read(bitten(payload, eaten), {**said, **more})
        assert isinstance(found.metadata, dict)


@given(st.integers(1, 70_000), st.integers(1, 3), st.sampled_from(["jpeg", "png", "webp"]))
@settings(max_examples=40)
def test_pictures_of_any_size(long: int, short: int, encoding: str) -> None:
    """Written, or refused because the format does not hold it."""
    for shape in ((long, short, 3), (short, long, 3)):
        try:
            assert encode(ArrayPixels(np.zeros(shape, np.uint8)), encoding, 90)
        except FormatError as error:
            assert error.reason == Reason.ENCODING_FAILED  # noqa: PT017  # one of two right ends
