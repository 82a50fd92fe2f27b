"""The ledger: every frame, message, prediction and crop ends in exactly one named outcome."""

import logging
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streamcrop.core.values import Reason

logger = logging.getLogger(__name__)

_LATELY = 5


def _reasons(names: str) -> frozenset[Reason]:
    return frozenset(map(Reason, names.split()))


_CROPS = _reasons(
    "encoding_failed too_large not_acknowledged closed failed spool_full spool_expired"
)
# Each row: what goes in, what success is called, and the closed list of all other ends.
ROWS: dict[str, tuple[str, str, frozenset[Reason]]] = {
    "frames": (
        "received",
        "paired",
        _reasons(
            "queue_full not_tapped no_key ambiguous corrupt expired pairing_full overload closed "
            "failed"
        ),
    ),
    "messages": (
        "received",
        "paired",
        _reasons(
            "too_large malformed no_key queue_full duplicate late stale expired ambiguous "
            "pairing_full overload closed failed"
        ),
    ),
    "predictions": (
        "received",
        "cropped",
        _reasons(
            "malformed not_finite outside_frame bad_mask over_limit no_shape filtered not_chosen"
        ),
    ),
    "crops": ("made", "published", _CROPS),
    # One for each sink, of crops alone.
    "sink": ("taken", "delivered", _CROPS),
}


@dataclass(slots=True)
class Row:
    """One row of the ledger.

    Attributes:
        spooled: What waits in the spool now; at exit what this run left there.
        inherited: What it found there, beside what entered.
        spools: Whether there is one.
    """

    name: str
    entered: int = 0
    succeeded: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    spooled: int = 0
    inherited: int = 0
    spools: bool = False

    def enter(self, count: int = 1) -> None:
        """Count what came in."""
        self.entered += count

    def succeed(self, count: int = 1) -> None:
        """Count what reached its end."""
        self.succeeded += count

    def drop(self, reason: str, count: int = 1) -> None:
        """Count what was lost.

        Raises:
            ValueError: If the row knows no such reason: a loss nobody would look for.
        """
        if reason not in ROWS[self.name][2]:
            msg = f"{reason!r} is no reason for {self.name}"
            raise ValueError(msg)
        if count:
            self.dropped[str(reason)] += count

    @property
    def missing(self) -> int:
        """The number of those that came in and have not ended."""
        entered = self.entered + self.inherited
        return entered - self.succeeded - self.spooled - self.dropped.total()

    def as_json(self) -> dict[str, Any]:
        """As in the ledger's JSON."""
        entered, succeeded, _ = ROWS[self.name]
        inherited = {"inherited": self.inherited} if self.spools else {}
        spooled = {"spooled": self.spooled} if self.spools or self.name == "sink" else {}
        dropped = {"dropped": dict(sorted(self.dropped.items()))}
        return {entered: self.entered, **inherited, succeeded: self.succeeded, **spooled, **dropped}

    def error(self) -> str | None:
        """Why it does not add up; None if it does."""
        if not self.missing:
            return None
        entered, succeeded, _ = ROWS[self.name]
        inherited = f" + {self.inherited} inherited" if self.spools else ""
        spooled = f" + {self.spooled} spooled" if self.spools else ""
        return (
            f"{self.entered} {entered}{inherited}, but {self.succeeded} {succeeded}{spooled} + "
            f"{self.dropped.total()} dropped"
        )

    def __str__(self) -> str:
        entered, succeeded, _ = ROWS[self.name]
        losses = "".join(f"  {reason} {n}" for reason, n in sorted(self.dropped.items()))
        spooled = ""
        if self.spools:
            spooled = f"  spooled {self.spooled} ({self.inherited} inherited)"
        line = f"{entered} {self.entered:>7}  {succeeded} {self.succeeded:>7}"
        return f"{line}  lost {self.dropped.total():>6}{losses and ' =' + losses}{spooled}"


class Ledger:
    """The counts of one stream.

    Example:
        >>> ledger = Ledger()
        >>> ledger.frames.enter()
        >>> ledger.errors()
        ['frames: 1 received, but 0 paired + 0 dropped']
        >>> ledger.frames.drop(Reason.EXPIRED)
        >>> ledger.errors()
        []
    """

    def __init__(self) -> None:
        self.frames = Row("frames")
        self.messages = Row("messages")
        self.predictions = Row("predictions")
        self.crops = Row("crops")
        # By name; the first one's crops are those that count above.
        self.sinks: dict[str, Row] = {}

    @property
    def rows(self) -> tuple[Row, Row, Row, Row]:
        """All four, in the order of the pipeline."""
        return self.frames, self.messages, self.predictions, self.crops

    def errors(self) -> list[str]:
        """Why it does not add up; empty when it does. Only true once the stream has ended."""
        found = []
        named = [(row.name, row) for row in self.rows]
        named += [(f"sink {name}", row) for name, row in self.sinks.items()]
        for name, row in named:
            if error := row.error():
                found.append(f"{name}: {error}")
        if self.frames.succeeded != self.messages.succeeded:
            pairs = f"{self.frames.succeeded} frames, {self.messages.succeeded} messages"
            found.append(f"pairs: {pairs}")
        if self.predictions.succeeded != self.crops.entered:
            found.append(f"{self.predictions.succeeded} cropped, {self.crops.entered} crops made")
        return found

    def as_json(self) -> dict[str, Any]:
        """As in ``--ledger`` and in the stream's status."""
        sinks = {name: row.as_json() for name, row in self.sinks.items()}
        return {**{row.name: row.as_json() for row in self.rows}, "sinks": sinks}

    def __str__(self) -> str:
        others = list(self.sinks.items())[1:]
        named = [*((row.name, row) for row in self.rows), *((f"  {n}", row) for n, row in others)]
        return "\n".join(f"{name:<12}{row}" for name, row in named)

    @property
    def losses(self) -> Counter[str]:
        """The losses, by row and reason; of sinks behind the first one, too."""
        named = [(row.name, row) for row in self.rows]
        named += [(f"crops for {name}", row) for name, row in list(self.sinks.items())[1:]]
        return Counter(
            {f"{name} {why}": n for name, row in named for why, n in row.dropped.items()}
        )


class Overload:
    """By how much a stream is overloaded: pairs that nobody could render, of all, lately.

    Example:
        >>> ledger = Ledger()
        >>> overload = Overload(ledger)
        >>> overload.look()
        >>> for _ in range(2):
        ...     ledger.frames.succeed()
        >>> ledger.frames.drop(Reason.OVERLOAD, 4)
        >>> overload.look()
        'overloaded: 4 of 6 pairs of the last 5 s are lost, since they come faster than they are
        cut and published'
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._before: deque[tuple[int, int]] = deque(maxlen=_LATELY)

    def look(self) -> str | None:
        """Say so if it is overloaded; call it once a second."""
        row = self._ledger.frames
        now = row.succeeded, row.dropped[Reason.OVERLOAD]
        first = self._before[0] if self._before else now
        self._before.append(now)
        made, lost = (count - before for count, before in zip(now, first, strict=True))
        if not lost:
            return None
        return (
            f"overloaded: {lost} of {made + lost} pairs of the last {_LATELY} s are lost, since "
            "they come faster than they are cut and published"
        )


class LossReport:
    """Says in the log what was lost since the last time; never a line for each loss."""

    def __init__(self, stream: str, ledger: Ledger) -> None:
        self._stream = stream
        self._ledger = ledger
        self._said: Counter[str] = Counter()

    def say(self, log: Callable[..., None] = logger.warning) -> None:
        """Log the losses since the last call, if any; call it once a second."""
        now = self._ledger.losses
        if new := now - self._said:
            losses = ", ".join(f"{n} {what}" for what, n in sorted(new.items()))
            log("stream %s lost: %s", self._stream, losses)
        self._said = now
