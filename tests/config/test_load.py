"""From a file's text to its sections, and what a wrong one is told."""

import contextlib
import json
import socket
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from streamcrop import config
from streamcrop.config import Bytes, load, parse
from streamcrop.core.background import CropOptions
from streamcrop.core.choice import Rule
from streamcrop.core.filters import Filter
from streamcrop.errors import ConfigError
from streamcrop.formats import DETECTION_FORMATS

MINIMAL = """
broker:
  url: mqtt://127.0.0.1:1883
streams:
  gate:
    source:
      url: clip.mp4
    detections:
      topic: detections/gate
"""


# The longest text that MQTT is sure to hold is one character shorter; the deepest topic, a level.
LONG, DEEP = "\u00e4" * 16_384, "a/" * 200 + "a"


def changed(*path: str, value: Any) -> str:
    """The minimal file with one value changed; None removes it."""
    tree: dict[str, Any] = yaml.safe_load(MINIMAL)
    place = tree
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = value
    if value is None:
        del place[path[-1]]
    return yaml.safe_dump(tree)


def gate(*path: str, value: Any) -> str:
    """The same, within the stream."""
    return changed("streams", "gate", *path, value=value)


def error_of(text: str) -> str:
    """What a file that is wrong is told."""
    with pytest.raises(ConfigError) as info:
        parse(text)
    return str(info.value)


def test_defaults() -> None:
    """The minimal file has the contract's defaults."""
    found = parse(MINIMAL)
    assert found.node == socket.gethostname()
    assert found.shutdown_timeout == 10
    assert found.broker == config.Broker(url="mqtt://127.0.0.1:1883")
    assert (found.broker.protocol, found.broker.username, found.broker.password) == (
        "auto",
        None,
        None,
    )
    assert (found.broker.ca, found.broker.cert, found.broker.key) == (None, None, None)
    stream = found.streams["gate"]
    assert (stream.source.realtime, stream.source.loop) == (False, False)
    assert stream.tap is None
    assert (stream.detections.format, stream.detections.max_predictions) == ("inference", 1000)
    assert stream.detections.max_message_bytes == 8 * 2**20
    assert (stream.pairing.key, stream.pairing.max_wait) == ("frame_id", 2.0)
    assert (stream.pairing.max_items, stream.pairing.max_bytes) == (1000, 256 * 2**20)
    assert (stream.crop.mask_opacity, stream.crop.background_color) == (0.0, "#000000")
    assert stream.crop.options() == CropOptions()
    assert (stream.select.interest(), stream.select.rule()) == (Filter(), Rule())
    assert stream.select.takes_all
    assert stream.output.topic == "streamcrop/{stream}/crops"
    assert (stream.output.encoding, stream.output.quality, stream.output.qos) == ("jpeg", 90, 1)
    assert (stream.output.envelope, stream.output.max_inflight) == ("auto", 64)
    assert stream.output.files is None


def test_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that can be said is read."""
    monkeypatch.setenv("MQTT_PASSWORD", "s3cret: #x")
    found = parse("""
node: edge-1
broker:
  {url: "mqtts://broker", protocol: 3.1.1, username: me, password: "${MQTT_PASSWORD}",
   ca: ca.pem, cert: c.pem, key: k.pem}
shutdown_timeout: 0
streams:
  gate_1-A:
    source: {url: "file:///data/my%20clip.mp4", realtime: true, loop: true}
    tap: {rate: 5, longest_side: 640, quality: 70}
    detections: {topic: "detections/+/#", format: inference, max_message_bytes: 500k,
                 max_predictions: 10}
    pairing: {key: pts, max_wait: 0.5, max_items: 5, max_bytes: 1GB}
    crop: {mask_opacity: 1, background_color: [255, 0, 7], margin: [0.1, 3px, 0, 0], aspect: '4:3',
           min_side: 32, border: replicate, size: [224, 112], fit: stretch, fill: '#fff',
           upright: long}
    select: {classes: [car, bus], not_classes: [dog], min_confidence: 0.5, min_size: [9, 9],
             max_size: [900, 900], zones: {drive: [[0, 0], [1, 0], [1, 1]]}, zone_anchor: centre,
             per_track: best, interval: 3, lost_after: 4, max_age: 50}
    output: {topic: "c/{stream}/{class}/{frame_id}/{detection_id}", encoding: webp, quality: 1,
             qos: 0, envelope: json, max_inflight: 1, files: out}
  plain:
    source: {url: /data/clip.mp4}
    tap: {}
    detections: {topic: d}
""")
    assert list(found.streams) == ["gate_1-A", "plain"]
    assert found.broker.address() == ("broker", 8883, True, "me", "s3cret: #x")
    stream = found.streams["gate_1-A"]
    assert (stream.source.path, stream.source.is_file) == ("/data/my clip.mp4", True)
    assert not stream.lossless
    assert stream.tap == config.Tap(rate=5.0, longest_side=640, quality=70)
    options = stream.crop.options()
    assert (options.bgr, options.fill_bgr) == ((7, 0, 255), (255, 255, 255))
    assert options.shape is not None
    assert (options.shape.size, options.shape.upright) == ((224, 112), "long")
    assert stream.select.rule() == Rule("best", 3, 4, 50)
    assert stream.select.interest().zone_anchor == "centre"
    assert not stream.select.takes_all
    assert (stream.detections.max_message_bytes, stream.pairing.max_bytes) == (500_000, 10**9)
    plain = found.streams["plain"]
    assert plain.tap == config.Tap(rate=None, longest_side=None, quality=85)
    assert (plain.source.path, plain.lossless) == ("/data/clip.mp4", True)


TWO, NAN = [[0, 0], [1, 1]], [[0, 0], [1, 0], [0, float("nan")]]
PIXELS = [[0, 0], [640, 0], [0, 480]]
FLAT = {"points": {"a": [0, 0], "b": [9, 9], "c": [30, 30]}, "size": [40, 40]}


@pytest.mark.parametrize(
    ("text", "place", "expectation"),
    [
        ("", "", "expected a mapping with the keys broker and streams"),
        ("[]", "", "expected a mapping"),
        ("text", "", "expected a mapping"),
        ("{}", "$", "missing required field `broker`"),
        (changed("streams", value=None), "$", "missing required field `streams`"),
        (changed("streams", value={}), "$.streams", "at least one stream"),
        (changed("streams", value=[]), "$.streams", "Expected `object`"),
        (changed("nodes", value="x"), "$", "unknown field `nodes`"),
        (changed("node", value=""), "$.node", "length >= 1"),
        (changed("node", value=7), "$.node", "Expected `str`, got `int`"),
        (changed("shutdown_timeout", value=-1), "$.shutdown_timeout", ">= 0"),
        (changed("shutdown_timeout", value=float("inf")), "$.shutdown_timeout", "<"),
        (changed("broker", value=None), "$", "missing required field `broker`"),
        (changed("broker", value="mqtt://h"), "$.broker", "got `str`: write broker: {url: 'mqtt:"),
        (changed("broker", "url", value=None), "$.broker", "missing required field `url`"),
        (changed("broker", "pasword", value="x"), "$.broker", "unknown field `pasword`"),
        (changed("broker", "protocol", value="6"), "$.broker.protocol", "enum value '6'"),
        (changed("broker", "protocol", value=5), "$.broker.protocol", "`str`"),
        (changed("broker", "cert", value="c"), "$.broker", "cert and key belong together"),
        (changed("broker", "key", value="k"), "$.broker", "cert and key belong together"),
        (changed("streams", "a b", value={}), "$.streams", "'a b' is not 1 to 256 letters"),
        (changed("streams", "a/b", value={}), "$.streams", "'a/b'"),
        (changed("streams", "a\n", value={}), "$.streams", "letters, digits, _ or -"),
        (changed("streams", "", value={}), "$.streams", "'' is not"),
        (changed("streams", "é", value={}), "$.streams", "'é' is not"),
        ("broker: {url: mqtt://h}\nstreams: {1: {}}", "$.streams", "expected keys that are text"),
        (changed("streams", "b", value=7), "$.streams.b", "got `int`: write b: {source: {url"),
        (gate("surce", value={}), "$.streams.gate", "unknown field `surce`"),
        (gate("source", value=None), "$.streams.gate", "missing required field `source`"),
        (gate("source", "url", value=None), "$.streams.gate.source", "field `url`"),
        (gate("source", "url", value=""), "$.streams.gate.source.url", "length >= 1"),
        (gate("source", "loop", value=1), "$.streams.gate.source.loop", "`bool`, got `int`"),
        (gate("source", "loop", value="yes"), "$.streams.gate.source.loop", "`bool`"),
        (gate("detections", value=None), "$.streams.gate", "missing required field `detections`"),
        (gate("detections", "topic", value=""), "$.streams.gate.detections.topic", "length >= 1"),
        (gate("detections", "topic", value="a#"), "$.streams.gate.detections.topic", "'a#'"),
        (gate("detections", "topic", value="#/a"), "$.streams.gate.detections.topic", "'#'"),
        (gate("detections", "topic", value="a/b+/c"), "$.streams.gate.detections.topic", "'b+'"),
        (gate("detections", "topic", value="\0"), "$.streams.gate.detections.topic", "NUL"),
        (gate("detections", "topic", value="a\n"), "$.streams.gate.detections.topic", "printable"),
        (gate("detections", "topic", value=DEEP), "$.streams.gate.detections.topic", "200 levels"),
        (gate("detections", "topic", value=LONG), "$.streams.gate.detections.topic", "<= 16383"),
        (gate("detections", "topic", value="$share"), "$.streams.gate.detections.topic", "GROUP"),
        (gate("detections", "topic", value="$share/g"), "$.streams.gate.detections.topic", "GROUP"),
        (gate("detections", "topic", value="$share/g/"), "$.streams.gate.detections.topic", "FILT"),
        (gate("detections", "topic", value="$share//a"), "$.streams.gate.detections.topic", "GRO"),
        (gate("detections", "topic", value="$share/+/a"), "$.streams.gate.detections.topic", "GR"),
        (
            gate("detections", "format", value="x"),
            "$.streams.gate.detections.format",
            "expected one of",
        ),
        (
            gate("detections", "max_message_bytes", value="8 apples"),
            "$.streams.gate.detections.max_message_bytes",
            "a size like 8MiB",
        ),
        (
            gate("detections", "max_predictions", value=0),
            "$.streams.gate.detections.max_predictions",
            ">= 1",
        ),
        (gate("tap", "rate", value=0), "$.streams.gate.tap.rate", "> 0"),
        (gate("tap", "rate", value="fast"), "$.streams.gate.tap.rate", "`float | null`"),
        (gate("tap", "longest_side", value=0), "$.streams.gate.tap.longest_side", ">= 1"),
        (gate("tap", "quality", value=101), "$.streams.gate.tap.quality", "<= 100"),
        (gate("pairing", "max_wait", value=0), "$.streams.gate.pairing.max_wait", "> 0"),
        (gate("pairing", "max_wait", value=float("nan")), "$.streams.gate.pairing.max_wait", "0"),
        (gate("pairing", "max_wait", value=float("inf")), "$.streams.gate.pairing.max_wait", "<"),
        (gate("pairing", "max_wait", value=10**400), "$.streams.gate.pairing.max_wait", ""),
        (gate("pairing", "max_items", value=1.5), "$.streams.gate.pairing.max_items", "`int`"),
        (gate("pairing", "max_bytes", value=0), "$.streams.gate.pairing.max_bytes", "above 0"),
        (gate("pairing", "key", value="time"), "$.streams.gate.pairing.key", "enum value 'time'"),
        (gate("crop", "mask_opacity", value=1.5), "$.streams.gate.crop", "mask_opacity must be"),
        (gate("crop", "mask_opacity", value=-0.1), "$.streams.gate.crop", "mask_opacity must be"),
        (gate("crop", "mask_opacity", value=float("nan")), "$.streams.gate.crop", "mask_opacity"),
        (
            gate("crop", "margin", value=1e9),
            "$.streams.gate.crop",
            "margin 1000000000.0: a side is",
        ),
        (gate("crop", "margin", value=[0, "x"]), "$.streams.gate.crop", "or [left, top, right, bo"),
        (gate("crop", "aspect", value=0), "$.streams.gate.crop", "aspect 0.0: width / height"),
        (gate("crop", "aspect", value=61), "$.streams.gate.crop", "'4:3' in quotes"),
        (
            gate("crop", "size", value=[100_000, 9]),
            "$.streams.gate.crop",
            "size must be [width, he",
        ),
        (gate("crop", "size", value=[9.5, 9]), "$.streams.gate.crop.size[0]", "Expected `int`"),
        (gate("crop", "border", value="wrap"), "$.streams.gate.crop.border", "enum value"),
        (gate("crop", "fill", value="grey"), "$.streams.gate.crop", "fill 'grey' is no colour"),
        (gate("crop", "upright", value="x"), "$.streams.gate.crop.upright", "enum value"),
        (gate("crop", "align", value={"template": "hand"}), "$.streams.gate.crop", "template face"),
        (gate("crop", "align", value=FLAT), "$.streams.gate.crop", "on one line"),
        (gate("select", "classes", value=[""]), "$.streams.gate.select", "classes must be a list"),
        (gate("select", "classes", value="car"), "$.streams.gate.select.classes", "Expected `arra"),
        (gate("select", "min_confidence", value=2), "$.streams.gate.select", "from 0 to 1"),
        (gate("select", "min_size", value=[9]), "$.streams.gate.select", "[width, height] in pix"),
        (gate("select", "zones", value={"a": TWO}), "$.streams.gate.select", "3 or more corners"),
        (gate("select", "zones", value={"a": NAN}), "$.streams.gate.select", "all numbers"),
        (gate("select", "zones", value={"a": PIXELS}), "$.streams.gate.select", "within 0 to 1"),
        (gate("select", "per_track", value="worst"), "$.streams.gate.select.per_track", "enum va"),
        (gate("select", "interval", value=0), "$.streams.gate.select", "interval must be a number"),
        (gate("select", "max_age", value=float("inf")), "$.streams.gate.select", "max_age must be"),
        (gate("select", "class", value="car"), "$.streams.gate.select", "unknown field `class`"),
        (gate("crop", "mask_opacity", value=True), "$.streams.gate.crop.mask_opacity", "`float`"),
        (gate("crop", "background_color", value="red"), "$.streams.gate.crop", "is no colour"),
        (gate("crop", "background_color", value=[1, 2]), "$.streams.gate.crop", "is no colour"),
        (gate("crop", "background_color", value=[0, 0, 300]), "$.streams.gate.crop", "0 to 255"),
        (gate("crop", "background_color", value=7), "$.streams.gate.crop.background_color", "int"),
        (gate("output", "topic", value=""), "$.streams.gate.output.topic", "length >= 1"),
        (gate("output", "topic", value="{name}"), "$.streams.gate.output.topic", "{name}"),
        (gate("output", "topic", value="a/{}"), "$.streams.gate.output.topic", "known are {class}"),
        (gate("output", "topic", value="a/{stream"), "$.streams.gate.output.topic", "fields"),
        (gate("output", "topic", value="a/}"), "$.streams.gate.output.topic", "{stream}"),
        (gate("output", "topic", value="{class!r}"), "$.streams.gate.output.topic", "unknown"),
        (gate("output", "topic", value="{class:>9}"), "$.streams.gate.output.topic", "unknown"),
        (gate("output", "topic", value="{class.x}"), "$.streams.gate.output.topic", "unknown"),
        (gate("output", "topic", value="a/+"), "$.streams.gate.output.topic", "no wildcards"),
        (gate("output", "topic", value="a/#"), "$.streams.gate.output.topic", "no wildcards"),
        (gate("output", "topic", value="a\0"), "$.streams.gate.output.topic", "NUL"),
        (gate("output", "topic", value="a\t"), "$.streams.gate.output.topic", "printable"),
        (gate("output", "topic", value=DEEP), "$.streams.gate.output.topic", "200 levels"),
        (gate("output", "topic", value=LONG), "$.streams.gate.output.topic", "<= 16383"),
        (gate("output", "topic", value="{class}" * 6), "$.streams.gate.output.topic", "filled in"),
        (gate("output", "files", value="\ud800"), "$.streams.gate.output.files", "surrogates"),
        (gate("source", "url", value="a\0.mp4"), "$.streams.gate.source.url", "NUL"),
        (
            gate("output", "encoding", value="\udfff"),
            "$.streams.gate.output.encoding",
            "surrogates",
        ),
        (gate("crop", value={1: 2}), "$.streams.gate.crop", "put 1, yes or null in quotes"),
        (gate("crop", value={None: 2}), "$.streams.gate.crop", "expected keys that are text"),
        (gate("crop", value={"\ud800": 2}), "$.streams.gate.crop", "expected keys that are text"),
        (changed("node", value="\ud83d\ude00"), "$.node", "surrogates"),
        (changed("broker", "password", value="\ud800"), "$.broker.password", "surrogates"),
        (changed("broker", "username", value=LONG), "$.broker.username", "<= 16383"),
        (changed("broker", "password", value=LONG), "$.broker.password", "<= 16383"),
        (changed("streams", "x" * 257, value={}), "$.streams", "1 to 256 letters"),
        (gate("output", "encoding", value="gif"), "$.streams.gate.output.encoding", "enum"),
        (gate("output", "quality", value=0), "$.streams.gate.output.quality", ">= 1"),
        (gate("output", "qos", value=2), "$.streams.gate.output.qos", "enum value 2"),
        (gate("output", "envelope", value="xml"), "$.streams.gate.output.envelope", "enum"),
        (gate("output", "max_inflight", value=0), "$.streams.gate.output.max_inflight", ">= 1"),
        (gate("source", "frame_id", value="name"), "$.streams.gate.source.frame_id", "property:"),
        (gate("source", "frame_id", value="property:"), "$.streams.gate.source.frame_id", "NAME"),
        (gate("source", "frame_id", value="level:"), "$.streams.gate.source.frame_id", "level:N"),
        (gate("source", "frame_id", value="level:1.5"), "$.streams.gate.source.frame_id", "0"),
        (gate("source", "frame_id", value=""), "$.streams.gate.source.frame_id", "length >= 1"),
    ],
)
def test_errors_say_where_and_what(text: str, place: str, expectation: str) -> None:
    """An error names the key path and what was expected there."""
    found = error_of(text)
    assert found.startswith(f"{place}: " if place else expectation)
    assert expectation in found


LEAST = "{source: {url: clip.mp4}, detections: {topic: detections/gate}}"
NONE = "Expected keys below it, and there are none: "
B = "$.streams.b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("broker:", f"$.broker: {NONE}write broker: {{url: 'mqtt://127.0.0.1:1883'}}"),
        (
            "broker: {url: 'mqtt://h'}\nstreams:",
            f"$.streams: expected at least one stream: write gate: {LEAST}",
        ),
        (changed("streams", value={"b": None}), f"{B}: {NONE}write b: {LEAST}"),
        (
            changed("streams", value={"b": {"source": None}}),
            f"{B}.source: {NONE}write source: {{url: clip.mp4}}",
        ),
        (
            changed("streams", value={"b": {"source": {}}}),
            f"{B}.source: Object missing required field `url`: write source: {{url: clip.mp4}}",
        ),
        (
            changed("streams", value={"b": {"source": "a.mp4"}}),
            f"{B}.source: Expected keys below it, got `str`: write source: {{url: clip.mp4}}",
        ),
        (
            "http:\nbroker: {url: 'mqtt://h'}\nstreams: {}",
            f"$.http: {NONE}leave http out, or give it one of host, port, cert, key, token, ",
        ),
        (gate("tap", value=5), "$.streams.gate.tap: Expected keys below it, got `int`: leave tap"),
    ],
)
def test_a_section_without_keys(text: str, expected: str) -> None:
    """It is told what it needs, with an example, or what it may hold."""
    assert error_of(text).startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("broker: [", "no YAML: line 1"),
        ("a: b: c", "no YAML: line 1"),
        ("\x00", "no YAML"),
        ("!!python/object:os.system {}", "no YAML"),
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' is given twice"),
        (MINIMAL + "      topic: other", "the key 'topic' is given twice"),
        (MINIMAL + "  gate: {}", "the key 'gate' is given twice"),
        ("a: {? [1, 2] : 3}", "no YAML"),
        ("a: *b", "no YAML"),
        ("a: !!map [b]", "no YAML: line 1"),
        ("broker: &a {url: *a}", "no YAML"),
        ("[" * 5000, "no YAML"),
        ("node: 2026-13-45", "no YAML: month must be in 1..12"),
        ("shutdown_timeout: 1" + "0" * 5000, "no YAML"),
    ],
)
def test_no_yaml(text: str, expected: str) -> None:
    """What is no YAML, or says a thing twice, is refused with a text, whatever PyYAML raises."""
    assert expected in error_of(text)


def test_merged_keys() -> None:
    """YAML's merge is no key given twice, also where a key overrides what is merged."""
    found = parse("""
broker: {url: "mqtt://h"}
streams:
  gate: &gate
    source: {url: a.mp4}
    detections: &detections {topic: a, max_predictions: 5}
  door:
    <<: *gate
    detections: &more {<<: *detections, topic: b}
    tap: {}
  yard:
    <<: *gate
    detections: {<<: *more, topic: c}
""").streams
    assert (found["gate"].tap, found["door"].tap) == (None, config.Tap())
    assert [stream.detections.topic for stream in found.values()] == ["a", "b", "c"]
    assert {stream.detections.max_predictions for stream in found.values()} == {5}


def test_secrets_stay_out_of_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """No error quotes a password: not of the file, the environment or the URL."""
    monkeypatch.setenv("MQTT_PASSWORD", "hunter2")
    texts = [
        'broker: {password: "hunter2}\nstreams: 7',
        "broker:\n  password: hunter2: x\n",
        changed("broker", "password", value=["hunter2"]),
        changed("broker", "password", value=["${MQTT_PASSWORD}"]),
    ]
    for text in texts:
        assert "hunter2" not in error_of(text)


@pytest.mark.parametrize(
    "text",
    [
        gate("source", "url", value="rtsp//me:hunter2@cam/main"),
        gate("source", "url", value="me:hunter2@cam/main"),
        gate("source", "url", value="rtps://me:hunter2@cam/main"),
        gate("source", "url", value="rtsp://me:hunter2#x@cam/main"),
        gate("source", "url", value="rtsp://me:1/hunter2@cam/main"),
        gate("source", "url", value="whep:https://me:hunter2?x@cam/main"),
        gate("source", "url", value="device:rtsp://me:hunter2@cam/main"),
        gate("source", "url", value="mqtt://me:hunter2@cam/main"),
        gate("source", "url", value="mqtt:/me:hunter2@cam/main"),
        gate("source", "url", value="whip://me:hunter2@cam/main"),
        gate("source", "url", value="file://me:hunter2@cam/main"),
        gate("source", value="rtsp://me:hunter2@cam/main"),
        gate("source", value={"rtsp://me:hunter2@cam/main": None}),
        gate("source", value=["rtsp://me:hunter2@cam/main"]),
        gate("detections", "topic", value="mqtt://me:hunter2@broker/a"),
        gate("detections", "format", value="mqtt://me:hunter2@broker/a"),
        gate("pairing", "key", value="mqtt://me:hunter2@broker/a"),
        gate("output", "topic", value="mqtt//me:hunter2@broker/a"),
        gate("output", "files", value="s3://me:hunter2@bucket"),
        gate("url", value="rtsp://me:hunter2@cam/main"),
        gate("${rtsp://me:hunter2@cam}", value=1),
        gate("output", "files", value="${rtsp://me:hunter2@cam}"),
        gate("output", "files", value="${hunter2 }"),
        changed("node", value="mqtt://me:hunter2@broker"),
        changed("broker", value="mqtt://me:hunter2@broker"),
        changed("broker", "protocol", value="mqtt://me:hunter2@broker"),
        changed("broker", "ca", value="mqtt://me:hunter2@broker"),
        changed("streams", "rtsp://me:hunter2@cam/main", value={}),
        "broker: {rtsp://me:hunter2@h: 1, rtsp://me:hunter2@h: 2}",
        "broker: {url: *hunter2}",
        "broker: !hunter2 {}",
    ],
)
def test_an_address_with_a_password_has_its_place(text: str) -> None:
    """Anywhere but in a URL that is one it is refused, and not repeated."""
    assert "hunter2" not in error_of(text)


SIGNS = st.text(st.sampled_from(" #/?@:%[]{}\"'&*!|>,`\\\n-ab1"), max_size=4)
FORMS = ("rtsp://me:{}@cam/a", "rtsp//me:{}@cam/a", "mqtt://me:{}@h", "//me:{}@h", "mqtt:/me:{}@h")


def _places(tree: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all values of a tree, sections included."""
    inner = tree.items() if isinstance(tree, dict) else ()
    return [way, *(place for key, part in inner for place in _places(part, (*way, key)))]


REFERENCE = yaml.safe_load(Path(__file__).parents[2].joinpath("configs/reference.yaml").read_text())
PLACES = [place for place in _places(REFERENCE) if place]
SECRET_KEYS = {"url", "username", "password", "token"}


@given(st.data())
def test_no_error_says_a_secret(data: st.DataObject) -> None:
    """Wherever an address with a password stands, as a value or a key, in a text cut anywhere."""
    signs = data.draw(SIGNS), data.draw(SIGNS)
    login = data.draw(st.sampled_from(FORMS)).format(f"{signs[0]}hunter2{signs[1]}")
    tree = deepcopy(REFERENCE)
    *way, last = data.draw(st.sampled_from(PLACES))
    parent = tree
    for key in way:
        parent = parent[key]
    how = data.draw(st.sampled_from(["value", "key", "list", "secret"]))
    if how == "key":
        parent[login] = parent.pop(last)
    elif how == "list":
        parent[last] = [login]
    else:
        parent[last] = "hunter2" if how == "secret" and last in SECRET_KEYS else login
    text = yaml.safe_dump(tree, default_flow_style=data.draw(st.booleans()), width=10_000)
    if data.draw(st.booleans()):
        cut = data.draw(st.integers(0, len(text)))
        text = text[:cut] + text[cut + data.draw(st.integers(0, 3)) :]
    with contextlib.suppress(ConfigError):
        parse(text)
        return
    assert "hunter2" not in error_of(text)


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1",
        "127.0.0.1:1883",
        "mqtt://",
        "mqtt://:1883",
        "mqtt:host",
        "http://host",
        "ws://host",
        "mqtt://host/path",
        "mqtt://host?x=1",
        "mqtt://host#x",
        "mqtt://host:port",
        "mqtt://host:65536",
        "mqtt://[::1",
        "mqtt://a..b",
        f"mqtt://{'a' * 64}",
        f"mqtt://{'ü' * 60}.de",
        f"mqtt://{'a.' * 127}",
        "mqtt://me:hunter2@host/x",
        "http://me:hunter2@host",
        "mqtt://me:hunter2#x@host",
        "mqtt://me:1#hunter2@host",
        "mqtt://me:hunter2/x@host",
        "mqtt://me:hunter2?x@host",
        "mqtt://me:hunter2[x]@host",
        "mqtt://me:hunter2\u2100@host",
        "mqtt://me:x@host:hunter2",
    ],
)
def test_broker_urls_that_are_none(url: str) -> None:
    """A wrong URL is told what is expected, without the password that it may hold."""
    found = error_of(changed("broker", "url", value=url))
    assert found.startswith("$.broker.url: Expected mqtt://")
    assert "hunter2" not in found


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"url": "mqtt://h"}, ("h", 1883, False, None, None)),
        ({"url": "mqtts://h/"}, ("h", 8883, True, None, None)),
        ({"url": "mqtt://h:1"}, ("h", 1, False, None, None)),
        ({"url": "mqtt://[::1]:1884"}, ("::1", 1884, False, None, None)),
        ({"url": "mqtt://me:p%40s%2Fs%23@h"}, ("h", 1883, False, "me", "p@s/s#")),
        ({"url": "mqtt://me@h"}, ("h", 1883, False, "me", None)),
        (
            {"url": "mqtt://me:x@h", "username": "you", "password": "y"},
            ("h", 1883, False, "you", "y"),
        ),
    ],
)
def test_broker_address(fields: dict[str, str], address: tuple[object, ...]) -> None:
    """Host, port, TLS and credentials; the fields go before what is in the URL."""
    assert config.Broker(**fields).address() == address


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable is replaced wherever a text stands, and its value is not read again."""
    monkeypatch.setenv("HOST", "${NOT_AGAIN}")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("NUMBER", "5")
    found = parse(changed("node", value="a-${HOST}-${EMPTY}-$HOST-{x}"))
    assert found.node == "a-${NOT_AGAIN}--$HOST-{x}"
    text = gate("pairing", "max_bytes", value="${NUMBER}MB")
    assert parse(text).streams["gate"].pairing.max_bytes == 5_000_000


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (changed("broker", "password", value="${GONE}"), "$.broker.password"),
        (changed("node", value="x${GONE}"), "$.node"),
        (gate("crop", "background_color", value=[1, "${GONE}"]), "background_color[1]"),
    ],
)
def test_missing_variable(monkeypatch: pytest.MonkeyPatch, text: str, place: str) -> None:
    """A variable that is not set is an error, not an empty password."""
    monkeypatch.delenv("GONE", raising=False)
    found = error_of(text)
    assert f"{place}: the environment has no variable 'GONE'" in found


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (1, 1),
        ("1", 1),
        ("8MiB", 8 * 2**20),
        ("8 mib", 8 * 2**20),
        ("500k", 500_000),
        ("500kB", 500_000),
        ("1GB", 10**9),
        ("1Gi", 2**30),
        ("1.5KiB", 1536),
        (" 7b ", 7),
        (2**40, 2**40),
    ],
)
def test_sizes(value: object, size: int) -> None:
    """A size is a number of bytes or a text with a unit, of thousands or of 1024."""
    assert Bytes.parse(value) == size
    found = parse(gate("pairing", "max_bytes", value=value))
    assert found.streams["gate"].pairing.max_bytes == size


@pytest.mark.parametrize(
    "value",
    [
        0,
        "0",
        "0.4",
        -1,
        "-1",
        "",
        "MiB",
        "8TiB",
        "5i",
        "5ib",
        "8 M i B",
        "1e3",
        1.5,
        True,
        [],
        "1" * 400,
        10**400,
        "٣",
        "8MiB\n8MiB",
        "1,5k",
    ],
)
def test_no_sizes(value: object) -> None:
    """What is no size is told what one looks like."""
    found = error_of(gate("pairing", "max_bytes", value=value))
    assert found.startswith("$.streams.gate.pairing.max_bytes: Expected a size ")


@pytest.mark.parametrize(
    ("url", "keys"),
    [
        ("clip.mp4", {"frame_id", "sei", "pts"}),
        ("rtsp://cam/stream", {"sei", "utc", "pts", "arrival"}),
        ("RTSPS://user:s3cret@cam:8554/stream", {"sei", "utc", "pts", "arrival"}),
        ("device:/dev/video0", {"arrival"}),
        ("whip:", {"sei", "arrival"}),
        ("whep:https://host/whep", {"sei", "arrival"}),
        ("mqtt:cameras/gate", {"frame_id", "utc", "arrival"}),
    ],
)
def test_keys_of_sources(url: str, keys: set[str]) -> None:
    """A key that the source does not provide is refused, and a tap provides `frame_id`."""
    for key in ("frame_id", "sei", "utc", "pts", "arrival"):
        tree = yaml.safe_load(gate("source", "url", value=url))
        tree["streams"]["gate"]["pairing"] = {"key": key}
        if key in keys:
            assert parse(yaml.safe_dump(tree)).streams["gate"].pairing.key == key
            continue
        found = error_of(yaml.safe_dump(tree))
        assert found.startswith("$.streams.gate.pairing.key: a ")
        trusted = [each for each in ("frame_id", "sei", "utc", "pts", "arrival") if each in keys]
        assert f"has no {key}: use {' or '.join(trusted)}, or add a tap" in found
        tree["streams"]["gate"]["tap"] = {}
        if key == "frame_id":
            assert parse(yaml.safe_dump(tree)).streams["gate"].pairing.key == key
        else:
            assert "add a tap" not in error_of(yaml.safe_dump(tree))


def test_a_format_that_names_no_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that the format's messages cannot say is refused, with what would do."""
    row = replace(DETECTION_FORMATS["inference"], keys=frozenset({"utc"}))
    monkeypatch.setitem(DETECTION_FORMATS, "clock", row)
    tree = yaml.safe_load(gate("detections", "format", value="clock"))
    assert "clock messages say no frame_id" in error_of(yaml.safe_dump(tree))
    tree["streams"]["gate"]["source"]["url"] = "rtsp://cam/stream"
    tree["streams"]["gate"]["pairing"] = {"key": "sei"}
    assert "clock messages say no sei: use utc" in error_of(yaml.safe_dump(tree))
    tree["streams"]["gate"]["pairing"] = {"key": "utc"}
    assert parse(yaml.safe_dump(tree))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://host/clip.mp4", "no source for the scheme 'https': expected a path, file://"),
        ("rtsp:/cam", "Expected rtsp://[USER:PASSWORD@]HOST[:PORT]/PATH"),
        ("rtsps://user:s3cret@[cam/x", "Expected rtsps://[USER:PASSWORD@]HOST[:PORT]/PATH"),
        ("whep:ftp://host", "Expected whep:http://[USER:PASSWORD@]HOST[:PORT]/PATH or whep:"),
        ("rtsp://cam:p#ss@127.0.0.1:554/a", "Expected rtsp://[USER:PASSWORD@]HOST[:PORT]/PATH; si"),
        ("whep:http://h:port/x", "Expected whep:http://[USER:PASSWORD@]HOST[:PORT]/PATH or whep:"),
        ("file://data/clip.mp4", "Expected file:///PATH, with three slashes"),
        ("rtsp//cam/main", "this looks like an address without its scheme; a path begins with ./"),
        ("mqtt://broker/a", "Expected mqtt:TOPIC; the broker's address is broker.url"),
        ("mqtt:a/#/b", "Expected a topic filter; the level '#' is none"),
        ("device:", "Expected a device like device:/dev/video0"),
    ],
)
def test_urls_that_no_source_opens(url: str, expected: str) -> None:
    """A URL without what its source needs is refused, and no password is repeated."""
    found = error_of(gate("source", "url", value=url))
    assert found.startswith(f"$.streams.gate.source.url: {expected}")
    assert "s3cret" not in found


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("clip.mp4", "clip.mp4"),
        ("/data/a:b.mp4", "/data/a:b.mp4"),
        ("c:clip.mp4", "c:clip.mp4"),
        ("my clip%20.mp4", "my clip%20.mp4"),
        ("cam:1.mp4", "cam:1.mp4"),
        ("http:a#b?c.mp4", "http:a#b?c.mp4"),
        ("./rtsp:1.mp4", "./rtsp:1.mp4"),
        ("./me:x@cam.mp4", "./me:x@cam.mp4"),
        ("file:///data/a#b%23c?d.mp4", "/data/a#b#c?d.mp4"),
        ("file:///data/my%20clip.mp4", "/data/my clip.mp4"),
        ("FILE:/data/clip.mp4", "/data/clip.mp4"),
    ],
)
def test_files(url: str, path: str) -> None:
    """A path is taken as it is, a file URL is unquoted."""
    source = parse(gate("source", "url", value=url)).streams["gate"].source
    assert (source.is_file, source.path) == (True, path)


@pytest.mark.parametrize(
    "topic",
    [
        "a",
        "a/b",
        "+",
        "#",
        "a/+/c",
        "+/+/#",
        "/",
        "a//b",
        "$share/g/a/#",
        "a/{x}",
        LONG[1:],
        DEEP[4:],
    ],
)
def test_topic_filters(topic: str) -> None:
    """A filter's wildcards stand alone in their levels."""
    assert parse(gate("detections", "topic", value=topic)).streams["gate"].detections.topic == topic


@pytest.mark.parametrize(
    "topic", ["a", "/", "{stream}/{class}", "a/{{b}}", "$x/{detection_id}", LONG[1:], DEEP[4:]]
)
def test_topic_templates(topic: str) -> None:
    """A template has any of the known fields, or none."""
    assert parse(gate("output", "topic", value=topic)).streams["gate"].output.topic == topic


def test_load(tmp_path: Path) -> None:
    """A file is read as UTF-8, and its errors begin with its name."""
    path = tmp_path / "node.yaml"
    path.write_text(changed("node", value="gäte"), encoding="utf-8")
    assert load(path).node == load(str(path)).node == "gäte"
    path.write_text(changed("nodes", value="x"), encoding="utf-8")
    with pytest.raises(ConfigError) as info:
        load(path)
    assert str(info.value).startswith(f"{path}: $: ")


def test_unreadable(tmp_path: Path) -> None:
    """A file that is missing, no file or no text is named."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "gone", tmp_path, tmp_path / "binary"):
        with pytest.raises(ConfigError, match="cannot be read: ") as info:
            load(path)
        assert str(info.value).startswith(f"{path}: ")


@pytest.mark.parametrize("place", ["property:id", "property:a:b", "level:0", "level:-2"])
def test_places_of_a_frame_id(place: str) -> None:
    """The ID of a picture over MQTT stands in a property or in a level of its topic."""
    found = config.parse(gate("source", value={"url": "mqtt:cams/+/jpg", "frame_id": place}))
    assert found.streams["gate"].source.frame_id == place


@pytest.mark.parametrize(
    ("source", "more", "mode"),
    [
        ("clip.mp4", {}, "eager: only decoding says which picture"),
        ("clip.mp4", {"pairing": {"key": "pts"}}, "auto: H.264, H.265 and MJPEG only while"),
        ("clip.mp4", {"pairing": {"key": "sei"}}, "auto"),
        ("rtsp://camera/main", {"pairing": {"key": "utc"}}, "auto"),
        ("rtsp://camera/main", {"tap": {}}, "eager: the tap shows every frame"),
        ("rtsp://camera/main", {"tap": {"rate": 5}}, "auto"),
        ("device:/dev/video0", {"pairing": {"key": "arrival"}}, "auto"),
        ("mqtt:pictures", {}, "eager: only files, cameras and devices"),
    ],
)
def test_when_pictures_are_decoded(source: str, more: dict[str, Any], mode: str) -> None:
    """`auto` is lazy where a packet says which frame it is; `lazy` is refused where it is not."""
    tree = yaml.safe_load(MINIMAL)
    tree["streams"]["gate"] = {**tree["streams"]["gate"], **more, "source": {"url": source}}

    def chosen(decode: str) -> str:
        tree["streams"]["gate"]["source"]["decode"] = decode
        return ": ".join(parse(yaml.safe_dump(tree)).streams["gate"].decoding)

    assert chosen("auto").startswith(mode)
    assert chosen("eager").startswith("eager")
    if mode.startswith("auto"):
        assert chosen("lazy").startswith("lazy: ")
    else:
        with pytest.raises(
            ConfigError, match=r"gate\.source\.decode: nothing would be decoded laz"
        ):
            chosen("lazy")


@pytest.mark.parametrize(
    "hwaccel", ["cuda", "cuda:1", "vaapi:/dev/dri/renderD128", "d3d12va", None]
)
@pytest.mark.parametrize("source", ["clip.mp4", "rtsp://camera/main", "device:/dev/video0"])
def test_hardware_to_decode_on(source: str, hwaccel: str | None) -> None:
    """What FFmpeg names, with a device behind it, is taken wherever FFmpeg decodes."""
    tree = yaml.safe_load(gate("source", value={"url": source, "hwaccel": hwaccel}))
    tree["streams"]["gate"]["pairing"] = {"key": "arrival" if ":" in source else "pts"}
    assert parse(yaml.safe_dump(tree)).streams["gate"].source.hwaccel == hwaccel


@pytest.mark.parametrize(
    ("source", "hwaccel", "expected"),
    [
        ("clip.mp4", "bogus", r"str` matching regex .*cuda.*vulkan"),
        ("clip.mp4", "none", "matching regex"),
        ("clip.mp4", "CUDA", "matching regex"),
        ("clip.mp4", "cuda:", "matching regex"),
        ("clip.mp4", "cuda:/dev/nvidia0", "matching regex"),
        ("clip.mp4", "", "matching regex"),
        ("clip.mp4", True, "Expected `str"),
        ("mqtt:pictures", "cuda", "a MQTT image is decoded in software"),
        ("whip:", "cuda", "a WebRTC publisher is decoded in software"),
        ("whep:https://host/whep", "cuda", "a WebRTC stream is decoded in software"),
    ],
)
def test_hardware_that_is_none(source: str, hwaccel: object, expected: str) -> None:
    """Kinds that FFmpeg does not know are refused, and any where FFmpeg does not decode."""
    with pytest.raises(ConfigError, match=rf"^\$\.streams\.gate\.source\.hwaccel: .*{expected}"):
        config.parse(gate("source", value={"url": source, "hwaccel": hwaccel}))


def test_binary_needs_mqtt_5() -> None:
    """The older protocol has no user properties; `auto` finds the way that there is."""
    tree = yaml.safe_load(gate("output", "envelope", value="binary"))
    tree["broker"]["protocol"] = "3.1.1"
    assert error_of(yaml.safe_dump(tree)).startswith("$.streams.gate.output.envelope: binary needs")
    tree["broker"]["protocol"] = "5"
    parse(yaml.safe_dump(tree))


@pytest.mark.parametrize(
    ("url", "key", "caveat"),
    [
        ("rtsp://cam/stream", "arrival", "arrival is a guess"),
        ("rtsp://cam/stream", "pts", "two readers"),
        ("rtsp://cam/stream", "utc", None),
        ("clip.mp4", "pts", None),
    ],
)
def test_a_key_that_may_pair_with_another_frame(url: str, key: str, caveat: str | None) -> None:
    """What `check` warns of."""
    tree = yaml.safe_load(gate("source", "url", value=url))
    tree["streams"]["gate"]["pairing"] = {"key": key}
    parsed = parse(yaml.safe_dump(tree)).streams["gate"]
    found = parsed.caveat
    parsed.pairing.confirm, parsed.source.decode = True, "eager"
    assert key != "utc" or "confirm holds decoded pictures" in (parsed.caveat or "")
    assert found is None if caveat is None else caveat in found


@pytest.mark.parametrize(
    ("url", "topics"),
    [("a.mp4", {"detections"}), ("mqtt:cams/+/jpg", {"detections", "cams/+/jpg"})],
)
def test_the_topics_that_a_stream_cannot_do_without(url: str, topics: set[str]) -> None:
    """Those of its messages, and of its pictures where they come over MQTT."""
    tree = {"source": {"url": url}, "detections": {"topic": "detections"}}
    whole = {"broker": {"url": "mqtt://127.0.0.1"}, "streams": {"gate": tree}}
    assert config.parse(json.dumps(whole)).streams["gate"].topics == topics


@pytest.mark.parametrize(
    ("key", "pairing", "expected"),
    [
        ("frame_id", {"offset": 0.1}, "offset is added to times, and frame_id is a name"),
        ("sei", {"offset": -0.1}, "offset is added to times, and sei is a name"),
        ("utc", {"offset": 86_401}, "86400"),
        ("utc", {"remember": 0}, "> 0"),
        ("sei", {"confirm": True}, "it goes with utc on rtsp:// alone"),
        ("arrival", {"confirm": True}, "it goes with utc on rtsp:// alone"),
    ],
)
def test_times_that_are_none(key: str, pairing: dict[str, Any], expected: str) -> None:
    """An offset needs a time, and what confirms needs a camera's reports."""
    text = gate("source", value={"url": "rtsp://camera/main"})
    tree = yaml.safe_load(text)
    tree["streams"]["gate"]["tap"] = {}
    tree["streams"]["gate"]["pairing"] = {"key": key, **pairing}
    assert expected in error_of(yaml.safe_dump(tree))


def test_times_that_are_right() -> None:
    """They go with capture times."""
    tree = yaml.safe_load(gate("source", value={"url": "rtsps://camera/main"}))
    tree["streams"]["gate"]["pairing"] = {"key": "utc", "offset": -3600, "confirm": True}
    pairing = parse(yaml.safe_dump(tree)).streams["gate"].pairing
    assert (pairing.offset, pairing.confirm, pairing.remember) == (-3600, True, 60)
