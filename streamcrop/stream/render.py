"""One paired frame becomes events. Pure, and the node's heavy work: it runs in a thread."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt

from streamcrop.core.crop import Crop
from streamcrop.core.pixels import ArrayPixels, shrink
from streamcrop.core.values import Frame, Message, Reason
from streamcrop.errors import FormatError
from streamcrop.formats import inference
from streamcrop.formats.events import (
    CROP_TYPE,
    FRAME_TYPE,
    MAX_PROPERTY_BYTES,
    Event,
    attributes,
    topic_of,
)
from streamcrop.formats.images import ENCODINGS, encode
from streamcrop.formats.metadata import crop_metadata, frame_fields, frame_metadata, size
from streamcrop.stream.cutting import CutFrame, Style, cut_frame

__all__ = [
    "CutFrame",
    "Rendered",
    "Style",
    "cut_frame",
    "encode_crops",
    "encode_late",
    "metadata_of",
    "render",
]

# A part of a frame's crops that is handed on before the rest is made: so much is held in memory,
# and so long other streams wait.
PART_CROPS, PART_PIXELS = 32, 2 << 20


@dataclass(slots=True)
class Rendered:
    """A part of what a frame and its message came to.

    Attributes:
        events: Crops; behind the last one the frame's metadata.
        received: The number of predictions in the message; in the first part, else 0.
        made: The number of crops, also of later parts; in the first part, else 0.
        refused: Predictions by reason; in the first part.
        encoding_failed: The number of crops that the encoding cannot hold, or whose encoder raised.
        failed: The number of crops that have no event for any other reason.
        unexpected: What nobody thought of, of both kinds.
        said: Of each kind of thing that is wrong the first, in words for people.
        last: Whether no part follows.
        held: The number of crops that may be made later; in the first part.
        prepared: What each sink made of the events.
    """

    events: list[Event] = field(default_factory=list)
    received: int = 0
    made: int = 0
    refused: Counter[Reason] = field(default_factory=Counter)
    encoding_failed: int = 0
    failed: int = 0
    unexpected: list[Exception] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    last: bool = False
    held: int = 0
    prepared: Sequence[object] = ()


def render(
    frame: Frame, message: Message, residual: float, style: Style, *, limited: bool = True
) -> Iterator[Rendered]:
    """Cut out what a message speaks of, and describe it: `cut_frame`, then `encode_crops`.

    Nothing is done before the first part is asked for. Takes and raises what the two do.
    """
    yield from encode_crops(cut_frame(frame, message, residual, style), style, limited=limited)


def encode_crops(found: CutFrame, style: Style, *, limited: bool = True) -> Iterator[Rendered]:
    """Encode a frame's crops, and describe them; what is not iterated costs nothing.

    Args:
        found: The frame that is cut.
        style: How.
        limited: Whether metadata has to fit into an MQTT property.

    Yields:
        The events, in one part as a rule; in several where crops are many or large.
    """
    limit = MAX_PROPERTY_BYTES if limited else None
    reasons = Counter(reason for _, reason in found.refused)
    if found.beyond:
        reasons[Reason.OVER_LIMIT] += found.beyond
    received = len(found.crops) + len(found.refused) + found.beyond
    part, pixels = Rendered([], received, len(found.crops), reasons, said=dict(found.said)), 0
    part.held = len(found.held)
    for crop in found.crops:
        _add(part, found, crop, style, limit)
        pixels += math.prod(crop.resolution_wh)
        if pixels > PART_PIXELS or len(part.events) >= PART_CROPS:
            yield part
            part, pixels = Rendered(), 0
    described = [(crop, found.rows[crop.index]) for crop in found.crops]
    head = {**found.head, "held": found.held} if found.held else found.head
    resolution_wh = found.frame.pixels.resolution_wh
    metadata = frame_metadata(head, resolution_wh, described, found.refused, beyond=found.beyond)
    topic = f"streamcrop/{style.source[1]}/metadata"
    part.events.append(Event(topic, metadata, "application/json", {}))
    part.last = True
    yield part


def encode_late(chosen: Sequence[CutFrame], style: Style, *, limited: bool = True) -> Rendered:
    """Encode crops that were held.

    Args:
        chosen: Each as if it had been the only one of its frame.
        style: How.
        limited: Whether metadata has to fit into an MQTT property.
    """
    part = Rendered([], len(chosen), len(chosen), last=True)
    for found in chosen:
        _add(part, found, found.crops[0], style, MAX_PROPERTY_BYTES if limited else None)
    return part


def _add(part: Rendered, found: CutFrame, crop: Crop, style: Style, limit: int | None) -> None:
    """Add a crop's event to a part; an error costs this crop alone."""
    try:
        data = encode(crop, style.encoding, style.quality)
    except Exception as error:  # noqa: BLE001  # an encoder may raise anything
        part.encoding_failed += 1
        if isinstance(error, FormatError):
            part.said[error.reason] = f"crop of {crop.detection_id}: {error}"
        else:
            part.unexpected.append(error)
        return
    try:
        part.events.append(_crop_event(found, crop, data, style, limit))
    except Exception as error:  # noqa: BLE001  # nobody knows which
        part.failed += 1
        part.unexpected.append(error)


def _crop_event(found: CutFrame, crop: Crop, data: bytes, style: Style, limit: int | None) -> Event:
    frame, row = found.frame, found.rows[crop.index]
    head, better_than = found.head, found.supersedes.get(crop.index)
    if better_than is not None:
        head = {**head, "supersedes": better_than}
    metadata = crop_metadata(head, row, crop, limit=limit, budget=found.budget)
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
    found = cut_frame(frame, decoded, 0.0, style)
    head = {"stream": style.source[1], "frame_id": frame.frame_id, "paired_by": "frame_id"}
    for crop in found.crops:
        yield crop_metadata(head, found.rows[crop.index], crop, limit=MAX_PROPERTY_BYTES)
