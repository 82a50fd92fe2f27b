"""From RTP packets to frames, for WebRTC: what aiortc leaves undone.

aiortc's own decoder never says that a picture before this one was lost (neither FFmpeg's H.264 nor
its VP8 decoder notices: the picture merely shows something that never was), does not say for VP8
which pictures are key pictures, and works through a queue that has no bound.
"""

import time
from fractions import Fraction
from typing import Any, NamedTuple, cast
from uuid import UUID

import av
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtcrtpreceiver import NackGenerator
from aiortc.rtp import RtpPacket
from aiortc.utils import uint16_add, uint16_gt
from av.codec.context import Flags

from streamcrop.core.values import Frame, Reason
from streamcrop.formats import nal, sei
from streamcrop.sources import Item
from streamcrop.sources.codec import Codec
from streamcrop.sources.packets import Picture
from streamcrop.sources.pictures import pixels_of
from streamcrop.sources.streams import new_epoch

# A power of two; a picture of more packets never becomes complete.
_MAX_PACKETS = 2048
# How long a packet is waited for, and how often it is asked for, in seconds.
_PATIENCE, _ASK_AGAIN = 0.5, 0.1
_TIME_BASE = Fraction(1, 90_000)


class Encoded(NamedTuple):
    """A picture as it came, undecoded; `lost`: how many just before it did not come whole."""

    codec: str
    data: bytes
    pts: int
    lost: int
    arrived: int


class Reassembly(JitterBuffer):
    """aiortc's, which hands out all that is complete, and does not wait for ever.

    By itself it hands out one picture a packet, so that what has piled up stays, and gives up a
    missing packet when it is full: with a small picture that is longer than anybody waits.
    """

    def __init__(self) -> None:
        super().__init__(capacity=_MAX_PACKETS, is_video=True)
        # Data, media time, and how many pictures were given up just before.
        self.complete: list[tuple[bytes, int, int]] = []
        self._lost = 0
        self._media: int | None = None
        self._latest = 0
        self._newest: int | None = None
        self._gap = False

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Take a packet: whether something was given up, and a picture if `complete` has some."""
        number, newest, now = packet.sequence_number, self._newest, time.monotonic()
        cast("Any", packet).came = now
        self._gap |= newest is not None and number != uint16_add(newest, 1)
        gave_up, picture = super().add(packet)
        if newest is None or gave_up or uint16_gt(number, newest):
            self._newest = number
        # How many aiortc let go of itself is not known.
        self._lost += gave_up
        first = self._take(picture)
        while self._gap and self._gives_up(now):
            gave_up = True
        while self._origin is not None and (picture := self._remove_frame(number)):
            first = self._take(picture)
        return gave_up, first

    def _take(self, picture: JitterFrame | None) -> JitterFrame | None:
        if picture:
            self.complete.append((picture.data, self._pts(picture.timestamp), self._lost))
            self._lost = 0
        return picture

    def _gives_up(self, now: float) -> bool:
        """Let go of the pictures around the first gap, if it has been there for long."""
        self._gap = False
        if self._origin is None or self._newest is None:
            return False
        count = uint16_add(self._newest, -self._origin) + 1
        packets = [self._packets[(self._origin + at) % _MAX_PACKETS] for at in range(count)]
        if None not in packets:
            return False
        self._gap = True
        behind = next(n for n in range(packets.index(None), count) if packets[n])
        if now - cast("Any", packets[behind]).came < _PATIENCE:
            return False
        self._lost += len({packet.timestamp for packet in packets[: behind + 1] if packet})
        if self.smart_remove(behind + 1):
            self._origin = self._newest = None
        return True

    def _pts(self, timestamp: int) -> int:
        """The media time since the first picture, which does not wrap at 32 bits."""
        if self._media is None:
            self._media = 0
        else:
            step = (timestamp - self._latest) & 0xFFFFFFFF
            self._media += step - (step >> 31 << 32)
        self._latest = timestamp
        return self._media


class Repairs(NackGenerator):
    """aiortc's, which asks again: it asks for a packet once, and the repair may get lost, too."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = 0.0

    def add(self, packet: RtpPacket) -> bool:
        """Take a packet: whether to ask for what is missing now."""
        missed, now = super().add(packet), time.monotonic()
        again = missed or (bool(self.missing) and now - self._asked >= _ASK_AGAIN)
        self._asked = now if again else self._asked
        return again


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
