"""Roboflow inference responses: boxes by their centre, in pixels of the detector's image.

A message is read in two steps. `decode` finds out which frame it speaks of and that it is JSON;
`predictions` reads the rows once the frame is there, each on its own, so that a malformed one
does not lose its neighbours. `moved` brings a row into other coordinates and keeps what it does
not know.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from operator import attrgetter
from typing import Annotated, Any, Generic, TypeAlias, TypeVar
from uuid import NAMESPACE_URL, uuid5

import msgspec
import numpy as np

from streamcrop.core.masks import MIN_VERTICES, Polygon, Rle
from streamcrop.core.values import Instances, Mask, Message, Predictions, Reason
from streamcrop.errors import FormatError
from streamcrop.formats.documents import lax
from streamcrop.formats.heads import decode

__all__ = ["RLE_KEYS", "between", "decode", "moved", "predictions", "translated"]

MAX_DETECTION_ID = 256
RLE_KEYS = ("rle", "rle_mask")
_VERTEX_KEYS = ("points", "keypoints")
_PAIR_KEYS = ("polygon", "rect", "xyxyxyxy")
_ORIGIN_KEYS = ("parent_origin", "root_parent_origin")
N = TypeVar("N")


class _XY(msgspec.Struct, Generic[N]):
    x: N
    y: N


class _Origin(msgspec.Struct, Generic[N]):
    offset_x: N
    offset_y: N
    width: N
    height: N


class _Row(msgspec.Struct, Generic[N]):
    """The part of a prediction that has coordinates, which are N, or names it."""

    x: N
    y: N
    width: N
    height: N
    points: list[_XY[N]] | None = None
    keypoints: list[_XY[N]] | None = None
    polygon: list[tuple[N, N]] | None = None
    rect: list[tuple[N, N]] | None = None
    xyxyxyxy: list[tuple[N, N]] | None = None
    parent_origin: _Origin[N] | None = None
    root_parent_origin: _Origin[N] | None = None
    rle: Any = None
    rle_mask: Any = None
    detection_id: str | int | float | None = None


class _Texts(msgspec.Struct):
    predictions: list[msgspec.Raw]


# A coordinate beyond it would not stay finite when it is scaled. NaN is neither above nor below.
_Finite = Annotated[float, msgspec.Meta(gt=-1e300, lt=1e300)]
_FiniteRow: TypeAlias = _Row[_Finite]
_AnyRow: TypeAlias = _Row[float]
_Read = tuple[dict[str, Any], _Row[float]]
_get_x, _get_y = attrgetter("x"), attrgetter("y")
_texts = msgspec.json.Decoder(_Texts)
_value = msgspec.json.Decoder()
_finite_rows = msgspec.json.Decoder(list[_FiniteRow])


def predictions(
    message: Message, resolution_wh: tuple[int, int], *, name: str, limit: int
) -> Predictions:
    """Read the rows of a message.

    Args:
        message: What `decode` returned.
        resolution_wh: ``(width, height)`` of the frame, to which everything is scaled.
        name: Of the frame, ``{stream}/{frame_id}``; detection IDs that are missing are made from
            it, so that they are the same at a re-delivery.
        limit: How many rows are read.

    Example:
        >>> text = b'{"frame_id": 1, "predictions": [{"x": 5, "y": 4, "width": 2, "height": 4}, 7]}'
        >>> read = predictions(decode(text), (10, 10), name="gate/1", limit=9)
        >>> read.instances.xyxy[0].tolist(), dict(read.instances.refused)
        ([4.0, 2.0, 6.0, 6.0], {1: <Reason.MALFORMED: 'malformed'>})
    """
    if message.strict:
        texts = _texts.decode(message.payload).predictions
        values, total = _strict_rows(texts[:limit]), len(texts)
    else:
        came = lax(message.payload)["predictions"]
        values, total = (partial(_read, _lax_row, value) for value in came[:limit]), len(came)
    return _predictions(values, total, message.resolution_wh, resolution_wh, name)


def translated(
    objects: list[Any],
    row_of: Callable[[Any], dict[str, Any]],
    resolution_wh: tuple[int, int],
    *,
    name: str,
    limit: int,
) -> Predictions:
    """Read the objects of a message of another format, whose coordinates are from 0 to 1.

    Args:
        objects: As they came.
        row_of: Makes a prediction of one, with None for what is not known.
        resolution_wh: As for `predictions`.
        name: As for `predictions`.
        limit: As for `predictions`.
    """

    def row(value: Any) -> dict[str, Any]:
        found = row_of(value)
        return _lax_row({key: part for key, part in found.items() if part is not None})

    values = (partial(_read, row, value) for value in objects[:limit])
    return _predictions(values, len(objects), (1, 1), resolution_wh, name)


def between(left: float, top: float, right: float, bottom: float) -> dict[str, float]:
    """The place of a prediction by its edges.

    Raises:
        FormatError: `malformed`, if they are the wrong way round.
    """
    if right < left or bottom < top:
        msg = "a box's right edge is right of its left one, and its bottom below its top"
        raise FormatError(msg)
    x, y = left / 2 + right / 2, top / 2 + bottom / 2
    return {"x": x, "y": y, "width": right - left, "height": bottom - top}


def _predictions(
    values: Iterable[Callable[[], _Read]],
    total: int,
    came_wh: tuple[float, float] | None,
    resolution_wh: tuple[int, int],
    name: str,
) -> Predictions:
    came_wh = came_wh or resolution_wh
    scale = resolution_wh[0] / came_wh[0], resolution_wh[1] / came_wh[1]
    scaled = scale != (1, 1)
    rows: list[dict[str, Any]] = []
    ids: list[str] = []
    seen: set[str] = set()
    boxes: list[tuple[float, float, float, float]] = []
    masks: list[Mask | None] = []
    refused: dict[int, Reason] = {}
    for number, value in enumerate(values):
        row: dict[str, Any] = {}
        box, mask, detection_id = (0.0, 0.0, 0.0, 0.0), None, ""
        try:
            row, read = value()
            mask = _mask(read, came_wh, scale)
            detection_id = _detection_id(read.detection_id, name, number)
            if scaled:
                row = moved(row, scale=scale)
            while detection_id in seen:
                detection_id += f"#{number}"
            row["detection_id"] = detection_id
            left, top = read.x - read.width / 2, read.y - read.height / 2
            box = (left, top, left + read.width, top + read.height)
            if scaled:
                box = (box[0] * scale[0], box[1] * scale[1], box[2] * scale[0], box[3] * scale[1])
        except FormatError as error:
            refused[number] = Reason(error.reason)
            row, mask = {}, None
        ids.append(detection_id)
        seen.add(detection_id)
        rows.append(row)
        boxes.append(box)
        masks.append(mask)
    xyxy = np.array(boxes, np.float64).reshape(-1, 4)
    found = masks if any(mask is not None for mask in masks) else ()
    return Predictions(rows, Instances(xyxy, ids, found, refused), total - len(rows))


def _strict_rows(texts: list[msgspec.Raw]) -> Iterator[Callable[[], _Read]]:
    """All at once, which is three times as fast, or where one of them is wrong each on its own."""
    try:
        text = b"[%b]" % b",".join(texts)
        reads = zip(_value.decode(text), _finite_rows.decode(text), strict=True)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return (partial(_read, _strict_row, text) for text in texts)
    return (partial(tuple, read) for read in reads)


def _strict_row(text: msgspec.Raw) -> dict[str, Any]:
    try:
        return _as_row(_value.decode(text))
    except (msgspec.DecodeError, RecursionError, ValueError):
        pass
    try:
        return _lax_row(lax(bytes(text)))
    except (RecursionError, ValueError) as error:
        raise FormatError(str(error)) from None


def _lax_row(value: object) -> dict[str, Any]:
    """A row that may hold what JSON cannot: it would be lost or refused on the way out."""
    row = _as_row(value)
    try:
        json.dumps(row, allow_nan=False, ensure_ascii=False).encode()
    except (RecursionError, UnicodeEncodeError) as error:
        raise FormatError(str(error)) from None
    except ValueError as error:
        raise FormatError(str(error), reason=Reason.NOT_FINITE) from None
    return row


def _as_row(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        msg = "a prediction is an object"
        raise FormatError(msg)
    return value


def _read(row_of: Callable[[Any], dict[str, Any]], value: object) -> _Read:
    row = row_of(value)
    try:
        return row, msgspec.convert(row, _FiniteRow)
    except (msgspec.ValidationError, OverflowError):
        pass
    try:
        msgspec.convert(row, _AnyRow)
    except (msgspec.ValidationError, OverflowError) as error:
        raise FormatError(str(error)) from None
    msg = "a coordinate is not finite"
    raise FormatError(msg, reason=Reason.NOT_FINITE)


def _mask(
    read: _Row[float], came_wh: tuple[float, float], scale: tuple[float, float]
) -> Mask | None:
    mask = None
    for value in (read.rle_mask, read.rle):
        if value is not None:
            mask = _rle(value, came_wh)
    if mask is not None or not read.points:
        return mask
    if len(read.points) < MIN_VERTICES:
        msg = f"a polygon has {MIN_VERTICES} vertices or more"
        raise FormatError(msg, reason=Reason.BAD_MASK)
    x, y = [*map(_get_x, read.points)], [*map(_get_y, read.points)]
    return Polygon(np.array([x, y]).T * scale)


def _rle(value: object, came_wh: tuple[float, float]) -> Rle:
    try:
        rle = Rle.parse(value)
    except ValueError as error:
        raise FormatError(str(error), reason=Reason.BAD_MASK) from None
    if rle.size[::-1] != came_wh:
        msg = f"an RLE of {rle.size} does not fit the message's image"
        raise FormatError(msg, reason=Reason.BAD_MASK)
    return rle


def _detection_id(value: object, name: str, number: int) -> str:
    if value is None:
        return str(uuid5(NAMESPACE_URL, f"streamcrop:{name}/{number}"))
    text = str(value)
    if 0 < len(text) <= MAX_DETECTION_ID and text.isprintable():
        return text
    msg = f"a detection ID is 1 to {MAX_DETECTION_ID} printable characters or a number"
    raise FormatError(msg)


def moved(
    row: Mapping[str, Any], *, scale: tuple[float, float] = (1, 1), origin: tuple[int, int] = (0, 0)
) -> dict[str, Any]:
    """A prediction in other coordinates: scaled, then moved into a crop that begins at ``origin``.

    What stands under other keys is kept. Run lengths are not touched: only the caller knows how
    large the image is that they are to cover. The parent of a crop stays the image it was, so its
    origin grows.

    Example:
        >>> moved({"x": 30, "y": 20, "width": 4, "height": 4, "class": "a"}, origin=(28, 10))
        {'x': 2, 'y': 10, 'width': 4, 'height': 4, 'class': 'a'}
    """
    left, top = origin
    sx, sy = scale
    result = dict(row)
    result["x"], result["y"] = row["x"] * sx - left, row["y"] * sy - top
    result["width"], result["height"] = row["width"] * sx, row["height"] * sy
    for key in _VERTEX_KEYS:
        if points := row.get(key):
            result[key] = [
                {**point, "x": point["x"] * sx - left, "y": point["y"] * sy - top}
                for point in points
            ]
    for key in _PAIR_KEYS:
        if pairs := row.get(key):
            result[key] = [[x * sx - left, y * sy - top] for x, y in pairs]
    for key in _ORIGIN_KEYS:
        if parent := row.get(key):
            result[key] = {
                **parent,
                "offset_x": parent["offset_x"] * sx + left,
                "offset_y": parent["offset_y"] * sy + top,
                "width": parent["width"] * sx,
                "height": parent["height"] * sy,
            }
    return result
