"""`streamcrop.formats.nal`: NAL units built by hand, and those of real encoders."""

from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peers import numbered_clip

from streamcrop.formats.nal import AccessUnit, length_size_of, look, sei_units, units

# By codec: parameter sets, a clean picture, one that refers and is referred to, one that is not.
PARAMETERS = {
    "h264": [b"\x67\x42\xc0\x1e", b"\x68\xce\x3c\x80"],
    "hevc": [b"\x40\x01\x0c", b"\x42\x01\x01", b"\x44\x01\xc1"],
}
CLEAN = {"h264": b"\x65\x88\x84", "hevc": b"\x26\x01\xaf"}
OTHER = {"h264": b"\x41\x9a\x24", "hevc": b"\x02\x01\xd0"}
SEI = {"h264": b"\x06\x05\x01\x07\x80", "hevc": b"\x4e\x01\x05\x01\x07\x80"}
CODECS = ("h264", "hevc")
FRAMINGS = {"start codes of 3": 0, "start codes of 4": 0, "lengths of 2": 2, "lengths of 4": 4}
each_framing = pytest.mark.parametrize("framing", FRAMINGS)
each_codec = pytest.mark.parametrize("codec", CODECS)


def framed(framing: str, *parts: bytes) -> bytes:
    """An access unit."""
    if size := FRAMINGS[framing]:
        return b"".join(len(part).to_bytes(size) + part for part in parts)
    return b"".join(b"\0" * (int(framing[-1]) - 1) + b"\1" + part for part in parts)


@each_codec
@each_framing
def test_where_decoding_can_begin(codec: str, framing: str) -> None:
    """A picture is clean by its unit's type, and configured where all parameter sets are there."""
    size, sets = FRAMINGS[framing], PARAMETERS[codec]

    def found(*parts: bytes) -> AccessUnit:
        return look(framed(framing, *parts), codec, size)

    sei = SEI[codec][1 if codec == "h264" else 2 :]
    assert found(*sets, SEI[codec], CLEAN[codec]) == (
        True, False, tuple(sets), True, True, (sei,)
    )  # fmt: skip
    assert found(CLEAN[codec])[:4] == (True, False, (), False)
    assert found(*sets[1:], CLEAN[codec])[:4] == (True, False, tuple(sets[1:]), False)
    assert found(OTHER[codec], *sets)[:4] == (False, False, (), False)
    assert found(*sets)[:4] == (False, False, tuple(sets), False)
    assert found()[:4] == (False, False, (), False)


@each_framing
def test_where_a_picture_begins(framing: str) -> None:
    """Its first slice says so (first_mb_in_slice 0, first_slice_segment_in_pic_flag 1)."""
    size = FRAMINGS[framing]
    for codec, first, other in (
        ("h264", b"\x41\x9a", b"\x41\x5a"),
        ("h264", b"\x65\x88", b"\x65\x01\x88"),
        ("hevc", b"\x26\x01\xaf", b"\x26\x01\x2f"),
    ):
        begun = [look(framed(framing, *u), codec, size).begins for u in ([first], [other], [])]
        assert begun == [True, False, None]
        sets = PARAMETERS[codec]
        assert look(framed(framing, *sets, other, first), codec, size).begins is False
        assert look(framed(framing, *sets, SEI[codec]), codec, size).begins is None
    assert look(framed(framing, b"\x41"), "h264", size).begins is False
    # Units without a byte are none, and of delimiters and filler nothing is kept.
    assert look(framed(framing, b"", b"\x65\x88"), "h264", size).clean
    assert look(framed(framing, b"\x09\xf0", b"\x0c\xff\x80", b"\x65\x88"), "h264", size).sei == ()


def test_what_nothing_refers_to() -> None:
    """`nal_ref_idc` 0 in H.264; H.265 says it of a sub-layer only, which does not count."""
    assert look(b"\0\0\1\x01\x9a", "h264", 0).unused
    assert not look(b"\0\0\1\x21\x9a", "h264", 0).unused
    assert not look(b"\0\0\1\x00\x01\xd0", "hevc", 0).unused


def test_another_codec() -> None:
    """Where pictures consist of no NAL units, each is clean and there is no SEI."""
    assert look(b"\xff\xd8\xff", "mjpeg", 0) == (True, False, (), True, True, ())
    assert list(sei_units(b"\0\0\1\x06\x05", "mjpeg", 0)) == []


@each_codec
@each_framing
def test_sei_stands_before_the_picture(codec: str, framing: str) -> None:
    """SEI units come without their header; only suffix SEI counts behind a picture (H.265)."""
    data = framed(framing, *PARAMETERS[codec], SEI[codec], CLEAN[codec], SEI[codec])
    assert list(sei_units(data, codec, FRAMINGS[framing])) == [b"\x05\x01\x07\x80"]
    suffix = framed(framing, CLEAN[codec], b"\x50\x01\x05\x01\x08\x80", OTHER[codec])
    found = list(sei_units(suffix, codec, FRAMINGS[framing]))
    assert found == ([b"\x05\x01\x08\x80"] if codec == "hevc" else [])
    alone = framed(framing, SEI[codec])
    assert list(sei_units(alone, codec, FRAMINGS[framing])) == [b"\x05\x01\x07\x80"]


@each_codec
@each_framing
def test_however_far_behind(codec: str, framing: str) -> None:
    """What stands before a picture may be of any length, and is whole."""
    header = 1 if codec == "h264" else 2
    for size in range(1990, 2060):
        long = SEI[codec][:2] + b"x" * size
        for picture in (CLEAN[codec], OTHER[codec], b""):
            data = framed(framing, *PARAMETERS[codec], SEI[codec], long, picture)
            found = look(data, codec, FRAMINGS[framing])
            assert found.begins == (True if picture else None)
            assert found.clean == (picture == CLEAN[codec])
            assert found.parameters == tuple(PARAMETERS[codec])
            assert found.sei == (SEI[codec][header:], long[header:])


@each_codec
@given(data=st.binary(max_size=60), size=st.sampled_from([0, 1, 2, 4]))
def test_any_bytes(codec: str, data: bytes, size: int) -> None:
    """No bytes are an error."""
    look(data, codec, size)
    assert all(unit for _, unit in units(data, codec, size))


@pytest.mark.parametrize(
    ("codec", "extradata", "size"),
    [
        ("h264", bytes([1, 66, 192, 30, 0xFF, 0xE1]), 4),
        ("h264", bytes([1, 66, 192, 30, 0xFD, 0xE1]), 2),
        ("h264", bytes([1, 66, 192, 30, 0xFC, 0xE1]), 1),
        ("h264", b"\0\0\0\1\x67\x42\xc0\x1e", 0),
        ("h264", bytes([1, 66, 192, 30]), 0),
        ("h264", b"", 0),
        ("h264", None, 0),
        ("hevc", bytes([1, *range(20), 0xFF]), 4),
        ("hevc", bytes([1, *range(20), 0x01, 4]), 2),
        ("hevc", bytes([1, *range(20)]), 0),
        ("hevc", b"\0\0\0\1" + bytes(30), 0),
        ("vp9", bytes([1] * 30), 0),
    ],
)
def test_length_size(codec: str, extradata: bytes | None, size: int) -> None:
    """By avcC and hvcC; anything else has start codes."""
    assert length_size_of(codec, extradata) == size


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"g": "10", "bf": "2"}),
        ("libx265", {"x265-params": "keyint=10:open-gop=0:log-level=none"}),
    ],
)
def test_real_encoders(tmp_path: Path, codec: str, options: dict[str, str], suffix: str) -> None:
    """In a real clip the clean pictures are the key pictures."""
    clip = numbered_clip(tmp_path / f"clip{suffix}", 30, codec=codec, options=options)
    with av.open(str(clip)) as container:
        context = container.streams.video[0].codec_context
        size = length_size_of(context.name, context.extradata)
        packets = [packet for packet in container.demux(video=0) if packet.size]
        found = [look(bytes(packet), context.name, size) for packet in packets]
    assert size == (4 if suffix == ".mp4" else 0)
    assert [unit.clean for unit in found] == [packet.is_keyframe for packet in packets]
    assert sum(unit.clean for unit in found) == 3
    # Files that FFmpeg writes have the parameter sets in their header, transport streams in place.
    assert {unit.configured for unit in found if unit.clean} == {suffix == ".ts"}
    assert any(unit.unused for unit in found) == (codec == "libx264")
