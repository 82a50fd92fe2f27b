"""Crops to bytes: a row an encoding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from streamcrop.errors import FormatError


@dataclass(frozen=True, slots=True)
class Encoding:
    """How an image is written.

    Attributes:
        content_type: The media type of the bytes.
        suffix: Of a file's name, with the dot.
        params: OpenCV's parameters for a quality from 1 to 100.
    """

    content_type: str
    suffix: str
    params: Callable[[int], list[int]]


ENCODINGS = {
    "jpeg": Encoding("image/jpeg", ".jpg", lambda quality: [cv2.IMWRITE_JPEG_QUALITY, quality]),
    "png": Encoding("image/png", ".png", lambda _: []),
    "webp": Encoding("image/webp", ".webp", lambda quality: [cv2.IMWRITE_WEBP_QUALITY, quality]),
}


def encode(image: npt.NDArray[np.uint8], encoding: str, quality: int) -> bytes:
    """Write an image.

    Args:
        image: ``(h, w, 3)`` uint8 BGR. Not modified.
        encoding: A key of `ENCODINGS`. PNG is lossless and takes no quality.
        quality: 1 to 100.

    Raises:
        FormatError: `encoding_failed`, if the encoder refuses: WebP ends at 16,383 px a side.

    Example:
        >>> encode(np.zeros((2, 2, 3), np.uint8), "png", 90)[1:4]
        b'PNG'
    """
    chosen = ENCODINGS[encoding]
    try:
        done, data = cv2.imencode(chosen.suffix, image, chosen.params(quality))
    except cv2.error as error:
        raise _failed(encoding, image) from error
    if not done:
        raise _failed(encoding, image)
    return data.tobytes()


def _failed(encoding: str, image: npt.NDArray[Any]) -> FormatError:
    height, width = image.shape[:2]
    msg = f"{encoding} cannot hold an image of {width} x {height}"
    return FormatError(msg, reason="encoding_failed")
