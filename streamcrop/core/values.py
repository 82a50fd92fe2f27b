"""The values that travel through a node: frozen, plain, without I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from streamcrop.core.lineage import Lineage

# A half-open box: x_min, y_min, x_max, y_max.
Corners = tuple[int, int, int, int]
Bgr = npt.NDArray[np.uint8]
MaskPixels = npt.NDArray[np.uint8]
# Luma ``(h, w)``, blue and red difference, each ``(ceil(h / 2), ceil(w / 2))``; uint8.
Planes = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]


class Reason(StrEnum):
    """Every way in which a frame, message, prediction or crop can end without success."""

    AMBIGUOUS = "ambiguous"
    BAD_MASK = "bad_mask"
    CLOSED = "closed"
    CORRUPT = "corrupt"
    DUPLICATE = "duplicate"
    ENCODING_FAILED = "encoding_failed"
    EXPIRED = "expired"
    FAILED = "failed"
    FILTERED = "filtered"
    LATE = "late"
    MALFORMED = "malformed"
    NO_KEY = "no_key"
    NO_SHAPE = "no_shape"
    NOT_ACKNOWLEDGED = "not_acknowledged"
    NOT_CHOSEN = "not_chosen"
    NOT_FINITE = "not_finite"
    NOT_TAPPED = "not_tapped"
    OVERLOAD = "overload"
    OUTSIDE_FRAME = "outside_frame"
    OVER_LIMIT = "over_limit"
    PAIRING_FULL = "pairing_full"
    QUEUE_FULL = "queue_full"
    SPOOL_EXPIRED = "spool_expired"
    SPOOL_FULL = "spool_full"
    STALE = "stale"
    TOO_LARGE = "too_large"


class Pixels(Protocol):
    """A rectangular picture."""

    @property
    def resolution_wh(self) -> tuple[int, int]:
        """``(width, height)`` in pixels."""
        ...

    @property
    def nbytes(self) -> int:
        """The bytes that it holds in memory."""
        ...

    @property
    def is_decoded(self) -> bool:
        """True if a look at it takes no decoding."""
        ...

    def decode(self) -> "Pixels":
        """The picture, decoded; takes its time, so that callers choose the thread."""
        ...

    def region(self, box: Corners) -> "Pixels":
        """The part of the picture in a half-open box inside it; a view."""
        ...

    def bgr(self) -> Bgr:
        """The picture as ``(height, width, 3)`` uint8 BGR; may be a view."""
        ...

    def jfif(self) -> Planes | None:
        """The picture as a JPEG stores it, 4:2:0; None if it is not in such planes.

        JFIF knows one colour space: BT.601, full range. Luma has an even number of rows and of
        columns, so the last ones may lie outside the picture. The planes are copies.
        """
        ...

    def resized(self, resolution_wh: tuple[int, int]) -> "Pixels":
        """The picture in another size, by the mean of the area that each pixel covers."""
        ...


class Mask(Protocol):
    """The pixels of one object in one frame."""

    def region(self, box: Corners, resolution_wh: tuple[int, int]) -> MaskPixels:
        """The mask of a box inside the frame: ``(h, w)`` uint8, 1 inside the object.

        Raises:
            ValueError: If the mask does not fit a frame of ``resolution_wh``.
        """
        ...


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of one stream.

    Attributes:
        frame_id: What a detector echoes to name this frame; compared as text.
        pixels: The upright picture.
        pts: Media time in ticks of ``time_base`` seconds, or None.
        captured_at: Microseconds since 1970 UTC, or None where the capture time is not known.
        epoch: Names the connection it came by; times of two epochs say nothing of each other.
        sei: The ID that the bitstream carries for it, or None.
        arrived: When it came, in microseconds since 1970 UTC by this machine's clock.
        connection: Names the connection by which media time counts; an epoch of capture time may
            begin within one. None where media time begins once.
        reports: The number of sender reports that came before it, of all connections.
        lineage: Of a picture that is itself a crop: the chain of images that ends with it.
    """

    frame_id: str
    pixels: Pixels
    pts: int | None = None
    time_base: Fraction | None = None
    captured_at: int | None = None
    epoch: str | None = None
    sei: str | None = None
    arrived: int | None = None
    lineage: Lineage | None = None
    connection: str | None = None
    reports: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a live source's connection.

    Attributes:
        state: ``running`` or ``reconnecting``.
        reason: Why, for people; without passwords.
    """

    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a person ought to know of a stream; `streamcrop.notes` says it, seldom.

    Attributes:
        kind: What is alike has one kind, as ``malformed`` or ``no_sender_reports``.
        text: A sentence for people; without passwords.
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Instances:
    """The objects of one frame, as a struct of arrays.

    Attributes:
        xyxy: ``(n, 4)``, ``(x_min, y_min, x_max, y_max)`` in frame pixels, any real dtype.
        detection_id: ``n`` texts.
        masks: ``n`` masks or Nones; empty where no object has one.
        refused: Rows that are not to be cut, with the reason; their other values do not count.
    """

    xyxy: npt.NDArray[Any]
    detection_id: Sequence[str]
    masks: Sequence[Mask | None] = ()
    refused: Mapping[int, Reason] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.xyxy)


@dataclass(frozen=True, slots=True)
class Message:
    """A detection message that names its frame; its predictions are read when they are needed.

    So a message that waits holds its bytes and no more.

    Attributes:
        payload: The message as it came.
        frame_id: The frame it names, or None.
        resolution_wh: ``(width, height)`` of the image that the detector saw; None: the frame's.
        strict: Whether the payload is valid JSON; false where it holds ``NaN`` or ``Infinity``.
        pts: Media time in ticks of ``time_base`` seconds, or None.
        captured_at: Microseconds since 1970 UTC, or None.
        session: Names the detector's connection to the camera, or None.
        faults: What these say and cannot mean, by attribute, each with a sentence for people. It
            costs the message only where the attribute is needed.
    """

    payload: bytes
    frame_id: str | None = None
    resolution_wh: tuple[float, float] | None = None
    strict: bool = True
    pts: int | None = None
    time_base: Fraction | None = None
    captured_at: int | None = None
    session: str | None = None
    faults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Predictions:
    """The predictions of a message, in pixels of the frame.

    Attributes:
        rows: The predictions as they came, scaled; those that are to be refused are empty.
        instances: The same as arrays.
        over_limit: How many rows behind these were not read.
        said: Of each kind of thing that is wrong with rows the first, in words for people.
    """

    rows: list[dict[str, Any]]
    instances: Instances
    over_limit: int = 0
    said: Mapping[str, str] = field(default_factory=dict)
