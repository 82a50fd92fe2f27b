"""Rows of a message, as they were read, in the frame: in its pixels, each with an ID of its own."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np

from streamcrop.core.limits import Limits
from streamcrop.core.runs import Rle
from streamcrop.core.values import Instances, Mask, Predictions, Reason
from streamcrop.errors import FormatError
from streamcrop.formats.coordinates import moved
from streamcrop.formats.documents import DEFAULT
from streamcrop.formats.masks import Masks
from streamcrop.formats.rows import RLE_KEYS, Read

MAX_DETECTION_ID = 256
# Kinds of what is said of rows.
UNREAD, TINY, NO_ID = "unread", "tiny_boxes", "bad_detection_id"
_MADE = f"a detection ID is 1 to {MAX_DETECTION_ID} printable characters or a number; one is made"
_NOT_MOVED = "left out, since what it says could not be moved"


def placed(
    values: Iterable[Read | FormatError],
    total: int,
    came_wh: tuple[float, float] | None,
    resolution_wh: tuple[int, int],
    name: str,
    *,
    where: str = "object {}",
    limits: Limits = DEFAULT,
) -> Predictions:
    """Read rows, and bring them into the frame.

    Args:
        values: Rows, each as it was read, or why it was not.
        total: How many rows there are, also of those that are not read.
        came_wh: ``(width, height)`` of the image that the detector saw; None: the frame's.
        resolution_wh: ``(width, height)`` of the frame.
        name: Of the frame, ``{stream}/{frame_id}``.
        where: What a row is called, with its number.
        limits: What the masks of all rows may ask for.
    """
    came_wh = came_wh or resolution_wh
    scale = resolution_wh[0] / came_wh[0], resolution_wh[1] / came_wh[1]
    reads = [*values]
    masks = _masks(reads, Masks(came_wh, resolution_wh, limits))
    frame = _Placing(name, where, resolution_wh, scale)
    for number, read in enumerate(reads):
        if isinstance(read, FormatError):
            frame.refuse(read)
        elif isinstance(mask := masks.get(number), FormatError):
            frame.refuse(mask)
        else:
            frame.take(read, mask)
    return frame.predictions(total, max(came_wh))


def _masks(
    reads: Sequence[Read | FormatError], masks: Masks
) -> dict[int, Mask | FormatError | None]:
    """By the number of the row; of those that say one."""
    said = {
        number: (needed.points, needed.rle_mask, needed.rle)
        for number, read in enumerate(reads)
        if not isinstance(read, FormatError)
        and ((needed := read[1]).points or needed.rle is not None or needed.rle_mask is not None)
    }
    return dict(zip(said, masks.of([*said.values()]), strict=True)) if said else {}


@dataclass(slots=True)
class _Placing:
    """The part of a message's rows that is in the frame by now."""

    name: str
    where: str
    resolution_wh: tuple[int, int]
    scale: tuple[float, float]
    rows: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    masks: list[Mask | None] = field(default_factory=list)
    refused: dict[int, Reason] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    tiny: int = 0

    def refuse(self, error: FormatError) -> None:
        """Leave out the next row."""
        number = len(self.rows)
        self.refused[number] = Reason(error.reason)
        said = _said(self.where.format(number), error)
        self.said.setdefault(f"prediction_{error.kind}", said)
        self.rows.append({})
        self.ids.append("")
        self.boxes.append((0, 0, 0, 0))
        self.masks.append(None)

    def take(self, read: Read, mask: Mask | None) -> None:
        """Bring the next row into the frame."""
        (row, needed, left_out), number = read, len(self.rows)
        detection_id, is_bad = _detection_id(needed.detection_id, self.name, number)
        if left_out:
            unread = f"{', '.join(left_out)}: {_NOT_MOVED}"
            self.said.setdefault(UNREAD, f"{self.where.format(number)}: {unread}")
        if is_bad:
            self.said.setdefault(NO_ID, f"{self.where.format(number)}: {_MADE}")
        while detection_id in self.seen:
            detection_id += f"#{number}"
        if self.scale != (1, 1):
            row = moved(row, scale=self.scale)
            if isinstance(mask, Rle):
                row |= _runs_of(row, mask, self.resolution_wh)
        row["detection_id"] = detection_id
        width, height = needed.width, needed.height
        left, top = needed.x - width / 2, needed.y - height / 2
        self.tiny += width <= 1 >= height
        self.rows.append(row)
        self.ids.append(detection_id)
        self.seen.add(detection_id)
        self.boxes.append((left, top, left + width, top + height))
        self.masks.append(mask)

    def predictions(self, total: int, side: float) -> Predictions:
        """All of them, of an image whose longer side was so many pixels."""
        if self.tiny and self.tiny == len(self.rows) - len(self.refused) and side > 1:
            self.said[TINY] = "boxes of less than a pixel: relative coordinates? say image 1 x 1"
        xyxy = np.array(self.boxes, np.float64).reshape(-1, 4)
        if self.scale != (1, 1):
            xyxy *= self.scale * 2
        masks = self.masks if self.masks.count(None) < len(self.masks) else ()
        instances = Instances(xyxy, self.ids, masks, self.refused)
        return Predictions(self.rows, instances, total - len(self.rows), self.said)


def _runs_of(
    row: Mapping[str, Any], mask: Rle, resolution_wh: tuple[int, int]
) -> dict[str, dict[str, Any]]:
    """The run lengths of a row in the frame, in the form (text or integers) in which they came."""
    found: dict[str, dict[str, Any]] = {}
    for key in RLE_KEYS:
        if (value := row.get(key)) is not None:
            # Where there are two, the first decides.
            runs = (
                mask if not found else Rle.parse(value).crop((0, 0, *resolution_wh), resolution_wh)
            )
            compressed = isinstance(value["counts"], str)
            found[key] = {**value, **runs.as_json(compressed=compressed)}
    return found


def _said(where: str, error: FormatError) -> str:
    """The fault of a row, in words; msgspec says where in it."""
    text = str(error)
    return text.replace("`$", f"`{where}", 1) if "`$" in text else f"{where}: {text}"


def _detection_id(value: object, name: str, number: int) -> tuple[str, bool]:
    """An ID, and whether another one was said that is none.

    It decides on no pixel, and so costs no prediction.
    """
    unsaid = value is None or value == "" or (isinstance(value, float) and not isfinite(value))
    text = str(value) if not unsaid and type(value) in {str, int, float} else ""
    if 0 < len(text) <= MAX_DETECTION_ID and text.isprintable():
        return text, False
    return str(uuid5(NAMESPACE_URL, f"streamcrop:{name}/{number}")), not unsaid
