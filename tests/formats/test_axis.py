"""Scene metadata of Axis cameras: both forms, in pixels of a frame of 1920 x 1080."""

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest

from streamcrop.core.values import Predictions
from streamcrop.errors import FormatError
from streamcrop.formats.axis import decode, predictions

# 2024-02-14T15:37:21.040577Z
TIME = 1_707_925_041_040_577
STAMP = "2024-02-14T15:37:21.040577Z"
CAR = {
    "track_id": "25",
    "timestamp": STAMP,
    "bounding_box": {"left": 0.25, "top": 0.5, "right": 0.75, "bottom": 0.625},
    "class": {"type": "Car", "score": 0.74, "colors": [{"name": "Red", "score": 0.6}]},
    "image": {"data": "/9j/4AAQ", "bounding_box": {"left": 0.2, "top": 0.4}},
}
PERSON = {
    "object_track_id": "8e653185-8e54-4dca-8af1-9f7202aca120",
    "bounding_box": {"left": 0.1, "top": 0.2, "right": 0.2, "bottom": 0.6},
    "class": {"type": "Human", "score": 0.7, "upper_clothing_colors": [{"name": "Blue"}]},
}
BOX = CAR["bounding_box"]


def beta(*observations: object, **fields: Any) -> bytes:
    """A frame of the beta form."""
    frame = {"timestamp": STAMP, "operations": [], "observations": list(observations)}
    return json.dumps({"frame": {**frame, **fields}}).encode()


def frame(*detections: object, **fields: Any) -> bytes:
    """A frame of version 1."""
    head = {"channel_id": 1, "timestamp": STAMP, "detections": list(detections)}
    return json.dumps({**head, **fields}).encode()


def read(payload: bytes, *, limit: int = 1000) -> Predictions:
    """Both steps of reading a message."""
    return predictions(decode(payload), (1920, 1080), name="gate/7", limit=limit)


def refused(payload: bytes) -> dict[int, str]:
    """Which rows are refused, and why."""
    return {row: str(reason) for row, reason in read(payload).instances.refused.items()}


def test_beta() -> None:
    """Boxes by their edges become pixels; what is known of an object comes along."""
    message = decode(beta(CAR, operations=[{"type": "DeleteOperation", "id": "35"}]))
    assert (message.captured_at, message.frame_id, message.pts) == (TIME, None, None)
    found = read(message.payload)
    assert found.instances.xyxy.tolist() == [[480, 540, 1440, 675]]
    [row] = found.rows
    assert row.pop("detection_id") == found.instances.detection_id[0]
    assert row == {
        "x": 960,
        "y": 607.5,
        "width": 960,
        "height": 135,
        "class": "Car",
        "confidence": 0.74,
        "tracker_id": "25",
        "axis": {"track_id": "25", "timestamp": STAMP, "class": CAR["class"]},
    }


def test_an_envelope() -> None:
    """As the documentation of the cameras' metadata broker shows a frame of the beta form."""
    enveloped = b'{"data": %b}' % beta(CAR)
    assert read(enveloped).rows == read(beta(CAR)).rows


def test_version_1() -> None:
    """The same with the names of version 1."""
    found = read(frame(PERSON, track_events=[{"type": "TrackEnded", "object_track_id": "a"}]))
    assert np.allclose(found.instances.xyxy, [[192, 216, 384, 648]])
    [row] = found.rows
    assert (row["class"], row["confidence"]) == ("Human", 0.7)
    assert row["tracker_id"] == PERSON["object_track_id"]
    assert row["axis"]["class"]["upper_clothing_colors"] == [{"name": "Blue"}]


@pytest.mark.parametrize(
    "payload",
    [
        beta(),
        frame(),
        frame(detections=None),
        json.dumps({"channel_id": 2, "timestamp": STAMP}).encode(),
        json.dumps({"channel_id": 2, "timestamp": STAMP, "track_events": []}).encode(),
    ],
)
def test_no_objects(payload: bytes) -> None:
    """Nothing found is an answer; version 1 leaves the list out."""
    assert decode(payload).captured_at == TIME
    assert read(payload).rows == []


def test_an_object_without_a_class() -> None:
    """Most have none: what is not known is absent."""
    for payload in (beta({"bounding_box": BOX}), frame({"bounding_box": BOX, "class": {}})):
        [row] = read(payload).rows
        assert {"class", "confidence", "tracker_id"}.isdisjoint(row)


def test_ids_are_the_same_at_a_re_delivery() -> None:
    """A detection's ID is made from the frame, since a track has one in every frame."""
    first, again = read(beta(CAR, CAR)), read(beta(CAR, CAR))
    assert first.instances.detection_id == again.instances.detection_id
    assert len(set(first.instances.detection_id)) == 2


def test_boxes_beyond_the_picture() -> None:
    """They are left as they are: the crop is clipped."""
    box = {"left": -0.5, "top": 0.5, "right": 0.5, "bottom": 1.5}
    assert read(frame({"bounding_box": box})).instances.xyxy.tolist() == [[-960, 540, 960, 1620]]


@pytest.mark.parametrize(
    "stamp", ["2024-02-14T15:37:21.040577", "2024-02-14T16:37:21.040577+01:00"]
)
def test_an_observation_of_the_same_time(stamp: str) -> None:
    """The frame's time counts; the observation's may be written differently."""
    assert refused(beta({**CAR, "timestamp": stamp})) == {}


@pytest.mark.parametrize("stamp", ["2024-02-14T15:37:21.040578Z", "yesterday", 1_707_925_041])
def test_an_observation_of_another_time(stamp: object) -> None:
    """It speaks of another picture, and its box is not cut from this one."""
    assert refused(beta(CAR, {**CAR, "timestamp": stamp}, CAR)) == {1: "malformed"}


NAN, INF = float("nan"), float("inf")
BAD: list[tuple[object, str]] = [
    (None, "malformed"),
    (7, "malformed"),
    ([], "malformed"),
    ({}, "malformed"),
    ({"bounding_box": None}, "malformed"),
    ({"bounding_box": [0.1, 0.2, 0.3, 0.4]}, "malformed"),
    ({"bounding_box": {"left": 0.1, "top": 0.2, "right": 0.3}}, "malformed"),
    ({"bounding_box": {**BOX, "left": "near"}}, "malformed"),
    ({"bounding_box": {**BOX, "left": True}}, "malformed"),
    ({"bounding_box": {**BOX, "left": 0.8}}, "malformed"),
    ({"bounding_box": {**BOX, "top": 0.63}}, "malformed"),
    ({"bounding_box": {**BOX, "left": NAN}}, "not_finite"),
    ({"bounding_box": {**BOX, "right": INF}}, "not_finite"),
    ({"bounding_box": {**BOX, "left": -1e308, "right": 1e308}}, "not_finite"),
    ({"bounding_box": {**BOX, "right": "5000 digits"}}, "not_finite"),
    ({"bounding_box": {**BOX, "right": "350 digits"}}, "malformed"),
    ({**CAR, "timestamp": "n/a"}, "malformed"),
    ({**CAR, "timestamp": []}, "malformed"),
]


@pytest.mark.parametrize(("value", "reason"), BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("form", [beta, frame])
def test_a_bad_object_costs_itself_only(form: Any, value: object, reason: str) -> None:
    """What is wrong with one object is counted; its neighbours are cut."""
    payload = form(CAR, value, CAR)
    for count in (350, 5000):  # `json` itself writes no integer of so many digits
        payload = payload.replace(f'"{count} digits"'.encode(), b"1" * count)
    found = read(payload)
    assert found.instances.refused == {1: reason}
    assert found.instances.xyxy[[0, 2]].tolist() == [[480, 540, 1440, 675]] * 2


UNNEEDED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"class": "Car"}, {"class": None, "confidence": None}),
    ({"class": {"type": 7, "score": 0.5}}, {"class": None, "confidence": 0.5}),
    ({"class": {"type": "Car", "score": "high"}}, {"class": "Car", "confidence": None}),
    ({"class": {"type": "Car", "score": "0.5"}}, {"class": "Car", "confidence": 0.5}),
    ({"class": {"type": "Car", "score": NAN}}, {"class": "Car", "confidence": None}),
    ({"track_id": {}}, {"tracker_id": None}),
    ({"track_id": None, "object_track_id": None}, {"tracker_id": None}),
    ({"track_id": "25", "object_track_id": []}, {"tracker_id": None}),
    ({"track_id": "25", "object_track_id": None}, {"tracker_id": "25"}),
    ({"class": {"type": "a\ud800"}}, {"class": "a\ufffd"}),
    ({"timestamp": None}, {}),
    ({"timestamp": ""}, {}),
    ({"colors": [{"score": INF}]}, {"axis": {"colors": [{"score": None}]}}),
    ({"bounding_box": {key: str(side) for key, side in BOX.items()}}, {}),
]


@pytest.mark.parametrize(("changed", "expected"), UNNEEDED, ids=range(len(UNNEEDED)))
@pytest.mark.parametrize("form", [beta, frame])
def test_what_nobody_needs_costs_nothing(
    form: Any, changed: dict[str, Any], expected: dict[str, Any]
) -> None:
    """What is null, or of another kind than it should be, is not known; the box is."""
    found = read(form({**CAR, **changed}))
    assert not found.instances.refused
    assert found.instances.xyxy.tolist() == [[480, 540, 1440, 675]]
    row = found.rows[0]
    for key, value in expected.items():
        if key == "axis":
            assert row["axis"].items() >= value.items()
        else:
            assert row.get(key) == value


SNAPSHOT = {
    "id": "57fc",
    "object_track_id": "ad57",
    "channel_id": 1,
    "timestamp": STAMP,
    "crop_box": {"left": 0.193, "top": 0.4739, "right": 0.2712, "bottom": 0.5468},
    "data": "/9j/4AAQ",
}
TRACK = {"id": "57fc", "channel_id": 1, "start_time": STAMP, "end_time": STAMP, "classes": []}
BROKEN: list[bytes] = [b"", b"{", b"null", b"7", b"[]", b"{}", b'"frame"', b"\xff\xd8\xff", b"[{}]"]
BROKEN += [
    json.dumps(value).encode() for value in (SNAPSHOT, TRACK, {"frame": None}, {"frame": {}})
]
BROKEN += [b'{"predictions": [], "frame_id": 7}', b'{"frame": [], "timestamp": "2026"}']
BROKEN += [beta(timestamp=None), beta(timestamp=1_707_925_041_000), beta(timestamp="now")]
BROKEN += [beta(observations=7), beta(observations={}), beta(timestamp=NAN)]
BROKEN += [frame(timestamp=None), frame(timestamp=""), frame(detections={})]
BROKEN += [json.dumps({"timestamp": STAMP, **more}).encode() for more in ({}, {"detections": None})]
BROKEN += [frame(detections="none"), beta() + b"x", beta() + beta(), frame(timestamp="\ud800")]


@pytest.mark.parametrize("channel", [None, "1", 1.5, {}])
def test_the_channel_is_not_needed(channel: object) -> None:
    """A frame is one by its detections, or by its channel where it has none."""
    assert len(read(frame(CAR, channel_id=channel)).rows) == 1
    assert decode(frame(channel_id=channel, detections=None)).captured_at
    without = json.dumps({"timestamp": STAMP, "detections": [CAR]}).encode()
    assert len(read(without).rows) == 1


def test_null_is_not_said() -> None:
    """Null stands for nothing, also where something else is in its place."""
    assert read(beta(observations=None)).rows == []
    whole = json.loads(frame(CAR))
    assert len(read(json.dumps({**whole, "data": None, "frame": None}).encode()).rows) == 1


@pytest.mark.parametrize("payload", BROKEN, ids=range(len(BROKEN)))
def test_no_frame(payload: bytes) -> None:
    """What is no frame is `malformed`, in few words; object snapshots and tracks are none."""
    with pytest.raises(FormatError) as info:
        decode(payload)
    assert info.value.reason == "malformed"
    assert len(str(info.value)) < 300


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"frame":'])
@pytest.mark.parametrize("depth", [900, 20_000, 300_000])
def test_deep_nesting(opening: str, depth: int) -> None:
    """Nesting that could not be read everywhere is `malformed`."""
    nested = opening * depth + "1" + ("]" if opening == "[" else "}") * depth
    for payload in (nested, f'{{"timestamp":"{STAMP}","channel_id":1,"detections":[{nested}]}}'):
        with pytest.raises(FormatError):
            decode(payload.encode())


def test_many_objects() -> None:
    """Only so many are read as are wanted; the others are counted."""
    payload = frame(*[PERSON] * 5_000, *[{"bounding_box": BOX}] * 5_000)
    found = read(payload, limit=100)
    assert (len(found.rows), found.over_limit) == (100, 9_900)
    assert not found.instances.refused


def test_more_values_than_any_message() -> None:
    """A message whose values would take many times its bytes is refused before it is read."""
    payload = frame().replace(b"[]", b"[" + b"0," * 1_000_000 + b"0]")
    tracemalloc.start()
    with pytest.raises(FormatError, match=r"1,000,0\d\d values"):
        decode(payload)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.1 * len(payload)
