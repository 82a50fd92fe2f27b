"""ONVIF scene descriptions: JSON as cameras publish it over MQTT, or XML as in RTSP.

By the ONVIF Analytics Service Specification, 5.2.2 (coordinates), 5.3.3 (shapes) and 5.5.3 (JSON).

* Time: ``UtcTime`` of the ``Frame``; UTC, with or without a ``Z``.
* Boxes: ``BoundingBox`` with ``left top right bottom``. By the transformations of frame and
  appearance they become -1 to 1 with the y axis upwards, so ``top`` is the larger one then; where
  it is not, the camera means other coordinates, and the object is refused.
* Image size: none is needed.

A message holds one ``Frame``; of several analytics modules subscribe to one, whose frames come
once. An object without a shape is not visible, and refused as outside the frame.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec

from streamcrop.core.limits import Limits
from streamcrop.core.values import Message, Predictions, Reason
from streamcrop.errors import FormatError
from streamcrop.formats.documents import DEFAULT, Finite, convert, document, known, lax
from streamcrop.formats.inference import between, translated
from streamcrop.formats.onvif_xml import read_xml
from streamcrop.formats.times import microseconds


class _Point(msgspec.Struct, rename="@{}".format):
    x: float
    y: float


class _Vector(msgspec.Struct, rename="@{}".format):
    """Of a transformation; null is not said, as a missing one is."""

    x: float | None = None
    y: float | None = None

    def or_else(self, default: float) -> tuple[float, float]:
        return default if self.x is None else self.x, default if self.y is None else self.y


class _Transformation(msgspec.Struct, rename="pascal"):
    translate: _Vector | None = None
    scale: _Vector | None = None


class _Box(msgspec.Struct, rename="@{}".format):
    left: float
    top: float
    right: float
    bottom: float


class _Shape(msgspec.Struct, rename="pascal"):
    bounding_box: _Box
    polygon: Any = None


class _Class(msgspec.Struct, rename="pascal"):
    type: Any = None
    class_candidate: Any = None


class _Likely(msgspec.Struct):
    type: str = msgspec.field(name="#text")
    likelihood: Any = msgspec.field(name="@Likelihood", default=None)


class _Candidate(msgspec.Struct, rename="pascal"):
    type: str
    likelihood: Any = None


_Name: Any = str | int


class _Appearance(msgspec.Struct, rename="pascal"):
    transformation: _Transformation | None = None
    shape: _Shape | None = None
    class_: Any = msgspec.field(name="Class", default=None)


class _Object(msgspec.Struct, rename="pascal"):
    object_id: Any = msgspec.field(name="@ObjectId", default=None)
    appearance: _Appearance | None = None


class _Frame(msgspec.Struct, rename="pascal"):
    utc_time: Any = msgspec.field(name="@UtcTime")
    transformation: _Transformation | None = None
    object: Any = None


class _Coordinates(NamedTuple):
    """A system of coordinates within the normalised one: ``p * scale + shift`` for each axis."""

    scale: tuple[float, float] = (1, 1)
    shift: tuple[float, float] = (0, 0)

    def within(self, node: _Transformation | None) -> "_Coordinates":
        """That of a node with a transformation of its own."""
        if node is None:
            return self
        x, y = (node.scale or _Vector()).or_else(1)
        shift = (node.translate or _Vector()).or_else(0)
        return _Coordinates((self.scale[0] * x, self.scale[1] * y), self._normalised(*shift))

    def in_picture(self, x: float, y: float) -> tuple[float, float]:
        """Where a point is, from 0 to 1, from the top left corner."""
        x, y = self._normalised(x, y)
        return (1 + x) / 2, (1 - y) / 2

    def _normalised(self, x: float, y: float) -> tuple[float, float]:
        return x * self.scale[0] + self.shift[0], y * self.scale[1] + self.shift[1]


def decode(payload: bytes, limits: Limits = DEFAULT) -> Message:
    """Read which frame a message speaks of.

    Raises:
        FormatError: `malformed`, if it does not hold one frame; `too_large`, if it asks for too
            much.

    Example:
        >>> decode(b'{"Frame": [{"@UtcTime": "2026-11-22T10:00:00.5"}]}').captured_at
        1795341600500000
    """
    try:
        frame = _frame(payload, partial(document, limits=limits), limits)
    except FormatError as error:
        msg = f"no frame of an ONVIF scene description: {error}"
        raise FormatError(msg, reason=error.reason, kind=error.kind) from None
    return Message(payload, captured_at=microseconds(frame.utc_time))


def predictions(
    message: Message,
    resolution_wh: tuple[int, int],
    *,
    name: str,
    limit: int,
    limits: Limits = DEFAULT,
) -> Predictions:
    """Read the objects of a frame; what is known of them beside their shape is under ``onvif``.

    See `streamcrop.formats.inference.predictions`.
    """
    frame = _frame(message.payload, lax, limits)
    row_of = partial(_row, _Coordinates().within(frame.transformation))
    objects = _list(frame.object)
    return translated(objects, row_of, resolution_wh, name=name, limit=limit, limits=limits)


def _frame(payload: bytes, read_json: Callable[[bytes], Any], limits: Limits) -> _Frame:
    # Of UTF-16, too, which XML may be.
    is_xml = payload[:100].lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"<")
    found = read_xml(payload, limits) if is_xml else read_json(payload)
    for name in ("MetadataStream", "VideoAnalytics"):
        if isinstance(found, dict):
            found = found.get(name, found)
    frames = _list(found.get("Frame")) if isinstance(found, dict) else []
    if len(frames) != 1:
        msg = f"a message speaks of one frame, not of {len(frames)}"
        raise FormatError(msg)
    return convert(frames[0], _Frame, strict=False)


def _list(value: Any) -> list[Any]:
    """The list of what may stand there several times; JSON writes a single one as itself."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _row(outer: _Coordinates, value: Any) -> dict[str, Any]:
    found = convert(value, _Object, strict=False)
    if found.appearance is None or (shape := found.appearance.shape) is None:
        msg = "an object that is not visible has no shape"
        raise FormatError(msg, reason=Reason.OUTSIDE_FRAME)
    coordinates, box = outer.within(found.appearance.transformation), shape.bounding_box
    appearance = {
        key: part
        for key, part in value["Appearance"].items()
        if key not in {"Transformation", "Shape", "Image"}
    }
    name, likelihood = _class(known(found.appearance.class_, _Class))
    return {
        **between(
            *coordinates.in_picture(box.left, box.top),
            *coordinates.in_picture(box.right, box.bottom),
        ),
        "points": _points(shape.polygon, coordinates),
        "class": name,
        "confidence": likelihood,
        "tracker_id": known(found.object_id, _Name),
        "onvif": {**value, "Appearance": appearance},
    }


def _points(polygon: Any, coordinates: _Coordinates) -> list[dict[str, float]] | None:
    """The vertices: a list, or under ``Point`` as in XML."""
    points = _list(polygon)
    if len(points) == 1 and isinstance(polygon := points[0], dict) and "Point" in polygon:
        points = _list(polygon["Point"])
    try:
        vertices = convert(points, list[_Point], strict=False)
    except FormatError as error:
        # Among them several polygons, whose union no prediction can say.
        raise FormatError(str(error), reason=Reason.BAD_MASK) from None
    places = [coordinates.in_picture(point.x, point.y) for point in vertices]
    return [{"x": x, "y": y} for x, y in places] or None


def _class(found: _Class | None) -> tuple[str | None, float | None]:
    """The likeliest class of an object, and how likely it is; one without a likelihood is sure."""
    if found is None:
        return None, None
    classes: list[_Likely | _Candidate | None] = [
        _Likely(part) if isinstance(part, str) else known(part, _Likely)
        for part in _list(found.type)
    ]
    classes += [known(part, _Candidate) for part in _list(found.class_candidate)]
    likeliest: tuple[str | None, float | None] = (None, None)
    highest = -1.0
    for one in classes:
        if one is not None:
            likelihood = known(one.likelihood, Finite)
            rank = 1.0 if one.likelihood is None else likelihood or 0.0
            if rank > highest:
                likeliest, highest = (one.type, likelihood), rank
    return likeliest
