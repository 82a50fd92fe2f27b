"""Files: anything that FFmpeg opens, and what live sources share with them."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from copy import copy
from fractions import Fraction
from heapq import heappop, heappush
from pathlib import Path
from typing import NamedTuple, cast
from uuid import UUID

import av
import av.container
import av.logging

from streamcrop.core.damage import Damage
from streamcrop.core.values import Frame, Note, Pixels, Reason
from streamcrop.errors import SourceError
from streamcrop.sources import Item, hardware
from streamcrop.sources.begin import Begin
from streamcrop.sources.codec import Codec, Shown, heed_log, take
from streamcrop.sources.decoding import EAGER, Decoder, Decoding
from streamcrop.sources.packets import Parts, Picture, pictures, without_marks
from streamcrop.sources.streams import decoder_of, sei_of, text_of, video_of

logger = logging.getLogger(__name__)

# A jump in media time that no camera makes; also the pace where there is no media time.
_LARGEST_STEP = 10.0
_DEFAULT_RATE = 25
# By so many pictures at most may one come later than those that are shown after it (H.264, A.3.1).
_REORDERED = 16


class _Tag(NamedTuple):
    """The tag that a packet gives its picture; it travels through the decoder with it."""

    pts: int | None
    time_base: Fraction | None
    sei: str | None
    hidden: bool


_Tagged = tuple[Picture, _Tag]


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
        self._first = 0
        self._length: int | None = None
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End the iteration at the next frame."""
        self._stopped.set()

    def again(self, last: Frame | None) -> "FileSource":
        """See `BlockingSource.again`; goes on behind the last frame."""
        other = copy(self)
        other._stopped = threading.Event()  # noqa: SLF001  # one of us
        other._first = 0 if last is None else int(last.frame_id) + 1  # noqa: SLF001  # as above
        return other

    def __iter__(self) -> Iterator[Item]:
        # Whole rounds before the first frame need not be read again.
        index = self._first - self._first % self._length if self._length else 0
        heed_log()
        self._device = hardware.device_of(self._decoding.hwaccel)
        pace: _Pace | None = None
        while True:
            first = index
            for picture in self._pictures():
                if index < self._first and not self._stopped.is_set():
                    # It was handed out before.
                    index += isinstance(picture, _Picture)
                    continue
                if not isinstance(picture, _Picture):
                    yield picture
                    continue
                if self._realtime:
                    pace = pace or _Pace(self._stopped)
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
            self._length = index - first

    def _pictures(self) -> Iterator[_Picture | Reason | Note]:
        """Read the file once; a reason for a packet that cannot be decoded."""
        exists = Path(self._path).exists()
        if exists and not Path(self._path).is_file():
            # FFmpeg would wait for a pipe for ever, and nobody could stop it.
            msg = f"{self._path}: is no file"
            raise SourceError(msg)
        try:
            # Else FFmpeg takes `cam:1.mp4` for a protocol, and a picture's name that has `%d` for
            # those of a sequence.
            options = {"pattern_type": "none"} if exists else {}
            with av.logging.Capture() as log:
                container = av.open(
                    f"file:{self._path}",
                    options=options,
                    hwaccel=self._device,
                    metadata_errors="replace",
                )
        except (av.FFmpegError, OSError) as error:
            msg = f"{self._path}: cannot be opened as a video: {text_of(error)}"
            raise SourceError(msg) from None
        with container:
            stream = video_of(container, self._path)
            self._device = hardware.kept(self._device, stream)
            decoder = decoder_of(stream, self._decoding)
            packets = without_marks(self._packets(container, stream), log)
            tagged = (
                (coded, self._tag(coded, stream))
                for coded in pictures(packets, stream, Parts(hurry=False))
            )
            if decoder is None:
                yield from self._decoded(tagged, Codec(stream.codec_context, begun=True))
            else:
                yield from self._undecoded(tagged, decoder, stream.codec_context.name)

    def _packets(
        self, container: av.container.InputContainer, stream: av.VideoStream
    ) -> "Iterator[av.Packet[av.VideoStream]]":
        # What is said of other things than pictures is nobody's concern.
        with av.logging.Capture() as log:
            try:
                for packet in container.demux(stream):
                    log.clear()
                    if packet.size:
                        yield packet
            except av.FFmpegError as error:
                msg = f"{self._path}: breaks off: {text_of(error)}"
                raise SourceError(msg) from None

    def _decoded(
        self, packets: Iterable[_Tagged], codec: Codec
    ) -> Iterator[_Picture | Reason | Note]:
        begin, number = Begin(codec.context.name), 0
        for number, (coded, tag) in enumerate(packets):
            begin.came(tag.pts)
            for shown in codec.decode(number, coded, tag):
                yield from _as_picture(shown)
                yield from begin.notes(shown)
        for shown in codec.decode(number + 1, None):
            yield from _as_picture(shown)
            yield from begin.notes(shown)

    def _undecoded(
        self, packets: Iterable[_Tagged], decoder: Decoder, codec: str
    ) -> Iterator[_Picture]:
        """In the order of presentation: by media time, which packets are not sorted by."""
        held: list[tuple[int, int, bool, Pixels, _Tag]] = []
        damage, time_ = Damage(), 0
        for number, (coded, tag) in enumerate(packets):
            key, pixels = take(damage, number, codec, coded), decoder.add(coded)
            # No picture is shown after one of a later group; there time may begin again.
            while held and (pixels.index == 0 or len(held) > _REORDERED):
                yield from _shown(damage, heappop(held))
            time_ = time_ if tag.pts is None else tag.pts
            heappush(held, (time_, number, key, pixels, tag))
        while held:
            yield from _shown(damage, heappop(held))

    def _tag(self, coded: Picture, stream: av.VideoStream) -> _Tag:
        found = sei_of(coded, stream, self._sei_uuid) if self._read_sei else None
        return _Tag(coded.packet.pts, coded.packet.time_base, found, coded.hidden)


def _shown(damage: Damage, held: tuple[int, int, bool, Pixels, _Tag]) -> tuple[_Picture, ...]:
    """A picture in its turn; none where it is hidden."""
    _, number, key, pixels, tag = held
    whole = damage.shown(number, key=key)
    if tag.hidden:
        return ()
    return (_Picture(pixels if whole else None, tag.pts, tag.time_base, tag.sei),)


def _as_picture(shown: Shown) -> Iterator[_Picture | Reason]:
    picture, tag = shown.picture, cast("_Tag", shown.tag)
    if picture is None:
        yield Reason.CORRUPT
    elif not tag.hidden:
        yield _Picture(shown.pixels(), picture.pts, tag.time_base, tag.sei)


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
