"""Combinations that nothing could serve."""

import re
from typing import Any

import msgspec
import pytest

from streamcrop.config.checks import check, check_stream
from streamcrop.config.schema import Config, Stream
from streamcrop.errors import ConfigError


def stream(url: str, **sections: Any) -> Stream:
    """A stream of a source."""
    source = {"url": url, **sections.pop("source", {})}
    detections = {"topic": "d", **sections.pop("detections", {})}
    tree = {"source": source, "detections": detections, **sections}
    return msgspec.convert(tree, Stream, dec_hook=lambda kind, value: kind.parse(value))


def sinks(**output: Any) -> Stream:
    """A stream with sinks."""
    return stream("a.mp4", output=output)


def spooling(path: str, **settings: Any) -> Stream:
    """A stream with a spool."""
    return sinks(broker={"url": "mqtt://b"}, spool={"path": path, **settings})


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (stream("a.mp4", source={"token": "x"}), "$.s.source.token: a file has none (a WebRTC "),
        (stream("rtsp://a", source={"loop": True}), "$.s.source.loop: a camera has none (a file "),
        (
            stream("rtsps://a", source={"transport": "udp"}),
            "$.s.source.transport: a camera by TLS has none (a camera has): leave it out; it has",
        ),
        (
            stream("rtsp://a", source={"tls_verify": False}),
            "$.s.source.tls_verify: a camera has none (a camera by TLS or a WebRTC stream has)",
        ),
        (
            stream("mqtt:a", source={"hwaccel": "cuda"}),
            "$.s.source.hwaccel: a MQTT image is decoded in software: leave it out",
        ),
        (
            stream("device:/dev/video0", source={"connect_timeout": 1}),
            "$.s.source.connect_timeout: a device has none (a camera or a camera by TLS or a",
        ),
        (stream("a.mp4", source={"frame_id": "level:1"}), "$.s.source.frame_id: a file has none"),
        (stream("a.mp4", detections={"format": "x"}), "$.s.detections.format: no format 'x'"),
        (
            stream("rtsp://a"),
            "$.s.pairing.key: a camera has no frame_id: use sei or utc or pts or arrival, or add",
        ),
        (
            stream("a.mp4", source={"decode": "lazy"}),
            "$.s.source.decode: nothing would be decoded lazily here",
        ),
        (stream("a.mp4", crop={"mask_opacity": 2}), "$.s.crop: mask_opacity must be"),
        (stream("a.mp4", output={"topic": "{x}"}), "$.s.output.topic: The topic has an unknown"),
        (stream("a.mp4", detections={"topic": "a#"}), "$.s.detections.topic: Expected a topic f"),
        (sinks(mqtt=False), "$.s.output: mqtt is false, and there is no other sink: crops would"),
        (
            sinks(mqtt=False, files="x", broker={"url": "mqtt://b"}),
            "$.s.output: nothing would go to broker, for mqtt is false",
        ),
        (sinks(spool={"path": "s.db"}), "$.s.output: spool has nothing to serve: it serves sinks"),
        (
            sinks(files="x", spool={"path": "s.db"}),
            "$.s.output: spool has nothing to serve: it serves sinks",
        ),
        (sinks(s3={"url": "https://b"}), "$.s.output.s3.url: Expected s3://BUCKET[/PREFIX]"),
        (sinks(s3={"url": "s3://me:pw@bucket"}), "$.s.output.s3.url: Expected s3://BUCKET"),
        (
            sinks(s3={"url": "s3://bucket", "endpoint": "http://h"}),
            "$.s.output.s3: Expected https://HOST",
        ),
        (
            sinks(s3={"url": "s3://bucket", "key": "{stream}/{class}"}),
            "$.s.output.s3: Expected a key with the fields {date}, {detection_id}",
        ),
        (
            sinks(s3={"url": "s3://bucket", "key": "{detection_id}"}),
            "$.s.output.s3: Expected a key with {frame_id} and {detection_id}",
        ),
        (sinks(webhook={"url": "ftp://h"}), "$.s.output.webhook.url: Expected https://"),
        (
            sinks(webhook={"url": "http://h", "secret": "s3cret"}),
            "$.s.output.webhook.secret: Expected whsec_ and Base64",
        ),
        (spooling("s.db", max_bytes="1023KiB"), "$.s.output: spool.max_bytes: expected at least 1"),
        (sinks(broker={"url": "http://b"}), "$.s.output.broker.url: Expected mqtt://"),
        (sinks(broker={"url": "mqtts://b", "key": "k"}), "$.s.output.broker: cert and key belong"),
    ],
)
def test_streams(made: Stream, expected: str) -> None:
    """The error names the key and says what would do."""
    with pytest.raises(ConfigError, match="^" + re.escape(expected)):
        check_stream(made, "$.s")


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"node": "a/b"}, "$.node: expected printable characters without + # /"),
        ({"broker": {"url": "mqtt://"}}, "$.broker.url: Expected mqtt://"),
        ({"broker": {"url": "mqtt://h", "cert": "c"}}, "$.broker: cert and key belong together"),
        ({"http": {"key": "k"}}, "$.http: cert and key belong together"),
        ({"http": True}, "$.http: true says no more than nothing"),
        (
            {"http": False, "streams": {"a": stream("whip:", pairing={"key": "arrival"})}},
            "$.streams.a.source.url: whip: needs http, and http is false",
        ),
        (
            {
                "http": {"host": "0.0.0.0"},  # noqa: S104  # what is to be refused
                "streams": {"a": stream("whip:", pairing={"key": "arrival"})},
            },
            (
                "$.streams.a.source: at 0.0.0.0 anybody could publish: set streams.a.source.token, "
                "or http.token, or in so many words http.open: true"
            ),
        ),
        (
            {
                "broker": {"url": "mqtt://h", "protocol": "3.1.1"},
                "streams": {"a": stream("a.mp4", output={"envelope": "binary"})},
            },
            "$.streams.a.output.envelope: binary needs MQTT 5",
        ),
        ({"streams": {"a": stream("rtsp:a")}}, "$.streams.a.source.url: Expected rtsp://"),
        (
            {"streams": {"a": spooling("s.db"), "b": spooling("s.db", rate=9)}},
            "$.streams: output.spool: a and b share a spool, whose settings have to be the same",
        ),
        (
            {
                "streams": {
                    "a": sinks(broker={"url": "mqtt://b", "protocol": "3.1.1"}, envelope="binary")
                }
            },
            "$.streams.a.output.envelope: binary needs MQTT 5, and output.broker.protocol is 3.1.1",
        ),
    ],
)
def test_nodes(tree: dict[str, Any], expected: str) -> None:
    """What concerns the whole node, and each of its streams."""
    least = {"broker": {"url": "mqtt://h"}, "streams": {"a": stream("a.mp4")}}
    check(msgspec.convert(least, Config))
    shared = {"a": spooling("s.db"), "b": spooling("s.db"), "c": spooling("t.db", rate=9)}
    check(msgspec.convert({**least, "streams": shared}, Config))
    with pytest.raises(ConfigError, match="^" + re.escape(expected)):
        check(msgspec.convert({**least, **tree}, Config))


@pytest.mark.parametrize(
    ("http", "source"),
    [
        (False, "a.mp4"),
        ({"host": "::1"}, "whip:"),
        ({"host": "localhost"}, "whip:"),
        ({"host": "::", "token": "s3cret"}, "whip:"),
        ({"host": "edge.local", "open": True}, "whip:"),
        ({"host": "edge.local", "hosts": ["edge", "a-b.example"]}, "a.mp4"),
    ],
)
def test_who_may_publish(http: Any, source: str) -> None:
    """This machine alone, who has a token, or in so many words everybody."""
    key = {"key": "frame_id" if source == "a.mp4" else "arrival"}
    made = stream(source, pairing=key)
    tree = {"broker": {"url": "mqtt://h"}, "streams": {"a": made}, "http": http}
    check(msgspec.convert(tree, Config))
