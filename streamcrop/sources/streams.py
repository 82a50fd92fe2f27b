"""The parts that files and cameras share: an opened stream, set up, and what can be asked of it."""

import logging
import secrets
import struct
import time
from typing import Any, cast
from uuid import UUID

import av
import av.container
from av.codec.context import Flags

from streamcrop.errors import SourceError
from streamcrop.formats import nal, sei
from streamcrop.sources.decoding import CODECS, Decoder, Decoding
from streamcrop.sources.packets import Picture

logger = logging.getLogger(__name__)


def video_of(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """The video to read, set up so that each picture has its packet's ``opaque``.

    Raises:
        SourceError: If there is none, or none that FFmpeg can decode.
    """
    # Not simply the first: a cover picture may stand before the video.
    stream = cast("av.VideoStream | None", container.streams.best("video"))
    if stream is None:
        msg = f"{name}: there is no video in it"
        raise SourceError(msg)
    # PyAV's stubs do not say that there may be none.
    if cast("Any", stream).codec_context is None:
        msg = f"{name}: its video is of a codec that FFmpeg does not decode"
        raise SourceError(msg)
    stream.codec_context.flags |= Flags.copy_opaque
    # The stream's own: FFmpeg's others win nothing where several streams share the cores, and what
    # the decoder misses is said in the thread that decodes.
    stream.codec_context.thread_count = 1
    return stream


def decoder_of(stream: av.VideoStream, decoding: Decoding) -> Decoder | None:
    """The decoder of a stream's packets on demand; None where they are decoded as they come."""
    codec = stream.codec_context.name
    if decoding.mode == "eager" or codec not in CODECS:
        if decoding.mode != "eager":
            logger.info("%s is decoded eagerly: nothing says where decoding can begin", codec)
        return None
    ahead = decoding.mode == "auto"
    return Decoder(stream, max_bytes=decoding.max_bytes, ahead=ahead)


def sei_of(coded: Picture, stream: av.VideoStream, uuid: UUID | None) -> str | None:
    """The ID in a picture's packet, undecoded."""
    context, units = stream.codec_context, coded.unit.sei
    if context.name == "hevc":
        # It may stand behind the picture, too.
        length_size = nal.length_size_of(context.name, context.extradata)
        units = tuple(nal.sei_units(bytes(coded.packet), context.name, length_size))
    return sei.frame_id(units, uuid)


def text_of(error: Exception) -> str:
    """FFmpeg's words for an error, without the URL, which may hold a password."""
    return getattr(error, "strerror", None) or type(error).__name__


def wall_clock(packet: "av.Packet[av.VideoStream]") -> int | None:
    """Microseconds since 1970 UTC by the sender's reports (AVProducerReferenceTime.wallclock)."""
    for data in packet.iter_sidedata():
        if data.data_type == "prft":
            return int(struct.unpack_from("<q", bytes(data))[0])
    return None


def new_epoch() -> str:
    """A name that no connection of any run had: by time, and by chance where clocks go back."""
    return f"{time.time_ns() // 1_000_000:x}{secrets.token_hex(2)}"
