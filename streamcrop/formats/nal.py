"""The NAL units of H.264 and H.265: what can be known of a picture undecoded."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_START = re.compile(b"\0\0\1")
# As a rule a picture's first slice begins within so many bytes; the rest is not looked at then.
_HEAD = 2048


class _Codec(NamedTuple):
    """Of a codec: unit types, where the type stands in the header, how long that is.

    A slice begins with whether it is its picture's first: first_mb_in_slice, whose 0 is a set bit
    (H.264, 7.3.3), or first_slice_segment_in_pic_flag (H.265, 7.3.6.1).
    """

    sei: int
    suffix: int
    pictures: range
    clean: frozenset[int]
    parameters: frozenset[int]
    shift: int
    mask: int
    header: int
    reference: int  # the bits of the header's first byte that are 0 where nothing refers to it


# H.264, table 7-1; H.265, table 7-1. An IDR picture is clean: nothing behind it refers to anything
# before it. H.265 says only of a sub-layer that nothing refers to a picture, which is too little.
_CODECS = {
    "h264": _Codec(6, -1, range(1, 6), frozenset({5}), frozenset({7, 8}), 0, 0x1F, 1, 0x60),
    "hevc": _Codec(39, 40, range(32), frozenset({19, 20}), frozenset({32, 33, 34}), 1, 0x3F, 2, 0),
}


class AccessUnit(NamedTuple):
    """The properties of a picture that its packet tells.

    Attributes:
        clean: Whether decoding may begin here: neither it nor what follows refers to what was.
        unused: Whether no other picture refers to it.
        parameters: The parameter sets in it, whole units.
        configured: Whether these are of each kind that its picture needs.
        begins: Whether its first slice is the first of a picture; None: there is none in it.
        sei: The SEI units before its picture, without their headers.
    """

    clean: bool
    unused: bool
    parameters: tuple[bytes, ...]
    configured: bool
    begins: bool | None = True
    sei: tuple[bytes, ...] = ()


def look(data: bytes | memoryview, codec: str, length_size: int) -> AccessUnit:
    r"""The properties that an access unit tells up to its picture.

    Args:
        data: The access unit.
        codec: ``h264`` or ``hevc``; in others each picture counts as clean.
        length_size: As for `units`.

    Example:
        >>> look(b"\0\0\1\x65\x88", "h264", 0).clean, look(b"\0\0\1\x41\x9a", "h264", 0).clean
        (True, False)
    """
    if codec not in _CODECS:
        return AccessUnit(clean=True, unused=False, parameters=(), configured=True)
    found = _look(bytes(data[:_HEAD]), _CODECS[codec], length_size, is_cut=len(data) > _HEAD)
    if found.begins is None and len(data) > _HEAD:
        found = _look(bytes(data), _CODECS[codec], length_size, is_cut=False)
    return found


def _look(data: bytes, row: _Codec, length_size: int, *, is_cut: bool) -> AccessUnit:
    clean = unused = configured = False
    begins = None
    parameters: list[bytes] = []
    sei: list[bytes] = []
    seen: set[int] = set()
    for kind, unit in _units(data, row, length_size):
        if kind in row.pictures:
            if is_cut and len(unit) <= row.header:
                break
            clean, configured = kind in row.clean, seen == row.parameters
            unused = bool(row.reference) and not unit[0] & row.reference
            begins = bool(unit[row.header : row.header + 1] >= b"\x80")
            break
        if kind in row.parameters:
            parameters.append(unit)
            seen.add(kind)
        elif kind == row.sei:
            sei.append(unit[row.header :])
    return AccessUnit(clean, unused, tuple(parameters), configured, begins, tuple(sei))


def sei_units(data: bytes, codec: str, length_size: int) -> Iterator[bytes]:
    """The SEI units of a picture, without their headers.

    Those that stand before it; in H.265 also the suffix SEI behind its slices (7.3.2.4).
    """
    if codec not in _CODECS:
        return
    row = _CODECS[codec]
    begun = False
    for kind, unit in units(data, codec, length_size):
        begun = begun or kind in row.pictures
        if begun and row.suffix < 0:
            return
        if kind == row.suffix or (kind == row.sei and not begun):
            yield unit[row.header :]


def units(data: bytes, codec: str, length_size: int) -> Iterator[tuple[int, bytes]]:
    """The NAL units of an access unit with their types.

    Args:
        data: The access unit.
        codec: A key of the table above.
        length_size: How many bytes the length before a NAL unit has; 0: start codes (Annex B).
    """
    return _units(data, _CODECS[codec], length_size)


def _units(data: bytes, row: _Codec, length_size: int) -> Iterator[tuple[int, bytes]]:
    for unit in _with_lengths(data, length_size) if length_size else _with_start_codes(data):
        if unit:
            yield unit[0] >> row.shift & row.mask, unit


def length_size_of(codec: str, extradata: bytes | None) -> int:
    """How long the length before a NAL unit is, by the stream's extradata; 0: start codes.

    ISO/IEC 14496-15, 5.3.3.1 (avcC) and 8.3.3.1 (hvcC): both begin with version 1.
    """
    at = {"h264": 4, "hevc": 21}.get(codec)
    if at is None or not extradata or len(extradata) <= at or extradata[0] != 1:
        return 0
    return (extradata[at] & 3) + 1


def _with_start_codes(data: bytes) -> Iterator[bytes]:
    starts = _START.finditer(data)
    start = next(starts, None)
    while start:
        following = next(starts, None)
        # Zeros behind a unit are none of it: the next start code may have four bytes.
        yield data[start.end() : following.start() if following else len(data)].rstrip(b"\0")
        start = following


def _with_lengths(data: bytes, length_size: int) -> Iterator[bytes]:
    at = 0
    while at + length_size < len(data):
        end = at + length_size + int.from_bytes(data[at : at + length_size])
        yield data[at + length_size : end]
        at = end
