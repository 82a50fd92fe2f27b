"""What comes as text: times, questions, presence, logins, addresses, configurations."""

import json
import threading
from contextlib import suppress
from unittest.mock import patch

from fuzz.detections import STAMP
from fuzz.target import Target

from streamcrop.addresses import has_login, redacted
from streamcrop.config.load import parse
from streamcrop.errors import ConfigError, FormatError
from streamcrop.formats.documents import document
from streamcrop.formats.heads import MAX_FRAME_ID, as_frame_id
from streamcrop.formats.times import microseconds, rfc3339
from streamcrop.notes import excerpt
from streamcrop.presence import Presence
from streamcrop.sources import challenge, whep
from streamcrop.stream.history import Answering, topic_of

_LONGEST_LOGIN = 40
_ASKED = topic_of("edge")
_QUESTION = {"stream": "gate", "frame_id": "7", "reply_to": f"{_ASKED}/abc"}
_CONFIG = """node: edge
broker: {url: mqtt://127.0.0.1, username: me, protocol: auto}
streams:
  gate:
    source: {url: rtsp://cam/main, transport: udp, stall_timeout: 3}
    tap: {rate: 5, longest_side: 640}
    detections: {topic: a/b, max_message_bytes: 8MiB}
    pairing: {key: sei, max_wait: 2.0, tolerance: 0.008}
    crop: {mask_opacity: 0.5, background_color: "#fff"}
    output: {topic: "c/{stream}/{class}", encoding: webp}
  yard:
    source: {url: "mqtt:cams/+/jpg"}
    detections: {topic: d}
"""
_CHALLENGE = """RTSP/1.0 401 Unauthorized\r
CSeq: 1\r
WWW-Authenticate: Digest realm="x, y", nonce="n", algorithm=SHA-256, qop="auth-int"\r
WWW-Authenticate: Basic realm="x"\r
\r
"""


def read_time(data: bytes) -> None:
    """A capture time, as JSON or as text: one that can be written and read again, or refused."""
    for read in (lambda: document(data), lambda: data.decode(errors="replace")):
        with suppress(FormatError):
            time = microseconds(read())
            assert microseconds(rfc3339(time)) == time


def read_frame_id(data: bytes) -> None:
    """A frame's ID: short and printable, or refused."""
    with suppress(FormatError):
        found = as_frame_id(document(data))
        assert 0 < len(found) <= MAX_FRAME_ID
        assert found.isprintable()


def ask(data: bytes) -> None:
    """A question to a node: an answer where answers go, or none."""
    answering = Answering("edge", lambda stream, name: f"{stream} {name}")
    answer = answering.answer(data)
    assert answer is None or answer.topic.startswith(f"{_ASKED}/")


def hear(data: bytes) -> None:
    """What others say where a node says that it is there."""
    Presence("edge").hear(data, {})


def refuse(data: bytes) -> None:
    """A camera's refusal: the login that it asks for, in a few words, or None."""
    head = data.decode(errors="replace")
    with patch.object(challenge, "_described", return_value=head):
        found = challenge.unspoken("rtsp://h/main", None, 1.0, threading.Event())
    assert found is None or len(found) <= _LONGEST_LOGIN


def redact(data: bytes) -> None:
    """Any text: without a login, also when it is said again, and short where it is quoted."""
    text = redacted(data.decode(errors="replace"))
    assert redacted(text) == text
    assert excerpt(data).isprintable()
    has_login(text)


def configure(data: bytes) -> None:
    """A configuration, or an error that says what is wrong."""
    with suppress(ConfigError):
        parse(data.decode(errors="replace"))


def wait(data: bytes) -> None:
    """A server's wish to be asked again: a time within bounds, or None."""
    found = whep._seconds_in(data.decode(errors="replace"))
    assert found is None or 0 <= found <= whep._LONGEST_WAIT


def _texts(*values: object) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


TARGETS = {
    "time": Target(read_time, [*_texts(STAMP, 1795341600.5), STAMP.encode(), b"1795341600"]),
    "frame_id": Target(read_frame_id, _texts("7", 7)),
    "question": Target(ask, _texts(_QUESTION), "json"),
    "presence": Target(hear, _texts({"state": "offline", "node": "edge", "instance": "a"}), "json"),
    "challenge": Target(refuse, [_CHALLENGE.encode()]),
    "redacted": Target(redact, [b"rtsp://me:s3cret@h/a?token=b mqtt://x@h"]),
    "config": Target(configure, [_CONFIG.encode()], share=0.2),
    "retry-after": Target(wait, [b"120", b"Wed, 21 Oct 2026 07:28:00 GMT"]),
}
