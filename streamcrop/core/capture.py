"""When a picture was captured, by the clock of its camera.

An RTP stream says it twice: each picture has a media time, and now and then a sender report says
which wall-clock time a media time stands for (RFC 3550, 6.4.1). What is read here is the wall-clock
time that the demuxer worked out for each packet, and whether it can be believed.
"""

# A picture may stand this much before one that came earlier: B-frames.
_REORDERED = 1_000_000
# So much sooner or later than before may a picture come by another connection.
_DELAYED = 1_000_000
# Another reader learns of a jump by its own next report. Reports each second or two have a pace of
# the sender's own; RFC 3550's, 6.2, is 5 s, varied by half.
_VARIED, _USUAL, _OWN_PACE = 1.5, 5.0, 2.0
_LAST_TIME = 32_503_680_000_000_000


class CaptureClock:
    """Believes a camera's capture times, or not; pure, with the time as an argument.

    Rules, each from a measurement of two readers beside one another (2026-11-22):

    * the first packet with a wall-clock time carries that of the next picture, so a mapping from
      media to wall-clock time counts when two packets in turn agree on it;
    * a new report moves the mapping by some microseconds, which is followed;
    * a mapping that jumps, or a wall clock that goes back, begins a new epoch: for a while no
      picture has a time, because times repeat, and other readers learn of it later than we do;
    * the same where a wall clock went back or jumped between two connections, which is seen by the
      time that went by here.

    Args:
        tolerance: By how much a mapping may move, in microseconds.
        quiet: For how long no picture has a time after a jump, in seconds, at least; longer until
            another reader must have had a report of its own.

    Attributes:
        stepped: Whether the last packet began a new epoch.
        reports: The number of sender reports that came, of all connections.

    Example:
        >>> clock = CaptureClock(tolerance=8000, quiet=2.0)
        >>> [clock.time_of(media, 10**15 + media, now=0) for media in (0, 40_000, 80_000)]
        [None, 1000000000040000, 1000000000080000]
        >>> clock.time_of(120_000, 10**15 + 120_000 - 500_000, now=1.0), clock.stepped
        (None, True)
    """

    def __init__(self, tolerance: int, quiet: float) -> None:
        self._tolerance = tolerance
        self._quiet = quiet
        self._mapping: int | None = None
        self._candidate: int | None = None
        self._latest: int | None = None
        self._latest_at = 0.0
        self._quiet_until = float("-inf")
        self._last_report: float | None = None
        self._longest = 0.0
        self.stepped = False
        self.reports = 0

    def connect(self) -> None:
        """Forget the mapping: another connection has another media time."""
        self._mapping = self._candidate = self._last_report = None

    def report(self, now: float) -> None:
        """Note that a sender report came."""
        self.reports += 1
        if self._last_report is not None:
            self._longest = max(self._longest, now - self._last_report)
        self._last_report = now

    def time_of(self, media: int | None, wall: int | None, now: float) -> int | None:
        """When a picture was captured, in microseconds since 1970 UTC; None where that is unsure.

        Sets `stepped` where this packet begins a new epoch.

        Args:
            media: Its media time in microseconds.
            wall: Its wall-clock time in microseconds since 1970 UTC, as the demuxer says.
            now: In seconds, on any monotonic clock.
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
            if self._latest is not None and not self._goes_on(wall - self._latest, now):
                self._be_quiet(now)
        elif not agrees or (self._latest is not None and wall < self._latest - _REORDERED):
            self.stepped = True
            self._mapping, self._candidate = None, mapping
            self._be_quiet(now)
            return None
        self._mapping = mapping
        if self._latest is None or wall > self._latest:
            self._latest, self._latest_at = wall, now
        return None if now < self._quiet_until else wall

    def _goes_on(self, gone: int, now: float) -> bool:
        """Whether so much has gone by for the camera since the last connection as it has here."""
        return gone > 0 and abs(gone - (now - self._latest_at) * 1_000_000) <= _DELAYED

    def _be_quiet(self, now: float) -> None:
        interval = self._longest if 0 < self._longest < _OWN_PACE else max(self._longest, _USUAL)
        self._quiet_until = now + max(self._quiet, _VARIED * interval)
        self._latest = None
