"""The rows of a message: what was found, in pixels of the frame.

All rows are read at once, which is three times as fast; where that fails each is read on its own,
so that a malformed one does not lose its neighbours. What a row needs is a box, and a mask where it
says one; anything else that is wrong with it is published as null, or left out.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from math import isfinite
from typing import Any, Generic, TypeAlias, TypeVar
from uuid import NAMESPACE_URL, uuid5

import msgspec
import numpy as np

from streamcrop.core.limits import Limits
from streamcrop.core.values import Instances, Mask, Predictions, Reason
from streamcrop.errors import FormatError
from streamcrop.formats.coordinates import moved, relative, settled
from streamcrop.formats.documents import DEFAULT, Finite, convert, lax
from streamcrop.formats.masks import Masks

MAX_DETECTION_ID = 256
RLE_KEYS = ("rle", "rle_mask")
# Kinds of what is said of rows.
UNREAD, TINY, NO_ID = "unread", "tiny_boxes", "bad_detection_id"
_BOX = ("x", "y", "width", "height")
_MADE = f"a detection ID is 1 to {MAX_DETECTION_ID} printable characters or a number; one is made"
_NOT_MOVED = "left out, since what it says could not be moved"
N = TypeVar("N")
T = TypeVar("T")


class _XY(msgspec.Struct, Generic[N]):
    x: N
    y: N


class _Origin(msgspec.Struct, Generic[N]):
    offset_x: N
    offset_y: N
    width: N
    height: N


class _Needed(msgspec.Struct, Generic[N]):
    """What decides which pixels a prediction has, and what it is called; coordinates are N."""

    x: N
    y: N
    width: N
    height: N
    points: list[_XY[N]] | None = None
    rle: Any = None
    rle_mask: Any = None
    detection_id: Any = None


class _Plain(_Needed[N], Generic[N]):
    """A row at which nobody has to look again: its other coordinates are right, or null."""

    keypoints: list[_XY[N]] | None = None
    landmarks: list[_XY[N]] | None = None
    polygon: list[tuple[N, N]] | None = None
    rect: list[tuple[N, N]] | None = None
    xyxyxyxy: list[tuple[N, N]] | None = None
    parent_origin: _Origin[N] | None = None
    root_parent_origin: _Origin[N] | None = None
    segmentation: None = None
    segments: None = None
    bbox: None = None
    box: None = None
    xyxy: None = None
    x1: None = None
    x2: None = None
    x3: None = None
    x4: None = None
    y1: None = None
    y2: None = None
    y3: None = None
    y4: None = None


_FiniteRow: TypeAlias = _Needed[Finite]
_AnyRow: TypeAlias = _Needed[float]
# A row, what decides of it, and the keys that were left out.
Read: TypeAlias = tuple[dict[str, Any], _Needed[float], Iterable[str]]
_value = msgspec.json.Decoder()
_plain_rows = msgspec.json.Decoder(list[_Plain[Finite]])


def strict_rows(texts: list[msgspec.Raw]) -> Iterator[Read | FormatError]:
    """Rows of a message that is JSON."""
    try:
        text = b"[%b]" % b",".join(texts)
        reads = zip(_value.decode(text), _plain_rows.decode(text), strict=True)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return each(_read_text, texts)
    return (_scaled_alike(row, read) for row, read in reads)


def _scaled_alike(row: dict[str, Any], read: "_Plain[float]") -> Read:
    """A row whose places are right but for those in other coordinates than its box."""
    places = read.keypoints or read.landmarks or read.polygon or read.rect or read.xyxyxyxy
    left_out = relative(row) if places else ()
    for key in left_out:
        del row[key]
    return row, read, left_out


def each(read: Callable[[T], Read], values: Iterable[T]) -> Iterator[Read | FormatError]:
    """Rows that are read one by one; in place of a malformed one stands why it is."""
    for value in values:
        try:
            yield read(value)
        except FormatError as error:
            yield error


def _read_text(text: msgspec.Raw) -> Read:
    try:
        return _read(_value.decode(text))
    except (msgspec.DecodeError, RecursionError, ValueError):
        # A number that no float holds, or text that is none: the whole message is JSON.
        return read_row(lax(bytes(text)))


def read_row(value: object) -> Read:
    """A row that may hold what JSON cannot: NaN, which becomes null.

    Raises:
        FormatError: With the reason for which it is refused.
    """
    # Before NaN is null: it may stand where a number is needed.
    row, read, left_out = _read(value)
    try:
        try:
            json.dumps(row, allow_nan=False, ensure_ascii=False)
        except ValueError:
            row = json.loads(json.dumps(row), parse_constant=_null)
    except RecursionError as error:
        raise FormatError(str(error)) from None
    return row, read, left_out


def _null(_: str) -> None:
    """``NaN`` or ``Infinity``."""


def _read(value: object) -> Read:
    if not isinstance(value, dict):
        msg = "a prediction is an object"
        raise FormatError(msg)
    try:
        read: _Needed[float] = convert(value, _FiniteRow, strict=False)
    except FormatError:
        convert(value, _AnyRow, strict=False)
        msg = "a coordinate is not finite"
        raise FormatError(msg, reason=Reason.NOT_FINITE) from None
    row = value | _as_numbers(value, read)
    row, left_out = settled(row)
    return row, read, left_out


def _as_numbers(row: dict[str, Any], read: _Needed[float]) -> dict[str, Any]:
    """What of the needed coordinates is written as text."""
    found: dict[str, Any] = {key: getattr(read, key) for key in _BOX if isinstance(row[key], str)}
    points = row.get("points")
    if read.points is None and points is not None:
        msg = "Expected `array | null`, got `str` - at `$.points`"
        raise FormatError(msg)
    if points and any(isinstance(point[key], str) for point in points for key in "xy"):
        pairs = zip(points, read.points or (), strict=True)
        found["points"] = [{**point, "x": xy.x, "y": xy.y} for point, xy in pairs]
    return found


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
    scaled = scale != (1, 1)
    rows: list[dict[str, Any]] = []
    ids: list[str] = []
    seen: set[str] = set()
    boxes: list[tuple[float, float, float, float]] = []
    masks: list[Mask | None] = []
    refused: dict[int, Reason] = {}
    said: dict[str, str] = {}
    tiny = 0
    drawn = Masks(came_wh, resolution_wh, limits)
    for number, value in enumerate(values):
        row: dict[str, Any] = {}
        box, mask, detection_id = (0.0, 0.0, 0.0, 0.0), None, ""
        try:
            if isinstance(value, FormatError):
                raise value
            row, read, left_out = value
            if read.points or read.rle is not None or read.rle_mask is not None:
                mask = drawn.of(read.points or (), read.rle_mask, read.rle)
            detection_id, is_bad = _detection_id(read.detection_id, name, number)
            if left_out or is_bad:
                _say_unread(said, where.format(number), left_out, is_bad=is_bad)
            if scaled:
                row = moved(row, scale=scale)
            while detection_id in seen:
                detection_id += f"#{number}"
            row["detection_id"] = detection_id
            left, top = read.x - read.width / 2, read.y - read.height / 2
            box = (left, top, left + read.width, top + read.height)
            tiny += read.width <= 1 >= read.height
            if scaled:
                box = (box[0] * scale[0], box[1] * scale[1], box[2] * scale[0], box[3] * scale[1])
        except FormatError as error:
            refused[number] = Reason(error.reason)
            said.setdefault(f"prediction_{error.kind}", _said(where.format(number), error))
            row, mask = {}, None
        ids.append(detection_id)
        seen.add(detection_id)
        rows.append(row)
        boxes.append(box)
        masks.append(mask)
    if tiny and tiny == len(rows) - len(refused) and max(came_wh) > 1:
        said[TINY] = "boxes of less than a pixel: relative coordinates? say image 1 x 1"
    xyxy = np.array(boxes, np.float64).reshape(-1, 4)
    found = masks if any(mask is not None for mask in masks) else ()
    return Predictions(rows, Instances(xyxy, ids, found, refused), total - len(rows), said)


def _say_unread(said: dict[str, str], where: str, left_out: Iterable[str], *, is_bad: bool) -> None:
    if left_out:
        said.setdefault(UNREAD, f"{where}: {', '.join(left_out)}: {_NOT_MOVED}")
    if is_bad:
        said.setdefault(NO_ID, f"{where}: {_MADE}")


def _said(where: str, error: FormatError) -> str:
    """What is wrong with a row; msgspec says where in it."""
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
