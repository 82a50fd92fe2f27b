"""What cameras and publishers send: units of a bitstream, packets, coded pictures, files."""

import tempfile
from contextlib import suppress
from fractions import Fraction
from functools import cache
from pathlib import Path

from aiortc.rtp import RtpPacket
from fuzz.target import Target
from peers import numbered, write_clip
from webrtc_peers import pictures

from streamcrop.core.values import Change, Frame, Reason
from streamcrop.errors import SourceError
from streamcrop.formats import nal, sei
from streamcrop.formats.heads import MAX_FRAME_ID
from streamcrop.sources.aiortc_parts import Reassembly
from streamcrop.sources.container import FileSource
from streamcrop.sources.rtp import Decoder, Encoded

_SEI = b"\x06\x05\x12" + b"0123456789abcdef" + b"42" + b"\x80"
_RECOVERY = b"\x06\x06\x02\x09\xc4\x80"
_SLICE = b"\x65\x88\x84"
_H264 = [b"\x67\x42\xc0\x1e", b"\x68\xce\x3c\x80", _SEI, _RECOVERY, _SLICE]
_HEVC = [b"\x40\x01\x0c", b"\x42\x01\x01", b"\x44\x01\xc1", b"\x4e\x01" + _SEI[1:], b"\x26\x01\xaf"]
_CODECS = ("h264", "hevc", "vp8")
_SIZES = (0, 1, 2, 3, 4)
_PICTURES = 3


def read_units(data: bytes) -> None:
    """An access unit, in any codec and framing: what it says, and nothing that is not in it."""
    if not data:
        return
    codec, size = _CODECS[data[0] % 3], _SIZES[data[0] // 3 % 5]
    unit = nal.look(data[1:], codec, size)
    assert sum(map(len, unit.parameters)) + sum(map(len, unit.sei)) <= len(data)
    units = [*nal.sei_units(data[1:], codec, size)]
    for found in (sei.frame_id(unit.sei), sei.frame_id(units)):
        assert found is None or (0 < len(found) <= MAX_FRAME_ID and found.isprintable())
    count = sei.recovery_count(unit.sei, codec)
    assert count is None or 0 <= count < 1 << 32
    assert nal.length_size_of(codec, data[1:]) in _SIZES


def reassemble(data: bytes) -> None:
    """RTP packets, each behind its length: whole pictures, with what is missing counted."""
    reassembly, at = Reassembly(), 0
    while at < len(data):
        piece = data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]
        with suppress(ValueError, IndexError):  # aiortc's, of what is no packet
            packet = RtpPacket.parse(piece)
            packet._data = packet.payload
            reassembly.add(packet)
    assert sum(len(picture) for picture, _, _ in reassembly.complete) <= len(data)
    assert all(lost >= 0 for _, _, lost in reassembly.complete)


def decode(data: bytes) -> None:
    """Coded pictures, each behind its length: a frame or `corrupt` for each."""
    decoder, at, number = Decoder(read_sei=True, sei_uuid=None), 1, 0
    codec = _CODECS[data[0] % 3] if data else "h264"
    while at + 2 <= len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2])
        item = decoder(Encoded(codec, data[at + 2 : end], number, 0, 0), after_loss=False)
        assert isinstance(item, Frame) or item == Reason.CORRUPT
        at, number = end, number + 1


def play(data: bytes) -> None:
    """A file: frames, reasons, or a documented error."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(data)
        file.flush()
        with suppress(SourceError):
            for item in FileSource(file.name):
                assert isinstance(item, Frame | Reason | Change)


def _packed(parts: list[bytes], size: int) -> bytes:
    return b"".join(len(part).to_bytes(size) + part for part in parts)


def _packets() -> bytes:
    """Pictures of one, two and three packets."""
    packets, number = [], 0
    for picture in range(1, _PICTURES + 1):
        for _ in range(picture):
            head = {"sequence_number": number, "timestamp": 3000 * picture}
            packets.append(RtpPacket(payload_type=97, payload=b"abc", **head).serialize())
            number += 1
    return _packed(packets, 1)


def _coded(codec: str) -> bytes:
    made = pictures(codec.upper(), width=64, height=48)
    return bytes([_CODECS.index(codec)]) + _packed([bytes(next(made)) for _ in range(4)], 2)


@cache
def clip() -> bytes:
    """A file of eight small pictures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        shown = (numbered(number, 192, 48) for number in range(8))
        write_clip(path, shown, options={"g": "4", "bf": "2"}, rate=int(Fraction(25)))
        return path.read_bytes()


_STARTS = [b"\0" + b"".join(b"\0\0\1" + unit for unit in _H264)]
_STARTS += [b"\1" + b"".join(b"\0\0\0\1" + unit for unit in _HEVC)]
_LENGTHS = [bytes([12 + at]) + _packed(units, 4) for at, units in enumerate((_H264, _HEVC))]
TARGETS = {
    "nal": Target(read_units, [*_STARTS, *_LENGTHS]),
    "rtp": Target(reassemble, [_packets()]),
    "coded": Target(decode, [_coded("h264"), _coded("vp8")], share=0.02),
    "file": Target(play, [clip()], share=0.02),
}
