"""The part of a picture's file that makes its pixels; the rest is left out before it is decoded.

A file may hold text that grows a thousandfold when it is read, descriptions that point at each
other, tables for pictures that never come. Nobody here reads them, so a decoder is not shown them;
what is left is bounded by the picture's size, by `Limits.scans` and by `Limits.chunks`. By ITU-T
T.81 (JPEG), the PNG specification (third edition) and RFC 9649 (WebP).
"""

import re
import zlib
from collections.abc import Callable, Iterator

from streamcrop.core.limits import Limits
from streamcrop.errors import FormatError

_SOI, _EOI, _SOS, _COM = 0xD8, 0xD9, 0xDA, 0xFE
# Tables: Huffman's, arithmetic conditioning, quantization, number of lines, restart interval.
_TABLES = {0xC4, 0xCC, 0xDB, 0xDC, 0xDD}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
# JFIF's and Adobe's, which say how colours are stored.
_APP0, _ADOBE, _LAST_APP = 0xE0, 0xEE, 0xEF
# Neither stuffed bytes nor restart markers, between which a scan goes on.
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
# Scans that are not progressive: one for each component at most.
_COMPONENTS = 4
# More than a scan's tables take: four of Huffman's, each of 17 and up to 256 bytes.
_SCAN_TABLES = 4096

_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"gAMA", b"cHRM", b"sRGB", b"cICP"}
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Of Adam7: where each pass begins, and its steps, for x and for y.
_PASSES = [(0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2)]
_PASSES += [(0, 1, 1, 2)]
# Writers of PNG fill parts of 4 KiB and more.
_SMALL_PART = 2048
# Deflate's largest ratio, and what it may inflate to for nothing: bytes, and rows.
_RATIO, _IDLE, _IDLE_ROWS = 1032, 32 << 20, 1_000_000
_SLACK = 4096

_WEBP_KEPT = {b"VP8X", b"ALPH", b"VP8 ", b"VP8L"}
# Of VP8X: an alpha channel alone is left to be said.
_ALPHA = 0x10


def essential(data: bytes, limits: Limits) -> bytes:
    """A picture's file without what makes no pixels.

    Args:
        data: A JPEG, PNG or WebP file; another kind is returned as it is.
        limits: How many pixels, scans and parts it may have.

    Returns:
        The file itself where there is nothing to be left out, else a shorter one.

    Raises:
        FormatError: `corrupt`, if it asks for more work than its picture is worth. What else may
            be wrong with it is the decoder's to find.
    """
    for sign, (at, read) in _KINDS.items():
        if data.startswith(sign, at):
            return read(data, limits)
    return data


def _refusal(said: str) -> FormatError:
    return FormatError(said, reason="corrupt")


def _check(limits: Limits, name: str, count: int) -> None:
    if count > getattr(limits, name):
        raise _refusal(limits.excess(name, count))


def _joined(data: bytes, kept: list[tuple[int, int]]) -> bytes:
    """The parts of a file, which follow each other or do not."""
    if sum(end - start for start, end in kept) == len(data):
        return data
    return b"".join(data[start:end] for start, end in kept)


def _jpeg(data: bytes, limits: Limits) -> bytes:
    kept = [(0, 2)]
    scans = tables = frames = 0
    most_scans = limits.scans
    for number, (kind, start, end) in enumerate(_segments(data)):
        _check(limits, "chunks", number - scans)
        if kind == _SOS:
            scans += 1
            if scans > most_scans:
                raise _refusal(limits.excess("scans", scans))
        elif kind in _TABLES:
            tables += end - start
        elif kind in _FRAMES:
            frames += 1
            height, width = (int.from_bytes(data[start + at : start + at + 2]) for at in (5, 7))
            _check(limits, "picture_pixels", width * height)
            most_scans = limits.scans if kind in _PROGRESSIVE else min(limits.scans, _COMPONENTS)
        if kind not in {_COM, *range(_APP0 + 1, _LAST_APP + 1)} or kind == _ADOBE:
            kept.append((start, end))
    if frames > 1 or tables > _SCAN_TABLES * max(1, limits.scans):
        raise _refusal("a JPEG with several frames, or with tables for many")
    return _joined(data, kept)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Kind, start and end of what a JPEG consists of; a scan ends with its pixels."""
    found = _MARKER.search(data, 2)
    while found:
        start = found.start()
        kind = data[start + 1]
        end = start + 2
        if kind not in {_SOI, _EOI}:
            end += int.from_bytes(data[end : end + 2])
        found = None if kind == _EOI else _MARKER.search(data, end)
        if kind == _SOS:
            end = found.start() if found else len(data)
        yield kind, start, min(end, len(data))


def _png(data: bytes, limits: Limits) -> bytes:
    kept, pixels = [(0, 8)], list[tuple[int, int]]()
    at, others = 8, 0
    while at + 12 <= len(data):
        name, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4])
        if name == b"IDAT":
            pixels.append((at + 8, min(end - 4, len(data))))
        else:
            others += 1
        small = len(pixels) - len(data) // _SMALL_PART
        _check(limits, "chunks", max(others, small))
        if name in _PNG_KEPT:
            kept.append((at, min(end, len(data))))
        if name == b"IEND":
            break
        at = end
    if data[12:16] == b"IHDR" and len(data) > 28:
        _check_inflated(data, pixels, limits)
    return _joined(data, kept)


def _check_inflated(data: bytes, parts: list[tuple[int, int]], limits: Limits) -> None:
    """Refuse a PNG whose pixels go on behind its last one: a megabyte of them takes a second."""
    width, height = (int.from_bytes(data[at : at + 4]) for at in (16, 20))
    _check(limits, "picture_pixels", width * height)
    bits = data[24] * _CHANNELS.get(data[25], 4)
    passes = _PASSES if data[28] else [(0, 1, 0, 1)]
    size = sum(
        -(-(height - y) // dy) * (1 + (-(-(width - x) // dx) * bits + 7) // 8)
        for x, dx, y, dy in passes
        if width > x and height > y
    )
    row = 1 + (width * bits + 7) // 8
    held = sum(end - start for start, end in parts)
    if held * _RATIO <= size + min(_IDLE, row * _IDLE_ROWS):
        return
    inflating, inflated = zlib.decompressobj(), 0
    for start, end in parts:
        rest = data[start:end]
        while rest and inflated <= size + _SLACK:
            try:
                inflated += len(inflating.decompress(rest, 1 << 20))
            except zlib.error:
                # The decoder ends here, too.
                return
            rest = inflating.unconsumed_tail
    if inflated > size + _SLACK:
        raise _refusal("a PNG that has more pixels than its picture")


def _webp(data: bytes, limits: Limits) -> bytes:
    kept, found = list[bytes](), set[bytes]()
    at, count = 12, 0
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size
        count += 1
        _check(limits, "chunks", count)
        if name in _WEBP_KEPT:
            part = data[at : end + size % 2]
            width, height = _webp_size(name, part[8:])
            _check(limits, "picture_pixels", width * height)
            if name in found or (name == b"VP8L" and size > 5 * width * height + _SLACK):
                raise _refusal("a WebP with more than one picture's pixels")
            found.add(name)
            kept.append(
                part[:8] + bytes(flags & _ALPHA for flags in part[8:9]) + part[9:]
                if name == b"VP8X"
                else part
            )
        at = end + size % 2
    if count == len(found):
        return data
    body = b"".join(kept)
    return b"RIFF" + (4 + len(body)).to_bytes(4, "little") + b"WEBP" + body


def _webp_size(name: bytes, head: bytes) -> tuple[int, int]:
    """Width and height by a part's header; 0 where it has none."""
    if name == b"VP8X":
        return tuple(1 + int.from_bytes(head[at : at + 3], "little") for at in (4, 7))  # type: ignore[return-value]  # two
    if name == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if name == b"VP8 ":
        return tuple(int.from_bytes(head[at : at + 2], "little") & 0x3FFF for at in (6, 8))  # type: ignore[return-value]  # two
    return 0, 0


_KINDS: dict[bytes, tuple[int, Callable[[bytes, Limits], bytes]]] = {
    b"\xff\xd8\xff": (0, _jpeg),
    b"\x89PNG\r\n\x1a\n": (0, _png),
    b"WEBP": (8, _webp),
}
