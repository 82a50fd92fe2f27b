"""COCO's run lengths: read, cut to crops and written for all objects of an image together.

They stay runs while they are scaled and cut; only `Rle.region` makes pixels, and those of the
region alone. A call of NumPy costs as much as a thousand runs, so one is made for all objects.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from streamcrop.core.counts import decode_counts, encode_counts
from streamcrop.core.translate import first_nearest
from streamcrop.core.values import Corners, MaskPixels

# FFmpeg, OpenCV and JPEG all end at or below this; a larger claim is no image.
MAX_SIDE = 65_535
_Places = npt.NDArray[np.int64]


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
    counts: _Places
    _text: Callable[[], str] | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, value: Any) -> "Rle":  # it comes from JSON
        """Read ``{"size": [height, width], "counts": text, bytes or integers}``.

        Raises:
            ValueError: If it is anything else, or the runs do not cover the image. Nothing is
                allocated by what the message claims.
        """
        [rle] = _parsed([value])
        return rle

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
        [runs] = crop_runs([self], [box], resolution_wh)
        return runs

    def as_json(self, *, compressed: bool = True) -> dict[str, Any]:
        """As COCO writes it: counts as text, or as a list where ``compressed`` is false."""
        counts: Any = self.counts.tolist() if not compressed else None
        if compressed:
            counts = encode_counts([self.counts])[0] if self._text is None else self._text()
        return {"size": list(self.size), "counts": counts}


class _Texts:
    """The texts of runs that were cut together: written together, when the first is asked for."""

    def __init__(self, counts: list[_Places]) -> None:
        self._counts = counts
        self._texts: list[str] | None = None

    def text(self, nth: int) -> str:
        if self._texts is None:
            self._texts = encode_counts(self._counts)
        return self._texts[nth]


def parse_runs(values: Sequence[Any]) -> list[Rle | ValueError]:  # they come from JSON
    """`Rle.parse` for several; in place of what is none stands why.

    Example:
        >>> parse_runs([{"size": [2, 3], "counts": "231"}, {"size": [2, 3], "counts": "2"}])
        [Rle(size=(2, 3), counts=array([2, 3, 1])),
         ValueError("an RLE's runs must cover its 2 x 3 pixels")]
    """
    try:
        return [*_parsed(values)]
    except ValueError as error:
        if len(values) == 1:
            return [error]
    # At least one of them is none.
    return [rle for value in values for rle in parse_runs([value])]


def crop_runs(
    masks: Sequence[Rle], boxes: Sequence[Corners], resolution_wh: tuple[int, int]
) -> list[Rle]:
    """`Rle.crop` for several, each to a box of its own.

    Args:
        masks: Of images of any sizes.
        boxes: As many boxes of the frame; they may be empty.
        resolution_wh: ``(width, height)`` of the frame, to which the masks are scaled.
    """
    cut: dict[int, Rle] = {}
    for size in {mask.size for mask in masks}:
        rows = [row for row, mask in enumerate(masks) if mask.size == size]
        found = _cropped([masks[row] for row in rows], [boxes[row] for row in rows], resolution_wh)
        cut.update(zip(rows, found, strict=True))
    return [cut[row] for row in range(len(masks))]


def _parsed(values: Sequence[Any]) -> list[Rle]:
    """All of them; a `ValueError` if one is none."""
    sizes, said = [], []
    for value in values:
        try:
            height, width = value["size"]
            said.append(value["counts"])
        except (TypeError, KeyError, ValueError):
            raise ValueError("an RLE is {'size': [height, width], 'counts': ...}") from None
        if not all(type(side) is int and 0 < side <= MAX_SIDE for side in (height, width)):
            msg = f"an RLE's size is two sides from 1 to {MAX_SIDE}, not {[height, width]!r:.80}"
            raise ValueError(msg)
        sizes.append((height, width))
    texts = [each.encode() if isinstance(each, str) else each for each in said]
    unpacked = iter(decode_counts([text for text in texts if isinstance(text, bytes)]))
    counts = [next(unpacked) if isinstance(each, bytes) else _integers(each) for each in texts]
    if not _cover(counts, sizes):
        height, width = sizes[0]
        raise ValueError(f"an RLE's runs must cover its {height} x {width} pixels")
    return [Rle(size, each) for size, each in zip(sizes, counts, strict=True)]


def _integers(counts: Any) -> npt.NDArray[np.int64]:
    # Of numbers beside a text NumPy would make as many texts of that length.
    if isinstance(counts, np.ndarray) or (
        isinstance(counts, list | tuple) and {str, bytes}.isdisjoint(map(type, counts))
    ):
        runs = np.asarray(counts)
        if runs.ndim == 1 and runs.dtype.kind in "iu":
            return runs.astype(np.int64)
    raise ValueError("an RLE's counts are integers or a text")


def _cover(counts: Sequence[npt.NDArray[np.int64]], sizes: Sequence[tuple[int, int]]) -> bool:
    """True if each of some runs covers its image."""
    if not counts:
        return True
    lengths = np.array([each.size for each in counts])
    areas = np.array([height * width for height, width in sizes])
    if lengths.min() == 0 or (lengths > areas + 1).any():
        return False
    runs = np.concatenate(counts)
    # Each run is bounded before they are added up, so that the sum cannot wrap around.
    if runs.min() < 0 or runs.max() > areas.max():
        return False
    return bool((np.add.reduceat(runs, np.cumsum(lengths) - lengths) == areas).all())


def _cropped(
    masks: Sequence[Rle], boxes: Sequence[Corners], resolution_wh: tuple[int, int]
) -> list[Rle]:
    """The runs of boxes, of masks of one size."""
    (height, width), (x_min, y_min, x_max, y_max) = masks[0].size, np.array(boxes).T
    wide, high = np.maximum(x_max - x_min, 0), np.maximum(y_max - y_min, 0)
    lengths = np.array([mask.counts.size for mask in masks])
    # As if all masks were one image, one beside the other; where one ends is no change.
    toggles = np.cumsum(np.concatenate([mask.counts for mask in masks]))
    toggles = np.delete(toggles, np.cumsum(lengths) - 1)
    # The same of all crops, one behind the other, with a pixel between them: so no change at the
    # end of one is at the beginning of the next.
    ends = np.cumsum(wide * high + 1) - 1
    begins = ends - wide * high
    of_mask = partial(np.repeat, repeats=lengths - 1)
    column = toggles // height
    row = toggles - column * height
    column -= of_mask(np.arange(lengths.size) * width)
    left = first_nearest(column, width, resolution_wh[0])
    down = first_nearest(row, height, resolution_wh[1]) - of_mask(y_min)
    rows = of_mask(high)
    down = np.minimum(np.maximum(down, 0), rows)
    place = left * rows + of_mask(begins - x_min * high)
    low, top = of_mask(begins), of_mask(ends)
    if width == resolution_wh[0]:
        place += down
    else:
        copies = first_nearest(column + 1, width, resolution_wh[0]) - left
        place, source = _copied(place, down, rows, copies)
        low, top = low[source], top[source]
    # What changes before a crop begins changes at its beginning.
    place = np.maximum(place, low)[place < top]
    place.sort(kind="stable")
    counts = _between(_odd(place), begins, ends)
    sizes, texts = zip(high.tolist(), wide.tolist(), strict=True), _Texts(counts)
    return [
        Rle(size, each, partial(texts.text, nth))
        for nth, (size, each) in enumerate(zip(sizes, counts, strict=True))
    ]


def _copied(
    place: _Places, down: _Places, rows: _Places, copies: _Places
) -> tuple[_Places, npt.NDArray[np.intp]]:
    """Changes in columns that stand any number of times, and of which each is a copy.

    Args:
        place: Where the first copy of the change's column begins.
        down: How many pixels below the change is.
        rows: How many pixels the column has.
        copies: How often it stands there. Where it does not the change is at the next one's begin.
    """
    source = np.repeat(np.arange(place.size), np.maximum(copies, 1))
    nth = np.arange(source.size) - np.searchsorted(source, source)
    begin = place[source] + nth * rows[source]
    again = nth > 0
    # Each copy begins as the first one did, and so with what undoes the change in the one before.
    places = np.concatenate((begin + (down * (copies > 0))[source], begin[again]))
    return places, np.concatenate((source, source[again]))


def _odd(positions: _Places) -> _Places:
    """Of sorted positions those that stand an odd number of times: two changes are none."""
    ends = np.flatnonzero(np.diff(positions, append=-1))
    times = np.diff(ends, prepend=-1)
    odd: _Places = positions[ends[(times & 1).astype(bool)]]
    return odd


def _between(changes: _Places, begins: _Places, ends: _Places) -> list[_Places]:
    """The runs of images that begin and end there, with sorted changes within them."""
    edges = np.sort(np.concatenate((changes, begins, ends)), kind="stable")
    runs = np.diff(edges)
    first = [*np.searchsorted(edges, begins).tolist(), edges.size]
    return [runs[start : stop - 1] for start, stop in pairwise(first)]
