"""The pixels of a view: cut, padded, turned, scaled, where somebody looks at them.

Downwards pixels are means of areas, upwards and turned they are interpolated; a turned view that
shrinks reduces the image by a whole factor first, so that no pixel is passed over. What a JPEG
stores is made from the image's planes, each on its own way, and never from a copy in BGR.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from streamcrop.core.masks import Patch, Polygon
from streamcrop.core.pixels import ArrayPixels
from streamcrop.core.runs import Rle
from streamcrop.core.values import Bgr, Corners, Mask, MaskPixels, Pixels, Planes
from streamcrop.core.view import View

Channels = npt.NDArray[np.uint8]
# Pixels around a turned region, for interpolation and its rounding.
_AROUND = 2
_WHOLE = (0, 0, 0, 0)
_BORDERS = {"constant": cv2.BORDER_CONSTANT, "replicate": cv2.BORDER_REPLICATE}


@dataclass(frozen=True, slots=True, eq=False)
class ViewPixels:
    """A picture that shows another one through a view.

    Attributes:
        image: The other one.
        view: Which pixels of it, and where.
        fill: ``(blue, green, red)`` of what shows nothing.

    Example:
        >>> image = ArrayPixels(np.full((4, 4, 3), 9, np.uint8))
        >>> view = View(np.eye(3), (5, 4), (0, 0, 5, 4), box=(0, 0, 5, 4))
        >>> ViewPixels(image, view, (1, 2, 3)).bgr()[0].tolist()
        [[9, 9, 9], [9, 9, 9], [9, 9, 9], [9, 9, 9], [1, 2, 3]]
    """

    image: Pixels
    view: View
    fill: tuple[int, int, int]

    @property
    def resolution_wh(self) -> tuple[int, int]:
        """See `Pixels`."""
        return self.view.size

    @property
    def nbytes(self) -> int:
        """See `Pixels`."""
        return self.image.nbytes

    @property
    def is_decoded(self) -> bool:
        """See `Pixels`."""
        return self.image.is_decoded

    def decode(self) -> "ViewPixels":
        """See `Pixels`."""
        return ViewPixels(self.image.decode(), self.view, self.fill)

    def region(self, box: Corners) -> ArrayPixels:
        """See `Pixels`; not a view, but a part of what is made."""
        return ArrayPixels(self.bgr()).region(box)

    def resized(self, resolution_wh: tuple[int, int]) -> ArrayPixels:
        """See `Pixels`."""
        return ArrayPixels(self.bgr()).resized(resolution_wh)

    def bgr(self) -> Bgr:
        """See `Pixels`; a new array."""
        reach = reach_of(self.view, self.image.resolution_wh)
        return through(self.view, self.image.region(reach).bgr(), reach, self.fill)

    def jfif(self) -> Planes | None:
        """See `Pixels`."""
        width, height = self.image.resolution_wh
        reach = reach_of(self.view, (width, height))
        # From whole pairs of pixels, so that no chroma lies between two of them.
        left, top, right, bottom = reach
        whole = (left & ~1, top & ~1, min(right + (right & 1), width), bottom + (bottom & 1))
        whole = (*whole[:3], min(whole[3], height))
        planes = self.image.region(whole).jfif()
        if planes is None:
            return None
        rows = slice(top - whole[1], bottom - whole[1])
        columns = slice(left - whole[0], right - whole[0])
        y, u, v = (
            through(self.view, plane[rows, columns], reach, (value,))
            for plane, value in zip(_alike(planes), _jfif_color(self.fill), strict=True)
        )
        odd = (0, y.shape[0] & 1, 0, y.shape[1] & 1)
        y, u, v = (_bordered(each, odd, cv2.BORDER_REPLICATE) for each in (y, u, v))
        half = y.shape[1] // 2, y.shape[0] // 2
        return y, _sized(u, half, cv2.INTER_AREA), _sized(v, half, cv2.INTER_AREA)


def through(
    view: View, pixels: Channels, reach: Corners, fill: Sequence[int], *, is_mask: bool = False
) -> Channels:
    """A part of an image through a view.

    Args:
        view: Which pixels, and where.
        pixels: ``(h, w)`` or ``(h, w, c)`` uint8, the part. Not modified.
        reach: The half-open box of the image that the part is, as `View.reach` says it.
        fill: Of each channel, what stands where nothing is shown.
        is_mask: Whether a pixel is one of another, and no mixture.
    """
    way = _turned if view.box is None else _straight
    shown = way(view, pixels, reach, fill, is_mask=is_mask)
    (left, top, right, bottom), (width, height) = view.content, view.size
    bars = (top, height - bottom, left, width - right)
    return _bordered(shown, bars, cv2.BORDER_CONSTANT, fill)


def mask_through(mask: Mask, view: View, resolution_wh: tuple[int, int]) -> MaskPixels:
    """A mask through a view, by nearest neighbour: ``(h, w)`` uint8, 1 inside the object.

    Args:
        mask: In the image's pixels.
        view: Which pixels, and where.
        resolution_wh: ``(width, height)`` of the image.
    """
    reach = reach_of(view, resolution_wh)
    bare = View(view.matrix, view.size, view.content, "constant", view.box)
    return through(bare, mask.region(reach, resolution_wh), reach, (0,), is_mask=True)


@dataclass(frozen=True, slots=True, eq=False)
class SeenMask:
    """A mask that is looked at through a view, when somebody does.

    Attributes:
        mask: In the image's pixels.
        view: Of the crop.
        resolution_wh: ``(width, height)`` of the image.
    """

    mask: Mask
    view: View
    resolution_wh: tuple[int, int]

    def region(self, box: Corners, resolution_wh: tuple[int, int]) -> MaskPixels:
        """See `Mask.region`; always the whole of the crop."""
        del box, resolution_wh
        return mask_through(self.mask, self.view, self.resolution_wh)

    def cost(self, box: Corners, resolution_wh: tuple[int, int]) -> int:
        """See `Polygon.cost`; ``box`` is that of the image."""
        return self.mask.cost(box, resolution_wh) if isinstance(self.mask, Polygon) else 0


def seen_mask(mask: Mask | None, view: View | None, resolution_wh: tuple[int, int]) -> Mask | None:
    """A mask of an image as that of a crop: it holds nothing that is as large as the image."""
    if mask is None or view is None:
        return None
    seen = SeenMask(mask, view, resolution_wh)
    if isinstance(mask, Patch):
        return Patch(seen.region(_WHOLE, view.size))
    return Rle.of(seen.region(_WHOLE, view.size)) if isinstance(mask, Rle) else seen


def reach_of(view: View, resolution_wh: tuple[int, int]) -> Corners:
    """The half-open box of an image from which the pixels of a view come."""
    if view.box is not None:
        return view.reach(resolution_wh)
    factor = view.shrinks()
    return view.reach(resolution_wh, _AROUND * factor, factor)


def _straight(
    view: View, pixels: Channels, reach: Corners, fill: Sequence[int], *, is_mask: bool
) -> Channels:
    x_min, y_min, x_max, y_max = cast("Corners", view.box)
    beyond = reach[1] - y_min, y_max - reach[3], reach[0] - x_min, x_max - reach[2]
    pixels = _bordered(pixels, beyond, _BORDERS[view.border], fill)
    left, top, right, bottom = view.content
    size = right - left, bottom - top
    if is_mask:
        return _sized(pixels, size, cv2.INTER_NEAREST_EXACT)
    # First what becomes smaller, so that what grows is less.
    small = min(size[0], pixels.shape[1]), min(size[1], pixels.shape[0])
    return _sized(_sized(pixels, small, cv2.INTER_AREA), size, cv2.INTER_LINEAR)


def _bordered(
    pixels: Channels, sides: tuple[int, int, int, int], way: int, fill: Sequence[int] = ()
) -> Channels:
    """With so many pixels more above, below, on the left and on the right."""
    if not any(sides):
        return pixels
    return cast("Channels", cv2.copyMakeBorder(pixels, *sides, way, value=_scalar(fill)))


def _sized(pixels: Channels, size: tuple[int, int], way: int) -> Channels:
    if pixels.shape[1::-1] == size:
        return pixels
    return cast("Channels", cv2.resize(pixels, size, interpolation=way))


def _turned(
    view: View, pixels: Channels, reach: Corners, fill: Sequence[int], *, is_mask: bool
) -> Channels:
    left, top, right, bottom = view.content
    size = right - left, bottom - top
    factor = 1 if is_mask else view.shrinks()
    if factor > 1:
        height, width = pixels.shape[:2]
        below, beside = -height % factor, -width % factor
        pixels = _bordered(pixels, (0, below, 0, beside), cv2.BORDER_REPLICATE)
        reduced = (width + beside) // factor, (height + below) // factor
        pixels = _sized(pixels, reduced, cv2.INTER_AREA)
    # From the pixels' indices to their places in the image, through the view, and to indices again.
    middle = factor / 2
    into = np.array([[factor, 0, reach[0] + middle], [0, factor, reach[1] + middle], [0, 0, 1]])
    out = np.array([[1, 0, -left - 0.5], [0, 1, -top - 0.5], [0, 0, 1]])
    matrix = out @ view.matrix @ into
    options: dict[str, Any] = {
        "flags": cv2.INTER_NEAREST if is_mask else cv2.INTER_LINEAR,
        "borderMode": (cv2.BORDER_REPLICATE if view.border == "replicate" else cv2.BORDER_CONSTANT),
        "borderValue": _scalar(fill),
    }
    if view.is_perspective:
        return cast("Channels", cv2.warpPerspective(pixels, matrix, size, **options))
    return cast("Channels", cv2.warpAffine(pixels, matrix[:2], size, **options))


def _alike(planes: Planes) -> tuple[Channels, Channels, Channels]:
    """The planes of a JPEG, chroma as large as luma."""
    y, u, v = planes
    return y, _doubled(u), _doubled(v)


def _doubled(plane: Channels) -> Channels:
    """Each sample for two by two pixels; a third of what `numpy.repeat` along both axes takes."""
    height, width = plane.shape
    return cast("Channels", cv2.merge((plane, plane))).reshape(height, 2 * width).repeat(2, 0)


def _jfif_color(bgr: tuple[int, int, int]) -> tuple[int, int, int]:
    """A colour as a JPEG stores it (JFIF 1.02)."""
    blue, green, red = bgr
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return round(luma), round(128 + (blue - luma) / 1.772), round(128 + (red - luma) / 1.402)


def _scalar(fill: Sequence[int]) -> tuple[float, ...]:
    return tuple(map(float, fill))
