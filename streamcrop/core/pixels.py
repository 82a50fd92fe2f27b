"""Pictures that are converted where somebody looks, and nowhere else.

`Pixels.region` only takes views; `Pixels.bgr` converts what is left of the picture by then.
"""

from dataclasses import dataclass, replace
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from streamcrop.core.colors import STEPS, to_bgr, to_jfif
from streamcrop.core.values import Bgr, Corners, Pixels, Planes

Plane = npt.NDArray[np.uint8]


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
            channels_first = len(shape) == 3 and shape[0] in {1, 3, 4}
            raise ValueError(msg + (": image.transpose(1, 2, 0)" if channels_first else ""))
        return cls(array)

    @property
    def resolution_wh(self) -> tuple[int, int]:
        """See `Pixels`."""
        return self.array.shape[1], self.array.shape[0]

    @property
    def nbytes(self) -> int:
        """See `Pixels`."""
        return self.array.nbytes

    @property
    def is_decoded(self) -> bool:
        """See `Pixels`."""
        return True

    def decode(self) -> Pixels:
        """See `Pixels`."""
        return self

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

    def jfif(self) -> None:
        """See `Pixels`."""

    def resized(self, resolution_wh: tuple[int, int]) -> "ArrayPixels":
        """See `Pixels`."""
        return ArrayPixels(_resized(self.array, resolution_wh))


@dataclass(frozen=True, slots=True, eq=False)
class YuvPixels:
    """A picture in 8-bit 4:2:0 planes.

    Attributes:
        y: ``(height, width)`` uint8.
        u: One sample for two by two pixels.
        v: As ``u``.
        phase: ``(x, y)``, 1 where the first chroma sample serves only one column or row of the
            picture: a region that begins at an odd pixel.
        matrix: A key of `colors.LUMA_WEIGHTS`.
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

    @property
    def is_decoded(self) -> bool:
        """See `Pixels`."""
        return True

    def decode(self) -> Pixels:
        """See `Pixels`."""
        return self

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
        tables = to_bgr(self.matrix, full_range=self.full_range)
        u, v = np.ascontiguousarray(self.u), np.ascontiguousarray(self.v)
        luma = cv2.LUT(np.ascontiguousarray(self.y), tables["y"])
        chroma = (
            cv2.LUT(u, tables["u_blue"]),
            cv2.add(cv2.LUT(u, tables["u_green"]), cv2.LUT(v, tables["v_green"])),
            cv2.LUT(v, tables["v_red"]),
        )
        step = 1 / STEPS
        channels = [
            cv2.addWeighted(luma, step, self._repeat(part, luma.shape), step, 0, dtype=cv2.CV_8U)
            for part in chroma
        ]
        return cast("Bgr", cv2.merge(channels))

    def jfif(self) -> Planes:
        """See `Pixels`.

        Chroma that lies between the picture's pairs of pixels becomes the mean of its neighbours,
        as it does when BGR is encoded.
        """
        # Copied first: a few rows of a large frame come from memory, and a copy waits for many of
        # them at once. It saves a third of all this (2026-11-22).
        height, width = self.y.shape
        y = padded(self.y, height & 1, width & 1)
        u, v = (self._whole_pairs(plane) for plane in (self.u, self.v))
        rows = to_jfif(self.matrix, full_range=self.full_range)
        if rows is None:
            return y, self._on_pairs(u), self._on_pairs(v)
        (gain, from_u, from_v, offset), *chroma = rows
        if from_u or from_v:
            # Around 128, in halves of a level: chroma never adds more than 63 to luma.
            grey = 128 * (from_u + from_v)
            shift = cv2.addWeighted(u, 2 * from_u, v, 2 * from_v, 128 - 2 * grey)
            cv2.addWeighted(y, gain, self._repeat(shift, y.shape), 0.5, offset + grey - 64, y)
        else:
            cv2.addWeighted(y, gain, y, 0, offset, y)
        u, v = self._on_pairs(u), self._on_pairs(v)
        mixed = (cv2.addWeighted(u, row[1], v, row[2], row[3]) for row in chroma)
        return cast("Planes", (y, *mixed))

    def resized(self, resolution_wh: tuple[int, int]) -> "YuvPixels":
        """See `Pixels`. The chroma of an odd side is stretched, by a pixel at most."""
        width, height = resolution_wh
        halved = (width + 1) // 2, (height + 1) // 2
        chroma = (self._on_pairs(self._whole_pairs(plane)) for plane in (self.u, self.v))
        u, v = (_resized(plane, halved) for plane in chroma)
        y = _resized(self.y, resolution_wh)
        return YuvPixels(y, u, v, (0, 0), self.matrix, self.full_range)

    def _whole_pairs(self, plane: Plane) -> Plane:
        """A copy of chroma whose last sample has a neighbour where it serves one pixel only."""
        height, width = self.y.shape
        return padded(plane, self.phase[1] & height, self.phase[0] & width)

    def _on_pairs(self, plane: Plane) -> Plane:
        """Of `_whole_pairs`: the first sample serves the picture's first two columns and rows."""
        right, down = self.phase
        if right:
            plane = _mean(plane[:, :-1], plane[:, 1:])
        if down:
            plane = _mean(plane[:-1], plane[1:])
        return plane

    def _repeat(self, plane: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        height, width = plane.shape
        # Half of what `cv2.resize` takes.
        doubled = cv2.merge((plane, plane)).reshape(height, 2 * width).repeat(2, 0)
        left, top = self.phase
        return doubled[top : top + shape[0], left : left + shape[1]]

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


def padded(plane: Plane, below: int, right: int) -> Plane:
    """A copy of the plane, with its last row and column repeated."""
    wider = cv2.copyMakeBorder(plane, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return cast("Plane", wider)


def owned(pixels: Pixels) -> Pixels:
    """The picture with samples of its own, which hold nothing of another; planes stay planes.

    Example:
        >>> frame = np.zeros((90, 90, 3), np.uint8)
        >>> np.shares_memory(owned(ArrayPixels(frame[:9, :9])).bgr(), frame)
        False
    """
    if isinstance(pixels, YuvPixels):
        return replace(pixels, y=pixels.y.copy(), u=pixels.u.copy(), v=pixels.v.copy())
    return ArrayPixels(pixels.bgr().copy())


def shrink(pixels: Pixels, longest_side: int | None) -> Pixels:
    """A copy of at most ``longest_side`` pixels; the picture itself where it is not larger.

    Example:
        >>> shrink(ArrayPixels(np.zeros((300, 400, 3), np.uint8)), 200).resolution_wh
        (200, 150)
    """
    width, height = pixels.resolution_wh
    if longest_side is None or max(width, height) <= longest_side:
        return pixels
    scale = longest_side / max(width, height)
    return pixels.resized((max(1, round(width * scale)), max(1, round(height * scale))))


def _mean(first: Plane, second: Plane) -> Any:
    return cv2.addWeighted(first, 0.5, second, 0.5, 0)


def _resized(array: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    return cast("npt.NDArray[np.uint8]", cv2.resize(array, size, interpolation=cv2.INTER_AREA))
