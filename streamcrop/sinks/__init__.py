"""Where events go: one module a sink, all with the same three verbs.

A sink owns what it was given: each event ends exactly once, delivered or lost for a reason, and the
sink tells so when it happens. A new sink is its module, its settings, and a row in `build`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from streamcrop.core.values import Reason
from streamcrop.formats.events import Event

# Is told of each event how it ended: None if it was delivered, else why not.
Ended = Callable[[Event, Reason | None], None]


class Sink(Protocol):
    """Takes events, in order.

    Attributes:
        name: The sink's row in the ledger.
        trouble: Why it delivers nothing now, if it knows; else None.
    """

    name: str
    trouble: str | None

    def prepare(self, events: Sequence[Event]) -> object:
        """Do what can be done of `put` in any thread; its result is for `put`, None: nothing."""
        ...

    async def put(self, events: Sequence[Event], prepared: object = None) -> None:
        """Take events; waits until there is room for them. Of none, too: it begins to work then.

        From the call on they are the sink's, also if it is cancelled while it waits.
        """
        ...

    async def drain(self) -> None:
        """Wait until everything that was taken has ended."""
        ...

    async def abort(self) -> None:
        """End at once everything that was taken."""
        ...


class Outlet(Protocol):
    """One way to bring events to where they belong.

    Attributes:
        batch: How many events it takes at once.
    """

    batch: int

    def take(self, event: Event) -> Event | None:
        """The event as it is to be delivered; None: it is not. Asked once, not at each try."""
        ...

    async def deliver(self, events: Sequence[Event], *, again: bool) -> int:
        """Deliver events, the first one first.

        Args:
            events: One, or up to `batch`.
            again: Whether this one was perhaps tried before.

        Returns:
            How many are delivered, at least one.

        Raises:
            SinkError: If none was, and it may work later.
            RejectedError: If the first one never will be.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Account(Protocol):
    """Counts the crops of one sink."""

    def ended(self, event: Event, reason: Reason | None) -> None:
        """An event was delivered, or not for a reason."""
        ...

    def spooled(self, count: int) -> None:
        """So many more crops wait in the spool, or fewer."""
        ...

    def lost(self, reason: Reason, count: int) -> None:
        """So many crops were let go of, nobody knows which."""
        ...
