"""Crops to bytes: a row an encoding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import simplejpeg

from streamcrop.core.values import Bgr, Planes
from streamcrop.errors import FormatError


class Picture(Protocol):
    """A picture that can be written: a `Crop`, or `Pixels`."""

    @property
    def resolution_wh(self) -> tuple[int, int]:
        """``(width, height)`` in pixels."""
        ...

    def bgr(self) -> Bgr:
        """See `Pixels`."""
        ...

    def jfif(self) -> Planes | None:
        """See `Pixels`."""
        ...


Write = Callable[[Picture, int], bytes | None]


@dataclass(frozen=True, slots=True)
class Encoding:
    """How an image is written.

    Attributes:
        content_type: The media type of the bytes.
        suffix: Of a file's name, with the dot.
        write: Writes a picture in a quality from 1 to 100; None if it cannot hold the picture.
        max_side: In pixels; libjpeg's, libwebp's, and libpng's by default.
    """

    content_type: str
    suffix: str
    write: Write
    max_side: int


def encode(picture: Picture, encoding: str, quality: int) -> bytes:
    """Write an image.

    Args:
        picture: The image. Not modified.
        encoding: A key of `ENCODINGS`. PNG is lossless and takes no quality.
        quality: 1 to 100; of a JPEG, libjpeg's.

    Raises:
        FormatError: `encoding_failed`, if the encoder refuses: WebP ends at 16,383 px a side.

    Example:
        >>> from streamcrop.core.pixels import ArrayPixels
        >>> import numpy as np
        >>> encode(ArrayPixels(np.zeros((2, 2, 3), np.uint8)), "png", 90)[1:4]
        b'PNG'
    """
    # Asked for more, OpenCV writes lines to the standard error.
    width, height = picture.resolution_wh
    fits = max(width, height) <= ENCODINGS[encoding].max_side
    data = ENCODINGS[encoding].write(picture, quality) if fits else None
    if data is None:
        msg = f"{encoding} cannot hold an image of {width} x {height}"
        raise FormatError(msg, reason="encoding_failed")
    return data


def _opencv(suffix: str, *quality_flag: int) -> Write:
    def write(picture: Picture, quality: int) -> bytes | None:
        bgr, params = picture.bgr(), [value for flag in quality_flag for value in (flag, quality)]
        try:
            done, data = cv2.imencode(suffix, bgr, params)
        except cv2.error:
            return None
        return data.tobytes() if done else None

    return write


_bgr_to_jpeg = _opencv(".jpg", cv2.IMWRITE_JPEG_QUALITY)


def _jpeg(picture: Picture, quality: int) -> bytes | None:
    """From the planes where there are any, without BGR."""
    planes = picture.jfif()
    if planes is None:
        return _bgr_to_jpeg(picture, quality)
    (y, u, v), (width, height) = planes, picture.resolution_wh
    # It reads luma in pairs of rows and columns, to the end of the last one.
    data: bytes = simplejpeg.encode_jpeg_yuv_planes(y[:height, :width], u, v, quality)
    return data


ENCODINGS = {
    "jpeg": Encoding("image/jpeg", ".jpg", _jpeg, 65_500),
    "png": Encoding("image/png", ".png", _opencv(".png"), 1_000_000),
    "webp": Encoding("image/webp", ".webp", _opencv(".webp", cv2.IMWRITE_WEBP_QUALITY), 16_383),
}
