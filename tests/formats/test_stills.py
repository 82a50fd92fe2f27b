"""`streamcrop.formats.stills`: a decoder is shown what makes pixels, and no more than that."""

import io
import struct
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from streamcrop.core.limits import Limits
from streamcrop.errors import FormatError
from streamcrop.formats import stills
from streamcrop.formats.stills import essential

LIMITS = Limits()
NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 255, (33, 47, 3), dtype=np.uint8))
SHINING = NOISE.convert("RGBA")
SHINING.putalpha(NOISE.convert("L"))
SIGN = b"\x89PNG\r\n\x1a\n"


def written(form: str, image: Image.Image = NOISE, **how: Any) -> bytes:
    """A file as Pillow writes it."""
    data = io.BytesIO()
    image.save(data, form, **how)
    return data.getvalue()


def pixels(data: bytes) -> bytes:
    """A file's pixels as Pillow reads them."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGBA").tobytes()


def refusal(data: bytes, limits: Limits = LIMITS) -> str:
    """What is said of a file that asks for too much."""
    with pytest.raises(FormatError) as info:
        essential(data, limits)
    assert info.value.reason == "corrupt"
    return str(info.value)


def segment(kind: int, body: bytes) -> bytes:
    """A part of a JPEG."""
    return bytes([0xFF, kind]) + struct.pack(">H", len(body) + 2) + body


def chunk(kind: bytes, body: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    rows: bytes, width: int = 3, height: int = 2, *, form: tuple[int, int, int] = (8, 2, 0)
) -> bytes:
    """A PNG with these filtered rows."""
    depth, colours, interlaced = form
    head = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, interlaced)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return SIGN + b"".join(parts)


EXIF = Image.Exif()
EXIF[0x0112], EXIF[0x010E] = 6, "a description" * 100
TEXT = PngImagePlugin.PngInfo()
TEXT.add_text("k", "x" * 1_000_000, zip=True)
PLAIN = {
    "JPEG": written("JPEG"),
    "progressive JPEG": written("JPEG", progressive=True),
    "grey JPEG": written("JPEG", NOISE.convert("L")),
    "CMYK JPEG": written("JPEG", NOISE.convert("CMYK")),
    "JPEG with restarts": written("JPEG", restart_marker_blocks=1),
    "PNG": written("PNG"),
    "PNG with a palette": written("PNG", NOISE.convert("P"), transparency=0),
    "WebP": written("WEBP"),
    "lossless WebP": written("WEBP", lossless=True),
    "something else": written("BMP"),
    "nothing": b"",
}
DESCRIBED = {
    "JPEG": written("JPEG", exif=EXIF, comment=b"c" * 999, icc_profile=b"i" * 100_000),
    "PNG": written("PNG", exif=EXIF, pnginfo=TEXT, icc_profile=b"i" * 100_000),
    "WebP": written("WEBP", exif=EXIF, xmp=b"x" * 1000, icc_profile=b"i" * 100_000),
    "WebP with alpha": written("WEBP", SHINING, exif=EXIF),
}


@pytest.mark.parametrize("data", PLAIN.values(), ids=PLAIN.keys())
def test_a_plain_file_is_itself(data: bytes) -> None:
    """It is not even copied."""
    assert essential(data, LIMITS) is data


@pytest.mark.parametrize("data", DESCRIBED.values(), ids=DESCRIBED.keys())
def test_descriptions_are_left_out(data: bytes) -> None:
    """What is left is a file with the same pixels."""
    left = essential(data, LIMITS)
    assert len(left) < len(data) - 1000
    assert pixels(left) == pixels(data)
    for word in (b"a description", b"ccc", b"iii", b"xxx", b"EXIF", b"eXIf", b"zTXt", b"iCCP"):
        assert word not in left
    assert essential(left, LIMITS) is left


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_what_stands_behind_the_picture_is_left_out(name: str) -> None:
    """A second picture, as phones append one, is none of it."""
    assert essential(PLAIN[name] + DESCRIBED["JPEG"], LIMITS) == PLAIN[name]


@pytest.mark.parametrize("name", PLAIN)
def test_pixels_are_counted_by_the_header(name: str) -> None:
    """As many as are allowed are allowed."""
    data = PLAIN[name]
    if name not in {"something else", "nothing"}:
        assert essential(data, Limits(picture_pixels=33 * 47)) is data
        said = refusal(data, Limits(picture_pixels=33 * 47 - 1))
        assert said.startswith("1,551 pixels in one picture are more than limits.picture_pixels")


def test_pixels_of_a_canvas() -> None:
    """That of an extended WebP counts, too."""
    assert "1,551 pixels" in refusal(DESCRIBED["WebP"], Limits(picture_pixels=1550))


# JPEG


def test_scans() -> None:
    """A progressive picture has as many as are allowed, any other one for each component."""
    data = PLAIN["progressive JPEG"]
    last = data[data.rindex(b"\xff\xda") : -2]
    assert essential(data[:-2] + last * 22 + data[-2:], LIMITS)
    assert refusal(data[:-2] + last * 23 + data[-2:]).startswith("33 scans in one JPEG")
    data = PLAIN["JPEG"]
    last = data[data.rindex(b"\xff\xda") : -2]
    assert essential(data[:-2] + last * 3 + data[-2:], LIMITS)
    assert refusal(data[:-2] + last * 4 + data[-2:]).startswith("5 scans in one JPEG")


@pytest.mark.parametrize("kind", [0xFE, 0xE1, 0xE0, 0xDD, 0xD8])
def test_segments(kind: int) -> None:
    """Of a JPEG there are as many parts beside the pixels as are allowed."""
    data = PLAIN["JPEG"]
    part = b"\xff\xd8" if kind == 0xD8 else segment(kind, b"\0\0")
    assert essential(data[:2] + part * 200 + data[2:], LIMITS)
    assert "parts beside the pixels" in refusal(data[:2] + part * 256 + data[2:])


def test_tables_and_frames() -> None:
    """Each table is built, and for each frame memory is taken, whatever comes of it."""
    data = PLAIN["JPEG"]
    table = segment(0xC4, (bytes([0x10]) + bytes(15) + b"\1\1") * 3000)
    assert essential(data[:2] + table * 2 + data[2:], LIMITS)
    assert "tables for many" in refusal(data[:2] + table * 3 + data[2:])
    at = data.index(b"\xff\xc0")
    assert "several frames" in refusal(data[:at] + data[at : at + 19] + data[at:])


def test_a_jpeg_that_is_cut_off() -> None:
    """What is left of it is the decoder's to refuse."""
    data = PLAIN["JPEG"]
    for length in range(3, len(data)):
        assert data[:length].startswith(essential(data[:length], LIMITS))


# PNG


def test_parts_of_a_png() -> None:
    """There are as many beside the pixels as are allowed, and pixels come in parts of some size."""
    data = PLAIN["PNG"]
    assert essential(data[:33] + chunk(b"tEXt", b"k\0v") * 250 + data[33:], LIMITS) == data
    assert "parts beside" in refusal(data[:33] + chunk(b"tEXt", b"k\0v") * 255 + data[33:])
    assert "parts beside" in refusal(data[:33] + chunk(b"IDAT", b"") * 300 + data[33:])
    large = written("PNG", NOISE.resize((1000, 1000)), compress_level=1)
    assert large.count(b"IDAT") > 3
    assert essential(large, Limits(chunks=3)) is large


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize(
    ("colours", "depths"),
    [(0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16))],
)
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 999), (3, 2), (1021, 9), (99, 99)])
def test_pixels_end_with_the_picture(
    width: int,
    height: int,
    colours: int,
    depths: tuple[int, ...],
    interlaced: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In every form; some bytes more are no matter."""
    monkeypatch.setattr(stills, "_IDLE", -(1 << 60))
    for depth in depths:
        form = depth, colours, interlaced
        size = raw_size(width, height, form) + 4096
        assert essential(png(bytes(size), width, height, form=form), LIMITS)
        said = refusal(png(bytes(size + 1), width, height, form=form))
        assert said == "a PNG that has more pixels than its picture"


ADAM7 = ["16462646", "77777777", "56565656", "77777777", "36463646", "77777777", "56565656"]
ADAM7 += ["77777777"]


def raw_size(width: int, height: int, form: tuple[int, int, int]) -> int:
    """The bytes of the rows, pixel by pixel (the PNG specification, 8.1)."""
    depth, colours, interlaced = form
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours]
    size = 0
    for y in range(height):
        passes = ADAM7[y % 8] if interlaced else "1"
        for number in {*passes}:
            columns = sum(passes[x % len(passes)] == number for x in range(width))
            size += 1 + -(-columns * bits // 8) if columns else 0
    return size


def test_a_png_whose_pixels_go_on() -> None:
    """The little that they take to be written is looked at before they are inflated."""
    more = png(bytes(100 << 20))
    assert len(more) < 110_000
    assert refusal(more) == "a PNG that has more pixels than its picture"
    assert essential(png(bytes(5 << 20)), LIMITS)
    several = more[:33] + chunk(b"IDAT", more[41:50_000]) + chunk(b"IDAT", more[50_000:-16])
    assert refusal(several + more[-12:]) == "a PNG that has more pixels than its picture"


def test_a_png_that_is_broken() -> None:
    """What is left of it is the decoder's to refuse."""
    data = PLAIN["PNG"]
    for length in (*range(8, 60), len(data) - 1):
        assert data[:length].startswith(essential(data[:length], LIMITS))
    broken = chunk(b"IDAT", b"\0" * 4_000_000)
    assert essential(data[:33] + broken + data[33:], LIMITS)


# WebP


def test_parts_of_a_webp() -> None:
    """One picture, one canvas, and as many other parts as are allowed."""
    data = PLAIN["WebP"]
    junk = b"junk\1\0\0\0\0\0"
    assert pixels(essential(data + junk * 254, LIMITS)) == pixels(data)
    assert "parts beside" in refusal(data + junk * 256)
    assert "more than one picture" in refusal(data + data[12:])
    lossless = PLAIN["lossless WebP"]
    assert "more than one picture" in refusal(lossless + lossless[12:])
    head = b"RIFF\0\0\0\0WEBPVP8L" + struct.pack("<I", 100_000) + lossless[20:25] + bytes(99_995)
    assert "more than one picture" in refusal(head)


@given(st.sampled_from([*PLAIN.values(), *DESCRIBED.values()]), st.data())
def test_any_bytes(data: bytes, more: st.DataObject) -> None:
    """Whatever a file holds, something is left of it, or it is refused."""
    at = more.draw(st.integers(0, len(data)))
    data = data[:at] + more.draw(st.binary(max_size=8)) + data[at + more.draw(st.integers(0, 9)) :]
    with suppress(FormatError):
        assert len(essential(data, LIMITS)) <= len(data)


def test_a_webp_whose_header_has_nothing_in_it() -> None:
    """It is left to the decoder, which refuses it; `python -m tests.fuzz picture`."""
    empty = b"VP8X" + bytes(4)
    parts = b"VP8L" + (5).to_bytes(4, "little") + b"/\0\0\0\0\0" + empty
    data = b"RIFF" + (4 + len(parts)).to_bytes(4, "little") + b"WEBP" + parts
    assert essential(data, Limits()).endswith(empty)
    with_more = data + b"XMP " + bytes(4)
    assert essential(with_more, Limits()).endswith(empty)
