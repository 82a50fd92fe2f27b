"""How often something may happen: so many times a second, and a few more at once."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

# So many keys are told apart; the one that asked longest ago is forgotten.
_MAX_KEYS = 1024


class Rate:
    """A bucket that holds ``burst`` and gains ``per_second``.

    Args:
        per_second: How many may happen in a second, in the long run.
        burst: How many may happen at once.
        clock: Seconds, on any monotonic clock.

    Example:
        >>> now = 0.0
        >>> rate = Rate(2, 3, clock=lambda: now)
        >>> [rate.allows() for _ in range(4)]
        [True, True, True, False]
        >>> now = 0.5
        >>> rate.allows(), rate.allows()
        (True, False)
    """

    def __init__(
        self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._left = float(burst)
        self._since = clock()

    def allows(self, cost: float = 1) -> bool:
        """True if it may happen now; then it counts, unless it costs nothing."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._since) * self._per_second)
        self._since = now
        if self._left < 1:
            return False
        self._left -= cost
        return True


class Rates:
    """A `Rate` for each of those who ask, of whom there may be any number.

    Args:
        per_second: As `Rate`.
        burst: As `Rate`.
        clock: As `Rate`.

    Example:
        >>> rates = Rates(1, 1, clock=lambda: 0.0)
        >>> rates.allows("a"), rates.allows("a"), rates.allows("b")
        (True, False, True)
    """

    def __init__(
        self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._of = (per_second, burst, clock)
        self._rates: OrderedDict[Hashable, Rate] = OrderedDict()

    def allows(self, key: Hashable, cost: float = 1) -> bool:
        """True if this one may now; then it counts, unless it costs nothing."""
        rate = self._rates.pop(key, None) or Rate(*self._of)
        self._rates[key] = rate
        while len(self._rates) > _MAX_KEYS:
            self._rates.popitem(last=False)
        return rate.allows(cost)
