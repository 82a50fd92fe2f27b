"""How soon after the time that it names a message comes: a clock that was set shows in it."""

from bisect import bisect_left, insort
from collections import deque

from streamcrop.core.constant import DOUBT

# So many messages tell how soon one may come, and the last ones count.
_TELLING, _LAST = 50, 128
# So much sooner than the soonest is sooner than ever, in microseconds, at least.
_LEAST = 5000
# So many in turn that come as ever end a doubt.
_AS_EVER = 10


class Delays:
    """Judges messages without media time by how late they come, as one detector's did before.

    The camera's clock was set, and the detector heard of it before we do. Forwards: messages name
    times that are still to come, so they come sooner than ever, by as much as the clock was set.
    Backwards: a detector that kept the order names times that lie closer together than ever, or an
    earlier one again, and its messages come later than ever. By our own next report at the latest
    we know. Steps that are smaller than the detector's own spread can't be told from it.

    Attributes:
        doubted_at: When a message was last doubted.

    Times are in microseconds; a delay is the time of arrival, on any monotonic clock, minus the
    time that the message names.
    """

    def __init__(self) -> None:
        self._last: deque[int] = deque()
        self._sorted: list[int] = []
        self.doubted_at = float("-inf")
        self._doubted: float | None = None
        self._as_ever = 0
        self._named: int | None = None
        # How far apart the times are that messages in order name.
        self._advances: deque[int] = deque(maxlen=_LAST)
        self._bound = 0.0
        self._bound_until = float("-inf")

    def heed(self, named: int, now: float) -> None:
        """Take note of the time that a message names."""
        advance = 0 if self._named is None else named - self._named
        self._named = named
        if len(self._advances) >= _TELLING and self._sorted:
            least = min(self._advances)
            if advance < least / 2:
                self._bound, self._bound_until = (
                    self._sorted[-1] + (least - advance) / 2,
                    now + DOUBT,
                )
        if advance > 0:
            self._advances.append(advance)
        elif advance < 0:
            # One whose messages overtake each other says nothing by it.
            self._advances.clear()

    def allow(self, delay: int, now: float) -> bool:
        """True if a message that comes so late may be believed."""
        if self._is_unlike(delay, now):
            self._as_ever = 0
            self.doubted_at = now
            self._doubted = now if self._doubted is None else self._doubted
            if now < self._doubted + DOUBT:
                return False
            # We would know: the detector, or the way from it, is another than it was.
            self._last.clear()
            self._sorted.clear()
            self._bound_until = float("-inf")
        elif self._doubted is not None:
            self._as_ever += 1
            if self._as_ever < _AS_EVER:
                return False
        self._doubted = None
        self._add(delay)
        return True

    def _is_unlike(self, delay: int, now: float) -> bool:
        if now < self._bound_until and delay > self._bound:
            return True
        if len(self._sorted) < _TELLING:
            return False
        soonest, usual = self._sorted[0], self._sorted[len(self._sorted) // 2]
        return delay < soonest - max(_LEAST, usual - soonest)

    def _add(self, delay: int) -> None:
        self._last.append(delay)
        insort(self._sorted, delay)
        if len(self._last) > _LAST:
            del self._sorted[bisect_left(self._sorted, self._last.popleft())]
