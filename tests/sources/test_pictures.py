"""Stills: whole or refused, bounded by their header, upright."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from peers import Image
from PIL import Image as Pillow

from streamcrop.errors import FormatError
from streamcrop.sources import pictures
from streamcrop.sources.container import FileSource
from streamcrop.sources.pictures import still

LOSSLESS_WEBP = 101


def picture(width: int = 161, height: int = 120) -> Image:
    """Soft colours, which every encoder keeps nearly as they are."""
    noise = np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 5), np.uint8)


def encoded(suffix: str, image: Image, *params: int) -> bytes:
    """A picture as OpenCV writes it."""
    done, data = cv2.imencode(suffix, image, params)
    assert done
    return data.tobytes()


KINDS = {
    "JPEG": encoded(".jpg", picture(), cv2.IMWRITE_JPEG_QUALITY, 95),
    "progressive JPEG": encoded(".jpg", picture(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "PNG": encoded(".png", picture()),
    "WebP": encoded(".webp", picture(), cv2.IMWRITE_WEBP_QUALITY, 95),
    "lossless WebP": encoded(".webp", picture(), cv2.IMWRITE_WEBP_QUALITY, LOSSLESS_WEBP),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_still_is_what_was_encoded(kind: str) -> None:
    """A lossless kind gives the very pixels, a lossy one pixels near them."""
    bgr = still(KINDS[kind]).bgr()
    assert bgr.shape == (120, 161, 3)
    difference = np.abs(bgr.astype(int) - picture())
    if kind in {"PNG", "lossless WebP"}:
        assert difference.max() == 0
    else:
        assert difference.mean() < 3


def _ends_of_scans(data: bytes) -> list[int]:
    """Where the scans of a progressive JPEG begin: what stands before is a coarser picture."""
    starts = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    return starts[1:] if data[:2] == b"\xff\xd8" else []


@pytest.mark.parametrize("kind", KINDS)
def test_a_still_that_is_cut_off_is_refused(kind: str) -> None:
    """No picture with a grey or repeated rest: wherever the file ends too early, it is corrupt."""
    data = KINDS[kind]
    for length in (*range(0, len(data) * 99 // 100, 7), *_ends_of_scans(data)):
        with pytest.raises(FormatError) as caught:
            still(data[:length])
        assert caught.value.reason == "corrupt"


@pytest.mark.parametrize("data", [b"", b"text", b"{}", b"GIF89a" + bytes(99), b"RIFF", b"\xff\xd8"])
def test_what_is_no_still_is_refused(data: bytes) -> None:
    """Only JPEG, PNG and WebP are read, by their signature."""
    with pytest.raises(FormatError):
        still(data)


@pytest.mark.parametrize(
    ("source", "exact"), [("L", True), ("LA", True), ("RGBA", True), ("P", True), ("1", True)]
)
def test_every_colour_type_becomes_bgr(source: str, exact: bool) -> None:  # noqa: FBT001
    """Grey is repeated, alpha left out, palettes looked up: as OpenCV reads them."""
    image = Pillow.fromarray(picture()[:, :, ::-1].copy()).convert("RGBA")
    data = io.BytesIO()
    image.convert(source).save(data, "PNG")
    expected = cv2.imdecode(np.frombuffer(data.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(still(data.getvalue()).bgr(), expected) is exact


def test_sixteen_bits_become_eight() -> None:
    """Each channel keeps its upper byte, give or take rounding."""
    data = encoded(".png", picture().astype(np.uint16) * 257)
    assert np.abs(still(data).bgr().astype(int) - picture()).max() <= 1


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header claims a size, with the pixels of 10 x 10."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(31 * 10))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def jpeg_of(width: int, height: int) -> bytes:
    """A JPEG whose header claims a size, with the pixels of 10 x 10."""
    data = bytearray(encoded(".jpg", np.zeros((10, 10, 3), np.uint8)))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("claim", [png_of, jpeg_of])
def test_a_claim_of_200_megapixels_is_refused(claim: object) -> None:
    """The same file is a picture where it claims what it holds."""
    assert callable(claim)
    assert still(claim(10, 10)).resolution_wh == (10, 10)
    with pytest.raises(FormatError):
        still(claim(20_000, 10_000))


@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_holds_for_every_decoder(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole picture beyond the bound is refused, not only one that claims too much."""
    monkeypatch.setitem(pictures._STRICT, "max_pixels", str(120 * 256))
    assert still(KINDS[kind]).resolution_wh == (161, 120)
    monkeypatch.setitem(pictures._STRICT, "max_pixels", str(120 * 161 - 1))
    with pytest.raises(FormatError):
        still(KINDS[kind])


def with_orientation(orientation: int, image: Image) -> bytes:
    """A JPEG whose EXIF says how it is to be turned."""
    exif = Pillow.Exif()
    exif[0x112] = orientation
    data = io.BytesIO()
    Pillow.fromarray(image[:, :, ::-1].copy()).save(data, "JPEG", exif=exif, quality=95)
    return data.getvalue()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_still_is_upright(orientation: int, tmp_path: Path) -> None:
    """EXIF's quarter turns are applied, as OpenCV and so detectors do; in a file, too."""
    image = np.zeros((48, 80, 3), np.uint8)
    image[:16, :32] = 255
    data = with_orientation(orientation, image)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    bgr = still(data).bgr()
    assert bgr.shape == expected.shape
    assert np.abs(bgr.astype(int) - expected).mean() < 3
    (tmp_path / "still.jpg").write_bytes(data)
    [frame] = FileSource(str(tmp_path / "still.jpg"))
    assert np.array_equal(frame.pixels.bgr(), bgr)
