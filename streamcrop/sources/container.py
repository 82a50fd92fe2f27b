"""Frames of anything that FFmpeg opens. For now: files."""

import logging
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, cast

import av
import av.container
import numpy as np
import numpy.typing as npt

from streamcrop.core.pixels import ArrayPixels, YuvPixels, oriented_array
from streamcrop.core.values import Frame, Pixels, Reason
from streamcrop.errors import SourceError

logger = logging.getLogger(__name__)

# AVColorSpace (ITU-T H.273 MatrixCoefficients) → `pixels.LUMA_WEIGHTS`; 2 is "unspecified".
MATRICES = {1: "bt709", 2: "bt601", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020"}
_FULL_RANGE = 2
_PLANAR = {"yuv420p", "yuvj420p"}
_SEMI_PLANAR = {"nv12": (0, 1), "nv21": (1, 0)}
# A jump in media time that no camera makes; also the pace where there is no media time.
_LARGEST_STEP = 10.0
_DEFAULT_RATE = 25


class FileSource:
    """The frames of a file, in the order in which the decoder hands them out.

    Args:
        path: Of the file.
        realtime: Whether frames come at the pace of their media time.
        loop: Whether the file begins again at its end; the index counts on.

    Iterating yields `Frame`s whose ``frame_id`` is the index from 0, and `Reason.CORRUPT` for a
    picture that could not be decoded. It blocks, so it belongs into a thread; `stop` may be called
    from another.

    Raises:
        SourceError: While iterating, if the file cannot be opened, has no video or breaks off.
    """

    def __init__(self, path: str, *, realtime: bool = False, loop: bool = False) -> None:
        self._path = path
        self._realtime = realtime
        self._loop = loop
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End the iteration at the next frame."""
        self._stopped.set()

    def __iter__(self) -> Iterator[Frame | Reason]:
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
                    yield Frame(str(index), self._pixels(picture), picture.pts, picture.time_base)
                index += 1
            if index == first:
                msg = f"{self._path}: no picture in it can be decoded"
                raise SourceError(msg)
            if not self._loop:
                return

    def _pixels(self, picture: av.VideoFrame) -> Pixels:
        try:
            return pixels_of(picture)
        except (av.FFmpegError, OSError, ValueError) as error:
            kind = f"{picture.format.name}, matrix {int(picture.colorspace)}"
            msg = f"{self._path}: its pictures ({kind}) cannot be converted: {_text(error)}"
            raise SourceError(msg) from None

    def _pictures(self) -> Iterator[av.VideoFrame | None]:
        """Decode the file once; None for a packet that cannot be decoded."""
        if Path(self._path).exists() and not Path(self._path).is_file():
            # FFmpeg would wait for a pipe for ever, and nobody could stop it.
            msg = f"{self._path}: is no file"
            raise SourceError(msg)
        try:
            container = av.open(self._path)
        except (av.FFmpegError, OSError) as error:
            msg = f"{self._path}: cannot be opened as a video: {_text(error)}"
            raise SourceError(msg) from None
        with container:
            # Not simply the first: a cover picture may stand before the video.
            stream = cast("av.VideoStream | None", container.streams.best("video"))
            if stream is None:
                msg = f"{self._path}: there is no video in it"
                raise SourceError(msg)
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets)
                except StopIteration:
                    return
                except av.FFmpegError as error:
                    msg = f"{self._path}: breaks off: {_text(error)}"
                    raise SourceError(msg) from None
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


def pixels_of(picture: av.VideoFrame) -> Pixels:
    """The upright pixels of a decoded picture.

    8-bit 4:2:0 stays in its planes, which are views of the picture's memory; any other format is
    converted here, once, by FFmpeg.
    """
    turn = _display_matrix(picture)
    name = picture.format.name
    matrix = MATRICES.get(int(picture.colorspace))
    full_range = name == "yuvj420p" or int(picture.color_range) == _FULL_RANGE
    if matrix and name in _PLANAR:
        y, u, v = (_plane(plane, 1) for plane in picture.planes)
    elif matrix and name in _SEMI_PLANAR:
        y, interleaved = _plane(picture.planes[0], 1), _plane(picture.planes[1], 2)
        chroma = interleaved.reshape(len(interleaved), -1, 2)
        u, v = (chroma[:, :, at] for at in _SEMI_PLANAR[name])
    else:
        array = cast("npt.NDArray[np.uint8]", picture.to_ndarray(format="bgr24"))
        return ArrayPixels(oriented_array(array, turn) if turn else array)
    yuv = YuvPixels(y, u, v, matrix=matrix, full_range=full_range)
    return yuv.oriented(turn) if turn else yuv


def _plane(plane: "av.video.plane.VideoPlane", samples: int) -> npt.NDArray[np.uint8]:
    # PyAV's planes are buffers, which its stubs do not say.
    rows: npt.NDArray[np.uint8] = np.frombuffer(cast("bytes", plane), np.uint8)
    return rows.reshape(-1, plane.line_size)[: plane.height, : plane.width * samples]


def _display_matrix(picture: av.VideoFrame) -> tuple[int, int, int, int] | None:
    """How the picture is to be turned or mirrored; None if it is upright.

    The first two columns of the matrix of ISO/IEC 14496-12, 6.2.2: quarter turns only, as players
    and OpenCV do. Side data is read by index because that alone works in PyAV 16 to 19.
    """
    side_data = cast("Any", picture.side_data)
    for at in count():
        try:
            data = side_data[at]
        except IndexError:
            break
        if data.type.name != "DISPLAYMATRIX":
            continue
        entries = np.sign(np.frombuffer(data, np.int32)[:9].astype(np.int64)).reshape(3, 3)
        a, b, c, d = (int(entries[row, column]) for row in (0, 1) for column in (0, 1))
        quarter = (a == d == 0 and b and c) or (b == c == 0 and a and d)
        return (a, b, c, d) if quarter and (a, d) != (1, 1) else None
    return None


def _text(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
