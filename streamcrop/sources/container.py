"""Files: anything that FFmpeg opens, and what live sources share with them."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from heapq import heappop, heappush
from pathlib import Path
from typing import NamedTuple, cast
from uuid import UUID

import av
import av.container
from av.codec.context import Flags

from streamcrop.core.values import Frame, Pixels, Reason
from streamcrop.errors import SourceError
from streamcrop.formats import nal, sei
from streamcrop.sources import Item, hardware
from streamcrop.sources.decoding import CODECS, EAGER, Decoder, Decoding
from streamcrop.sources.pictures import pixels_of

logger = logging.getLogger(__name__)

# A jump in media time that no camera makes; also the pace where there is no media time.
_LARGEST_STEP = 10.0
_DEFAULT_RATE = 25
# By so many pictures at most may one come later than those that are shown after it (H.264, A.3.1).
_REORDERED = 16


class _Picture(NamedTuple):
    """A picture of a file; without pixels where it is damaged."""

    pixels: Pixels | None
    pts: int | None
    time_base: Fraction | None
    sei: str | None


class FileSource:
    """The frames of a file, in the order of presentation.

    Args:
        path: Of the file.
        realtime: Whether frames come at the pace of their media time.
        loop: Whether the file begins again at its end; the index counts on.
        read_sei: Whether IDs in the bitstream are read.
        sei_uuid: Whose; None: anybody's.
        decoding: When and where pictures are decoded.

    Iterating yields `Frame`s whose ``frame_id`` is the index from 0, and `Reason.CORRUPT` for a
    picture that could not be decoded. Decoded lazily, each packet counts, so that the index is a
    name and no more. It blocks, so it belongs into a thread; `stop` may be called from another.

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
        decoding: Decoding = EAGER,
    ) -> None:
        self._path = path
        self._realtime = realtime
        self._loop = loop
        self._read_sei = read_sei
        self._sei_uuid = sei_uuid
        self._decoding = decoding
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End the iteration at the next frame."""
        self._stopped.set()

    def __iter__(self) -> Iterator[Item]:
        index = 0
        self._device = hardware.device_of(self._decoding.hwaccel)
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
                if picture.pixels is None:
                    yield Reason.CORRUPT
                else:
                    pts, time_base = picture.pts, picture.time_base
                    yield Frame(str(index), picture.pixels, pts, time_base, sei=picture.sei)
                index += 1
            if index == first:
                msg = f"{self._path}: no picture in it can be decoded"
                raise SourceError(msg)
            if not self._loop:
                return

    def _pictures(self) -> Iterator[_Picture | None]:
        """Read the file once; None for a packet that cannot be decoded."""
        exists = Path(self._path).exists()
        if exists and not Path(self._path).is_file():
            # FFmpeg would wait for a pipe for ever, and nobody could stop it.
            msg = f"{self._path}: is no file"
            raise SourceError(msg)
        try:
            # Else FFmpeg takes `cam:1.mp4` for a protocol, and a picture's name that has `%d` for
            # those of a sequence.
            options = {"pattern_type": "none"} if exists else {}
            container = av.open(f"file:{self._path}", options=options, hwaccel=self._device)
        except (av.FFmpegError, OSError) as error:
            msg = f"{self._path}: cannot be opened as a video: {text_of(error)}"
            raise SourceError(msg) from None
        with container:
            stream = video_of(container, self._path)
            self._device = hardware.kept(self._device, stream)
            decoder = decoder_of(stream, self._decoding)
            packets = self._packets(container, stream)
            if decoder is None:
                yield from self._decoded(packets, stream)
            else:
                yield from self._undecoded(packets, stream, decoder)

    def _packets(
        self, container: av.container.InputContainer, stream: av.VideoStream
    ) -> "Iterator[av.Packet[av.VideoStream]]":
        try:
            yield from container.demux(stream)
        except av.FFmpegError as error:
            msg = f"{self._path}: breaks off: {text_of(error)}"
            raise SourceError(msg) from None

    def _decoded(
        self, packets: "Iterable[av.Packet[av.VideoStream]]", stream: av.VideoStream
    ) -> Iterator[_Picture | None]:
        for packet in packets:
            # In a tuple of its own: PyAV knows an opaque object by its address.
            packet.opaque = (self._sei_in(packet, stream),)
            try:
                pictures = packet.decode()
            except av.FFmpegError:
                yield None
                continue
            for picture in pictures:
                (found,) = cast("tuple[str | None]", picture.opaque)
                pixels = None if picture.is_corrupt else pixels_of(picture)
                yield _Picture(pixels, picture.pts, picture.time_base, found)

    def _undecoded(
        self,
        packets: "Iterable[av.Packet[av.VideoStream]]",
        stream: av.VideoStream,
        decoder: Decoder,
    ) -> Iterator[_Picture]:
        """In the order of presentation: by media time, which packets are not sorted by."""
        held: list[tuple[int, int, _Picture]] = []
        begun, time_ = False, 0
        for number, packet in enumerate(packets):
            if not packet.size:
                continue
            begun = begun or packet.is_keyframe
            found, pixels = self._sei_in(packet, stream), decoder.add(packet)
            # No picture is shown after one of a later group; there time may begin again.
            while held and (pixels.index == 0 or len(held) > _REORDERED):
                yield heappop(held)[2]
            time_ = time_ if packet.pts is None else packet.pts
            shown = _Picture(pixels if begun else None, packet.pts, packet.time_base, found)
            heappush(held, (time_, number, shown))
        while held:
            yield heappop(held)[2]

    def _sei_in(self, packet: "av.Packet[av.VideoStream]", stream: av.VideoStream) -> str | None:
        return sei_of(packet, stream, self._sei_uuid) if self._read_sei else None


class _Pace:
    """Waits until a picture's turn, by its media time where that goes on steadily."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._start = time.monotonic()
        self._media = 0.0
        self._last: float | None = None

    def wait(self, picture: _Picture) -> None:
        now = None
        if picture.pts is not None and picture.time_base is not None:
            now = float(picture.pts * picture.time_base)
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
    # The stream's own: FFmpeg's others win nothing where several streams share the cores, and what
    # the decoder misses is said in the thread that decodes.
    stream.codec_context.thread_count = 1
    return stream


def decoder_of(
    stream: av.VideoStream, decoding: Decoding, *, strict: bool = False
) -> Decoder | None:
    """What decodes a stream's packets on demand; None where they are decoded as they come."""
    codec = stream.codec_context.name
    if decoding.mode == "eager" or codec not in CODECS:
        if decoding.mode != "eager":
            logger.info("%s is decoded eagerly: nothing says where decoding can begin", codec)
        return None
    ahead = decoding.mode == "auto"
    return Decoder(stream, max_bytes=decoding.max_bytes, ahead=ahead, strict=strict)


def sei_of(
    packet: "av.Packet[av.VideoStream]", stream: av.VideoStream, uuid: UUID | None
) -> str | None:
    """The ID in a packet, undecoded."""
    context = stream.codec_context
    length_size = nal.length_size_of(context.name, context.extradata)
    return sei.frame_id(bytes(packet), context.name, length_size, uuid)


def text_of(error: Exception) -> str:
    """What FFmpeg says, without the URL, which may hold a password."""
    return getattr(error, "strerror", None) or type(error).__name__
