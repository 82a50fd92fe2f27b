"""Roboflow inference responses: boxes by their centre, in pixels of the detector's image.

A message is read in two steps. `decode` finds out which frame it speaks of and that it is JSON;
`predictions` reads the rows once the frame is there, each on its own, so that a malformed one
does not lose its neighbours.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from streamcrop.core.limits import Limits
from streamcrop.core.values import Message, Predictions
from streamcrop.errors import FormatError
from streamcrop.formats.documents import DEFAULT, lax
from streamcrop.formats.heads import decode
from streamcrop.formats.placing import placed
from streamcrop.formats.rows import Read, each, read_row, strict_rows

__all__ = ["between", "decode", "predictions", "translated"]


class _Texts(msgspec.Struct):
    predictions: list[msgspec.Raw]


_texts = msgspec.json.Decoder(_Texts)


def predictions(
    message: Message,
    resolution_wh: tuple[int, int],
    *,
    name: str,
    limit: int,
    limits: Limits = DEFAULT,
) -> Predictions:
    """Read the rows of a message.

    Args:
        message: What `decode` returned.
        resolution_wh: ``(width, height)`` of the frame, to which everything is scaled.
        name: Of the frame, ``{stream}/{frame_id}``; detection IDs that are missing are made from
            it, so that they are the same at a re-delivery.
        limit: How many rows are read.
        limits: What their masks may ask for; what is beyond is refused as `over_limit`.

    Example:
        >>> text = b'{"frame_id": 1, "predictions": [{"x": 5, "y": 4, "width": 2, "height": 4}, 7]}'
        >>> read = predictions(decode(text), (10, 10), name="gate/1", limit=9)
        >>> read.instances.xyxy[0].tolist(), dict(read.instances.refused)
        ([4.0, 2.0, 6.0, 6.0], {1: <Reason.MALFORMED: 'malformed'>})
    """
    if message.strict:
        texts = _texts.decode(message.payload).predictions
        rows = texts[:limit]
        if len(message.payload) > limits.values:
            rows = _within(rows, limits)
        values, total = strict_rows(rows), len(texts)
    else:
        came = lax(message.payload)["predictions"]
        values, total = each(read_row, came[:limit]), len(came)
    came_wh, where = message.resolution_wh, "$.predictions[{}]"
    return placed(values, total, came_wh, resolution_wh, name, where=where, limits=limits)


def _within(rows: list[msgspec.Raw], limits: Limits) -> list[msgspec.Raw]:
    """The first rows that have no more values than a message may, by a bound that is quick."""
    left = limits.values
    for number, row in enumerate(rows):
        text = bytes(row)
        left -= text.count(b",") + 2 * (text.count(b"{") + text.count(b"[")) + 1
        if left < 0:
            return rows[:number]
    return rows


def translated(
    objects: list[Any],
    row_of: Callable[[Any], dict[str, Any]],
    resolution_wh: tuple[int, int],
    *,
    name: str,
    limit: int,
    limits: Limits,
) -> Predictions:
    """Read the objects of a message of another format, whose coordinates are from 0 to 1.

    Args:
        objects: As they came.
        row_of: Makes a prediction of one, with None for what is not known.
        resolution_wh: As for `predictions`.
        name: As for `predictions`.
        limit: As for `predictions`.
        limits: As for `predictions`.
    """

    def row(value: Any) -> Read:
        found = row_of(value)
        return read_row({key: part for key, part in found.items() if part is not None})

    rows = each(row, objects[:limit])
    return placed(rows, len(objects), (1, 1), resolution_wh, name, limits=limits)


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
