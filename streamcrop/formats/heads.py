"""All of an inference response but its rows: which frame it speaks of.

A key that is null, or not there, says nothing. One that is there and wrong is a fault of the
message; it costs the message only where the key is needed, which its reader does not know.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import msgspec

from streamcrop.core.limits import Limits
from streamcrop.core.runs import MAX_SIDE
from streamcrop.core.values import Message
from streamcrop.errors import FormatError
from streamcrop.formats.documents import (
    DEFAULT,
    UNREADABLE,
    convert,
    count_values,
    document,
    shown,
    too_large,
)
from streamcrop.formats.times import microseconds

MAX_FRAME_ID = 1024
_MAX_SESSION = 256
# As FFmpeg's: media time has 64 bits, a time base twice 32. `Fraction` alone would also compute
# 1e999999999.
_MAX_PTS = 1 << 63
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_TIME_BASE = re.compile(r"0*[1-9][0-9]{0,9}(?:/0*[1-9][0-9]{0,9})?")
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,18})?", re.ASCII)


class _Head(msgspec.Struct):
    predictions: Any
    frame_id: Any = None
    id: Any = None
    lineage: Any = None
    inference_metadata: Any = None
    video_metadata: Any = None
    image: Any = None
    pts: Any = None
    time_base: Any = None
    captured_at: Any = None
    session: Any = None


class _RawHead(_Head):
    predictions: msgspec.Raw


class _Rows(msgspec.Struct):
    predictions: msgspec.Raw


_head = msgspec.json.Decoder(_RawHead)
_rows = msgspec.json.Decoder(_Rows)


def decode(payload: bytes, limits: Limits = DEFAULT) -> Message:
    """Read which frame a message speaks of.

    Args:
        payload: JSON; ``NaN`` and ``Infinity``, which JSON does not know, cost their row only.
        limits: What it may ask for.

    Raises:
        FormatError: `malformed`, if it is no such message, or its image has no size; `too_large`.

    Example:
        >>> text = b'{"frame_id": 7, "image": {"width": 8, "height": 6}, "predictions": []}'
        >>> message = decode(text)
        >>> message.frame_id, message.resolution_wh
        ('7', (8.0, 6.0))
        >>> decode(b'{"pts": 0.5, "predictions": []}').faults
        {'pts': '$.pts: media time is an integer of 64 bits, not 0.5'}
    """
    values = count_values(payload, limits)
    if values > limits.values:
        _check_beside_rows(payload, values, limits)
    strict = True
    try:
        head: _Head = _head.decode(payload)
        is_list = bytes(head.predictions)[:1] == b"["
    except (msgspec.DecodeError, RecursionError, ValueError):
        strict = False
        try:
            head = convert(document(payload, limits), _Head)
        except FormatError as error:
            msg = f"no inference response: {error}"
            raise FormatError(msg, reason=error.reason, kind=error.kind) from None
        is_list = isinstance(head.predictions, list)
    if not is_list:
        msg = "no inference response: $.predictions must be a list"
        raise FormatError(msg)
    known: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for name, read in _READERS.items():
        if (value := getattr(head, name)) is not None:
            try:
                known[name] = read(value)
            except FormatError as error:
                faults[name] = f"$.{name}: {error}"
    try:
        known["frame_id"] = _frame_id(head)
    except FormatError as error:
        faults["frame_id"] = str(error)
    return Message(
        payload, resolution_wh=_resolution(head.image), strict=strict, faults=faults, **known
    )


def _check_beside_rows(payload: bytes, values: int, limits: Limits) -> None:
    """Refuse what has more values than it may, unless they are those of rows.

    Of them only so many are read as there may be.
    """
    try:
        rows = count_values(bytes(_rows.decode(payload).predictions), limits)
    except (msgspec.DecodeError, RecursionError, ValueError):
        rows = 0
    if values - rows > limits.values:
        raise too_large(limits, "values", values)


def _frame_id(head: _Head) -> str | None:
    """The first frame ID of the places where one may stand."""
    if head.lineage is not None:
        # The metadata of a crop: it speaks of the crop, whose key is its ID.
        return None if head.id is None else _named("id", head.id)
    if head.frame_id is not None:
        return _named("frame_id", head.frame_id)
    for name, key in (("inference_metadata", "frame_id"), ("video_metadata", "frame_number")):
        place = getattr(head, name)
        if type(place) is dict and (value := place.get(key)) is not None:
            return _named(f"{name}.{key}", value)
    return None


def _named(place: str, value: object) -> str:
    try:
        return as_frame_id(value)
    except FormatError as error:
        msg = f"$.{place}: {error}"
        raise FormatError(msg) from None


def as_frame_id(value: object) -> str:
    """Check a frame's ID, wherever it comes from.

    Raises:
        FormatError: `malformed`.
    """
    if text := _name(value, MAX_FRAME_ID):
        return text
    msg = (
        f"a frame ID is 1 to {MAX_FRAME_ID} printable characters or an integer, not {shown(value)}"
    )
    raise FormatError(msg)


def _name(value: object, longest: int) -> str | None:
    """A name; not one of which something could not be read: others would be the same."""
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or not 0 < len(text) <= longest:
        return None
    return text if text.isprintable() and UNREADABLE not in text else None


def _resolution(image: object) -> tuple[float, float] | None:
    """The size of the image that the detector saw; the schema allows a list of images, too."""
    if isinstance(image, list) and len(image) <= 1:
        image = image[0] if image else None
    if image is None:
        return None
    if type(image) is not dict:
        msg = f"$.image: an image is an object with width and height, not {shown(image)}"
        raise FormatError(msg)
    # Without detections, inference itself writes null for both.
    sides = image.get("width"), image.get("height")
    if None in sides:
        return None
    width, height = map(_side, sides)
    return width, height


def _side(value: object) -> float:
    side = float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value
    if isinstance(side, int | float) and side is not True and 1 <= side <= MAX_SIDE:
        return float(side)
    msg = f"$.image: an image's sides are from 1 to {MAX_SIDE}, not {shown(value)}"
    raise FormatError(msg)


def _pts(value: object) -> int:
    pts = int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else value
    if type(pts) is int and -_MAX_PTS <= pts < _MAX_PTS:
        return pts
    msg = f"media time is an integer of 64 bits, not {shown(value)}"
    raise FormatError(msg)


def _time_base(value: object) -> Fraction:
    if isinstance(value, str) and _TIME_BASE.fullmatch(value):
        return _fraction(value)
    msg = f"a time base is a fraction in text like 1/90000, not {shown(value)}"
    raise FormatError(msg)


_fraction = lru_cache(maxsize=16)(Fraction)  # all messages of a stream say the same


def _session(value: object) -> str:
    if text := _name(value, _MAX_SESSION):
        return text
    msg = f"a session is 1 to {_MAX_SESSION} printable characters or an integer, not {shown(value)}"
    raise FormatError(msg)


_READERS: dict[str, Callable[[object], Any]] = {
    "pts": _pts,
    "time_base": _time_base,
    "captured_at": microseconds,
    "session": _session,
}
