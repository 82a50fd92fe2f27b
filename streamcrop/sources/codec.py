"""A stream's decoder that says of each picture whether it is whole, by all that is known of it."""

import re
from typing import Any, NamedTuple, cast

import av
import av.logging

from streamcrop.core.damage import Damage, Recovery
from streamcrop.core.values import Pixels
from streamcrop.formats import exif
from streamcrop.formats.sei import recovery_count
from streamcrop.sources.packets import Picture
from streamcrop.sources.pictures import pixels_of

# What FFmpeg says when packets are missing.
MISSED = re.compile(r"missed|cseq|jitter buffer|max delay")
# And, below an error, of what it decodes onto nothing or makes up.
_GHOSTS = re.compile(r"conceal|first frame is no keyframe")
# What it calls an error and gets right: JPEGs with one table for luma and chroma (RFC 2435, 3.1.8),
# as its own RTP muxer sends them.
_HARMLESS = "Invalid qtable length 64"
# Where a packet says itself whether it is a key picture.
_TOLD = {"h264", "hevc"}
# Whose pictures may have EXIF.
_STILLS = {"mjpeg", "png", "webp"}


class Shown(NamedTuple):
    """A picture that came out.

    Attributes:
        number: Its packet's.
        tag: What went in with it.
        picture: None: the packet cannot be decoded.
        whole: Whether it shows what was meant.
        turn: How its EXIF has it turned or mirrored.
    """

    number: int
    tag: Any
    picture: av.VideoFrame | None
    whole: bool
    turn: exif.Matrix | None = None

    def pixels(self) -> Pixels | None:
        """The upright pixels; None where it is not whole.

        Raises:
            SourceError: If FFmpeg cannot convert them.
        """
        if self.picture is None or not self.whole:
            return None
        return pixels_of(self.picture, self.turn)


class Codec:
    """Decodes packets in turn, and judges what comes out by `core.damage`.

    Evidence is what the demuxer says, FFmpeg's log while it decodes, and what it says of a picture.

    Args:
        context: FFmpeg's, with `Flags.copy_opaque` and one thread.
        begun: Whether pictures count as whole before the first key picture, unless FFmpeg complains
            of them. H.264 and H.265 never do.
    """

    def __init__(self, context: av.VideoCodecContext, *, begun: bool = False) -> None:
        heed_log()
        self.context = context
        self._begun = begun and context.name not in _TOLD
        self.restart()

    def restart(self) -> None:
        """Forget all that went in, as at the begin of a stream."""
        self.damage = Damage(whole=self._begun)
        # The media time of the last packet that is a key picture.
        self._point: int | None = None

    def decode(self, number: int, coded: Picture | None, tag: object = None) -> list[Shown]:
        """Decode one packet; None: what is left in the decoder at the end.

        Args:
            number: The packet's; numbers grow.
            coded: The packet and what is known of it.
            tag: What its picture comes out with. It must not hold the packet, which holds it.
        """
        leading, turn = False, None
        if coded is not None:
            packet = coded.packet
            point = take(self.damage, number, self.context.name, coded)
            self._point = packet.pts if point else self._point
            leading = _lies_before(packet.pts, self._point)
            if self.context.name in _STILLS:
                turn = exif.orientation(bytes(packet))
            # In a tuple of its own: PyAV knows an opaque object by its address.
            packet.opaque = (number, leading, turn, tag)
        with av.logging.Capture() as log:
            try:
                pictures = self.context.decode(coded and coded.packet)
            except av.FFmpegError:
                self.damage.hurt(number, leading=leading)
                return [Shown(number, tag, None, whole=False)] if coded else []
        if tells_loss(log):
            self.damage.hurt(number, leading=leading)
        return [self._shown(picture) for picture in pictures]

    def _shown(self, picture: av.VideoFrame) -> Shown:
        number, leading, turn, tag = cast("tuple[int, bool, Any, Any]", picture.opaque)
        if picture.is_corrupt:
            self.damage.hurt(number, leading=leading)
        whole = self.damage.shown(number, key=picture.key_frame)
        return Shown(number, tag, picture, whole and not picture.is_corrupt, turn)


def take(damage: Damage, number: int, codec: str, coded: Picture) -> bool:
    """Note what a packet says of itself; returns whether it is a key picture."""
    count = recovery_count(coded.unit.sei, codec) if coded.unit.sei else None
    recovery = None if count is None else Recovery(count, by_shown=codec == "hevc")
    # FFmpeg's parser calls each recovery point a key picture.
    point = coded.packet.is_keyframe and not count
    damage.taken(number, point=point, recovery=recovery, reference=not coded.unit.unused)
    if coded.lost:
        damage.hurt(number)
    return point


def _lies_before(pts: int | None, other: int | None) -> bool:
    return pts is not None and other is not None and pts < other


def heed_log() -> None:
    """Have FFmpeg say what is missing: for the whole process, from the level on that it needs."""
    av.logging.set_level(av.logging.INFO)
    av.logging.set_skip_repeated(v=False)


def tells_loss(log: list[Any]) -> bool:
    """True if FFmpeg said that something is missing; empties the log."""
    lost = any(
        level <= av.logging.ERROR or _GHOSTS.search(line) or MISSED.search(line)
        for level, _, line in log
        if _HARMLESS not in line
    )
    log.clear()
    return lost
