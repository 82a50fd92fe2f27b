"""What a crop's JPEG costs and keeps: ``python -m tests.benchmarks jpeg``.

Crops of the demo's clip, in three colour spaces, are encoded by the node's way (from the planes)
and by the usual one (the whole frame to BGR by FFmpeg, then `cv2.imencode`), in one process, in
turns. Times are CPU time, that of FFmpeg's threads included. PSNR is against a conversion of the
same planes in floats, chroma repeated, over all crops of a row.
"""

import statistics
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from benchmarks.pipeline import taken
from benchmarks.report import Row

from streamcrop.core.background import CropOptions, remove_background
from streamcrop.core.colors import LUMA_WEIGHTS
from streamcrop.core.crop import Crop
from streamcrop.core.cutting import cut
from streamcrop.core.masks import Patch
from streamcrop.core.pixels import YuvPixels
from streamcrop.core.values import Frame, Instances
from streamcrop.formats.images import encode
from streamcrop.sources.pictures import pixels_of
from streamcrop.stream.render import render_tap

# The name of a matrix, whether the range is full, FFmpeg's number of the matrix.
KINDS = {
    "601 full": ("bt601", True, 5),
    "601 limited": ("bt601", False, 5),
    "709 limited": ("bt709", False, 1),
}
SIZES = [(96, 208), (150, 300), (640, 480), (97, 207)]
QUALITY = 90
# Asked for: so many times as fast as the usual way.
FASTER = {"601 full": 1.8, "601 limited": 1.5, "709 limited": 1.5}
ORIGINS = {"even": (0, 0), "odd x": (1, 0), "odd y": (0, 1), "odd xy": (1, 1)}
CROPS = 10  # of a frame, which share its conversion
MASKED = {"black": (1.0, "#000"), "white": (1.0, "#fff"), "half red": (0.5, "#c02040")}


def to_bgr(matrix: str, *, full_range: bool) -> npt.NDArray[np.float64]:
    """The factors of ``(y - black, u - 128, v - 128)``, from the definition (H.273, 8.3)."""
    red, blue = LUMA_WEIGHTS[matrix]
    luma = np.array([blue, 1 - red - blue, red])
    u, v = (
        (np.array([1, 0, 0]) - luma) / (1 - blue) / 2,
        (np.array([0, 0, 1]) - luma) / (1 - red) / 2,
    )
    scale = [1, 1, 1] if full_range else [219 / 255, 224 / 255, 224 / 255]
    return np.linalg.inv(np.array([luma, u, v]) * np.array(scale)[:, None])


def in_floats(pixels: YuvPixels) -> npt.NDArray[np.float64]:
    """``(h, w, 3)`` BGR, not clipped."""
    height, width = pixels.y.shape
    u, v = (p.repeat(2, 0).repeat(2, 1)[:height, :width] for p in (pixels.u, pixels.v))
    above = np.dstack([pixels.y, u, v]) - [0.0 if pixels.full_range else 16.0, 128, 128]
    factors = to_bgr(pixels.matrix, full_range=pixels.full_range)
    return np.asarray(above @ factors.T)


def recoded(pixels: YuvPixels, matrix: str, *, full_range: bool) -> YuvPixels:
    """The same picture in another colour space."""
    above = in_floats(pixels) @ np.linalg.inv(to_bgr(matrix, full_range=full_range)).T
    samples = (
        np.rint(above + np.array([0 if full_range else 16, 128, 128])).clip(0, 255).astype(np.uint8)
    )
    y, u, v = np.ascontiguousarray(np.moveaxis(samples, 2, 0))
    return YuvPixels(y, u[::2, ::2].copy(), v[::2, ::2].copy(), (0, 0), matrix, full_range)


def decoded(pixels: YuvPixels, colorspace: int) -> av.VideoFrame:
    """A frame as FFmpeg gives it."""
    samples = np.concatenate([plane.ravel() for plane in (pixels.y, pixels.u, pixels.v)])
    frame = av.VideoFrame.from_ndarray(samples.reshape(-1, pixels.y.shape[1]), format="yuv420p")
    frame.colorspace, frame.color_range = colorspace, 2 if pixels.full_range else 1
    return frame


def clip(count: int) -> Iterator[YuvPixels]:
    """Frames of the demo's clip, two seconds apart, in 1920 x 1080."""
    with av.open(str(files("streamcrop.demo") / "clip.mp4")) as container:
        for at, frame in enumerate(container.decode(video=0)):
            if at % 50 == 10 and at < 50 * count:
                yield cast("YuvPixels", pixels_of(frame.reformat(1920, 1080)))


def crops_of(
    pixels: YuvPixels, size: tuple[int, int], origin: tuple[int, int], *mask: Any
) -> list[Crop]:
    """`CROPS` crops, an ellipse their mask."""
    rng = np.random.default_rng(7)
    room = [(side - own) // 2 - 1 for side, own in zip(pixels.resolution_wh, size, strict=True)]
    corners = 2 * rng.integers(0, room, (CROPS, 2)) + origin
    masks = []
    for left, top in corners.tolist():
        centre = (left + size[0] // 2, top + size[1] // 2)
        canvas = np.zeros(pixels.y.shape, np.uint8)
        axes = (size[0] * 9 // 20, size[1] * 9 // 20)
        masks.append(Patch(np.asarray(cv2.ellipse(canvas, centre, axes, 0, 0, 360, 1, -1))))
    found = Instances(
        np.hstack([corners, corners + np.array(size)]), [str(at) for at in range(CROPS)], masks
    )
    return cut(pixels, found, CropOptions(*mask))[0]


def imencode(image: npt.NDArray[np.uint8], quality: int) -> bytes:
    """The usual encoder."""
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def usual(full: npt.NDArray[np.uint8], crop: Crop, quality: int) -> bytes:
    """A crop of a converted frame."""
    left, top, right, bottom = crop.box
    image, options = full[top:bottom, left:right], crop.original.options
    if options.mask_opacity and crop.mask is not None:
        image = remove_background(image, crop.mask, options)
    return imencode(image, quality)


def times(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """CPU time, all in turns: medians in seconds."""
    found = taken(list(ways.values()), rounds)
    return {name: statistics.median(each) for name, each in zip(ways, found, strict=True)}


def speed(pixels: YuvPixels, frame: av.VideoFrame, label: str, runs: int) -> list[Row]:
    """How much faster the planes are, in one colour space; the usual way shares its conversion."""
    full = frame.to_ndarray(format="bgr24")
    cases = [(size, origin, ()) for size in SIZES for origin in ("even", "odd xy")]
    masked = [((150, 300), "odd xy", mask) for mask in MASKED.values()]
    rows = []
    for size, origin, mask in [*cases, *masked]:
        crops = crops_of(pixels, size, ORIGINS[origin], *mask)
        for crop in crops:
            crop.mask  # noqa: B018  # built on first use, and not what is measured
        ways: dict[str, Callable[[], object]] = {
            "convert": lambda: frame.to_ndarray(format="bgr24"),
            "imencode": lambda crops=crops: [usual(full, crop, QUALITY) for crop in crops],
            "planes": lambda crops=crops: [encode(crop, "jpeg", QUALITY) for crop in crops],
        }
        spent = times(ways, runs)
        ratio = (spent["convert"] + spent["imencode"]) / spent["planes"]
        said = f"{label}, {size[0]} x {size[1]}, {origin} {' '.join(map(str, mask))}".strip()
        target = None if mask else FASTER[label]
        rows.append(Row("jpeg", f"{said}: faster", ratio, target=target, more=True))
    return rows


def quality(scenes: list[YuvPixels], frames: list[av.VideoFrame], label: str) -> list[Row]:
    """What is gained in PSNR, in one colour space."""
    full = [frame.to_ndarray(format="bgr24") for frame in frames]
    cases = [(origin, mask) for mask in [(), *MASKED.values()] for origin in ORIGINS]
    rows = []
    for origin, mask in cases:
        squares: dict[str, list[float]] = {}
        for pixels, bgr in zip(scenes, full, strict=True):
            for size in SIZES:
                for crop in crops_of(pixels, size, ORIGINS[origin], *mask):
                    exact = in_floats(crop.pixels).clip(0, 255)
                    if mask:
                        alpha = np.where(crop.mask, 0, mask[0])[..., None]
                        exact = exact * (1 - alpha) + np.array(crop.original.options.bgr) * alpha
                    ways = {
                        "imencode": usual(bgr, crop, QUALITY),
                        "planes": encode(crop, "jpeg", QUALITY),
                    }
                    for name, data in ways.items():
                        found = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), 1), float)
                        squares.setdefault(name, []).append(float(np.mean((found - exact) ** 2)))
        db = {name: 10 * np.log10(255**2 / np.mean(each)) for name, each in squares.items()}
        said = f"{label}, {origin} {' '.join(map(str, mask))}".strip()
        target = 1.0 if (origin, mask) == ("even", ()) else 0.0
        gain = db["planes"] - db["imencode"]
        rows.append(
            Row("jpeg", f"{said}: PSNR gained on {db['imencode']:.1f} dB", gain, "dB", target, True)
        )
    return rows


def tap(pixels: YuvPixels, runs: int) -> Row:
    """A frame made smaller for a detector."""
    frame = Frame("1", pixels)

    def by_bgr() -> bytes:
        bgr = pixels.bgr()
        size = 640, round(640 * bgr.shape[0] / bgr.shape[1])
        return imencode(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), 80)

    spent = times({"bgr": by_bgr, "planes": lambda: render_tap(frame, ("", ""), 640, 80)}, runs)
    return Row("jpeg", "the tap, 640 px, against BGR: faster", spent["bgr"] / spent["planes"])


def measure(_: Path, *, quick: bool) -> list[Row]:
    """Speed and quality, in three colour spaces."""
    runs, count = (3, 1) if quick else (40, 3)
    cv2.setNumThreads(1)
    shown, rows = list(clip(count)), []
    for label, (matrix, full_range, number) in KINDS.items():
        scenes = [recoded(pixels, matrix, full_range=full_range) for pixels in shown]
        frames = [decoded(each, number) for each in scenes]
        rows += speed(scenes[0], frames[0], label, runs) + quality(scenes, frames, label)
    return [*rows, tap(shown[0], runs)]
