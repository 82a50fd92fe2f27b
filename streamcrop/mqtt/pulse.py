"""The pulse of a broker: one that hangs keeps its connection, and says nothing.

MQTT's keep-alive tells that late: within one and a half times 8 s, in which frames would wait for
messages that cannot come. So a broker that is silent is asked each second (PINGREQ, MQTT 5, 3.12).
Times are in seconds, on any one monotonic clock.
"""

# A broker that was silent so long is asked; one that does not answer so long is taken to hang, and
# one that does not for so long is given up. A loaded one answers within some 20 ms (2026-11-28).
_SILENT, _HANGS, _GIVEN_UP = 0.5, 0.5, 5.0
EVERY = 0.25


class Pulse:
    """The life signs of one connection.

    Args:
        at: When it began.

    Example:
        >>> pulse = Pulse(10.0)
        >>> pulse.should_ask(10.2), pulse.should_ask(10.5), pulse.should_ask(10.6)
        (False, True, False)
        >>> pulse.answers(10.9), pulse.answers(11.0), pulse.is_gone(15.5)
        (True, False, True)
        >>> pulse.heard(15.6)
        >>> pulse.answers(15.7)
        True
    """

    def __init__(self, at: float) -> None:
        self._heard = at
        self._asked: float | None = None
        self._wrote = at

    def wrote(self, at: float) -> None:
        """Take note that some of what waits to be sent was: our question may be behind it."""
        self._wrote = at

    def heard(self, at: float) -> None:
        """Take note that something came."""
        self._heard = at
        self._asked = None

    def should_ask(self, at: float) -> bool:
        """True if the broker is to be asked now, and was not since it was heard."""
        if self._asked is not None or at < self._heard + _SILENT:
            return False
        self._asked = at
        return True

    def answers(self, at: float) -> bool:
        """False if the broker hangs, as it seems."""
        return self._asked is None or at < self._asked + _HANGS

    def is_gone(self, at: float) -> bool:
        """True if nobody will answer any more."""
        return self._asked is not None and at >= max(self._asked, self._wrote) + _GIVEN_UP
