"""Counts of how long something took, by bounds that Prometheus understands."""

from bisect import bisect_left
from itertools import accumulate

# Upper bounds in seconds, each included; what is longer is counted beyond them. A crop takes some
# 10 ms; a camera that is behind, or a detector that is slow, some seconds.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Histogram:
    """How long something took, each time that it was done.

    Attributes:
        counts: One count for each of `BOUNDS`, and one for what was longer.
        total: The sum of all, in seconds.

    Example:
        >>> taken = Histogram()
        >>> for seconds in (0.02, 0.03, 7.0):
        ...     taken.observe(seconds)
        >>> sum(taken.counts), round(taken.total, 2)
        (3, 7.05)
    """

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one; a negative time, of a clock that was set, counts as none at all."""
        seconds = max(0.0, seconds)
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


def quantile(counts: list[int], part: float) -> float | None:
    """A time that this part of all took at most, in seconds.

    Args:
        counts: As `Histogram.counts`, perhaps the difference of two.
        part: 0.5 for the median.

    Returns:
        Between two bounds it is as if all there were spread evenly; beyond the last bound it is
        that bound. None where nothing was counted.

    Example:
        >>> quantile([0, 0, 0, 0, 10, *[0] * 8], 0.5)
        0.075
    """
    sums = list(accumulate(counts))
    if not sums[-1]:
        return None
    rank = part * sums[-1]
    row = bisect_left(sums, rank)
    while not counts[row]:
        row += 1
    if row == len(BOUNDS):
        return BOUNDS[-1]
    low = BOUNDS[row - 1] if row else 0.0
    inside = (rank - (sums[row] - counts[row])) / counts[row]
    return round(low + (BOUNDS[row] - low) * inside, 6)
