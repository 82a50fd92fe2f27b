"""Pictures that are converted where somebody looks, and nowhere else.

`Pixels.region` only takes views; `Pixels.bgr` converts what is left of the picture by then. So a
crop pays for its own pixels, and a frame that nobody crops pays nothing.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from streamcrop.core.values import Bgr, Corners

Plane = npt.NDArray[np.uint8]

# The weights of red and blue in luma, by the name of the matrix (ITU-T H.273, table 4).
LUMA_WEIGHTS = {
    "bt709": (0.2126, 0.0722),
    "fcc": (0.30, 0.11),
    "bt601": (0.299, 0.114),
    "smpte240m": (0.212, 0.087),
    "bt2020": (0.2627, 0.0593),
}
# Table entries are kept in 1/64: the largest, 278, still fits int16, and the error of a sum of
# three is below 0.03 of a level.
_STEPS = 64


@dataclass(frozen=True, slots=True, eq=False)
class ArrayPixels:
    """A picture in an array.

    Attributes:
        array: uint8, ``(height, width, 3)`` BGR; ``(height, width)`` or ``(height, width, 1)``
            grey, which `bgr` repeats three times; or ``(height, width, 4)`` BGRA, whose alpha
            `bgr` leaves out.

    Example:
        >>> pixels = ArrayPixels.of(np.zeros((4, 6), np.uint8)).region((1, 1, 3, 4))
        >>> pixels.resolution_wh, pixels.bgr().shape
        ((2, 3), (3, 2, 3))
    """

    array: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, array: npt.NDArray[np.uint8]) -> "ArrayPixels":
        """Check an image that comes from outside.

        Raises:
            ValueError: For another dtype or shape, or a picture without pixels.
        """
        shape, dtype = array.shape, array.dtype
        if dtype != np.uint8:
            msg = f"an image must be uint8, not {dtype}; scale it to 0..255 and convert it first"
            raise ValueError(msg)
        flat = len(shape) == 2
        if not (flat or (len(shape) == 3 and shape[2] in {1, 3, 4})) or 0 in shape:
            msg = f"an image must be (H, W, 3) BGR, (H, W) grey or (H, W, 4) BGRA, not {shape}"
            raise ValueError(msg)
        return cls(array)

    @property
    def resolution_wh(self) -> tuple[int, int]:
        """See `Pixels`."""
        return self.array.shape[1], self.array.shape[0]

    @property
    def nbytes(self) -> int:
        """See `Pixels`."""
        return self.array.nbytes

    def region(self, box: Corners) -> "ArrayPixels":
        """See `Pixels`."""
        x_min, y_min, x_max, y_max = box
        return ArrayPixels(self.array[y_min:y_max, x_min:x_max])

    def bgr(self) -> Bgr:
        """See `Pixels`. A view for BGR, else a new array."""
        channels = self.array.shape[2] if self.array.ndim == 3 else 1
        if channels == 3:
            return self.array
        code = cv2.COLOR_GRAY2BGR if channels == 1 else cv2.COLOR_BGRA2BGR
        return cast("Bgr", cv2.cvtColor(self.array, code))


@dataclass(frozen=True, slots=True, eq=False)
class YuvPixels:
    """A picture in 8-bit 4:2:0 planes.

    Attributes:
        y: ``(height, width)`` uint8.
        u: One sample for two by two pixels.
        v: As ``u``.
        phase: ``(x, y)``, 1 where the first chroma sample serves only one column or row of the
            picture: a region that begins at an odd pixel.
        matrix: A key of `LUMA_WEIGHTS`.
        full_range: Whether luma runs over 0..255 rather than 16..235.

    Example:
        >>> grey = np.full((2, 2), 128, np.uint8)
        >>> luma = np.arange(16, dtype=np.uint8).reshape(4, 4)
        >>> frame = YuvPixels(luma, grey, grey, full_range=True)
        >>> frame.region((1, 2, 3, 3)).bgr()[0, :, 0].tolist()
        [9, 10]
    """

    y: Plane
    u: Plane
    v: Plane
    phase: tuple[int, int] = (0, 0)
    matrix: str = "bt601"
    full_range: bool = False

    @property
    def resolution_wh(self) -> tuple[int, int]:
        """See `Pixels`."""
        return self.y.shape[1], self.y.shape[0]

    @property
    def nbytes(self) -> int:
        """See `Pixels`."""
        return self.y.nbytes + self.u.nbytes + self.v.nbytes

    def region(self, box: Corners) -> "YuvPixels":
        """See `Pixels`."""
        x_min, y_min, x_max, y_max = box
        left, top = x_min + self.phase[0], y_min + self.phase[1]
        right, bottom = x_max + self.phase[0], y_max + self.phase[1]
        chroma = np.s_[top // 2 : (bottom + 1) // 2, left // 2 : (right + 1) // 2]
        return YuvPixels(
            self.y[y_min:y_max, x_min:x_max],
            self.u[chroma],
            self.v[chroma],
            (left & 1, top & 1),
            self.matrix,
            self.full_range,
        )

    def bgr(self) -> Bgr:
        """See `Pixels`. A new array: chroma repeated (nearest), rounded half to even, clipped.

        Each pixel depends on its own samples alone, so a region's conversion equals the same
        region of the whole picture's.
        """
        tables = _tables(self.matrix, full_range=self.full_range)
        u, v = np.ascontiguousarray(self.u), np.ascontiguousarray(self.v)
        luma = cv2.LUT(np.ascontiguousarray(self.y), tables["y"])
        chroma = (
            cv2.LUT(u, tables["u_blue"]),
            cv2.add(cv2.LUT(u, tables["u_green"]), cv2.LUT(v, tables["v_green"])),
            cv2.LUT(v, tables["v_red"]),
        )
        step = 1 / _STEPS
        channels = [
            cv2.addWeighted(luma, step, self._repeat(part), step, 0, dtype=cv2.CV_8U)
            for part in chroma
        ]
        return cast("Bgr", cv2.merge(channels))

    def _repeat(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        height, width = plane.shape
        doubled = cv2.resize(plane, (2 * width, 2 * height), interpolation=cv2.INTER_NEAREST)
        left, top = self.phase
        return doubled[top : top + self.y.shape[0], left : left + self.y.shape[1]]

    def oriented(self, matrix: tuple[int, int, int, int]) -> "YuvPixels":
        """Turn or mirror the whole picture without copying it.

        Args:
            matrix: ``(a, b, c, d)``, each -1, 0 or 1: a pixel at ``(x, y)`` goes to
                ``(a x + c y, b x + d y)``, shifted back into the picture (the display matrix of
                ISO/IEC 14496-12, 6.2.2).
        """
        a, b, c, d = matrix
        planes = [self.y, self.u, self.v]
        width, height = self.resolution_wh
        if a == 0:
            planes = [plane.T for plane in planes]
            width, height = height, width
        mirror_x, mirror_y = a + c < 0, b + d < 0
        mirror = np.s_[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1]
        y, u, v = (plane[mirror] for plane in planes)
        # Mirrored, an odd side begins with the sample that serves one pixel only.
        phase = (int(mirror_x and width & 1), int(mirror_y and height & 1))
        return YuvPixels(y, u, v, phase, self.matrix, self.full_range)


def oriented_array(array: npt.NDArray[Any], matrix: tuple[int, int, int, int]) -> npt.NDArray[Any]:
    """`YuvPixels.oriented` for an array ``(height, width, channels)``; a view."""
    a, b, c, d = matrix
    turned = array.swapaxes(0, 1) if a == 0 else array
    return turned[:: -1 if b + d < 0 else 1, :: -1 if a + c < 0 else 1]


def shrink(image: Bgr, longest_side: int | None) -> Bgr:
    """A copy of at most ``longest_side`` pixels; the image itself where it is not larger.

    Example:
        >>> shrink(np.zeros((300, 400, 3), np.uint8), 200).shape
        (150, 200, 3)
    """
    height, width = image.shape[:2]
    if longest_side is None or max(width, height) <= longest_side:
        return image
    scale = longest_side / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cast("Bgr", cv2.resize(image, size, interpolation=cv2.INTER_AREA))


@cache
def _tables(matrix: str, *, full_range: bool) -> dict[str, npt.NDArray[np.int16]]:
    """What each sample value adds to blue, green and red, in 1/64 of a level (H.273, 8.3)."""
    red, blue = LUMA_WEIGHTS[matrix]
    green = 1 - red - blue
    value = np.arange(256, dtype=np.float64)
    luma = value if full_range else (value - 16) * 255 / 219
    chroma = (value - 128) * (1 if full_range else 255 / 224)
    parts = {
        "y": luma,
        "u_blue": 2 * (1 - blue) * chroma,
        "u_green": -2 * blue * (1 - blue) / green * chroma,
        "v_green": -2 * red * (1 - red) / green * chroma,
        "v_red": 2 * (1 - red) * chroma,
    }
    return {name: np.rint(part * _STEPS).astype(np.int16) for name, part in parts.items()}
