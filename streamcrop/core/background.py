"""How crops are made, and what lies outside the mask: colour and opacity."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from operator import index
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from streamcrop.core.shape import Border, Fit, Shape, Upright
from streamcrop.core.values import Planes

ColorLike = str | Sequence[int]

_HEX = re.compile(
    r"#(?:([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})|([0-9a-f])([0-9a-f])([0-9a-f]))", re.IGNORECASE
)
_FULL_SCALE = 255


@dataclass(frozen=True, slots=True)
class CropOptions:
    """How crops are made; checked when built.

    Args:
        mask_opacity: 0 leaves a crop as it is; 1 replaces what lies outside the mask by the
            background colour; between, the two are blended.
        background_color: ``"#431112"``, ``"#fff"``, ``"(128, 32, 64)"`` or three integers, RGB.
        margin: By how much the box grows on each side: a part of it as 0.1, or ``"12px"``; or four
            of them, left, top, right, bottom.
        aspect: Width / height, as 1 or ``"4:3"``, until which the box then grows around its centre.
        min_side: Pixels of the image to which each side of the box then grows around its centre.
        border: Of what lies outside the image: ``clip`` cuts it off, ``constant`` fills it,
            ``replicate`` repeats the image's edge.
        size: ``[width, height]`` of the crop in pixels.
        fit: Of the box into the size: ``letterbox`` fills the sides, ``stretch`` does not.
        fill: The colour that fills, in the forms of ``background_color``.
        upright: Turns oriented boxes: ``nearest`` by the smallest angle, or true; ``long`` so that
            the longer side lies; ``corners`` so that the first corner is top left.
        align: Brings keypoints to their places: ``{"template": "face"}``, ``{"points": {name: [x,
            y]}, "size": ...}``, or four to the corners of the crop: ``{"quad": [name, name, name,
            name], "size": ...}``, top left first, clockwise.

    Raises:
        ValueError: For an option that is none; its text says what was expected.

    Example:
        >>> CropOptions(1.0, "#ff8000").bgr
        (0, 128, 255)
    """

    mask_opacity: float = 0.0
    background_color: ColorLike = "#000000"
    margin: float | str | Sequence[float | str] = 0
    aspect: float | str | None = None
    min_side: float | None = None
    border: Border = "clip"
    size: Sequence[int] | None = None
    fit: Fit = "letterbox"
    fill: ColorLike = "#727272"
    upright: bool | Upright = False
    align: Mapping[str, Any] | None = None
    # Made of these: None where a crop is its box, cut out.
    shape: Shape | None = field(init=False, repr=False, compare=False)
    fill_bgr: tuple[int, int, int] = field(init=False, repr=False)
    bgr: tuple[int, int, int] = field(init=False, repr=False)
    table: npt.NDArray[np.uint8] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        is_number = isinstance(self.mask_opacity, Real) and not isinstance(self.mask_opacity, bool)
        if not is_number or not 0 <= self.mask_opacity <= 1:
            msg = f"mask_opacity must be a number from 0 to 1, not {self.mask_opacity!r}"
            raise ValueError(msg)
        red, green, blue = parse_color(self.background_color)
        object.__setattr__(self, "bgr", (blue, green, red))
        object.__setattr__(self, "fill_bgr", parse_color(self.fill, "fill")[::-1])
        words = ("margin", "aspect", "min_side", "border", "size", "fit", "upright", "align")
        shape = Shape.of({name: getattr(self, name) for name in words})
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "table", _blend_table(self.bgr, self.mask_opacity))


def parse_color(color: ColorLike, name: str = "background_color") -> tuple[int, int, int]:
    """Read an RGB colour.

    Args:
        color: In one of the forms that `CropOptions` takes.
        name: Of the option, for the error.

    Raises:
        ValueError: If it has none of the known forms or a channel is outside 0..255.

    Example:
        >>> parse_color("#fff"), parse_color("(128, 32, 64)"), parse_color([18, 17, 67])
        ((255, 255, 255), (128, 32, 64), (18, 17, 67))
    """
    try:
        if isinstance(color, str):
            text = color.strip()
            if match := _HEX.fullmatch(text):
                digits = [group for group in match.groups() if group]
                channels = [int(group * (2 // len(group)), 16) for group in digits]
            elif text.startswith("(") and text.endswith(")"):
                channels = [int(channel) for channel in text[1:-1].split(",")]
            else:
                raise ValueError  # noqa: TRY301  # one message for all forms, below
        else:
            channels = [index(channel) for channel in color]
        red, green, blue = channels
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} {color!r} is no colour: write '#431112', '#fff', '(128, 32, 64)' "
            "or three integers, RGB"
        ) from None
    if not all(0 <= channel <= _FULL_SCALE for channel in channels):
        raise ValueError(f"{name} {color!r}: each channel must be from 0 to 255")
    return red, green, blue


def _blend_table(bgr: tuple[int, int, int], opacity: float) -> npt.NDArray[np.uint8]:
    """``round(background * a + pixel * (1 - a))`` in float32 for each channel and pixel value."""
    pixel = np.arange(256, dtype=np.float32)[:, None]
    alpha = np.float32(opacity)
    blended = np.array(bgr, np.float32) * alpha + pixel * (np.float32(1) - alpha)
    return np.rint(blended).astype(np.uint8)[None]


def remove_background(
    image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8], options: CropOptions
) -> npt.NDArray[np.uint8]:
    """Blend everything outside the mask with the background colour.

    Args:
        image: ``(h, w, 3)`` uint8 BGR. Not modified.
        mask: ``(h, w)`` uint8, not 0 inside the object.
        options: Opacity and colour.

    Returns:
        A new ``(h, w, 3)`` image: inside the mask the pixels of ``image``, outside it
        ``round(background * a + pixel * (1 - a))`` in float32.

    Example:
        >>> image, mask = np.full((1, 2, 3), 200, np.uint8), np.array([[1, 0]], np.uint8)
        >>> remove_background(image, mask, CropOptions(0.5, "#ffffff"))[0].tolist()
        [[200, 200, 200], [228, 228, 228]]
    """
    if options.mask_opacity == 1:
        outside: npt.NDArray[Any] = np.zeros(image.shape, np.uint8)
        if any(options.bgr):
            # Row by row is a memcpy; pixel by pixel costs 30 times as much.
            rows = outside.reshape(len(image), -1)
            rows[:] = np.tile(np.array(options.bgr, np.uint8), image.shape[1])
    else:
        outside = cv2.LUT(np.ascontiguousarray(image), options.table)
    return cast("npt.NDArray[np.uint8]", cv2.copyTo(image, mask, outside))


def remove_background_of_planes(
    planes: Planes, mask: npt.NDArray[np.uint8], options: CropOptions
) -> Planes:
    """`remove_background` for a picture as a JPEG stores it, within a level.

    Chroma at the mask's edge is blended by how many of its pixels the mask covers: what an encoder
    makes of the blended BGR.

    Args:
        planes: See `Pixels.jfif`. Not modified.
        mask: ``(h, w)`` uint8, not 0 inside the object.
        options: Opacity and colour.
    """
    opacity, (blue, green, red) = options.mask_opacity, options.bgr
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    differences = 128 + (blue - luma) / 1.772, 128 + (red - luma) / 1.402
    height, width = mask.shape
    inside = cv2.threshold(mask, 0, _FULL_SCALE, cv2.THRESH_BINARY)[1]
    inside = cv2.copyMakeBorder(inside, 0, height & 1, 0, width & 1, cv2.BORDER_REPLICATE)
    y, *chroma = planes
    outside: npt.NDArray[Any] = np.full_like(y, round(luma))
    if opacity < 1:
        outside = cv2.addWeighted(y, 1 - opacity, y, 0, opacity * luma)
    # What is left of two by two pixels, in 1/255.
    covered = cv2.resize(inside, chroma[0].shape[::-1], interpolation=cv2.INTER_AREA)
    share = cv2.convertScaleAbs(covered, alpha=opacity, beta=_FULL_SCALE * (1 - opacity))
    blended = (
        cv2.addWeighted(
            cv2.multiply(plane, share, scale=1 / _FULL_SCALE), 1, share, -value / _FULL_SCALE, value
        )
        for plane, value in zip(chroma, differences, strict=True)
    )
    return cast("Planes", (cv2.copyTo(y, inside, outside), *blended))
