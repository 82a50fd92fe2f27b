"""The rows of a message: what was found, in pixels of the frame.

All rows are read at once, which is three times as fast; where that fails each is read on its own,
so that a malformed one does not lose its neighbours. What a row needs is a box, and a mask where it
says one; anything else that is wrong with it is published as null, or left out.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from streamcrop.core.values import Reason
from streamcrop.errors import FormatError
from streamcrop.formats.coordinates import Point
from streamcrop.formats.documents import Finite, convert, lax
from streamcrop.formats.settle import relative, settled

RLE_KEYS = ("rle", "rle_mask")
_BOX = ("x", "y", "width", "height")
_MAX_TEXT = 1 << 20
N = TypeVar("N")
P = TypeVar("P")
T = TypeVar("T")


class _XY(msgspec.Struct, Generic[N]):
    x: N
    y: N


class _Origin(msgspec.Struct, Generic[N]):
    offset_x: N
    offset_y: N
    width: N
    height: N


class _Needed(msgspec.Struct, Generic[N, P]):
    """The fields that decide which pixels a prediction has, and what it is called.

    Coordinates are N, vertices P.
    """

    x: N
    y: N
    width: N
    height: N
    points: list[P] | None = None
    rle: Any = None
    rle_mask: Any = None
    detection_id: Any = None


class _Plain(_Needed[N, P], Generic[N, P]):
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


_FiniteRow: TypeAlias = _Needed[Finite, _XY[Finite]]
_AnyRow: TypeAlias = _Needed[float, _XY[float]]
# A row, what decides of it, and the keys that were left out.
Read: TypeAlias = tuple[dict[str, Any], _Needed[float, Any], Iterable[str]]
_value = msgspec.json.Decoder()
_texts = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_plain_rows = msgspec.json.Decoder(list[_Plain[Finite, _XY[Finite]]])
_outlined_rows = msgspec.json.Decoder(list[_Plain[Finite, Point]])
_NULL = msgspec.Raw(b"null")
# As a `Point` is written.
_X_FIRST = re.compile(rb"\s*\[\s*\{\s*\"x\"")


def strict_rows(texts: list[msgspec.Raw]) -> Iterator[Read | FormatError]:
    """Rows of a message that is JSON."""
    if any(map(_is_long_text, texts)):
        return each(_read_text, texts)
    text = b"[%b]" % b",".join(texts)
    for read in (_outlined, _plain) if b'"points"' in text else (_plain,):
        try:
            rows, reads = read(text)
        except (msgspec.DecodeError, RecursionError, ValueError):
            continue
        return map(_scaled_alike, rows, reads)
    return each(_read_text, texts)


def _plain(text: bytes) -> tuple[list[dict[str, Any]], list[_Plain[float, Any]]]:
    return _value.decode(text), _plain_rows.decode(text)


def _outlined(text: bytes) -> tuple[list[dict[str, Any]], list[_Plain[float, Any]]]:
    """Rows whose vertices are read once, and stay what they were read as.

    Raises:
        ValueError: If vertices say more than where they are, or that in another order.
    """
    reads, texts = _outlined_rows.decode(text), _texts.decode(text)
    for row, read in zip(texts, reads, strict=True):
        if read.points:
            if not _X_FIRST.match(row["points"]):
                raise ValueError
            row["points"] = _NULL
    rest = chain.from_iterable(row.values() for row in texts)
    values = iter(_value.decode(b"[%b]" % b",".join(rest)))
    rows: list[dict[str, Any]] = [dict(zip(row, values, strict=False)) for row in texts]
    for row_of_values, read in zip(rows, reads, strict=True):
        if read.points:
            row_of_values["points"] = read.points
    return rows, reads


def _scaled_alike(row: dict[str, Any], read: _Plain[float, Any]) -> Read:
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


def _is_long_text(row: msgspec.Raw) -> bool:
    """True if a row is long, and takes up to four bytes for each of its own several times over."""
    if memoryview(row).nbytes <= _MAX_TEXT:
        return False
    text = bytes(row)
    return not text.isascii() or b"\\u" in text


def _read_text(text: msgspec.Raw) -> Read:
    if _is_long_text(text):
        msg = (
            f"a prediction of more than {_MAX_TEXT:,} bytes is of ASCII alone: leave out its texts"
        )
        raise FormatError(msg, reason=Reason.OVER_LIMIT, kind="long_text")
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
        read: _Needed[float, _XY[float]] = convert(value, _FiniteRow, strict=False)
    except FormatError:
        convert(value, _AnyRow, strict=False)
        msg = "a coordinate is not finite"
        raise FormatError(msg, reason=Reason.NOT_FINITE) from None
    row = value | _as_numbers(value, read)
    row, left_out = settled(row)
    return row, read, left_out


def _as_numbers(row: dict[str, Any], read: _Needed[float, _XY[float]]) -> dict[str, Any]:
    """The numbers of those needed coordinates that are written as text."""
    found: dict[str, Any] = {key: getattr(read, key) for key in _BOX if isinstance(row[key], str)}
    points = row.get("points")
    if read.points is None and points is not None:
        msg = "Expected `array | null`, got `str` - at `$.points`"
        raise FormatError(msg)
    if points and any(isinstance(point[key], str) for point in points for key in "xy"):
        pairs = zip(points, read.points or (), strict=True)
        found["points"] = [{**point, "x": xy.x, "y": xy.y} for point, xy in pairs]
    return found
