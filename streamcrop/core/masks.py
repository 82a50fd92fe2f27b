"""Masks in all the forms in which they arrive, cut to a crop without ever being whole.

A mask knows how to give the part of itself that lies in a region of the frame. `Rle` stays a list
of runs while it is scaled and cut; only `Mask.region` makes pixels, and those of the region alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from streamcrop.core.counts import decode_counts, encode_counts
from streamcrop.core.translate import nearest
from streamcrop.core.values import Corners, MaskPixels

# Far outside every image, and near enough that OpenCV's fixed point cannot overflow.
_FAR = 1 << 24
# FFmpeg, OpenCV and JPEG all end at or below this; a larger claim is no image.
MAX_SIDE = 65_535
MIN_VERTICES = 3


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Pixels that are known for a part of the frame and 0 elsewhere.

    Attributes:
        pixels: ``(h, w)``, bool or a number that is not 0 inside the object.
        origin: The top-left pixel ``(x, y)`` in the frame.
    """

    pixels: npt.NDArray[Any]
    origin: tuple[int, int] = (0, 0)

    def region(self, box: Corners, resolution_wh: tuple[int, int]) -> MaskPixels:
        """See `Mask.region`."""
        del resolution_wh
        return self.cut(box).pixels

    def cut(self, box: Corners) -> "Patch":
        """The patch of a box of the frame, with pixels of its own, uint8, 0 or 1."""
        x_min, y_min, x_max, y_max = box
        left, top = self.origin
        height, width = self.pixels.shape
        x_0, y_0 = max(x_min, left), max(y_min, top)
        # Not before the start: a negative index would take pixels from the other side.
        x_1, y_1 = max(x_0, min(x_max, left + width)), max(y_0, min(y_max, top + height))
        known = self.pixels[y_0 - top : y_1 - top, x_0 - left : x_1 - left]
        # NumPy copies a bool three times as fast as it compares one.
        ones = known.copy() if known.dtype == bool else known != 0
        if known.shape == (y_max - y_min, x_max - x_min):
            return Patch(ones.view(np.uint8), (x_min, y_min))
        result = np.zeros((y_max - y_min, x_max - x_min), np.uint8)
        result[y_0 - y_min : y_1 - y_min, x_0 - x_min : x_1 - x_min] = ones
        return Patch(result, (x_min, y_min))


@dataclass(frozen=True, slots=True, eq=False)
class Polygon:
    """The outline of an object.

    Attributes:
        xy: ``(k, 2)`` finite vertices in frame pixels, ``k`` at least 3.
    """

    xy: npt.NDArray[Any]

    def region(self, box: Corners, resolution_wh: tuple[int, int]) -> MaskPixels:
        """See `Mask.region`.

        The vertices are cut to integers and filled by `cv2.fillPoly`, as in the block's own
        deserialiser. OpenCV shortens an edge at the border of its image and may then fill other
        pixels, so the canvas is what polygon and box cover together, within the frame: the result
        is that of a whole frame, bit for bit (5,000 random polygons, 2026-11-22).
        """
        width, height = resolution_wh
        vertices = self.xy.clip(-_FAR, _FAR).astype(np.int32)
        x_min, y_min, x_max, y_max = box
        x, y, wide, high = cv2.boundingRect(vertices)
        left, top = max(0, min(x_min, x)), max(0, min(y_min, y))
        right, bottom = min(width, max(x_max, x + wide)), min(height, max(y_max, y + high))
        canvas = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillPoly(canvas, [vertices], 1, offset=(-left, -top))
        return canvas[y_min - top : y_max - top, x_min - left : x_max - left]


@dataclass(frozen=True, slots=True, eq=False)
class Rle:
    """COCO run lengths: column by column, beginning with a run outside the object.

    Attributes:
        size: ``(height, width)`` of the image that the runs cover.
        counts: ``(k,)`` int64, the lengths of the runs; they add up to height x width.

    Example:
        >>> rle = Rle.parse({"size": [2, 3], "counts": [2, 3, 1]})
        >>> rle.region((0, 0, 3, 2), (3, 2)).tolist()
        [[0, 1, 1], [0, 1, 0]]
        >>> rle.crop((1, 0, 3, 1), (3, 2)).as_json(compressed=False)
        {'size': [1, 2], 'counts': [0, 2]}
    """

    size: tuple[int, int]
    counts: npt.NDArray[np.int64]

    @classmethod
    def parse(cls, value: Any) -> "Rle":  # it comes from JSON
        """Read ``{"size": [height, width], "counts": text, bytes or integers}``.

        Raises:
            ValueError: If it is anything else, or the runs do not cover the image. Nothing is
                allocated by what the message claims.
        """
        try:
            height, width = value["size"]
            counts = value["counts"]
        except (TypeError, KeyError, ValueError):
            raise ValueError("an RLE is {'size': [height, width], 'counts': ...}") from None
        if not all(type(side) is int and 0 < side <= MAX_SIDE for side in (height, width)):
            msg = f"an RLE's size is two sides from 1 to {MAX_SIDE}, not {[height, width]!r:.80}"
            raise ValueError(msg)
        if isinstance(counts, str | bytes | np.bytes_):
            runs = decode_counts(counts.encode() if isinstance(counts, str) else bytes(counts))
        else:
            runs = _integers(counts)
        # Each run is bounded before they are added up, so that the sum cannot wrap around.
        area = height * width
        if (
            runs.size == 0
            or runs.min() < 0
            or runs.max() > area
            or runs.size > area + 1
            or int(runs.sum()) != area
        ):
            raise ValueError(f"an RLE's runs must cover its {height} x {width} pixels")
        return cls((height, width), runs)

    @classmethod
    def of(cls, mask: MaskPixels) -> "Rle":
        """The runs of a mask in pixels, ``(h, w)``, not 0 inside the object."""
        column_by_column = (mask.T != 0).ravel()
        toggles = np.flatnonzero(np.diff(column_by_column, prepend=False))
        edges = np.concatenate(([0], toggles, [mask.size]))
        return cls((mask.shape[0], mask.shape[1]), np.diff(edges))

    def region(self, box: Corners, resolution_wh: tuple[int, int]) -> MaskPixels:
        """See `Mask.region`. Scaled to the frame by nearest neighbour."""
        return self.crop(box, resolution_wh).pixels()

    def pixels(self) -> MaskPixels:
        """``(height, width)`` uint8, 1 inside the object."""
        height, width = self.size
        inside = (np.arange(self.counts.size) & 1).astype(np.uint8)
        columns = np.repeat(inside, self.counts).reshape(width, height)
        return cast("MaskPixels", cv2.transpose(columns))

    def crop(self, box: Corners, resolution_wh: tuple[int, int]) -> "Rle":
        """The runs of a box of a frame of ``resolution_wh``, by nearest neighbour; no pixels."""
        x_min, y_min, x_max, y_max = box
        height, width = self.size
        toggles = np.cumsum(self.counts[:-1])
        if (width, height) == resolution_wh:
            toggles = _cut(toggles, height, box)
        else:
            columns = nearest(width, resolution_wh[0], x_min, x_max)
            rows = nearest(height, resolution_wh[1], y_min, y_max)
            toggles = _sample(toggles, height, columns, rows)
        size = (y_max - y_min, x_max - x_min)
        edges = np.concatenate(([0], toggles, [size[0] * size[1]]))
        return Rle(size, np.diff(edges))

    def as_json(self, *, compressed: bool = True) -> dict[str, Any]:
        """As COCO writes it: counts as text, or as a list where ``compressed`` is false."""
        counts = encode_counts(self.counts) if compressed else self.counts.tolist()
        return {"size": list(self.size), "counts": counts}


def _integers(counts: Any) -> npt.NDArray[np.int64]:
    # Of numbers beside a text NumPy would make as many texts of that length.
    if isinstance(counts, np.ndarray) or (
        isinstance(counts, list | tuple) and {str, bytes}.isdisjoint(map(type, counts))
    ):
        runs = np.asarray(counts)
        if runs.ndim == 1 and runs.dtype.kind in "iu":
            return runs.astype(np.int64)
    raise ValueError("an RLE's counts are integers or a text")


def _cut(toggles: npt.NDArray[np.int64], height: int, box: Corners) -> npt.NDArray[np.int64]:
    """Where the mask changes along the pixels of a box, column by column."""
    x_min, y_min, x_max, y_max = box
    rows, before = y_max - y_min, x_min * height
    first, last = np.searchsorted(toggles, (before, x_max * height)).tolist()
    column, row = np.divmod(toggles[first:last] - before, height)
    place = column * rows + np.minimum(np.maximum(row - y_min, 0), rows)
    if first & 1:
        # It is inside the object where the box begins.
        place = np.concatenate(([0], place))
    place = _odd(place)
    return place[: np.searchsorted(place, (x_max - x_min) * rows)]


def _sample(
    toggles: npt.NDArray[np.int64],
    height: int,
    columns: npt.NDArray[np.intp],
    rows: npt.NDArray[np.intp],
) -> npt.NDArray[np.int64]:
    """Where the mask changes along the pixels ``columns`` x ``rows``, column by column.

    Both are in rising order; a column that stands more than once is written more than once.
    """
    distinct, first, copies = np.unique(columns, return_index=True, return_counts=True)
    column, row = np.divmod(toggles, height)
    place = np.searchsorted(distinct, column)
    hit = place < distinct.size
    hit[hit] = distinct[place[hit]] == column[hit]
    position = place * rows.size + np.where(hit, np.searchsorted(rows, row), 0)
    position = _odd(position)
    position = position[position < distinct.size * rows.size]
    if distinct.size == columns.size:
        return position
    # Each copy of a column repeats its changes, and begins by undoing them where they are odd.
    column, row = np.divmod(position, rows.size)
    per_column = np.bincount(column, minlength=distinct.size)
    times = copies[column]
    nth = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    repeated = (np.repeat(first[column], times) + nth) * rows.size + np.repeat(row, times)
    odd = np.flatnonzero((per_column & 1).astype(bool) & (copies > 1))
    again = [np.arange(first[i] + 1, first[i] + copies[i]) * rows.size for i in odd]
    return _odd(np.sort(np.concatenate([repeated, *again])))


def _odd(positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Of sorted positions those that stand an odd number of times: two changes are none."""
    ends = np.flatnonzero(np.diff(positions, append=-1))
    times = np.diff(ends, prepend=-1)
    odd: npt.NDArray[np.int64] = positions[ends[(times & 1).astype(bool)]]
    return odd


def dense_masks(masks: npt.NDArray[Any], resolution_wh: tuple[int, int]) -> Sequence[Patch]:
    """Whole-frame masks of shape ``(n, height, width)`` as masks of the core; views, not copies.

    Raises:
        ValueError: If they are of another size than the image.
    """
    width, height = resolution_wh
    if masks.ndim != 3 or masks.shape[1:] != (height, width):  # (n, h, w)
        msg = f"masks must have the image's size (n, {height}, {width}), not {masks.shape}"
        raise ValueError(msg)
    return [Patch(mask) for mask in masks]
