"""The best crop of each track of the demo's clip: ``python tests/demo/best.py best_at_end.jpg``.

The clip, the demo's detector, a tracker of ten lines, and `Choosing` as in a node, but no broker.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from streamcrop.core.background import CropOptions
from streamcrop.core.choice import Rule
from streamcrop.core.filters import Filter
from streamcrop.core.pixels import shrink
from streamcrop.core.values import Frame
from streamcrop.demo import CLIP
from streamcrop.demo.detector import MotionDetector
from streamcrop.formats import inference
from streamcrop.sources.container import FileSource
from streamcrop.stream.choosing import Choosing
from streamcrop.stream.cutting import CutFrame, Style

STYLE = Style(("demo", "clip"), CropOptions(margin=0.05))
RULE = Rule("best_at_end", lost_after=0.5)
INTEREST = Filter(min_size=(60, 160))
_SEEN, _FORGET = 0.2, 15
_HEIGHT, _CAPTION, _COLUMNS = 150, 22, 8


class Tracker:
    """Gives a box the name of the one that it covers most, of those seen lately."""

    def __init__(self) -> None:
        self.tracks: dict[int, tuple[int, Any]] = {}
        self.count = self.frame = 0

    def name(self, rows: list[dict[str, Any]]) -> None:
        """Name the rows of the next frame."""
        self.frame += 1
        lately = {k: v for k, v in self.tracks.items() if self.frame - v[0] <= _FORGET}
        for row in rows:
            x, y, w, h = (row[key] for key in ("x", "y", "width", "height"))
            box = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
            best = max(lately, key=lambda k: overlap(lately[k][1], box), default=None)
            if best is None or overlap(lately[best][1], box) < _SEEN:
                self.count += 1
                best = self.count
            lately.pop(best, None)
            self.tracks[best] = self.frame, box
            row["tracker_id"] = best


def overlap(a: Any, b: Any) -> float:
    """Intersection over union."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    inside = np.prod(np.maximum(high - low, 0))
    return float(inside / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inside))


def messages() -> Iterator[tuple[Frame, bytes]]:
    """Each frame of the clip, and what is said of it."""
    detector, tracker = MotionDetector(), Tracker()
    for item in FileSource(str(CLIP)):
        if isinstance(item, Frame):
            picture = shrink(item.pixels, 640)
            rows = detector.detect(picture.bgr())
            tracker.name(rows)
            width, height = picture.resolution_wh
            said = {"frame_id": item.frame_id, "image": {"width": width, "height": height}}
            yield item, json.dumps({**said, "predictions": rows}).encode()


def best() -> tuple[list[CutFrame], set[str], int]:
    """The crops that are chosen, the tracks of interest, and how many rows those had."""
    choosing, chosen, rows = Choosing(INTEREST, RULE, by_media=True), [], 0
    tracks: set[str] = set()
    for frame, payload in messages():
        found, late = choosing.cut(frame, inference.decode(payload), 0.0, STYLE, 0.0)
        left_out = {row for row, reason in found.refused if reason == "filtered"}
        seen = [row["tracker_id"] for at, row in enumerate(found.rows) if at not in left_out]
        tracks |= set(map(str, seen))
        rows += len(seen)
        chosen += late.chosen
    return [*chosen, *choosing.close().chosen], tracks, rows


def sheet(chosen: list[CutFrame]) -> Any:
    """A picture of crops, each with its track and score."""
    cells = []
    for found in chosen:
        [crop] = found.crops
        row, image = found.rows[crop.index], crop.bgr()
        scale = min(_HEIGHT / image.shape[0], _HEIGHT / image.shape[1])
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        cell = np.full((_HEIGHT + _CAPTION, _HEIGHT + 10, 3), 34, np.uint8)
        cell[: image.shape[0], : image.shape[1]] = image
        text = f"track {row['tracker_id']}  {row['score']:.2f}"
        at = (2, _HEIGHT + 16)
        cv2.putText(cell, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (200, 194, 188), 1, cv2.LINE_AA)
        cells.append(cell)
    cells += [np.full_like(cells[0], 34)] * (-len(cells) % _COLUMNS)
    rows = [np.hstack(cells[at : at + _COLUMNS]) for at in range(0, len(cells), _COLUMNS)]
    return np.vstack(rows)


if __name__ == "__main__":
    crops, names, count = best()
    cv2.imwrite(str(Path(sys.argv[1])), sheet(crops), [cv2.IMWRITE_JPEG_QUALITY, 80])
    sys.stdout.write(f"{count} rows, {len(names)} tracks, {len(crops)} crops\n")
