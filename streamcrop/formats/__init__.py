"""Bytes to values and back: pure functions, in tables."""

from dataclasses import dataclass
from typing import Protocol

from streamcrop.core.limits import Limits
from streamcrop.core.values import Message, Predictions
from streamcrop.formats import axis, inference, onvif


class Decode(Protocol):
    """Finds out which frame a message speaks of; see `streamcrop.formats.heads.decode`."""

    def __call__(self, payload: bytes, limits: Limits = ...) -> Message:
        """Read it."""
        ...


class ReadPredictions(Protocol):
    """Reads the rows of a message; see `streamcrop.formats.inference.predictions`."""

    def __call__(
        self,
        message: Message,
        resolution_wh: tuple[int, int],
        *,
        name: str,
        limit: int,
        limits: Limits = ...,
    ) -> Predictions:
        """Read them."""
        ...


@dataclass(frozen=True, slots=True)
class DetectionFormat:
    """How detection messages are read.

    Attributes:
        decode: Finds out which frame a message speaks of; raises `FormatError`.
        predictions: Reads its rows.
        keys: The pairing keys that its messages can say. The time of a camera's own detector is
            that of capture, by the camera's clock: it says nothing of arrival.
    """

    decode: Decode
    predictions: ReadPredictions
    keys: frozenset[str]


DETECTION_FORMATS = {
    "inference": DetectionFormat(
        inference.decode,
        inference.predictions,
        frozenset({"frame_id", "sei", "utc", "pts", "arrival"}),
    ),
    "axis": DetectionFormat(axis.decode, axis.predictions, frozenset({"utc"})),
    "onvif": DetectionFormat(onvif.decode, onvif.predictions, frozenset({"utc"})),
}
