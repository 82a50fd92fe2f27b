"""What leaves the node: metadata as JSON, and CloudEvents 1.0 that carry a picture with it."""

import json
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary_event
from cloudevents.core.formats.json import JSONFormat

from streamcrop.core.limits import Limits
from streamcrop.errors import FormatError
from streamcrop.formats import events

WH = (80, 60)
PICTURE = b"\xff\xd8\xff\xe0 a picture \x00\x80"
# Modes


def event(**changes: Any) -> events.Event:
    """A crop's event."""
    attributes = events.attributes(
        kind=events.CROP_TYPE,
        node="edge 1/ä",
        stream="gate",
        event_id="gate/1234/a",
        subject="a",
        time=1795341600123456,
    )
    plain = events.Event("t", PICTURE, "image/jpeg", attributes, b'{"class":"\xc3\xa4 100%"}')
    return replace(plain, **changes)


def check(found: Any) -> None:
    """What both modes carry."""
    assert found.get_specversion() == "1.0"
    assert found.get_type() == "streamcrop.crop.v1"
    assert found.get_source() == "/streamcrop/edge%201/%C3%A4/gate"
    assert found.get_id() == "gate/1234/a"
    assert found.get_subject() == "a"
    assert found.get_time() == datetime(2026, 11, 22, 10, 0, 0, 123456, UTC)
    assert found.get_datacontenttype() == "image/jpeg"
    assert found.get_extension("metadata") == '{"class":"ä 100%"}'
    assert found.get_data() == PICTURE


def test_binary_mode_is_a_cloud_event() -> None:
    """The reference implementation reads back what the user properties say."""
    packet = events.MODES["binary"](event())
    # MQTT's user properties are plain UTF-8, the headers of HTTP are percent-encoded.
    headers = {f"ce-{key}": quote(value, safe="") for key, value in packet.user_properties}
    headers["content-type"] = packet.content_type
    check(from_binary_event(HTTPMessage(headers, packet.payload)))
    assert packet.payload is event().data or packet.payload == PICTURE


def test_structured_mode_is_a_cloud_event() -> None:
    """The reference implementation reads back the JSON, metadata being a string."""
    packet = events.MODES["json"](event())
    assert packet.content_type == "application/cloudevents+json"
    assert packet.user_properties == []
    check(JSONFormat().read(None, packet.payload))
    assert b64decode(json.loads(packet.payload)["data_base64"]) == PICTURE


def test_unknown_time_is_absent() -> None:
    """What is not known is left out, never null."""
    known = {"kind": "k", "node": "n", "stream": "s", "event_id": "i", "subject": "a"}
    assert "time" not in events.attributes(**known, time=None)
    bare = event(attributes=events.attributes(**known, time=None))
    assert "time" not in json.loads(events.structured(bare).payload)
    assert "time" not in dict(events.binary(bare).user_properties)


@pytest.mark.parametrize("mode", sorted(events.MODES))
def test_plain_json_is_no_cloud_event(mode: str) -> None:
    """A message without attributes travels as it is, in both modes."""
    plain = events.Event("t", b"{}", "application/json", {})
    assert events.MODES[mode](plain) == events.Packet(b"{}", "application/json", [])


def test_bytes_of_an_event() -> None:
    """An event weighs what its picture and its metadata weigh."""
    assert event().nbytes == len(event().data) + len(event().metadata)


def test_both_modes_are_read_back() -> None:
    """`read` is the inverse of both modes."""
    for mode in events.MODES.values():
        packet = mode(event())
        properties = {**dict(packet.user_properties), "content-type": packet.content_type}
        found = events.read(packet.payload, properties)
        assert found.data == PICTURE
        assert found.raw == event().metadata
        assert found.metadata == {"class": "ä 100%"}
        assert dict(event().attributes).items() <= dict(found.attributes).items()
        assert "metadata" not in found.attributes


BAD_PACKETS: list[tuple[bytes, dict[str, str]]] = [
    (b"", {}),
    (b"{}", {}),
    (b"[]", {}),
    (PICTURE, {}),
    (b'{"specversion": 1}', {}),
    (b'{"data_base64": "", "metadata": 7}', {}),
    (b'{"data_base64": ""}', {}),
    (b'{"data_base64": "!", "metadata": "{}"}', {}),
    (b'{"data_base64": "A", "metadata": "{}"}', {}),
    (b'{"a":' * 5000, {}),
    (PICTURE, {"specversion": "1.0"}),
    (PICTURE, {"specversion": "1.0", "metadata": ""}),
    (PICTURE, {"specversion": "1.0", "metadata": "[]"}),
    (PICTURE, {"specversion": "1.0", "metadata": '{"a":' + "[" * 5000}),
    (PICTURE, {"specversion": "1.0", "metadata": "\ud800"}),
]


@pytest.mark.parametrize(("payload", "properties"), BAD_PACKETS, ids=range(len(BAD_PACKETS)))
def test_what_is_no_event(payload: bytes, properties: dict[str, str]) -> None:
    """What is no event of a node is a format error, and nothing worse."""
    with pytest.raises(FormatError, match="no event of a streamcrop node"):
        events.read(payload, properties)


def test_an_event_that_asks_for_too_much() -> None:
    """Values are counted in the JSON of it, and in the JSON within."""
    metadata = json.dumps({"n": [0] * 99})
    events.read(PICTURE, {"specversion": "1.0", "metadata": metadata}, Limits(values=206))
    structured = {**dict.fromkeys(map(str, range(98)), "x"), "data_base64": "", "metadata": "{}"}
    events.read(json.dumps(structured).encode(), {}, Limits(values=206))
    for payload, said in (
        (PICTURE, {"specversion": "1.0", "metadata": metadata}),
        (json.dumps({"data_base64": "", "metadata": metadata}).encode(), {}),
        (json.dumps(structured).encode(), {}),
    ):
        with pytest.raises(
            FormatError, match=r"node: 20[46] values in one message are more"
        ) as info:
            events.read(payload, said, Limits(values=203))
        assert info.value.reason == "too_large"


# Topics


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("person", "person"),
        ("a/b", "a%2Fb"),
        ("+", "%2B"),
        ("#", "%23"),
        ("100%", "100%25"),
        ("a\x00\n\x7f", "a%00%0A%7F"),
        ("ä", "%C3%A4"),
        ("{stream}", "%7Bstream%7D"),
        ("x" * 300, "x" * 256),
        ("", "unknown"),
        (None, "unknown"),
        (0, "0"),
        (True, "True"),
        (["a", "/"], "%5B%27a%27%2C%20%27%2F%27%5D"),
    ],
)
def test_topic_levels(name: object, level: str) -> None:
    """What comes from a message is percent-encoded: it can neither add a level nor a wildcard."""
    ids = {"stream": "gate", "frame_id": "e/1", "detection_id": "d#"}
    topic = events.topic_of(
        "c/{stream}/{frame_id}/{detection_id}/{class}", **ids, row={"class": name}
    )
    assert topic == f"c/gate/e%2F1/d%23/{level}"
    assert unquote(topic.split("/")[2]) == "e/1"


def test_topic_without_class() -> None:
    """A row without a class has an unknown one; a template need not name anything."""
    ids = {"stream": "gate", "frame_id": "1", "detection_id": "d"}
    assert events.topic_of("c/{class}", **ids, row={}) == "c/unknown"
    assert events.topic_of("c", **ids, row={}) == "c"


def test_topics_fit_into_mqtt() -> None:
    """The longest values that pass the door make a topic below MQTT's 65,535 bytes."""
    ids = {"stream": "gate", "frame_id": "\U0001f600" * 1024, "detection_id": "\U0001f600" * 256}
    template = "c/{stream}/{frame_id}/{detection_id}/{class}"
    topic = events.topic_of(template, **ids, row={"class": "\U0001f600" * 70_000})
    assert len(topic.encode()) < events.MAX_PROPERTY_BYTES
