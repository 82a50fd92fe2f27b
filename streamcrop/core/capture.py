"""When a picture was captured, by the clock of its camera.

An RTP stream says it twice: each picture has a media time, and now and then a sender report says
which wall-clock time a media time stands for (RFC 3550, 6.4.1). What is read here is the wall-clock
time that the demuxer worked out for each packet, and whether it can be believed. Whether another
reader of the camera goes by the same report is for `streamcrop.core.guard` to judge.
"""

# A picture may stand this much before one that came earlier: B-frames.
_REORDERED = 1_000_000
_LAST_TIME = 32_503_680_000_000_000


class CaptureClock:
    """Believes a camera's capture times, or not; pure.

    Rules, each from a measurement of two readers beside one another (2026-11-22):

    * the first packet with a wall-clock time carries that of the next picture, so a mapping from
      media to wall-clock time counts when two packets in turn agree on it;
    * a new report moves the mapping by some microseconds, which is followed;
    * a mapping that jumps, or a wall clock that goes back, begins a new epoch: times repeat.

    Args:
        tolerance: By how much a mapping may move, in microseconds.

    Attributes:
        stepped: Whether the last packet began a new epoch.
        reports: The number of sender reports that came, of all connections.

    Example:
        >>> clock = CaptureClock(tolerance=8000)
        >>> [clock.time_of(media, 10**15 + media) for media in (0, 40_000, 80_000)]
        [None, 1000000000040000, 1000000000080000]
        >>> clock.time_of(120_000, 10**15 + 120_000 - 500_000), clock.stepped
        (None, True)
        >>> clock.time_of(160_000, 10**15 + 160_000 - 500_000), clock.stepped
        (999999999660000, False)
    """

    def __init__(self, tolerance: int) -> None:
        self._tolerance = tolerance
        self._mapping: int | None = None
        self._candidate: int | None = None
        self._latest: int | None = None
        self.stepped = False
        self.reports = 0

    def connect(self) -> None:
        """Forget the mapping: another connection has another media time."""
        self._mapping = self._candidate = self._latest = None

    def report(self) -> None:
        """Note that a sender report came."""
        self.reports += 1

    def time_of(self, media: int | None, wall: int | None) -> int | None:
        """When a picture was captured, in microseconds since 1970 UTC; None where that is unsure.

        Sets `stepped` where this packet begins a new epoch.

        Args:
            media: Its media time in microseconds.
            wall: Its wall-clock time in microseconds since 1970 UTC, as the demuxer says.
        """
        self.stepped = False
        if media is None or wall is None or not 0 <= wall < _LAST_TIME:
            return None
        mapping = wall - media
        known = self._candidate if self._mapping is None else self._mapping
        agrees = known is not None and abs(mapping - known) <= self._tolerance
        if self._mapping is None:
            self._candidate = mapping
            if not agrees:
                return None
        elif not agrees or (self._latest is not None and wall < self._latest - _REORDERED):
            self.stepped = True
            self._mapping, self._candidate, self._latest = None, mapping, None
            return None
        self._mapping = mapping
        self._latest = wall if self._latest is None else max(self._latest, wall)
        return wall
