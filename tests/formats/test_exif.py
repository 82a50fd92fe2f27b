"""`streamcrop.formats.exif`: files built by hand, and those of Pillow."""

import io
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from streamcrop.core.pixels import oriented_array
from streamcrop.formats.exif import orientation

Order = Literal["big", "little"]
# What EXIF says of the first row and column (CIPA DC-008, 4.6.4): the array as it is to be seen.
SEEN = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: np.rot90,
}


def tiff(number: int, order: Order = "little", kind: int = 3, *, others: int = 2) -> bytes:
    """A TIFF header with a directory of some entries, the last of which is the Orientation."""
    entries = [(256 + other, 4, 640) for other in range(others)] + [(274, kind, number)]
    head = {"little": b"II*\0", "big": b"MM\0*"}[order] + (8).to_bytes(4, order)
    made = head + len(entries).to_bytes(2, order)
    for tag, its_kind, value in entries:
        size = 2 if its_kind == 3 else 4
        made += tag.to_bytes(2, order) + its_kind.to_bytes(2, order) + (1).to_bytes(4, order)
        made += value.to_bytes(size, order).ljust(4, b"\0")
    return made


def jpeg(*blocks: bytes) -> bytes:
    """A JPEG's head, with these blocks in APP1."""
    app0 = b"\xff\xe0\0\x04ab"
    made = b"".join(b"\xff\xff\xe1" + (len(b) + 2).to_bytes(2) + b for b in blocks)
    return b"\xff\xd8" + app0 + made + b"\xff\xda\0\x02" + b"data\xff\xd9"


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks."""
    made = (len(data).to_bytes(4) + name + data + b"crc!" for name, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP of these chunks."""
    made = b"".join(
        name + len(data).to_bytes(4, "little") + data + b"\0" * (len(data) % 2)
        for name, data in chunks
    )
    return b"RIFF" + (len(made) + 4).to_bytes(4, "little") + b"WEBP" + made


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_all_eight(form: str, number: int) -> None:
    """Turned and mirrored by what is found, a picture is as EXIF says."""
    said = Image.Exif()
    said[274] = number
    file = io.BytesIO()
    Image.new("RGB", (4, 2)).save(file, form, exif=said)
    found = orientation(file.getvalue())
    assert found is not None
    array = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert np.array_equal(oriented_array(array, found), SEEN[number](array))


@pytest.mark.parametrize("order", ["little", "big"])
def test_where_it_stands(order: Order) -> None:
    """In both byte orders, behind other blocks and chunks, of whatever length."""
    block = tiff(3, order)
    half_turn = (-1, 0, 0, -1)
    assert orientation(jpeg(b"http://ns.adobe.com/xap", b"Exif\0\0" + block)) == half_turn
    for name in (b"tEXt", b"IDAT"):
        assert orientation(png((name, b"abc"), (b"eXIf", block), (b"IEND", b""))) == half_turn
    for size in (6, 7):
        assert orientation(webp((b"VP8 ", bytes(size)), (b"EXIF", block))) == half_turn
    assert orientation(webp((b"EXIF", b"Exif\0\0" + block))) == half_turn


def test_what_stands_behind_the_end_is_not_looked_at() -> None:
    """A PNG ends where it says so."""
    assert orientation(png((b"eXIf", tiff(6)), (b"IEND", b""))) is not None
    assert orientation(png((b"IEND", b""), (b"eXIf", tiff(6)))) is None


def test_what_says_nothing() -> None:
    """No EXIF, none of a picture, or one that is broken."""
    broken = [
        b"", b"II*\0", b"IX*\0" + tiff(3)[4:], tiff(3)[:-4], tiff(3, kind=4), tiff(9), tiff(0),
        b"II*\0\xff\xff\0\0\x01\0",
    ]  # fmt: skip
    for block in broken:
        assert orientation(jpeg(b"Exif\0\0" + block)) is None
    for data in (
        b"", b"GIF89a", jpeg(), png(), webp(), b"\xff\xd8\xff\xd9", b"\xff\xd8\xff",
        b"\xff\xd8junk" + jpeg(b"Exif\0\0" + tiff(3)), png((b"IDAT", b"x")), webp((b"VP8 ", b"x")),
        b"\xff\xd8\xff\xda\0\x02" + jpeg(b"Exif\0\0" + tiff(3))[2:],
    ):  # fmt: skip
        assert orientation(data) is None


HEADS = b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF    WEBP", jpeg(b"Exif\0\0II*\0")[:-9]


@given(st.sampled_from(HEADS), st.binary(max_size=80))
def test_any_bytes(head: bytes, data: bytes) -> None:
    """No bytes are an error."""
    orientation(head + data)


@given(st.binary(max_size=60), st.sampled_from([b"II*\0", b"MM\0*"]))
def test_any_directory(data: bytes, order: bytes) -> None:
    """Nor is a directory of any bytes."""
    orientation(jpeg(b"Exif\0\0" + order + data))
