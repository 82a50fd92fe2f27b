"""The masks of a message's rows, as far as the limits allow; nothing is drawn or decoded for more.

Run lengths are counted as what they become in the frame: those of a narrow image are repeated for
each column of a wide one. Beyond `Limits.vertices` and `Limits.runs` a row is refused, and what is
left of the bounds is for the rows behind it.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from streamcrop.core.counts import count_runs
from streamcrop.core.limits import Budget, Limits
from streamcrop.core.masks import MIN_VERTICES, Polygon
from streamcrop.core.runs import Rle
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
        self._came_wh = came_wh
        self._scale = resolution_wh[0] / came_wh[0], resolution_wh[1] / came_wh[1]
        # A column of the image becomes so many of the frame.
        self._copies = max(1, -int(-resolution_wh[0] // came_wh[0]))
        self._vertices = Budget(limits, "vertices")
        self._runs = Budget(limits, "runs")

    def of(self, points: Sequence[Any], *rles: Any) -> Mask:
        """The mask of one row; of several run lengths the last one decides.

        Args:
            points: Vertices, with finite ``x`` and ``y``, in pixels of the detector's image.
            rles: Run lengths as they came; None where there are none.

        Raises:
            FormatError: `bad_mask`, if what is said is none; `over_limit`.
        """
        mask: Mask | None = None
        for value in rles:
            if value is not None:
                mask = self._rle(value)
        return self._polygon(points) if mask is None else mask

    def _polygon(self, points: Sequence[Any]) -> Polygon:
        if len(points) < MIN_VERTICES:
            msg = f"a polygon has {MIN_VERTICES} vertices or more"
            raise FormatError(msg, reason=Reason.BAD_MASK)
        if not self._vertices.take(len(points)):
            raise FormatError(self._vertices.excess, reason=Reason.OVER_LIMIT, kind="vertices")
        x, y = [*map(_get_x, points)], [*map(_get_y, points)]
        return Polygon(np.array([x, y]).T * self._scale)

    def _rle(self, value: Any) -> Rle:
        if not self._runs.take(count_runs(value) * self._copies):
            raise FormatError(self._runs.excess, reason=Reason.OVER_LIMIT, kind="runs")
        try:
            rle = Rle.parse(value)
        except ValueError as error:
            raise FormatError(str(error), reason=Reason.BAD_MASK) from None
        if rle.size[::-1] != self._came_wh:
            msg = f"an RLE of {rle.size} does not fit the message's image"
            raise FormatError(msg, reason=Reason.BAD_MASK)
        return rle
