"""How two sessions of one camera count media time: apart by one constant, which is learned."""

from collections import deque
from enum import Enum
from statistics import median

# Within so many seconds each reader has heard a report, and told of it: they come each 5 s, varied
# by half and divided by 1.22 (RFC 3550, 6.3.1), so after 6.2 s; the rest is a detector's delay.
DOUBT = 7.5
# A pair is held for so long at the most: until three reports must have come.
LONGEST = 3 * DOUBT
# A constant is never held to be more exact than that, in microseconds.
_EXACT = 1000
# And less so by so much with each second in which nothing confirmed it: crystals, and readers that
# correct media time for them.
_DRIFT = 200
# So many pairs make a constant; two do where they lie far apart.
_ENOUGH, _REMEMBERED = 10, 64


class Verdict(Enum):
    """The fate of a pair whose keys agree."""

    PAIR = "pair"
    REFUSE = "refuse"
    WAIT = "wait"


class Constant:
    """The difference between the media times of two sessions: learned, held to, learned again.

    It is learned from pairs by capture time while those are beyond doubt: when, since the later
    session began, the capture times of both sides have moved against one another by no more than
    the tolerance, for `DOUBT` seconds, and our side has heard a report meanwhile: a step of which
    one side alone knew would show as such a move. (A detector can't say earlier that it has heard
    one: its messages are late, and the report may be older than the step.)

    Args:
        tolerance: The largest width of the constant, in microseconds.

    Example:
        >>> constant = Constant(tolerance=8000)
        >>> for second in range(9):
        ...     constant.heed(gap=0, now=second, reports=second)
        ...     verdict = constant.judge(apart=500, now=second)
        >>> verdict, constant.judge(apart=540, now=9)
        (<Verdict.PAIR: 'pair'>, <Verdict.PAIR: 'pair'>)
        >>> constant.judge(apart=40_500, now=9)
        <Verdict.WAIT: 'wait'>
    """

    def __init__(self, tolerance: int) -> None:
        self._tolerance = tolerance
        self._value: float | None = None
        # The mean distance of pairs from it.
        self._spread = 0.0
        # When a pair last agreed with it.
        self._agreed = float("-inf")
        self._doubtful: deque[tuple[float, int]] = deque(maxlen=_REMEMBERED)
        self.unsettle()

    @property
    def is_known(self) -> bool:
        """True if it was learned."""
        return self._value is not None

    @property
    def scatter(self) -> int | None:
        """How far apart the last doubtful pairs lie, in microseconds, while nothing is learned."""
        if self._value is not None or len(self._doubtful) < _ENOUGH:
            return None
        apart = [apart for _, apart in self._doubtful]
        return max(apart) - min(apart)

    def unsettle(self) -> None:
        """Begin to look anew at how capture times move; the constant stays."""
        self._since: float | None = None
        self._inside = True
        self._seen = 0.0
        self._strays = self._low = self._high = 0
        self._reports = self._reports_then = 0

    def heed(self, gap: int, now: float, reports: int) -> None:
        """Take note of how far the mappings of media to capture time lie apart.

        Args:
            gap: The message's mapping - that of the last frame.
            now: In seconds.
            reports: The number of reports that our side has heard.
        """
        # As of here: what came since may have moved what is not looked at yet.
        self._reports, self._seen = reports, now
        self._inside = True
        if self._since is not None:
            low, high = min(self._low, gap), max(self._high, gap)
            if high - low <= self._tolerance:
                self._low, self._high = low, high
                return
            # One alone may be a reader's slip at a report.
            self._strays += 1
            self._inside = False
            if self._strays == 1:
                return
        self._since, self._strays = now, 0
        self._reports_then = reports
        self._low = self._high = gap

    def judge(self, apart: int, now: float) -> Verdict:
        """Judge a pair whose media times are so far apart."""
        if self._agrees(apart, now):
            self._follow(apart, now)
            # A few that contradict it beside many that agree do not teach another.
            self._doubtful.clear()
            return Verdict.PAIR
        self._doubtful.append((now, apart))
        self._learn(now)
        return Verdict.PAIR if self._agrees(apart, now) else Verdict.WAIT

    def again(self, apart: int, since: float, now: float) -> Verdict:
        """Judge a pair again that has waited since a time."""
        self._learn(now)
        if self._agrees(apart, now):
            return Verdict.PAIR
        # Both sides agree again, and this pair is of the time in which they did not.
        return Verdict.REFUSE if self._agreed > since else Verdict.WAIT

    def _agrees(self, apart: int, now: float) -> bool:
        if self._value is None:
            return False
        width = max(_EXACT, 6 * self._spread) + _DRIFT * max(0.0, now - self._agreed)
        return abs(apart - self._value) <= min(self._tolerance, width)

    def _follow(self, apart: int, now: float) -> None:
        assert self._value is not None  # noqa: S101  # it agreed
        error = apart - self._value
        self._value += error / 16
        self._spread += (abs(error) - self._spread) / 16
        self._agreed = now

    def _learn(self, now: float) -> None:
        """Take the constant that the pairs in doubt have in common, if it is beyond doubt."""
        since = self._since
        # A detector that fell silent in between may not have heard of it.
        if since is None or self._seen < since + DOUBT:
            return
        if not self._inside or self._reports <= self._reports_then:
            return
        known = [(at, apart) for at, apart in self._doubtful if at >= since]
        if len(known) < _ENOUGH and (not known or known[-1][0] - known[0][0] < DOUBT):
            return
        middle = median(apart for _, apart in known)
        errors = [abs(apart - middle) for _, apart in known]
        if sum(error <= self._tolerance for error in errors) < 0.8 * len(known):
            return
        self._value, self._agreed = middle, now
        # Wide at first: few pairs do not tell how exact it is.
        self._spread = self._tolerance / 6
        self._doubtful.clear()
