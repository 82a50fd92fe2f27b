"""Scene metadata of Axis cameras, frame by frame.

Two forms, by the vendor's documentation of AXIS Scene Metadata (Analytics Data Format): *Frame 1.0*
(topic ``com.axis.scene.frame.v1``) with ``detections``, and its predecessor *Frame v0 beta*
(``com.axis.analytics_scene_description.v0.beta``) with ``observations`` inside a ``frame``.

* Time: ``timestamp`` of the frame, UTC by the camera's clock.
* Boxes: ``bounding_box`` with ``left top right bottom`` from 0 to 1, from the top left corner.
* Image size: none is needed.

The beta form also stands inside ``data``, as the documentation of the metadata broker shows it.
Object tracks and object snapshots are no frames. An observation of the beta form has a time of its
own; one that is not the frame's speaks of another picture, from which nothing can be cut here.
"""

from functools import partial
from typing import Any

import msgspec

from streamcrop.core.limits import Limits
from streamcrop.core.values import Message, Predictions
from streamcrop.errors import FormatError
from streamcrop.formats.documents import DEFAULT, Finite, convert, document, known, lax
from streamcrop.formats.inference import between, translated
from streamcrop.formats.times import microseconds


class _Beta(msgspec.Struct):
    timestamp: Any
    observations: list[Any] | None


class _Frame(msgspec.Struct):
    timestamp: Any
    channel_id: Any = msgspec.UNSET
    detections: list[Any] | None = None
    crop_box: None = None  # an object snapshot has one


class _Box(msgspec.Struct):
    left: float
    top: float
    right: float
    bottom: float


_Name: Any = str | int


class _Class(msgspec.Struct):
    type: Any = None
    score: Any = None


class _Object(msgspec.Struct):
    bounding_box: _Box
    timestamp: Any = None
    track_id: Any = None
    object_track_id: Any = None
    kind: Any = msgspec.field(name="class", default=None)


def decode(payload: bytes, limits: Limits = DEFAULT) -> Message:
    """Read which frame a message speaks of.

    Raises:
        FormatError: `malformed`, if it is no frame; `too_large`, if it asks for too much.

    Example:
        >>> decode(b'{"channel_id": 1, "timestamp": "2026-11-22T10:00:00.5Z"}').captured_at
        1795341600500000
    """
    try:
        timestamp, _ = _frame(document(payload, limits))
    except FormatError as error:
        msg = f"no frame of Axis scene metadata: {error}"
        raise FormatError(msg, reason=error.reason, kind=error.kind) from None
    return Message(payload, captured_at=microseconds(timestamp))


def _frame(found: Any) -> tuple[Any, list[Any]]:
    """Its time and its objects; of version 1, one without objects has no list of them."""
    if isinstance(found, dict) and found.get("data") is not None:
        found = found["data"]
    if isinstance(found, dict) and found.get("frame") is not None:
        beta = convert(found["frame"], _Beta)
        return beta.timestamp, beta.observations or []
    frame = convert(found, _Frame)
    if frame.detections is None and frame.channel_id is msgspec.UNSET:
        msg = "neither detections, a channel_id nor a frame"
        raise FormatError(msg)
    return frame.timestamp, frame.detections or []


def predictions(
    message: Message,
    resolution_wh: tuple[int, int],
    *,
    name: str,
    limit: int,
    limits: Limits = DEFAULT,
) -> Predictions:
    """Read the objects of a frame; what is known of them beside their place stands under ``axis``.

    See `streamcrop.formats.inference.predictions`.
    """
    _, objects = _frame(lax(message.payload))
    row_of = partial(_row, message.captured_at)
    return translated(objects, row_of, resolution_wh, name=name, limit=limit, limits=limits)


def _row(time: int | None, value: Any) -> dict[str, Any]:
    found = convert(value, _Object, strict=False)
    box = found.bounding_box
    if found.timestamp not in (None, "") and microseconds(found.timestamp) != time:
        msg = "an observation of another time speaks of another picture"
        raise FormatError(msg)
    # A camera's picture of the object may be an older one, and is as large as all else together.
    beside = {key: part for key, part in value.items() if key not in {"bounding_box", "image"}}
    kind = known(found.kind, _Class) or _Class()
    return {
        **between(box.left, box.top, box.right, box.bottom),
        "class": known(kind.type, str),
        "confidence": known(kind.score, Finite),
        "tracker_id": known(
            found.track_id if found.object_track_id is None else found.object_track_id, _Name
        ),
        "axis": beside,
    }
