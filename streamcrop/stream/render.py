"""One paired frame becomes events. Pure, and the node's heavy work: it runs in a thread."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from streamcrop.core.background import CropOptions
from streamcrop.core.crop import Crop, cut
from streamcrop.core.limits import Limits
from streamcrop.core.pixels import ArrayPixels, shrink
from streamcrop.core.values import Frame, Lineage, LineageEntry, Message, Reason
from streamcrop.errors import FormatError
from streamcrop.formats import DETECTION_FORMATS, inference
from streamcrop.formats.events import (
    CROP_TYPE,
    FRAME_TYPE,
    MAX_PROPERTY_BYTES,
    Event,
    attributes,
    crop_metadata,
    frame_fields,
    frame_metadata,
    size,
    topic_of,
)
from streamcrop.formats.images import ENCODINGS, encode

# A part of a frame's crops that is handed on before the rest is made: so much is held in memory,
# and so long other streams wait.
PART_CROPS, PART_PIXELS = 32, 2 << 20


@dataclass(frozen=True, slots=True)
class Style:
    """How a stream's frames are rendered.

    Attributes:
        source: ``(node, stream)``.
        paired_by: The pairing key's name, as in the configuration.
        topic: The template of a crop's topic.
    """

    source: tuple[str, str]
    options: CropOptions
    paired_by: str = "frame_id"
    format: str = "inference"
    max_predictions: int = 1000
    topic: str = "streamcrop/{stream}/crops"
    encoding: str = "jpeg"
    quality: int = 90
    limits: Limits = field(default_factory=Limits)


@dataclass(slots=True)
class Rendered:
    """A part of what a frame and its message came to.

    Attributes:
        events: Crops; behind the last one the frame's metadata.
        received: The number of predictions in the message; in the first part, else 0.
        made: The number of crops, also of later parts; in the first part, else 0.
        refused: Predictions by reason; in the first part.
        encoding_failed: The number of crops that the encoding cannot hold.
        failed: Why other crops have no event: what nobody thought of.
        said: Of each kind of thing that is wrong the first, in words for people.
        last: Whether no part follows.
    """

    events: list[Event] = field(default_factory=list)
    received: int = 0
    made: int = 0
    refused: Counter[Reason] = field(default_factory=Counter)
    encoding_failed: int = 0
    failed: list[Exception] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    last: bool = False


def render(
    frame: Frame, message: Message, residual: float, style: Style, *, limited: bool = True
) -> Iterator[Rendered]:
    """Cut out what a message speaks of, and describe it.

    The frame is decoded and cut when this is called, and its crops are encoded while the result is
    iterated.

    Args:
        frame: The frame. Not modified.
        message: What was said of it.
        residual: How far apart their keys are.
        style: How.
        limited: Whether metadata has to fit into an MQTT property.

    Returns:
        The events, in one part as a rule; in several where crops are many or large.

    Raises:
        CorruptError: If the frame turns out to be damaged.
    """
    head = {
        "stream": style.source[1],
        "frame_id": frame.frame_id,
        **frame_fields(frame),
        "paired_by": style.paired_by,
        "residual": residual,
    }
    crops, rows, refused, said = _cut(frame, message, style)
    reasons = Counter(reason for _, reason in refused)
    limit = MAX_PROPERTY_BYTES if limited else None

    def parts() -> Iterator[Rendered]:
        received = len(crops) + len(refused)
        part, pixels = Rendered([], received, len(crops), reasons, said=said), 0
        for crop in crops:
            try:
                part.events.append(_crop_event(head, frame, crop, rows[crop.index], style, limit))
            except FormatError as error:
                part.encoding_failed += 1
                part.said[error.reason] = f"crop of {crop.detection_id}: {error}"
            except Exception as error:  # noqa: BLE001  # nobody knows which; it costs this crop
                part.failed.append(error)
            pixels += math.prod(crop.resolution_wh)
            if pixels > PART_PIXELS or len(part.events) >= PART_CROPS:
                yield part
                part, pixels = Rendered(), 0
        described = [(crop, rows[crop.index]) for crop in crops]
        metadata = frame_metadata(head, frame.pixels.resolution_wh, described, refused)
        topic = f"streamcrop/{style.source[1]}/metadata"
        part.events.append(Event(topic, metadata, "application/json", {}))
        part.last = True
        yield part

    return parts()


def _crop_event(
    head: dict[str, Any],
    frame: Frame,
    crop: Crop,
    row: dict[str, Any],
    style: Style,
    limit: int | None,
) -> Event:
    data = encode(crop, style.encoding, style.quality)
    metadata = crop_metadata(head, row, crop, limit=limit)
    node, stream = style.source
    names = {"stream": stream, "frame_id": frame.frame_id, "detection_id": crop.detection_id}
    content_type = ENCODINGS[style.encoding].content_type
    described = attributes(
        kind=CROP_TYPE,
        node=node,
        stream=stream,
        event_id="/".join(names.values()),
        subject=crop.detection_id,
        time=frame.captured_at,
    )
    return Event(
        topic_of(style.topic, **names, row=row),
        data,
        content_type,
        described,
        metadata,
        is_crop=True,
        name=(frame.frame_id, crop.detection_id),
    )


def _cut(
    frame: Frame, message: Message, style: Style
) -> tuple[list[Crop], list[dict[str, Any]], list[tuple[int, Reason]], dict[str, str]]:
    """The crops of a frame, the message's rows, what was refused of them, and why in words."""
    name = f"{style.source[1]}/{frame.frame_id}"
    resolution_wh = frame.pixels.resolution_wh
    read = DETECTION_FORMATS[style.format].predictions(
        message, resolution_wh, name=name, limit=style.max_predictions, limits=style.limits
    )
    lineage = frame.lineage or Lineage([LineageEntry(name, None, *resolution_wh)])
    pixels = frame.pixels
    if len(read.instances) > len(read.instances.refused):
        # All of it, so that it is decoded now, and once.
        pixels = pixels.region((0, 0, *resolution_wh))
    crops, refused = cut(pixels, read.instances, style.options, lineage=lineage)
    beyond = range(len(read.rows), len(read.rows) + read.over_limit)
    said = dict(read.said)
    for row, reason in refused:
        if reason == Reason.OUTSIDE_FRAME and row not in read.instances.refused:
            corners = ", ".join(f"{side:g}" for side in read.instances.xyxy[row])
            width, height = resolution_wh
            said.setdefault(
                "prediction_outside_frame",
                f"prediction {row}, from {corners}, has no pixel of the frame's {width} x {height}",
            )
    return crops, read.rows, refused + [(row, Reason.OVER_LIMIT) for row in beyond], said


def render_tap(
    frame: Frame, source: tuple[str, str], longest_side: int | None, quality: int
) -> Event:
    """A frame for detectors: a JPEG with the ID that they are to echo.

    Args:
        frame: The frame. Not modified.
        source: ``(node, stream)``.
        longest_side: In pixels; a larger frame is made smaller, a smaller one is left.
        quality: Of the JPEG, 1 to 100.
    """
    node, stream = source
    picture = shrink(frame.pixels, longest_side)
    metadata = {
        "stream": stream,
        "frame_id": frame.frame_id,
        **frame_fields(frame),
        "image": size(picture.resolution_wh),
    }
    return Event(
        f"streamcrop/{stream}/frames",
        encode(picture, "jpeg", quality),
        ENCODINGS["jpeg"].content_type,
        attributes(
            kind=FRAME_TYPE,
            node=node,
            stream=stream,
            event_id=f"{stream}/{frame.frame_id}",
            subject=frame.frame_id,
            time=frame.captured_at,
        ),
        msgspec.json.encode(metadata),
    )


def metadata_of(image: npt.NDArray[np.uint8], message: bytes, style: Style) -> Iterator[bytes]:
    """The metadata of each crop, by the way that a message takes through the node."""
    decoded = inference.decode(message)
    frame = Frame(decoded.frame_id or "0", ArrayPixels.of(image))
    crops, rows, *_ = _cut(frame, decoded, style)
    head = {"stream": style.source[1], "frame_id": frame.frame_id, "paired_by": "frame_id"}
    for crop in crops:
        yield crop_metadata(head, rows[crop.index], crop, limit=MAX_PROPERTY_BYTES)
