"""Pictures as FFmpeg decodes them, against a float reference and FFmpeg itself; stills."""

import base64
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from peers import Image, number_in, numbered, numbered_clip
from PIL import Image as Pillow

from streamcrop.core.colors import LUMA_WEIGHTS
from streamcrop.core.limits import Limits
from streamcrop.core.pixels import ArrayPixels, YuvPixels
from streamcrop.core.values import Frame
from streamcrop.errors import FormatError, SourceError
from streamcrop.sources import pictures
from streamcrop.sources.container import FileSource
from streamcrop.sources.decoding import EAGER, Decoding
from streamcrop.sources.pictures import pixels_of, still

LOSSLESS_WEBP = 101


def frames_of(path: Path, **how: Any) -> list[Frame]:
    """All frames of a file; none is corrupt."""
    frames = list(FileSource(str(path), **how))
    assert all(isinstance(frame, Frame) for frame in frames)
    return [frame for frame in frames if isinstance(frame, Frame)]


def _chart() -> tuple[Image, Image, Image]:
    """Planes of a colour chart: many combinations of luma and chroma values."""
    values = np.array([16, 40, 81, 128, 170, 210, 235, 250, 3], np.uint8)
    luma, chroma = np.resize(values, 72), np.resize(values.repeat(4), 36)
    return np.tile(luma, (72, 1)), np.tile(chroma, (36, 1)), np.tile(chroma[:, None], (1, 36))


def _float_reference(planes: tuple[Image, ...], matrix: str, full: bool) -> npt.NDArray[np.float64]:
    """ITU-T H.273 in floating point, chroma repeated."""
    y, u, v = (plane.astype(np.float64) for plane in planes)
    height, width = y.shape
    u, v = (p.repeat(2, 0).repeat(2, 1)[:height, :width] - 128 for p in (u, v))
    if not full:
        y, u, v = (y - 16) * 255 / 219, u * 255 / 224, v * 255 / 224
    red, blue = LUMA_WEIGHTS[matrix]
    green = 1 - red - blue
    b = y + 2 * (1 - blue) * u
    r = y + 2 * (1 - red) * v
    g = (y - red * r - blue * b) / green
    return np.clip(np.stack([b, g, r], -1), 0, 255)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("tag", "matrix"), [(1, "bt709"), (5, "bt601"), (6, "bt601"), (2, "bt601"), (9, "bt2020")]
)
@pytest.mark.parametrize("layout", ["yuv420p", "nv12"])
def test_colours_follow_the_tags(tag: int, matrix: str, layout: str, full: bool) -> None:
    """Matrix and range are those of the stream; untagged is BT.601, limited."""
    y, u, v = _chart()
    picture = av.VideoFrame(72, 72, "yuv420p")
    for plane, data in zip(picture.planes, (y, u, v), strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[: data.shape[0], : data.shape[1]] = data
        plane.update(rows.tobytes())
    if layout != "yuv420p":
        picture = picture.reformat(format=layout)
    picture.colorspace, picture.color_range = tag, 2 if full else 1
    pixels = pixels_of(picture)
    assert isinstance(pixels, YuvPixels)
    expected = _float_reference((y, u, v), matrix, full)
    assert np.abs(pixels.bgr() - expected).max() <= 1
    odd = pixels.region((3, 5, 40, 28)).bgr()
    assert np.abs(odd - expected[5:28, 3:40]).max() <= 1
    assert np.array_equal(odd, pixels.bgr()[5:28, 3:40])


@pytest.mark.parametrize("layout", ["nv12", "nv21"])
def test_semi_planar_planes_are_the_same(layout: str) -> None:
    """What hardware gives in two planes is, bit for bit, what software gives in three."""
    picture = av.VideoFrame.from_ndarray(numbered(5, 322, 246), format="bgr24")
    planar = picture.reformat(format="yuv420p")
    ours, theirs = pixels_of(planar.reformat(format=layout)), pixels_of(planar)
    assert isinstance(ours, YuvPixels)
    assert isinstance(theirs, YuvPixels)
    for plane in ("y", "u", "v"):
        assert np.array_equal(getattr(ours, plane), getattr(theirs, plane))
    assert np.array_equal(ours.bgr(), theirs.bgr())


def test_ten_bits_of_hardware_are_the_same() -> None:
    """Hardware's 10 bit, `p010le`, becomes the very colours that software's becomes."""
    picture = av.VideoFrame.from_ndarray(numbered(5, 322, 246), format="bgr24")
    planar = picture.reformat(format="yuv420p10le")
    ours = pixels_of(planar.reformat(format="p010le"))
    assert np.array_equal(ours.bgr(), pixels_of(planar).bgr())


def test_other_formats_are_converted_once() -> None:
    """4:4:4, 10 bit and RGB are converted by FFmpeg in the source, within its own rounding."""
    for name in ("yuv444p", "yuv422p", "yuv420p10le", "gray", "rgb24"):
        picture = av.VideoFrame.from_ndarray(numbered(5, 320, 240), format="bgr24")
        pixels = pixels_of(picture.reformat(format=name))
        assert isinstance(pixels, ArrayPixels)
        assert number_in(pixels.bgr()) == 5


def test_the_same_as_ffmpeg_within_three_levels(tmp_path: Path) -> None:
    """A decoded clip's colours are within 3 levels of FFmpeg's own conversion."""
    clip = numbered_clip(tmp_path / "clip.mp4", 3, 322, 242)
    with av.open(str(clip)) as container:
        theirs = [
            picture.to_ndarray(format="bgr24").astype(int) for picture in container.decode(video=0)
        ]
    for frame, reference in zip(frames_of(clip), theirs, strict=True):
        assert np.abs(frame.pixels.bgr() - reference).max() <= 3


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("size", [(320, 240), (322, 246)])
def test_phone_clips_come_upright(tmp_path: Path, turn: int, size: tuple[int, int]) -> None:
    """A display matrix is applied, as OpenCV does and so as detectors see the picture."""
    plain = numbered_clip(tmp_path / "plain.mp4", 2, *size)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(_with_matrix(plain.read_bytes(), turn))
    capture = cv2.VideoCapture(str(turned))
    assert capture.read()[0]
    theirs = np.asarray(capture.read()[1])
    capture.release()
    frame = frames_of(turned)[1]
    ours = frame.pixels.bgr()
    assert frame.pixels.resolution_wh == (theirs.shape[1], theirs.shape[0])
    assert np.abs(ours.astype(int) - theirs).max() <= 3


def _with_matrix(mp4: bytes, turn: int) -> bytes:
    """Write a rotation into the track header of an MP4 (ISO/IEC 14496-12, 8.3.2)."""
    one = 1 << 16
    a, b, c, d = {
        0: (one, 0, 0, one),
        90: (0, one, -one, 0),
        180: (-one, 0, 0, -one),
        270: (0, -one, one, 0),
    }[turn]
    matrix = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
    at = mp4.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    return mp4[:at] + matrix + mp4[at + 36 :]


def test_a_picture_that_cannot_be_converted_is_a_clear_error() -> None:
    """A matrix that FFmpeg does not convert ends the source with its reason."""
    picture = av.VideoFrame(64, 64, "yuv420p")
    picture.colorspace = 8  # YCgCo
    with pytest.raises(SourceError, match=r"matrix 8.*cannot be converted"):
        pixels_of(picture)


def soft_picture(width: int = 161, height: int = 120) -> Image:
    """Soft colours, which every encoder keeps nearly as they are."""
    noise = np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 5), np.uint8)


def encoded(suffix: str, image: Image, *params: int) -> bytes:
    """A picture as OpenCV writes it."""
    done, data = cv2.imencode(suffix, image, params)
    assert done
    return data.tobytes()


KINDS = {
    "JPEG": encoded(".jpg", soft_picture(), cv2.IMWRITE_JPEG_QUALITY, 95),
    "progressive JPEG": encoded(".jpg", soft_picture(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "PNG": encoded(".png", soft_picture()),
    "WebP": encoded(".webp", soft_picture(), cv2.IMWRITE_WEBP_QUALITY, 95),
    "lossless WebP": encoded(".webp", soft_picture(), cv2.IMWRITE_WEBP_QUALITY, LOSSLESS_WEBP),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_still_is_what_was_encoded(kind: str) -> None:
    """A lossless kind gives the very pixels, a lossy one pixels near them."""
    bgr = still(KINDS[kind]).bgr()
    assert bgr.shape == (120, 161, 3)
    difference = np.abs(bgr.astype(int) - soft_picture())
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


def by_pillow(kind: str, *more: Pillow.Image) -> bytes:
    """A picture, or several, as Pillow writes them."""
    data = io.BytesIO()
    many = {"save_all": True, "append_images": more} if more else {}
    Pillow.fromarray(soft_picture()).save(data, kind, **many)
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (base64.b64encode(KINDS["JPEG"]), "but base64 text: publish the bytes themselves"),
        (base64.b64encode(KINDS["PNG"]), "but base64 text"),
        (base64.b64encode(KINDS["WebP"]), "but base64 text"),
        (b"data:image/jpeg;base64," + base64.b64encode(KINDS["JPEG"]), "but base64 text"),
        (b"http://cam/snap.jpg", "but an address: publish the picture itself"),
        (b"<html><body>404</body></html>", "but a page of HTML"),
        (by_pillow("GIF"), "but a GIF"),
        (by_pillow("BMP"), "but a BMP"),
        (by_pillow("TIFF"), "but a TIFF"),
        (b"\0\0\0\x1cftypavif" + bytes(99), "but AVIF, HEIF or video"),
        (b"", "but nothing at all"),
        (b"a text", "^no JPEG, PNG or WebP$"),
        (KINDS["JPEG"][:-2], "a JPEG whose end is missing"),
        (KINDS["PNG"][:-30], "no whole picture: Invalid data"),
        (by_pillow("WEBP", Pillow.new("RGB", (161, 120))), "an animated WebP"),
    ],
    ids=range(15),
)
def test_what_came_instead_is_said(data: bytes, said: str) -> None:
    """Whoever publishes something else is told what it is, and where it helps what to do."""
    with pytest.raises(FormatError, match=said) as info:
        still(data)
    assert info.value.reason == "corrupt"


def test_of_an_animated_png_the_first_picture_is_taken() -> None:
    """It is a PNG, to which readers of old need not say a word."""
    data = by_pillow("PNG", Pillow.new("RGB", (161, 120)))
    assert b"acTL" in data
    np.testing.assert_array_equal(still(data).bgr()[:, :, ::-1], soft_picture())


@pytest.mark.parametrize("data", [b"", b"text", b"{}", b"GIF89a" + bytes(99), b"RIFF", b"\xff\xd8"])
def test_what_is_no_still_is_refused(data: bytes) -> None:
    """Only JPEG, PNG and WebP are read, by their signature."""
    with pytest.raises(FormatError):
        still(data)


@pytest.mark.parametrize(
    ("source", "exact"), [("L", True), ("LA", True), ("RGBA", True), ("P", True), ("1", True)]
)
def test_every_colour_type_becomes_bgr(source: str, exact: bool) -> None:
    """Grey is repeated, alpha left out, palettes looked up: as OpenCV reads them."""
    image = Pillow.fromarray(soft_picture()[:, :, ::-1].copy()).convert("RGBA")
    data = io.BytesIO()
    image.convert(source).save(data, "PNG")
    expected = cv2.imdecode(np.frombuffer(data.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(still(data.getvalue()).bgr(), expected) is exact


def test_sixteen_bits_become_eight() -> None:
    """Each channel keeps its upper byte, give or take rounding."""
    data = encoded(".png", soft_picture().astype(np.uint16) * 257)
    assert np.abs(still(data).bgr().astype(int) - soft_picture()).max() <= 1


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
    with pytest.raises(FormatError, match=r"200,000,000 pixels in one picture are more than lim"):
        still(claim(20_000, 10_000))


@pytest.mark.parametrize(("width", "height"), [(65_536, 1), (1, 70_000)])
def test_a_side_that_no_crop_can_have(width: int, height: int) -> None:
    """It is refused here, not where something of it is to be written."""
    done, data = cv2.imencode(".png", np.zeros((height, width, 3), np.uint8))
    assert done
    with pytest.raises(FormatError, match="larger than 65535 a side") as info:
        still(data.tobytes())
    assert info.value.reason == "corrupt"


@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_holds_for_every_decoder(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture beyond the bound is refused by its header, and by a decoder that reads another."""
    assert still(KINDS[kind], Limits(picture_pixels=120 * 161)).resolution_wh == (161, 120)
    with pytest.raises(
        FormatError, match=r"19,320 pixels in one picture are more than limits\.pic"
    ):
        still(KINDS[kind], Limits(picture_pixels=120 * 161 - 1))
    monkeypatch.setattr(pictures, "essential", lambda data, _: data)
    monkeypatch.setattr(pictures, "_MARGIN", 0)
    with pytest.raises(FormatError, match="no whole picture"):
        still(KINDS[kind], Limits(picture_pixels=120 * 161 // 2 - 1))


def with_orientation(orientation: int, image: Image, form: str) -> bytes:
    """A picture whose EXIF says how it is to be turned or mirrored."""
    exif = Pillow.Exif()
    exif[0x112] = orientation
    data = io.BytesIO()
    Pillow.fromarray(image[:, :, ::-1].copy()).save(data, form, exif=exif, quality=95)
    return data.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_still_is_upright(form: str, orientation: int, tmp_path: Path) -> None:
    """All of EXIF's turns and mirrors are applied, as OpenCV and so detectors do; in files, too."""
    image = np.zeros((48, 80, 3), np.uint8)
    image[:16, :32] = 255
    data = with_orientation(orientation, image, form)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    bgr = still(data).bgr()
    assert bgr.shape == expected.shape
    assert np.abs(bgr.astype(int) - expected).mean() < 3
    for decoding in (EAGER, Decoding("lazy", 1 << 28)):
        path = tmp_path / f"still.{form.lower()}"
        path.write_bytes(data)
        [frame] = frames_of(path, decoding=decoding)
        assert np.array_equal(frame.pixels.bgr(), bgr)
