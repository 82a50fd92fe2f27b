"""Crops to bytes."""

import io
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest

from streamcrop.core.background import CropOptions, remove_background
from streamcrop.core.cutting import cut
from streamcrop.core.masks import Patch
from streamcrop.core.pixels import ArrayPixels, YuvPixels
from streamcrop.core.values import Instances
from streamcrop.errors import FormatError
from streamcrop.formats.images import ENCODINGS, encode

MAGIC = {"jpeg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF"}


def gradient() -> Any:
    """A smooth picture whose three channels differ."""
    rows, columns = np.mgrid[0:48, 0:64]
    return np.dstack([rows * 4, columns * 3, rows + columns]).astype(np.uint8)


def picture(image: npt.NDArray[np.uint8]) -> ArrayPixels:
    """An image that can be written."""
    return ArrayPixels(image)


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_reads_back(encoding: str) -> None:
    """Every encoding is what its name says, and decodes to the picture that went in, BGR."""
    image = gradient()
    data = encode(picture(image), encoding, 95)
    assert data.startswith(MAGIC[encoding])
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert back is not None
    assert back.shape == image.shape
    assert np.abs(back.astype(int) - image).max() <= 24
    assert np.abs(back.astype(int) - image).mean() < 3


def test_png_is_exact() -> None:
    """PNG loses nothing."""
    image = np.random.default_rng(3).integers(0, 256, (17, 31, 3), np.uint8)
    back = cv2.imdecode(np.frombuffer(encode(picture(image), "png", 1), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(np.asarray(back), image)


def test_a_view_is_encoded_and_left_as_it_is() -> None:
    """A crop is a view of its frame: it need not be contiguous, and is not modified."""
    frame = gradient()
    kept = frame.copy()
    data = encode(picture(frame[3:20, 5:40]), "png", 90)
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(np.asarray(back), kept[3:20, 5:40])
    assert np.array_equal(frame, kept)


@pytest.mark.parametrize("encoding", ["jpeg", "webp"])
def test_quality_counts(encoding: str) -> None:
    """A lower quality makes fewer bytes."""
    noise = picture(np.random.default_rng(5).integers(0, 256, (64, 64, 3), np.uint8))
    assert len(encode(noise, encoding, 10)) < len(encode(noise, encoding, 90))


@pytest.mark.parametrize(
    ("encoding", "width"), [("webp", 16_384), ("jpeg", 65_501), ("png", 1_000_001)]
)
def test_too_large_for_the_encoding(encoding: str, width: int) -> None:
    """A picture that the encoding cannot hold is one counted loss that says its size."""
    for shape in ((1, width, 3), (width, 1, 3)):
        with pytest.raises(FormatError, match=f"{encoding} cannot hold an image of ") as info:
            encode(picture(np.zeros(shape, np.uint8)), encoding, 90)
        assert str(info.value).endswith(f"{shape[1]} x {shape[0]}")
        assert info.value.reason == "encoding_failed"


@pytest.mark.parametrize(
    ("encoding", "side"), [("webp", 16_383), ("jpeg", 65_500), ("png", 65_535)]
)
def test_the_largest(encoding: str, side: int) -> None:
    """What a format holds is written."""
    for shape in ((1, side, 3), (side, 1, 3)):
        widest = picture(np.zeros(shape, np.uint8))
        assert encode(widest, encoding, 90).startswith(MAGIC[encoding])
    if encoding == "jpeg":
        assert encode(planes((side, 2), full_range=True), "jpeg", 90).startswith(MAGIC["jpeg"])


@pytest.mark.parametrize("outcome", [False, cv2.error("no memory")])
def test_both_ways_of_failing(monkeypatch: pytest.MonkeyPatch, outcome: object) -> None:
    """OpenCV's versions differ in whether an encoder that fails raises or returns False."""

    def imencode(*_: object) -> tuple[object, None]:
        if isinstance(outcome, cv2.error):
            raise outcome
        return outcome, None

    monkeypatch.setattr(cv2, "imencode", imencode)
    with pytest.raises(FormatError) as info:
        encode(picture(np.zeros((2, 3, 3), np.uint8)), "png", 90)
    assert info.value.reason == "encoding_failed"


def test_content_types_and_suffixes() -> None:
    """Media types and names are those that everybody knows."""
    assert {name: (row.content_type, row.suffix) for name, row in ENCODINGS.items()} == {
        "jpeg": ("image/jpeg", ".jpg"),
        "png": ("image/png", ".png"),
        "webp": ("image/webp", ".webp"),
    }


# --- JPEG from planes ----------------------------------------------------------------------------

KINDS = {"601 full": ("bt601", True, 5), "601": ("bt601", False, 5), "709": ("bt709", False, 1)}
ORIGINS = [(0, 0), (1, 0), (0, 1), (1, 1)]


def planes(size: tuple[int, int], seed: int = 0, **kind: Any) -> YuvPixels:
    """A smooth picture, ``(width, height)``, every part of which looks different."""
    width, height = size
    rng = np.random.default_rng(seed)
    shapes = [(height, width), *[((height + 1) // 2, (width + 1) // 2)] * 2]
    coarse = (rng.integers(90, 166, (4, 4), np.uint8) for _ in shapes)
    made = (
        np.asarray(cv2.resize(plane, shape[::-1], interpolation=cv2.INTER_CUBIC))
        for plane, shape in zip(coarse, shapes, strict=True)
    )
    return YuvPixels(*made, **kind)


def decoded(data: bytes) -> npt.NDArray[np.uint8]:
    """BGR, as OpenCV reads it."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(image, np.uint8)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("origin", [(0, 0), (6, 4), (7, 4), (6, 5), (7, 5)])
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (2, 2), (3, 3), (16, 16), (17, 15), (40, 31)]
)
def test_a_jpeg_has_the_size_and_colours_of_its_crop(
    size: tuple[int, int], origin: tuple[int, int], kind: tuple[str, bool, int]
) -> None:
    """Wherever a crop begins and however odd its sides, two decoders see its very rectangle."""
    frame = planes((64, 48), matrix=kind[0], full_range=kind[1])
    crop = frame.region((*origin, origin[0] + size[0], origin[1] + size[1]))
    data = encode(crop, "jpeg", 100)
    usual = decoded(encode(picture(crop.bgr()), "jpeg", 100)).astype(int)
    assert np.abs(decoded(data) - usual).max() <= 6
    assert np.abs(decoded(data) - usual).mean() <= 1.5
    with PIL.Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", size, "RGB")
        assert np.abs(np.asarray(image)[..., ::-1] - usual).max() <= 6


VIEWS: dict[str, Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]] = {
    "mirrored": lambda plane: plane[:, ::-1],
    "upside down": lambda plane: plane[::-1],
    "turned": lambda plane: plane.T,
    "interleaved": lambda plane: plane.repeat(2, 1)[:, ::2],
}


@pytest.mark.parametrize("size", [(16, 16), (7, 9), (1, 5), (5, 1), (1, 1)])
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_any_view_is_encoded_as_its_copy(
    size: tuple[int, int], view: Callable[..., npt.NDArray[np.uint8]]
) -> None:
    """Turned frames and interleaved chroma give the same bytes as rows of memory do."""
    pixels = planes(size, full_range=True)
    views = [view(plane) for plane in (pixels.y, pixels.u, pixels.v)]
    copies = [np.array(plane, order="C") for plane in views]
    expected = encode(YuvPixels(*copies, full_range=True), "jpeg", 90)
    assert encode(YuvPixels(*views, full_range=True), "jpeg", 90) == expected


@pytest.mark.parametrize("size", [(5, 7), (6, 7), (5, 8), (1, 1), (17, 33)])
def test_nothing_outside_a_crop_is_read(size: tuple[int, int]) -> None:
    """The encoder reads pairs of rows and columns: an odd side ends with what is its own."""
    width, height = size
    found = set()
    for around in (0, 255):
        frame = planes((64, 48), full_range=True)
        crop = frame.region((4, 6, 4 + width, 6 + height))
        own = [(plane, plane.copy()) for plane in (crop.y, crop.u, crop.v)]
        for plane in (frame.y, frame.u, frame.v):
            plane[:] = around
        for plane, copy in own:
            plane[:] = copy
        found.add(encode(crop, "jpeg", 90))
    assert len(found) == 1


@pytest.mark.parametrize("quality", [1, 10, 50, 75, 90, 100])
def test_a_quality_means_the_same_either_way(quality: int) -> None:
    """Size, sampling and tables, all that stands before the scan, are those of OpenCV's encoder."""
    pixels = planes((40, 30))
    usual = encode(picture(pixels.bgr()), "jpeg", quality)
    head = usual.index(b"\xff\xda")
    assert encode(pixels, "jpeg", quality)[:head] == usual[:head]


def test_planes_too_large_for_a_jpeg() -> None:
    """A side that a JPEG cannot hold is the same loss by way of the planes."""
    wide = planes((65_536, 2), full_range=True)
    with pytest.raises(FormatError, match="jpeg cannot hold an image of 65536 x 2") as info:
        encode(wide, "jpeg", 90)
    assert info.value.reason == "encoding_failed"


@pytest.mark.parametrize("encoding", ["png", "webp"])
def test_planes_in_other_encodings(encoding: str) -> None:
    """PNG and WebP show what `bgr` gives."""
    pixels = planes((40, 30), matrix="bt709").region((3, 5, 22, 30))
    data = encode(pixels, encoding, 90)
    assert data == encode(picture(pixels.bgr()), encoding, 90)


@cache
def scene() -> av.VideoFrame:
    """A frame of the demo's clip."""
    with av.open(str(files("streamcrop.demo") / "clip.mp4")) as container:
        return next(container.decode(video=0))


def both_ways(kind: tuple[str, bool, int]) -> tuple[YuvPixels, npt.NDArray[np.uint8]]:
    """The frame under other tags: its planes, and what FFmpeg makes of it as a whole."""
    frame = scene()
    frame.colorspace, frame.color_range = kind[2], 2 if kind[1] else 1
    width, height = frame.width, frame.height
    y, u, v = np.split(frame.to_ndarray().ravel(), [width * height, width * height * 5 // 4])
    halved = (height // 2, width // 2)
    chroma = u.reshape(halved), v.reshape(halved)
    pixels = YuvPixels(y.reshape(height, width), *chroma, matrix=kind[0], full_range=kind[1])
    return pixels, frame.to_ndarray(format="bgr24")


def in_floats(pixels: YuvPixels) -> npt.NDArray[np.float64]:
    """BGR, chroma repeated, by the inverse of luma's definition."""
    red, blue = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}[pixels.matrix]
    (left, top), (height, width) = pixels.phase, pixels.y.shape
    black, luma, chroma = (0, 255, 255) if pixels.full_range else (16, 219, 224)
    u, v = (
        (p.repeat(2, 0).repeat(2, 1)[top : top + height, left : left + width] - 128.0) / chroma
        for p in (pixels.u, pixels.v)
    )
    y = (pixels.y - float(black)) / luma
    b, r = y + 2 * (1 - blue) * u, y + 2 * (1 - red) * v
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.dstack([b, g, r]) * 255, 0, 255)


@pytest.mark.parametrize("options", [(), (1.0, "#000"), (1.0, "#fff"), (0.5, "#c02040")], ids=str)
@pytest.mark.parametrize("origin", ORIGINS, ids=str)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_planes_keep_what_bgr_keeps(
    kind: tuple[str, bool, int], origin: tuple[int, int], options: tuple[float, str]
) -> None:
    """Against floats, never worse than FFmpeg's BGR, and as good as an exact BGR but for 0.3 dB.

    Holds for each origin, in the whole crop and inside the mask.
    """
    frame, full = both_ways(kind)
    corners = np.array([(200, 300), (600, 420), (900, 380), (1200, 500)]) + origin
    axes = np.s_[-1:1:300j, -1:1:140j]
    mask = (sum(axis**2 for axis in np.mgrid[axes]) < 0.9).astype(np.uint8)
    masks = []
    for left, top in corners.tolist():
        canvas = np.zeros(frame.y.shape, np.uint8)
        canvas[top : top + 300, left : left + 140] = mask
        masks.append(Patch(canvas))
    boxes = np.hstack([corners, corners + np.array([140, 300])])
    found = Instances(boxes, ["a", "b", "c", "d"], masks)
    crops, _ = cut(frame, found, CropOptions(*options))
    squares: dict[str, list[npt.NDArray[np.float64]]] = {"planes": [], "exact": [], "FFmpeg": []}
    for crop in crops:
        pixels, chosen = crop.pixels, crop.original.options
        assert isinstance(pixels, YuvPixels)
        x_min, y_min, x_max, y_max = crop.box
        usual = full[y_min:y_max, x_min:x_max]
        usual = remove_background(usual, mask, chosen) if options else usual
        alpha = np.where(mask, 0, chosen.mask_opacity)[..., None]
        ideal = in_floats(pixels) * (1 - alpha) + np.array(chosen.bgr) * alpha
        ways = {"planes": crop, "exact": picture(crop.bgr()), "FFmpeg": picture(usual)}
        for name, way in ways.items():
            squares[name].append((decoded(encode(way, "jpeg", 90)) - ideal) ** 2)
    for where in (mask >= 0, mask == 1):
        psnr = {
            name: 10 * np.log10(255**2 / np.mean([each[where] for each in errors]))
            for name, errors in squares.items()
        }
        assert psnr["planes"] >= psnr["FFmpeg"]
        assert psnr["planes"] >= psnr["exact"] - 0.3
