"""The view that a node gives of itself: plain values, taken at one moment.

Whoever runs streams makes a `NodeView` when it is asked for one; nothing here knows how.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from streamcrop.web.recent import Recent

STATES = ("starting", "running", "degraded", "reconnecting", "restarting", "ended")
# Those in which a stream does what it is to do.
_WELL = {"running", "ended"}


@dataclass(frozen=True, slots=True)
class RowView:
    """A row of the ledger.

    Attributes:
        entry: The name of what came in, as ``received``.
        entered: How many came in.
        outcomes: How many ended in each way: the success first, then each loss that there can be.
    """

    entry: str
    entered: int
    outcomes: Mapping[str, int]

    @property
    def succeeded(self) -> int:
        """How many reached their end."""
        return next(iter(self.outcomes.values()))

    @property
    def dropped(self) -> dict[str, int]:
        """The losses that there were."""
        return {name: n for name, n in list(self.outcomes.items())[1:] if n}


@dataclass(frozen=True, slots=True)
class QueueView:
    """How full a queue is."""

    items: int
    nbytes: int
    max_items: int
    max_bytes: int | None = None

    @property
    def fill(self) -> float:
        """0 for empty, 1 for full."""
        of_bytes = self.nbytes / self.max_bytes if self.max_bytes else 0.0
        return min(1.0, max(self.items / self.max_items, of_bytes))


@dataclass(frozen=True, slots=True)
class TimesView:
    """A histogram: counts by `histograms.BOUNDS`, one more for what was longer, and the sum."""

    counts: Sequence[int]
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamView:
    """A stream.

    Attributes:
        state: One of `STATES`.
        reason: Why, for people.
        failed: Whether it ended for good as it should not have.
        key: Its pairing key.
        caveat: What is to be known of the key.
        topic: Where its detector publishes.
        format: How that is written.
        tapped: Whether it shows frames to detectors.
        live: Whether its source is live.
        rows: Of its ledger, by name.
        sinks: Of each sink, by name, what became of the crops that it took.
        queues: By name.
        times: ``capture_to_crop``, ``pair_to_publish``, ``message_delay``.
        clock: ``capture`` or ``arrival``: where ``capture_to_crop`` begins.
        reconnects: How often its source was lost.
        restarts: How often it was begun again after an error that nobody expected.
        clock_offset: The camera's clock minus ours, in seconds; None: not known.
        notes: As in its status.
    """

    name: str
    state: str
    reason: str
    failed: bool = False
    key: str = "frame_id"
    caveat: str | None = None
    topic: str = ""
    format: str = "inference"
    tapped: bool = False
    live: bool = False
    rows: Mapping[str, RowView] = field(default_factory=dict)
    sinks: Mapping[str, RowView] = field(default_factory=dict)
    queues: Mapping[str, QueueView] = field(default_factory=dict)
    times: Mapping[str, TimesView] = field(default_factory=dict)
    clock: str = "arrival"
    reconnects: int = 0
    restarts: int = 0
    clock_offset: float | None = None
    notes: Sequence[Mapping[str, Any]] = ()

    @property
    def is_well(self) -> bool:
        """True if it runs, or has ended as it should."""
        return self.state in _WELL and not self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """A node.

    Attributes:
        node: Its name.
        version: Of the program.
        broker: The broker's host and port, without a login.
        connected: Whether the broker is there.
        streams: In the configuration's order.
        spool: How many events wait on disk; None: there is no spool.
    """

    node: str
    version: str
    broker: str
    connected: bool
    streams: Sequence[StreamView]
    spool: int | None = None

    @property
    def ills(self) -> list[str]:
        """Why it is not ready; empty if it is."""
        broker = [] if self.connected else [f"the broker {self.broker} is not connected"]
        return broker + [f"{s.name}: {s.state}: {s.reason}" for s in self.streams if not s.is_well]


class Watched(Protocol):
    """A running node, as the page sees it; all of it returns at once."""

    def view(self) -> NodeView:
        """How the node is now."""
        ...

    @property
    def recent(self) -> Recent:
        """The newest crops."""
        ...

    def lost(self, stream: str) -> Sequence[tuple[str, str]]:
        """The last frames of a stream that were not paired: a name and the story of each."""
        ...

    def explain(self, stream: str, name: str) -> str | None:
        """The story of a frame, by one of its names; None: there is no such stream."""
        ...
