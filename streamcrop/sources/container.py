"""Files: anything that FFmpeg opens, and what live sources share with them."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from uuid import UUID

import av
import av.container
from av.codec.context import Flags

from streamcrop.core.values import Frame, Reason
from streamcrop.errors import SourceError
from streamcrop.formats import sei
from streamcrop.sources import Item
from streamcrop.sources.pictures import pixels_of

# A jump in media time that no camera makes; also the pace where there is no media time.
_LARGEST_STEP = 10.0
_DEFAULT_RATE = 25


class FileSource:
    """The frames of a file, in the order in which the decoder hands them out.

    Args:
        path: Of the file.
        realtime: Whether frames come at the pace of their media time.
        loop: Whether the file begins again at its end; the index counts on.
        read_sei: Whether IDs in the bitstream are read.
        sei_uuid: Whose; None: anybody's.

    Iterating yields `Frame`s whose ``frame_id`` is the index from 0, and `Reason.CORRUPT` for a
    picture that could not be decoded. It blocks, so it belongs into a thread; `stop` may be called
    from another.

    Raises:
        SourceError: While iterating, if the file cannot be opened, has no video or breaks off.
    """

    def __init__(
        self,
        path: str,
        *,
        realtime: bool = False,
        loop: bool = False,
        read_sei: bool = False,
        sei_uuid: UUID | None = None,
    ) -> None:
        self._path = path
        self._realtime = realtime
        self._loop = loop
        self._read_sei = read_sei
        self._sei_uuid = sei_uuid
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End the iteration at the next frame."""
        self._stopped.set()

    def __iter__(self) -> Iterator[Item]:
        index = 0
        pace = _Pace(self._stopped) if self._realtime else None
        while True:
            first = index
            for picture in self._pictures():
                if picture is None:
                    yield Reason.CORRUPT
                    continue
                if pace is not None:
                    pace.wait(picture)
                if self._stopped.is_set():
                    return
                if picture.is_corrupt:
                    yield Reason.CORRUPT
                else:
                    yield Frame(
                        str(index),
                        pixels_of(picture),
                        picture.pts,
                        picture.time_base,
                        sei=cast("str | None", picture.opaque),
                    )
                index += 1
            if index == first:
                msg = f"{self._path}: no picture in it can be decoded"
                raise SourceError(msg)
            if not self._loop:
                return

    def _pictures(self) -> Iterator[av.VideoFrame | None]:
        """Decode the file once; None for a packet that cannot be decoded."""
        if Path(self._path).exists() and not Path(self._path).is_file():
            # FFmpeg would wait for a pipe for ever, and nobody could stop it.
            msg = f"{self._path}: is no file"
            raise SourceError(msg)
        try:
            container = av.open(self._path)
        except (av.FFmpegError, OSError) as error:
            msg = f"{self._path}: cannot be opened as a video: {text_of(error)}"
            raise SourceError(msg) from None
        with container:
            stream = video_of(container, self._path)
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets)
                except StopIteration:
                    return
                except av.FFmpegError as error:
                    msg = f"{self._path}: breaks off: {text_of(error)}"
                    raise SourceError(msg) from None
                if self._read_sei:
                    packet.opaque = sei_of(packet, stream, self._sei_uuid)
                try:
                    yield from packet.decode()
                except av.FFmpegError:
                    yield None


class _Pace:
    """Waits until a picture's turn, by its media time where that goes on steadily."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._start = time.monotonic()
        self._media = 0.0
        self._last: float | None = None

    def wait(self, picture: av.VideoFrame) -> None:
        now = cast("float | None", picture.time)  # None without a pts, whatever the stubs say
        step = 0.0 if self._last is None or now is None else now - self._last
        if self._last is not None and not 0 < step < _LARGEST_STEP:
            step = 1 / _DEFAULT_RATE
        self._last = self._media if now is None else now
        self._media += step
        self._stopped.wait(max(0, self._start + self._media - time.monotonic()))


def video_of(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """The video to read, set up so that each picture has its packet's ``opaque``.

    Raises:
        SourceError: If there is none.
    """
    # Not simply the first: a cover picture may stand before the video.
    stream = cast("av.VideoStream | None", container.streams.best("video"))
    if stream is None:
        msg = f"{name}: there is no video in it"
        raise SourceError(msg)
    stream.codec_context.flags |= Flags.copy_opaque
    return stream


def sei_of(
    packet: "av.Packet[av.VideoStream]", stream: av.VideoStream, uuid: UUID | None
) -> str | None:
    """The ID in a packet, undecoded."""
    context = stream.codec_context
    length_size = sei.length_size_of(context.name, context.extradata)
    return sei.frame_id(bytes(packet), context.name, length_size, uuid)


def text_of(error: Exception) -> str:
    """What FFmpeg says, without the URL, which may hold a password."""
    return getattr(error, "strerror", None) or type(error).__name__
