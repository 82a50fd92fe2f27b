"""What a crop's JPEG costs and keeps: ``python tests/benchmarks/jpeg.py``.

Crops of the demo's clip, in three colour spaces, are encoded by the node's way (from the planes)
and by the usual one (the whole frame to BGR by FFmpeg, then `cv2.imencode`), in one process, in
turns. Times are CPU time, that of FFmpeg's threads included. PSNR is against a conversion of the
same planes in floats, chroma repeated, over all crops of a row.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any, cast

import av
import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from streamcrop.core.background import CropOptions, remove_background
from streamcrop.core.crop import Crop, cut
from streamcrop.core.masks import Patch
from streamcrop.core.pixels import LUMA_WEIGHTS, YuvPixels
from streamcrop.core.values import Frame, Instances
from streamcrop.formats.images import encode
from streamcrop.render import render_tap
from streamcrop.sources.pictures import pixels_of

# The name of a matrix, whether the range is full, FFmpeg's number of the matrix.
KINDS = {
    "601 full": ("bt601", True, 5),
    "601 limited": ("bt601", False, 5),
    "709 limited": ("bt709", False, 1),
}
SIZES = [(96, 208), (200, 400), (640, 480), (97, 207)]
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


def times(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """CPU time in microseconds, all in turns: median and minimum."""
    taken: dict[str, list[int]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            since = time.process_time_ns()
            work()
            taken[name].append(time.process_time_ns() - since)
    return {n: [statistics.median(each) / 1e3, min(each) / 1e3] for n, each in taken.items()}


def print_times(
    pixels: YuvPixels, frame: av.VideoFrame, label: str, runs: int, quality: int
) -> None:
    """Rows of the table of times, in one colour space."""
    full = frame.to_ndarray(format="bgr24")
    cases = [(size, origin, ()) for size in SIZES for origin in ("even", "odd x", "odd xy")]
    masked = [((200, 400), "odd xy", mask) for mask in MASKED.values()]
    for size, origin, mask in [*cases, *masked]:
        crops = crops_of(pixels, size, ORIGINS[origin], *mask)
        for crop in crops:
            crop.mask  # noqa: B018  # built on first use, and not what is measured
        ways: dict[str, Callable[[], object]] = {
            "convert": lambda: frame.to_ndarray(format="bgr24"),
            "imencode": lambda crops=crops: [usual(full, crop, quality) for crop in crops],
            "region": lambda crops=crops: [imencode(crop.bgr(), quality) for crop in crops],
            "planes": lambda crops=crops: [encode(crop, "jpeg", quality) for crop in crops],
        }
        us = times(ways, runs)
        row = f"{label:<12}{size[0]:>4} x {size[1]:<4}{origin:<7}{' '.join(map(str, mask)):<12}"
        cells = "".join(f"{each[0] / CROPS:>10.1f}" for each in us.values())
        ratios = [
            usual_time / us["planes"][at]
            for at in (0, 1)
            for usual_time in (us["imencode"][at], us["imencode"][at] + us["convert"][at])
        ]
        print(row + cells + "".join(f"{ratio:>10.2f}" for ratio in ratios))


def print_psnr(
    scenes: list[YuvPixels], frames: list[av.VideoFrame], label: str, quality: int
) -> None:
    """Rows of the table of PSNR, in one colour space."""
    full = [frame.to_ndarray(format="bgr24") for frame in frames]
    cases = [(origin, mask) for mask in [(), *MASKED.values()] for origin in ORIGINS]
    for origin, mask in cases:
        squares: dict[str, list[float]] = {}
        for pixels, bgr in zip(scenes, full, strict=True):
            for size in SIZES:
                for crop in crops_of(pixels, size, ORIGINS[origin], *mask):
                    exact = in_floats(crop.pixels).clip(0, 255)  # type: ignore[arg-type]  # planes they are
                    if mask:
                        alpha = np.where(crop.mask, 0, mask[0])[..., None]
                        exact = exact * (1 - alpha) + np.array(crop.original.options.bgr) * alpha
                    ways = {
                        "imencode": usual(bgr, crop, quality),
                        "region": imencode(crop.bgr(), quality),
                        "planes": encode(crop, "jpeg", quality),
                    }
                    for name, data in ways.items():
                        found = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), 1), float)
                        squares.setdefault(name, []).append(float(np.mean((found - exact) ** 2)))
        db = {name: 10 * np.log10(255**2 / np.mean(each)) for name, each in squares.items()}
        cells = "".join(f"{each:>10.2f}" for each in db.values())
        row = f"{label:<12}{origin:<18}{' '.join(map(str, mask)):<12}"
        print(f"{row}{cells}{db['planes'] - db['imencode']:>+10.2f}")


def print_tap(pixels: YuvPixels, runs: int) -> None:
    """A frame made smaller for a detector."""
    frame = Frame("1", pixels)

    def by_bgr() -> bytes:
        bgr = pixels.bgr()
        size = 640, round(640 * bgr.shape[0] / bgr.shape[1])
        return imencode(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), 80)

    us = times({"bgr": by_bgr, "planes": lambda: render_tap(frame, ("", ""), 640, 80)}, runs)
    bgr, planes = us["bgr"][0], us["planes"][0]
    print(f"by BGR {bgr:.0f}, planes {planes:.0f}, ratio {bgr / planes:.2f}")


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few runs, to see that it works")
    parser.add_argument("--quality", type=int, default=90)
    args = parser.parse_args()
    runs, count = (3, 1) if args.quick else (40, 3)
    cv2.setNumThreads(1)
    shown = list(clip(count))
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"OpenCV {cv2.__version__}, simplejpeg {simplejpeg.__version__}, PyAV {av.__version__}; "
        f"{CROPS} crops a frame of {shown[0].resolution_wh}, quality {args.quality}"
    )
    scenes = {
        label: [recoded(pixels, matrix, full_range=full_range) for pixels in shown]
        for label, (matrix, full_range, _) in KINDS.items()
    }
    frames = {label: [decoded(each, KINDS[label][2]) for each in scenes[label]] for label in KINDS}
    print(
        "\nMedian CPU us a crop; convert: its share of the frame; then imencode / planes, without"
    )
    print("and with convert, by medians and by minima")
    heads = ["convert", "imencode", "region", "planes", "bare", "+ convert", "min bare", "min +"]
    print(" " * 42 + "".join(f"{head:>10}" for head in heads))
    for label in KINDS:
        print_times(scenes[label][0], frames[label][0], label, runs, args.quality)
    print("\nTap, 640 pixels, us a frame: ", end="")
    print_tap(scenes["709 limited"][0], runs)
    print("\nPSNR in dB; gain: of planes over imencode")
    heads = ["imencode", "region", "planes", "gain"]
    print(" " * 42 + "".join(f"{head:>10}" for head in heads))
    for label in KINDS:
        print_psnr(scenes[label], frames[label], label, args.quality)


if __name__ == "__main__":
    main()
