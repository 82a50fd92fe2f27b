"""What the benchmarks work on: clips as cameras send them, and what a detector says of them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib.resources import files
from itertools import cycle
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import supervision as sv

RATE, GROUP = 30, 60
SMALL, HD, UHD = (1280, 720), (1920, 1080), (3840, 2160)
_BITS = {SMALL: 2_000_000, HD: 4_000_000, UHD: 14_000_000}
CROPS, CROP = 10, (150, 300)


def clip(folder: Path, size: tuple[int, int] = HD, *, quick: bool = False) -> Path:
    """The demo's street as an IP camera would send it: no B-frames, a key picture each 2 s.

    Args:
        folder: Where to; what is there already is taken.
        size: `HD` at 4 Mb/s, 20 s of it, `SMALL` at 2 Mb/s or `UHD` at 14, 4 s.
        quick: Whether a shorter one will do.
    """
    path = folder / f"{size[1]}{'-quick' if quick else ''}.mp4"
    count = (240 if quick else 600) if size == HD else (60 if quick else 120)
    if path.exists():
        return path
    rate = str(_BITS[size])
    options = {"b": rate, "maxrate": rate, "bufsize": rate, "bf": "0", "g": str(GROUP)}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=RATE, options={**options, "preset": "veryfast", "sc_threshold": "0"}
        )
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1
        for picture, number in zip(_street(), range(count), strict=False):
            scaled = picture.reformat(*size, format="yuv420p")
            scaled.pts, scaled.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(scaled))
        container.mux(stream.encode())
    return path


def _street() -> Iterator[av.VideoFrame]:
    """Pictures without end."""
    with av.open(str(files("streamcrop.demo") / "clip.mp4")) as container:
        shown = [frame for frame, _ in zip(container.decode(video=0), range(120), strict=False)]
    yield from cycle(shown + shown[::-1])


@dataclass(frozen=True)
class Kind:
    """What a detector says of an object: its box and what else."""

    name: str
    size: tuple[int, int] = HD
    opacity: float = 0.0


KINDS = [Kind("boxes"), Kind("polygons", opacity=1.0), Kind("rle", opacity=1.0), Kind("boxes", UHD)]


def message(number: int, kind: Kind) -> bytes:
    """What a detector says of a frame: ten people of 150 x 300, at other places in each."""
    width, height = kind.size
    rng = np.random.default_rng(number)
    corners = rng.uniform((0, 0), (width - CROP[0], height - CROP[1]), (CROPS, 2))
    rows = [_row(at, corner, kind) for at, corner in enumerate(corners)]
    image = {"width": width, "height": height}
    return json.dumps({"frame_id": number, "image": image, "predictions": rows}).encode()


def _row(at: int, corner: Any, kind: Kind) -> dict[str, Any]:
    centre = corner + np.array(CROP) / 2
    row: dict[str, Any] = {
        "x": centre[0],
        "y": centre[1],
        "width": CROP[0],
        "height": CROP[1],
        "confidence": 0.9,
        "class": "person",
        "class_id": 0,
        "detection_id": f"person-{at}",
    }
    if kind.name == "boxes":
        return row
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    reach = 0.85 + 0.1 * np.sin(5 * turn + at)
    circle = np.stack([np.cos(turn), np.sin(turn)], 1) * reach[:, None]
    outline = centre + circle * np.array(CROP) / 2
    if kind.name == "polygons":
        return {**row, "points": [{"x": x, "y": y} for x, y in outline.tolist()]}
    canvas = np.zeros(kind.size[::-1], np.uint8)
    cv2.fillPoly(canvas, [outline.astype(np.int32)], 1)
    counts = sv.mask_to_rle(canvas.astype(bool), compressed=True)
    return {**row, "rle_mask": {"size": list(canvas.shape), "counts": counts}}
