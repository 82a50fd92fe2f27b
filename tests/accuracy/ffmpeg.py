"""FFmpeg's reading of an RTSP stream: the same library as the node's, in another session."""

import argparse
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any

import av
from accuracy import pattern
from accuracy.publisher import Seen
from av.codec.context import Flags

_UUID = b"picture-number:)"
# Two packets whose capture times fit their media times so well belong to one clock.
_AGREE = 0.001
_Key = dict[str, Any] | None


def time_text(seconds: float) -> str:
    """Seconds since 1970 UTC as RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


class CaptureTime:
    """When a packet's picture was taken, from FFmpeg's ``prft``, and its media time.

    The first packet behind a sender report may carry its neighbour's time, so a clock is believed
    once two packets in a row agree on it.

    Args:
        media_time: Whether the media time is said.
    """

    def __init__(self, *, media_time: bool) -> None:
        self._media_time = media_time
        self._offset: float | None = None

    def __call__(self, packet: av.Packet) -> _Key:
        """None where the time is not to be trusted."""
        data = [bytes(d) for d in packet.iter_sidedata() if d.data_type == "prft"]
        if not data or packet.pts is None:
            self._offset = None
            return None
        microseconds = struct.unpack("<q", data[0][:8])[0]
        offset = microseconds / 1e6 - float(packet.pts * packet.time_base)
        before, self._offset = self._offset, offset
        if before is None or abs(offset - before) > _AGREE:
            return None
        also = _media_time(packet) if self._media_time else None
        return {"captured_at": time_text(microseconds / 1e6), **(also or {})}


def _media_time(packet: av.Packet) -> _Key:
    if packet.pts is None:
        return None
    return {"pts": packet.pts, "time_base": str(packet.time_base)}


# What a message says of a picture, by key: made of its packet, or of its SEI (None).
_KEYS: dict[str, Callable[[bool], Callable[[av.Packet], _Key] | None]] = {
    "utc": lambda media_time: CaptureTime(media_time=media_time),
    "pts": lambda _: _media_time,
    "arrival": lambda _: lambda _: {"captured_at": time_text(time.time())},
    "sei": lambda _: None,
}
KEYS = tuple(_KEYS)


def _name(picture: av.VideoFrame) -> str:
    """The name in the picture's bitstream; empty where there is none."""
    for at in count():
        try:
            data = picture.side_data[at]  # by index, which alone works in all versions of PyAV
        except IndexError:
            return ""
        if data.type.name == "SEI_UNREGISTERED" and bytes(data).startswith(_UUID):
            return bytes(data)[len(_UUID) :].decode()
    raise AssertionError


def _pictures(options: argparse.Namespace) -> Iterator[tuple[av.VideoFrame, str, _Key]]:
    """Decode until the stream ends; with each picture its name and its key."""
    how = {"rtsp_transport": options.transport}
    with av.open(options.url, options=how, timeout=5) as container:
        stream = container.streams.video[0]
        stream.codec_context.flags |= Flags.copy_opaque
        key_of = _KEYS[options.key](options.media_time)
        for packet in container.demux(stream):
            packet.opaque = key_of(packet) if key_of else None
            with suppress(av.InvalidDataError):
                for picture in packet.decode():
                    name = _name(picture)
                    yield picture, name, picture.opaque if key_of else {"frame_id": name}


def _fits(options: argparse.Namespace, name: str, number: int) -> bool:
    """Whether the pixels say what the bitstream says."""
    if options.names:
        return name == pattern.counted(number, options.names)
    return options.unnamed or name.rpartition("-")[2] == str(number)


def read(options: argparse.Namespace) -> Iterator[Seen | None]:
    """What is beyond doubt, until the stream ends; None for another picture.

    That is where the number in the pixels is the one in the picture's own bitstream: after a loss
    a decoder shows old pixels under a new name.
    """
    with suppress(av.FFmpegError):
        for picture, name, key in _pictures(options):
            grey = picture.to_ndarray(format="gray")
            number = pattern.read_picture(grey)
            if key is None or number is None or not _fits(options, name, number):
                yield None
            else:
                yield Seen(number, (grey.shape[1], grey.shape[0]), key)
