"""From pictures as they came by WebRTC to frames.

aiortc's own decoder never says that a picture before this one was lost (neither FFmpeg's H.264 nor
its VP8 decoder notices: the picture merely shows something that never was), does not say for VP8
which pictures are key pictures, and works through a queue that has no bound.
"""

from fractions import Fraction
from typing import NamedTuple, cast
from uuid import UUID

import av
from av.codec.context import Flags

from streamcrop.core.values import Frame, Reason
from streamcrop.formats import nal, sei
from streamcrop.sources import Item
from streamcrop.sources.codec import Codec
from streamcrop.sources.packets import Picture
from streamcrop.sources.pictures import pixels_of
from streamcrop.sources.streams import new_epoch

_TIME_BASE = Fraction(1, 90_000)


class Encoded(NamedTuple):
    """A picture as it came, undecoded; `lost`: how many just before it did not come whole."""

    codec: str
    data: bytes
    pts: int
    lost: int
    arrived: int


class Decoder:
    """Makes `Frame`s of what came; call it in any thread, one call at a time.

    A picture that misses something, and all that follow up to the next clean key picture, become
    `Reason.CORRUPT`.
    """

    def __init__(self, *, read_sei: bool, sei_uuid: UUID | None) -> None:
        self._epoch = new_epoch()
        self._read_sei = read_sei
        self._sei_uuid = sei_uuid
        self._number = -1
        self._codec: Codec | None = None

    def __call__(self, encoded: Encoded, *, after_loss: bool) -> Item:
        """Decode one; ``after_loss``: whether something just before it is missing."""
        self._number += 1
        number, codec = self._number, self._codec
        if codec is None or encoded.codec != codec.context.name:
            context = cast("av.VideoCodecContext", av.CodecContext.create(encoded.codec, "r"))
            # What the decoder misses is said in the thread that decodes: so in this one.
            context.thread_count = 1
            context.flags |= Flags.low_delay | Flags.copy_opaque
            self._codec = codec = Codec(context)
        if after_loss:
            codec.damage.hurt(number)
        packet = cast("av.Packet[av.VideoStream]", av.Packet(encoded.data))
        packet.pts, packet.time_base = encoded.pts, _TIME_BASE
        unit = nal.look(encoded.data, encoded.codec, 0)
        coded = Picture(packet, unit, lost=False, came=encoded.arrived / 1_000_000)
        # A decoder that holds pictures back would hand out an earlier one.
        shown = [each for each in codec.decode(number, coded) if each.number == number]
        if shown and shown[0].picture is not None and shown[0].whole:
            return self._frame(shown[0].picture, encoded, unit)
        codec.damage.hurt(number)
        return Reason.CORRUPT

    def _frame(self, picture: av.VideoFrame, encoded: Encoded, unit: nal.AccessUnit) -> Frame:
        text = sei.frame_id(unit.sei, self._sei_uuid) if self._read_sei else None
        return Frame(
            f"{self._epoch}-{self._number}",
            pixels_of(picture),
            encoded.pts,
            _TIME_BASE,
            None,
            self._epoch,
            text,
            encoded.arrived,
        )
