"""Counts what a sink tells of its crops: in its row of the ledger, perhaps in the crops' too."""

from collections.abc import Callable, Sequence

from streamcrop.core.values import Reason
from streamcrop.formats.events import Event
from streamcrop.stream.ledger import Row


class SinkAccount:
    """Counts the crops of one sink; other events are not counted.

    Args:
        rows: The sink's own; and the crops' row, if what it delivers counts as published.
        why: Says which reason counts, of one that is known.
        delivered: Is told of each crop that was.

    Example:
        >>> row = Row("sink")
        >>> account = SinkAccount([row], lambda reason: reason)
        >>> account.taken(2)
        >>> account.ended(Event("t", b"", "", {}, is_crop=True), None)
        >>> account.spooled(1)
        >>> row.missing
        0
    """

    def __init__(
        self,
        rows: Sequence[Row],
        why: Callable[[Reason], Reason],
        delivered: Callable[[Event], None] = lambda _: None,
    ) -> None:
        self._rows = rows
        self._why = why
        self._delivered = delivered

    def inherits(self, count: int) -> None:
        """There is a spool, and in it so many crops wait from an earlier run."""
        for row in self._rows:
            row.spools = True
            row.inherited += count
            row.spooled += count

    def taken(self, count: int) -> None:
        """The sink was given so many crops."""
        # In the crops' row they have entered when they were made.
        self._rows[0].enter(count)

    def ended(self, event: Event, reason: Reason | None) -> None:
        """See `streamcrop.sinks.Account`."""
        if not event.is_crop:
            return
        if reason:
            self.lost(reason, 1)
        else:
            for row in self._rows:
                row.succeed()
            self._delivered(event)

    def spooled(self, count: int) -> None:
        """See `streamcrop.sinks.Account`."""
        for row in self._rows:
            row.spooled += count

    def lost(self, reason: Reason, count: int) -> None:
        """See `streamcrop.sinks.Account`."""
        reason = self._why(reason)
        for row in self._rows:
            row.drop(reason, count)
