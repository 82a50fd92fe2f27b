"""The clock by which items wait: it stands still while nobody can answer.

While the broker is away, a detector's messages wait with it, or with the detector; they come all at
once when it is back. By the time that goes on meanwhile, the frames that they speak of would have
expired, and they would be late. So time stands still: from the loss of the connection until what
was queued has come.
"""

# A detector is told by the stream's status that we hear again, and begins to send within so many
# seconds; from then on, its messages follow each other within so many.
_BEGINS, _FOLLOWS = 2.0, 1.0
# Nobody takes for longer than the outage and as long again, or so many seconds, to catch up.
_CATCHES_UP = 10.0


class Standstill:
    """Seconds that do not count an outage.

    Times that go in are seconds on any one monotonic clock.

    Attributes:
        stands: Whether it stands still now.

    Example:
        >>> clock = Standstill()
        >>> clock.read(10.0, connected=True), clock.read(11.0, connected=True)
        (10.0, 11.0)
        >>> clock.read(71.0, connected=False), clock.stands
        (11.0, True)
        >>> clock.read(72.0, connected=True), clock.read(73.0, connected=True)
        (11.0, 11.0)
        >>> clock.read(75.0, connected=True), clock.read(76.0, connected=True)
        (12.0, 13.0)
    """

    def __init__(self) -> None:
        self.stands = False
        self._paused = 0.0
        self._seen: float | None = None
        self._up = True
        self._lost = self._back = -1e9
        self._until = -1e9

    def read(self, at: float, *, connected: bool) -> float:
        """The time, at a time of the clock that goes on.

        Args:
            at: The other clock's time; never goes back.
            connected: Whether somebody can answer.
        """
        before = at if self._seen is None else self._seen
        if self._up and not connected:
            self._lost = before
        elif connected and not self._up:
            self._back, self._until = at, at + _BEGINS
        if not (self._up and connected):
            self._paused += at - before
        elif self._until > before:
            self._paused += min(at, self._until) - before
        self._up, self._seen = connected, at
        self.stands = not connected or at < self._until
        return at - self._paused

    def skip(self, since: float, at: float) -> None:
        """Leave out the time between two times of the other clock; `read` counts it no more."""
        since = since if self._seen is None else max(since, self._seen)
        self.read(since, connected=self._up)
        self._paused += at - since
        self._seen = at

    def answered(self, came: float, at: float) -> None:
        """Take note of a pair: one of a frame that came in the outage is followed by others.

        Args:
            came: When the frame came, by the clock that goes on.
            at: The time now, by the same.
        """
        if self._lost <= came <= self._back and self.is_late(at):
            self._until = max(self._until, at + _FOLLOWS)

    def is_late(self, at: float) -> bool:
        """True if what comes now may be late because of an outage, by as much as that lasted."""
        outage = self._back - self._lost
        return not self._up or at < self._back + outage + min(outage, _CATCHES_UP)
