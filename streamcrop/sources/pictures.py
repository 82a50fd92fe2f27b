"""Upright `Pixels` of what FFmpeg decodes."""

from itertools import count
from typing import Any, cast

import av
import av.logging
import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import SideDataContainer

from streamcrop.core.limits import Limits
from streamcrop.core.pixels import ArrayPixels, YuvPixels, oriented_array
from streamcrop.core.runs import MAX_SIDE
from streamcrop.core.values import Pixels
from streamcrop.errors import FormatError, SourceError
from streamcrop.formats import exif
from streamcrop.formats.stills import essential

# By what a still begins with: where its signature stands, and FFmpeg's name of its decoder.
_STILLS = {b"\xff\xd8\xff": (0, "mjpeg"), b"\x89PNG\r\n\x1a\n": (0, "png"), b"WEBP": (8, "webp")}
_BASE64 = "base64 text: publish the bytes themselves"
# What else is sent in their place; each sign, where it stands, and what it is of.
_OTHERS = {
    b"/9j/": (0, _BASE64),
    b"iVBORw": (0, _BASE64),
    b"UklGR": (0, _BASE64),
    b"data:image": (0, _BASE64),
    b"GIF8": (0, "a GIF"),
    b"BM": (0, "a BMP"),
    b"II*\0": (0, "a TIFF"),
    b"MM\0*": (0, "a TIFF"),
    b"ftyp": (4, "AVIF, HEIF or video"),
    b"<": (0, "a page of HTML or XML"),
    b"http": (0, "an address: publish the picture itself"),
}
# Of the WebP container's header.
_EXTENDED, _ANIMATED = b"VP8X", 2
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"
# Broken is refused, not shown with a grey half.
_STRICT = {"err_detect": "explode"}
_MARGIN = 1 << 25
# AVColorSpace (ITU-T H.273 MatrixCoefficients) → `colors.LUMA_WEIGHTS`; 2 is "unspecified".
MATRICES = {1: "bt709", 2: "bt601", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020"}
_FULL_RANGE = 2
_PLANAR = {"yuv420p", "yuvj420p"}
_SEMI_PLANAR = {"nv12": (0, 1), "nv21": (1, 0)}
_UPRIGHT = 1, 0, 0, 1
# By degrees counterclockwise.
_TURNS = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}


def still(data: bytes, limits: Limits | None = None) -> Pixels:
    """The upright pixels of a JPEG, PNG or WebP; the Orientation of its EXIF is applied.

    A file that is cut off, broken or of another kind is refused, and so is one that asks for more
    than its limits, before any pixel is decoded, or has a side that no crop can have.

    Raises:
        FormatError: `corrupt`.
    """
    codec = next((name for sign, (at, name) in _STILLS.items() if data.startswith(sign, at)), None)
    if wrong := _wrong(data, codec):
        raise FormatError(wrong, reason="corrupt")
    assert codec is not None  # noqa: S101  # else that is what is wrong
    decoder = cast("av.VideoCodecContext", av.CodecContext.create(codec, "r"))
    limits = limits or Limits()
    # Its own description is read below; of others a decoder is shown none.
    shown = essential(data, limits)
    # FFmpeg counts them with what lies between its lines, and refuses the largest too early.
    decoder.options = {**_STRICT, "max_pixels": str(2 * limits.picture_pixels + _MARGIN)}
    decoder.thread_count = 1
    try:
        # What FFmpeg says meanwhile is in the error, too.
        with av.logging.Capture():
            [picture] = decoder.decode(av.Packet(shown))
        pixels = pixels_of(picture, exif.orientation(data))
    except av.FFmpegError as error:
        msg = f"no whole picture: {error.strerror}"
        raise FormatError(msg, reason="corrupt") from None
    except (SourceError, ValueError) as error:
        msg = f"no whole picture: {error}"
        raise FormatError(msg, reason="corrupt") from None
    if max(pixels.resolution_wh) > MAX_SIDE:
        msg = f"{picture.width} x {picture.height} is larger than {MAX_SIDE} a side"
        raise FormatError(msg, reason="corrupt")
    return pixels


def _wrong(data: bytes, codec: str | None) -> str | None:
    """The fault that shows before a picture is decoded; None: no fault shows."""
    if codec is None:
        kind = next((name for sign, (at, name) in _OTHERS.items() if data.startswith(sign, at)), "")
        kind = kind if data else "nothing at all"
        return "no JPEG, PNG or WebP" + (f", but {kind}" if kind else "")
    # FFmpeg would show a progressive JPEG that is cut off between two scans.
    if codec == "mjpeg" and data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN):
        return "a JPEG whose end is missing"
    # FFmpeg's decoder knows none.
    if codec == "webp" and data[12:16] == _EXTENDED and any(data[20:21]) and data[20] & _ANIMATED:
        return "an animated WebP; a picture is one"
    return None


def pixels_of(picture: av.VideoFrame, turn: exif.Matrix | None = None) -> Pixels:
    """The upright pixels of a decoded picture.

    8-bit 4:2:0 stays in its planes, which are views of the picture's memory; any other format is
    converted here, once, by FFmpeg.

    Args:
        picture: It.
        turn: How its EXIF has it turned or mirrored; None: as FFmpeg says.

    Raises:
        SourceError: If FFmpeg cannot convert them.
    """
    turn = turn or _display_matrix(picture)
    turn = None if turn == _UPRIGHT else turn
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
        array = _converted(picture)
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
    and OpenCV do. Side data is read by index because that alone works in PyAV 17 to 19.
    """
    try:
        # The picture's own would hold the picture, which holds it: memory for the garbage collector
        # to free, and pages to be cleared anew, 1.5 ms a picture of 1080p.
        side_data = cast("Any", SideDataContainer)(picture)
    except ValueError:
        # PyAV 17 and 18 show nothing where FFmpeg gives a kind that they do not know, such as EXIF,
        # which is read elsewhere.
        return _TURNS.get(picture.rotation % 360)
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
        return (a, b, c, d) if quarter else None
    return None


def _converted(picture: av.VideoFrame) -> npt.NDArray[np.uint8]:
    try:
        return cast("npt.NDArray[np.uint8]", picture.to_ndarray(format="bgr24"))
    except (av.FFmpegError, OSError, ValueError) as error:
        kind = f"{picture.format.name}, matrix {int(picture.colorspace)}"
        msg = f"pictures of the format {kind} cannot be converted: {error}"
        raise SourceError(msg) from None
