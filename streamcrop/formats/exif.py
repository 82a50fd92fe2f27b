"""The orientation that a JPEG, PNG or WebP picture has by its EXIF (CIPA DC-008, 4.6.4)."""

import struct
from collections.abc import Iterator
from typing import Literal

_ORIENTATION, _SHORT = 0x0112, 3
_PREFIX = b"Exif\0\0"
_APP1, _SCAN, _END = 0xE1, 0xDA, 0xD9
_PNG = b"\x89PNG\r\n\x1a\n"
# How the picture is to be turned or mirrored, as the first two columns of the matrix of
# ISO/IEC 14496-12, 6.2.2: what is at (x, y) belongs to (a x + c y, b x + d y).
_MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}

Matrix = tuple[int, int, int, int]


def orientation(data: bytes) -> Matrix | None:
    r"""How a picture is to be turned or mirrored; None where its EXIF does not say.

    It is as OpenCV's ``imdecode`` and browsers have it, with all eight of EXIF's orientations.

    Args:
        data: A JPEG, PNG or WebP file.

    Returns:
        ``(a, b, c, d)``: what is at ``(x, y)`` belongs to ``(a x + c y, b x + d y)``, but for a
        shift that brings the picture back to where it begins.

    Example:
        >>> tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x02\0\0\0"
        >>> app1 = b"Exif\0\0" + tiff
        >>> orientation(b"\xff\xd8\xff\xe1" + (len(app1) + 2).to_bytes(2) + app1 + b"\xff\xd9")
        (-1, 0, 0, 1)
    """
    if data.startswith(b"\xff\xd8"):
        blocks = _app1(data)
    elif data.startswith(_PNG):
        blocks = _chunks(data, len(_PNG), "big")
    elif data[8:12] == b"WEBP":
        blocks = _chunks(data, 12, "little")
    else:
        return None
    found = next(blocks, None)
    return None if found is None else _MATRICES.get(_of_tiff(found.removeprefix(_PREFIX)))


def _app1(data: bytes) -> Iterator[bytes]:
    """The EXIF blocks before a JPEG's scan (ITU-T T.81, B.1.1)."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] not in {_SCAN, _END}:
        if data[at + 1] == 0xFF:
            # A fill byte.
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if data[at + 1] == _APP1 and data.startswith(_PREFIX, at + 4):
            yield data[at + 4 : end]
        at = end


def _chunks(data: bytes, at: int, order: Literal["big", "little"]) -> Iterator[bytes]:
    """The EXIF chunks of a PNG (length, name, data, CRC) or a WebP (name, length, data, padded)."""
    is_png = order == "big"
    while at + 8 <= len(data):
        head = data[at : at + 4], data[at + 4 : at + 8]
        size, name = head if is_png else head[::-1]
        end = at + 8 + int.from_bytes(size, order)
        if name == b"IEND":
            return
        if name in {b"eXIf", b"EXIF"}:
            yield data[at + 8 : end]
        at = end + 4 if is_png else end + end % 2


def _of_tiff(tiff: bytes) -> int:
    """The Orientation in the first directory of a TIFF header's (TIFF 6.0, section 2); 0: none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 0
    [at] = struct.unpack_from(f"{order}I", tiff, 4)
    if at + 2 > len(tiff):
        return 0
    [count] = struct.unpack_from(f"{order}H", tiff, at)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
        if (tag, kind) == (_ORIENTATION, _SHORT):
            return int(value)
    return 0
