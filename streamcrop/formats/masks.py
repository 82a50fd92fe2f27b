"""The masks of a message's rows, as far as the limits allow; nothing is drawn or decoded for more.

Run lengths are counted as what they become in the frame: those of a narrow image are repeated for
each column of a wide one. Beyond `Limits.vertices` and `Limits.runs` a row is refused, and what is
left of the bounds is for the rows behind it. What is left is read for all rows together.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from operator import attrgetter
from typing import Any

import numpy as np

from streamcrop.core.counts import count_runs
from streamcrop.core.limits import Budget, Limits
from streamcrop.core.masks import MIN_VERTICES, Polygon
from streamcrop.core.runs import Rle, crop_runs, parse_runs
from streamcrop.core.values import Mask, Reason
from streamcrop.errors import FormatError

_get_x, _get_y = attrgetter("x"), attrgetter("y")


class Masks:
    """Reads the masks of one message.

    Args:
        came_wh: ``(width, height)`` of the image that the detector saw.
        resolution_wh: ``(width, height)`` of the frame.
        limits: What all rows together may ask for.
    """

    def __init__(
        self, came_wh: tuple[float, float], resolution_wh: tuple[int, int], limits: Limits
    ) -> None:
        self._came_wh, self._resolution_wh = came_wh, resolution_wh
        self._scale = resolution_wh[0] / came_wh[0], resolution_wh[1] / came_wh[1]
        # A column of the image becomes so many of the frame.
        self._copies = max(1, -int(-resolution_wh[0] // came_wh[0]))
        self._vertices = Budget(limits, "vertices")
        self._runs = Budget(limits, "runs")

    def of(
        self, said: Sequence[tuple[Sequence[Any] | None, *tuple[Any, ...]]]
    ) -> list[Mask | FormatError | None]:
        """The mask of each row; of several run lengths the last one decides.

        Args:
            said: Of each row the vertices, with finite ``x`` and ``y``, in pixels of the detector's
                image, and behind them run lengths as they came. None where there are none.

        Returns:
            Masks in pixels of the frame; in place of one that is refused stands why: `bad_mask`, if
            it is none; `over_limit`.
        """
        found: list[Mask | FormatError | None] = [None] * len(said)
        outlines, runs = [], []
        for row, (points, *rles) in enumerate(said):
            values = [value for value in rles if value is not None]
            try:
                if values:
                    self._check_runs(values)
                    runs += [(row, value) for value in values]
                elif points:
                    self._check_outline(points)
                    outlines.append((row, points))
            except FormatError as error:
                found[row] = error
        read = chain(self._rles(runs) if runs else (), self._polygons(outlines) if outlines else ())
        for row, mask in read:
            if not isinstance(found[row], FormatError):
                found[row] = mask
        return found

    def _check_runs(self, values: Sequence[Any]) -> None:
        for value in values:
            if not self._runs.take(count_runs(value) * self._copies):
                raise FormatError(self._runs.excess, reason=Reason.OVER_LIMIT, kind="runs")

    def _check_outline(self, points: Sequence[Any]) -> None:
        if len(points) < MIN_VERTICES:
            msg = f"a polygon has {MIN_VERTICES} vertices or more"
            raise FormatError(msg, reason=Reason.BAD_MASK)
        if not self._vertices.take(len(points)):
            raise FormatError(self._vertices.excess, reason=Reason.OVER_LIMIT, kind="vertices")

    def _rles(self, said: Sequence[tuple[int, Any]]) -> Iterator[tuple[int, Rle | FormatError]]:
        whole: list[tuple[int, Rle]] = []
        for (row, _), rle in zip(said, parse_runs([value for _, value in said]), strict=True):
            if isinstance(rle, ValueError):
                yield row, FormatError(str(rle), reason=Reason.BAD_MASK)
            elif rle.size[::-1] != self._came_wh:
                msg = f"an RLE of {rle.size} does not fit the message's image"
                yield row, FormatError(msg, reason=Reason.BAD_MASK)
            else:
                whole.append((row, rle))
        masks = [rle for _, rle in whole]
        if self._came_wh != self._resolution_wh:
            frame = (0, 0, *self._resolution_wh)
            masks = crop_runs(masks, [frame] * len(masks), self._resolution_wh)
        yield from zip((row for row, _ in whole), masks, strict=True)

    def _polygons(
        self, outlines: Sequence[tuple[int, Sequence[Any]]]
    ) -> Iterator[tuple[int, Polygon]]:
        """All vertices in one array, of which each outline has its rows."""
        points = [*chain.from_iterable(points for _, points in outlines)]
        x, y = [*map(_get_x, points)], [*map(_get_y, points)]
        xy = np.array([x, y]).T * self._scale
        stops = np.cumsum([0, *(len(points) for _, points in outlines)]).tolist()
        for (row, _), (start, stop) in zip(outlines, pairwise(stops), strict=True):
            yield row, Polygon(xy[start:stop])
