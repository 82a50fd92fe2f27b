"""`streamcrop.formats.sei`: IDs in the bitstream, built by hand and put into real video."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.core.values import Frame
from streamcrop.formats import nal, sei
from streamcrop.formats.sei import recovery_count
from streamcrop.sources.container import FileSource

OURS = UUID("6d0d2b1e-3c7b-4f5a-9a52-0d6f8e1c2b3a")
OTHER = UUID("11111111-2222-3333-4444-555555555555")
X264 = UUID("dc45e9bd-e6d9-48b7-962c-d820d923eeef")
X265 = UUID("2ca2de09-b517-47db-bb55-a4fe7fc2fc4e")
# Of a NAL unit: its header, where it is SEI before the picture and where it is a key picture.
SEI = {"h264": b"\x06", "hevc": b"\x4e\x01"}
PICTURE = {"h264": b"\x65\x88\x84", "hevc": b"\x26\x01\xaf"}
PARAMETERS = {"h264": b"\x67\x42\xc0\x1e", "hevc": b"\x42\x01\x01\x01"}
CODECS = ("h264", "hevc")


def message(payload: bytes, uuid: UUID = OURS, kind: int = 5) -> bytes:
    """An SEI message (H.264, 7.3.2.3.1)."""
    body = uuid.bytes + payload if kind == 5 else payload
    number = [b"\xff" * (value // 255) + bytes([value % 255]) for value in (kind, len(body))]
    return b"".join(number) + body


def unit(codec: str, *messages: bytes) -> bytes:
    """A NAL unit of SEI messages, with emulation prevention (H.264, 7.4.1)."""
    plain = b"".join(messages) + b"\x80"
    return SEI[codec] + re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", plain)


def start_codes(*units: bytes, size: int = 4) -> bytes:
    """An access unit as Annex B has it."""
    return b"".join(b"\0" * (size - 1) + b"\1" + part for part in units)


def lengths(*units: bytes, size: int = 4) -> bytes:
    """An access unit as MP4 has it."""
    return b"".join(len(part).to_bytes(size) + part for part in units)


def frame_id(data: bytes, codec: str, length_size: int, uuid: UUID | None = None) -> str | None:
    """The ID of an access unit."""
    return sei.frame_id(nal.sei_units(data, codec, length_size), uuid)


FRAMINGS: dict[str, tuple[Callable[..., bytes], int]] = {
    "start codes of 3": (lambda *units: start_codes(*units, size=3), 0),
    "start codes of 4": (start_codes, 0),
    "zeros behind": (lambda *units: start_codes(*units) + b"\0\0\0\0", 0),
    "lengths of 4": (lengths, 4),
    "lengths of 2": (lambda *units: lengths(*units, size=2), 2),
}


def found(codec: str, *units: bytes, uuid: UUID | None = None) -> str | None:
    """The ID of an access unit."""
    return frame_id(start_codes(*units), codec, 0, uuid)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("frame", "size"), FRAMINGS.values(), ids=FRAMINGS)
@given(payload=st.integers(0, 10**40).map(str) | st.text(st.characters(codec="ascii"), max_size=9))
def test_there_and_back(codec: str, frame: Callable[..., bytes], size: int, payload: str) -> None:
    """Printable text comes back in every framing."""
    data = frame(PARAMETERS[codec], unit(codec, message(payload.encode())), PICTURE[codec])
    if payload.isprintable() and payload:
        assert frame_id(data, codec, size) == payload


@pytest.mark.parametrize("codec", CODECS)
@given(payload=st.lists(st.sampled_from([0, 1, 2, 3, 255]), min_size=1, max_size=400).map(bytes))
def test_emulation_prevention(codec: str, payload: bytes) -> None:
    """Bytes that would look like a start code are read as they were written."""
    assert found(codec, unit(codec, message(payload + b"\xff"))) == (payload + b"\xff").hex()


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"42", "42"),
        (b"42\0", "42"),
        (b"42\0\0\0", "42"),
        ("tür-7".encode(), "tür-7"),
        (b"", str(OURS)),
        (b"\0\0", str(OURS)),
        (b'{"frame_id": 7}', "7"),
        (b'{"t": [1, {"a": null}], "frame_id": "gate-7"}', "gate-7"),
        (b'{"frame_id": true}', '{"frame_id": true}'),
        (b'{"frame_id": 1.5}', '{"frame_id": 1.5}'),
        (b'{"frame": 7}', '{"frame": 7}'),
        (b"[7]", "[7]"),
        (b"7", "7"),
        (b"\x01\x02", "0102"),
        (b"a\nb", "610a62"),
        (b"\xff\xfe", "fffe"),
        (b'{"frame_id": "a\\nb"}', b'{"frame_id": "a\\nb"}'.hex()),
        (b'{"frame_id": "\xff"}', b'{"frame_id": "\xff"}'.hex()),
        (b'{"frame_id": ""}', None),
        (b"x" * 1024, "x" * 1024),
        (b"x" * 1025, None),
        (b"\x01" * 512, "01" * 512),
        (b"\x01" * 513, None),
        (b'{"frame_id": "%b"}' % (b"x" * 1024), "x" * 1024),
        (b'{"frame_id": "%b"}' % (b"x" * 1025), None),
        (b'{"frame_id": %b}' % (b"9" * 9000), None),
        (b'{"frame_id": 1, "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_payload(codec: str, payload: bytes, text: str | None) -> None:
    """Text, a JSON object's `frame_id`, the UUID, or hexadecimal; never longer than an ID."""
    assert found(codec, unit(codec, message(payload)), PICTURE[codec]) == text


@pytest.mark.parametrize("codec", CODECS)
def test_several_messages(codec: str) -> None:
    """One ID, in as many messages and units as may be; two IDs are none."""
    timing, one, two = message(b"\1\2\3", kind=1), message(b"1"), message(b"2", OTHER)
    assert found(codec, unit(codec, timing, one, timing)) == "1"
    assert found(codec, unit(codec, timing), unit(codec, one)) == "1"
    assert found(codec, unit(codec, one), unit(codec, one, one)) == "1"
    assert found(codec, unit(codec, message(b"x" * 300, kind=4), message(b"y" * 600))) == "y" * 600
    assert found(codec, unit(codec, message(b"a", kind=300), one)) == "1"
    assert found(codec, unit(codec, one, two)) is None
    assert found(codec, unit(codec, one), unit(codec, two)) is None
    assert found(codec, unit(codec, one, two), uuid=OURS) == "1"
    assert found(codec, unit(codec, one, two), uuid=OTHER) == "2"
    assert found(codec, unit(codec, one), uuid=OTHER) is None
    assert found(codec, unit(codec, one, message(b"x" * 2000))) is None


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("uuid", [X264, X265])
def test_settings_of_encoders(codec: str, uuid: UUID) -> None:
    """What an encoder says of itself is no ID, unless it is asked for by name."""
    settings, ours = message(b"x264 - core 164", uuid), message(b"7")
    assert found(codec, unit(codec, settings)) is None
    assert found(codec, unit(codec, settings), unit(codec, ours)) == "7"
    assert found(codec, unit(codec, settings), uuid=uuid) == "x264 - core 164"


@pytest.mark.parametrize("codec", CODECS)
def test_only_before_the_picture(codec: str) -> None:
    """What stands behind a picture may belong to the next one."""
    sei = unit(codec, message(b"7"))
    assert found(codec, sei, PICTURE[codec], PICTURE[codec]) == "7"
    assert found(codec, PICTURE[codec], sei) is None
    assert found(codec, sei, PICTURE[codec], unit(codec, message(b"8"))) == "7"


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\1", b"\0\0\0\1", b"no start code at all"])
def test_nothing(data: bytes) -> None:
    """Data without a unit has no ID."""
    for size in (0, 1, 4):
        assert frame_id(data, "h264", size) is None


def test_short_user_data() -> None:
    """Fewer bytes than a UUID has are none."""
    assert found("h264", b"\x06\x05\x05abcde\x80") is None


@pytest.mark.parametrize("codec", ["vp9", "av1", "mjpeg", ""])
def test_other_codecs(codec: str) -> None:
    """They have no such messages."""
    assert frame_id(start_codes(unit("h264", message(b"7"))), codec, 0) is None


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("frame", "size"), FRAMINGS.values(), ids=FRAMINGS)
def test_truncated(codec: str, frame: Callable[..., bytes], size: int) -> None:
    """Data that breaks off anywhere has the right ID or none."""
    data = frame(PARAMETERS[codec], unit(codec, message(b"x" * 300, kind=4), message(b"12345")))
    ids = [frame_id(data[:end], codec, size) for end in range(len(data) + 1)]
    assert ids[-1] == "12345"
    assert set(ids) == {None, "12345"}


@given(
    st.lists(
        st.sampled_from([b"\0\0\1", b"\0", b"\x06", b"\x4e\x01", b"\x05", b"\xff"]) | st.binary()
    ),
    st.sampled_from(CODECS),
    st.integers(0, 4),
)
def test_garbage(parts: list[bytes], codec: str, size: int) -> None:
    """Whatever comes is an ID or none."""
    text = frame_id(b"".join(parts), codec, size)
    assert text is None or (text.isprintable() and 0 < len(text) <= 1024)


# Real video


def clip(path: Path, encoder: str, ids: Iterable[str]) -> Path:
    """A clip with an ID in each of its pictures, in the order of presentation."""
    codec = "h264" if encoder == "libx264" else "hevc"
    options: dict[str, str] = {"bf": "2"} if codec == "h264" else {"x265-params": "log-level=none"}
    names = list(ids)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(encoder, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.flags |= av.codec.context.Flags.global_header
        packets = []
        for number in range(len(names)):
            image = np.full((64, 64, 3), number * 20 % 256, np.uint8)
            packets += stream.encode(av.VideoFrame.from_ndarray(image, "bgr24"))
        packets += stream.encode(None)
        times = sorted(packet.pts for packet in packets)
        for packet in packets:
            sei = unit(codec, message(names[times.index(packet.pts)].encode()))
            new = av.Packet(start_codes(sei) + bytes(packet))
            new.stream, new.pts, new.dts = stream, packet.pts, packet.dts
            new.time_base, new.is_keyframe = packet.time_base, packet.is_keyframe
            container.mux(new)
    return path


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_file_with_ids(tmp_path: Path, encoder: str, suffix: str) -> None:
    """Each picture of a real file has its own ID, B-frames and the encoder's settings or not."""
    ids = [f"id-{number * 7}" for number in range(12)]
    path = clip(tmp_path / f"clip.{suffix}", encoder, ids)
    for uuid, expected in ((None, ids), (OURS, ids), (OTHER, [None] * 12)):
        frames = list(FileSource(str(path), read_sei=True, sei_uuid=uuid))
        assert [isinstance(f, Frame) and f.sei for f in frames] == expected
    assert [isinstance(f, Frame) and f.sei for f in FileSource(str(path))] == [None] * 12


def exp_golomb(number: int) -> bytes:
    """A number as ue(v) (H.264, 9.1), with bits behind it."""
    bits = f"{number + 1:b}"
    bits = "0" * (len(bits) - 1) + bits + "10110"
    return int(bits.ljust(-len(bits) % 8 + len(bits), "0"), 2).to_bytes(-(-len(bits) // 8))


@pytest.mark.parametrize("codec", CODECS)
@given(number=st.integers(0, 2**32 - 2), others=st.lists(st.binary(max_size=30), max_size=2))
def test_recovery_points(codec: str, number: int, others: list[bytes]) -> None:
    """The count behind any other message: ue(v) in H.264, se(v) in H.265, none below 0 pictures."""
    messages = [message(b"\0\0\0" + other) for other in others]
    data = unit(codec, *messages, message(exp_golomb(number), kind=6))
    units = [data.removeprefix(SEI[codec])]
    expected = number if codec == "h264" else (number + 1) // 2 if number % 2 else 0
    assert recovery_count(units, codec) == expected
    assert recovery_count([b"", b"\x05\x00\x80", *units], codec) == expected


@given(st.lists(st.binary(max_size=20), max_size=3))
def test_recovery_points_of_any_bytes(units: list[bytes]) -> None:
    """No bytes are an error."""
    assert (recovery_count(units, "h264") or 0) >= 0


def test_what_is_no_recovery_point() -> None:
    """Other messages, and a number that does not end."""
    assert recovery_count([message(b"1") + b"\x80"], "h264") is None
    for payload in (b"", b"\0", b"\0\x01", b"\0" * 20):
        assert recovery_count([b"\x06" + bytes([len(payload)]) + payload + b"\x80"], "h264") is None


@pytest.mark.parametrize("framing", FRAMINGS)
def test_suffix_sei(framing: str) -> None:
    """In H.265 an ID may stand behind the picture; one that differs from it makes it none."""
    frame, size = FRAMINGS[framing]
    suffix = b"\x50\x01" + message(b"7") + b"\x80"
    picture = PICTURE["hevc"]
    assert frame_id(frame(picture, picture, suffix), "hevc", size) == "7"
    assert frame_id(frame(unit("hevc", message(b"7")), picture, suffix), "hevc", size) == "7"
    assert frame_id(frame(unit("hevc", message(b"8")), picture, suffix), "hevc", size) is None
