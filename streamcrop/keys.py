"""The pairing keys, a row each: what frame and message have to agree on."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from streamcrop.core.guard import OPEN, CaptureTimes, Epochs, Guard
from streamcrop.core.pairing import Exact, Nearest
from streamcrop.core.values import Frame, Message
from streamcrop.errors import FormatError

_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Key:
    """A pairing key.

    Attributes:
        of_frame: A frame's key, or None where it has none.
        of_message: The same of a message, which came at so many microseconds since 1970; raises
            `FormatError` where what it needs is among the message's faults.
        tolerance: By how many seconds the two may differ, unless the user says otherwise; None:
            they are equal. Half a frame interval at 60 frames a second, and far more than the
            0.25 ms by which two streams of one camera differ (measured 2026-11-22).
        guarded: Makes what doubts pairs, of the tolerance in microseconds and `pairing.confirm`.
        loops: Whether a file that loops has the same keys again.
        names: Whether it is the frame's name: an index of pictures, or what a detector echoes.
        in_bitstream: Whether it is read out of the bitstream.
        of_camera: Whether it is a time of the camera's clock, which may be set.
        lacks: What a frame without this key lacks.
        caveat: What is to be known of it; None: it is to be trusted.
        caveat_live: The same where the source is no file.
    """

    of_frame: Callable[[Frame], Any]
    of_message: Callable[[Message, int], Any]
    tolerance: float | None = None
    guarded: Callable[[int, bool], Guard] = lambda _, __: OPEN
    loops: bool = False
    names: bool = False
    in_bitstream: bool = False
    of_camera: bool = False
    lacks: str = ""
    caveat: str | None = None
    caveat_live: str | None = None

    @property
    def is_time(self) -> bool:
        """True if an offset can be added to it."""
        return not (self.names or self.in_bitstream)

    def guard(self, tolerance: float | None, *, confirm: bool) -> Guard:
        """The guard that doubts pairs; for one stream."""
        return self.guarded(round((tolerance or self.tolerance or 0) * _SECOND), confirm)

    def match(self, tolerance: float | None) -> Exact | Nearest:
        """How the pairer compares this key."""
        if self.tolerance is None:
            return Exact()
        return Nearest(Fraction(tolerance or self.tolerance).limit_denominator(_SECOND))


def _said(message: Message, *names: str) -> Message:
    """A message, if what it says of these attributes can be used."""
    for name in names:
        if fault := message.faults.get(name):
            raise FormatError(fault, kind=f"malformed_{name}")
    return message


def media_time(item: Frame | Message) -> Fraction | None:
    """Media time in seconds."""
    return None if item.pts is None or item.time_base is None else item.pts * item.time_base


def _seconds(time: int | None) -> Fraction | None:
    return None if time is None else Fraction(time, _SECOND)


KEYS = {
    "frame_id": Key(
        lambda frame: frame.frame_id,
        lambda message, _: _said(message, "frame_id").frame_id,
        names=True,
        lacks="frame_id",
    ),
    "sei": Key(
        lambda frame: frame.sei,
        lambda message, _: _said(message, "frame_id").frame_id,
        loops=True,
        in_bitstream=True,
        lacks="ID in its bitstream",
    ),
    "utc": Key(
        lambda frame: _seconds(frame.captured_at),
        lambda message, _: _seconds(_said(message, "captured_at").captured_at),
        tolerance=0.008,
        guarded=lambda tolerance, confirm: CaptureTimes(tolerance, confirm=confirm),
        of_camera=True,
        lacks="capture time: cameras say it in sender reports, pictures as captured_at",
    ),
    "pts": Key(
        media_time,
        lambda message, _: media_time(_said(message, "pts", "time_base")),
        guarded=lambda _, __: Epochs(),
        loops=True,
        lacks="media time",
        caveat_live="two readers of a camera count media time each from its own beginning: with "
        "pts crops will be of other frames, unless one reader hands its frames on to the other",
    ),
    # A detector that says when it got its frame is believed; the message itself comes later.
    "arrival": Key(
        lambda frame: _seconds(frame.arrived),
        lambda message, now: _seconds(_said(message, "captured_at").captured_at or now),
        tolerance=0.02,
        lacks="time of arrival",
        caveat="arrival is a guess: a crop may be of a neighbouring frame",
    ),
}
