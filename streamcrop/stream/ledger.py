"""The ledger: every frame, message, prediction and crop ends in exactly one named outcome."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streamcrop.core.values import Reason

logger = logging.getLogger(__name__)


def _reasons(names: str) -> frozenset[Reason]:
    return frozenset(map(Reason, names.split()))


# Each row: what goes in, what success is called, and the closed list of all other ends.
ROWS: dict[str, tuple[str, str, frozenset[Reason]]] = {
    "frames": (
        "received",
        "paired",
        _reasons(
            "queue_full not_tapped no_key ambiguous corrupt expired pairing_full closed failed"
        ),
    ),
    "messages": (
        "received",
        "paired",
        _reasons(
            "too_large malformed no_key queue_full duplicate late stale expired ambiguous "
            "pairing_full closed failed"
        ),
    ),
    "predictions": (
        "received",
        "cropped",
        _reasons("malformed not_finite outside_frame bad_mask over_limit no_shape"),
    ),
    "crops": (
        "made",
        "published",
        _reasons("encoding_failed too_large not_acknowledged closed failed"),
    ),
}


@dataclass(slots=True)
class Row:
    """One row of the ledger."""

    name: str
    entered: int = 0
    succeeded: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

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
        """What came in and has not ended."""
        return self.entered - self.succeeded - self.dropped.total()

    def as_json(self) -> dict[str, Any]:
        """As in the ledger's JSON."""
        entered, succeeded, _ = ROWS[self.name]
        dropped = dict(sorted(self.dropped.items()))
        return {entered: self.entered, succeeded: self.succeeded, "dropped": dropped}


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

    @property
    def rows(self) -> tuple[Row, Row, Row, Row]:
        """All four, in the order of the pipeline."""
        return self.frames, self.messages, self.predictions, self.crops

    def errors(self) -> list[str]:
        """Why it does not add up; empty when it does. Only true once the stream has ended."""
        found = []
        for row in self.rows:
            if row.missing:
                entered, succeeded, _ = ROWS[row.name]
                found.append(
                    f"{row.name}: {row.entered} {entered}, but {row.succeeded} {succeeded} + "
                    f"{row.dropped.total()} dropped"
                )
        if self.frames.succeeded != self.messages.succeeded:
            pairs = f"{self.frames.succeeded} frames, {self.messages.succeeded} messages"
            found.append(f"pairs: {pairs}")
        if self.predictions.succeeded != self.crops.entered:
            found.append(f"{self.predictions.succeeded} cropped, {self.crops.entered} crops made")
        return found

    def as_json(self) -> dict[str, Any]:
        """As in ``--ledger`` and in the stream's status."""
        return {row.name: row.as_json() for row in self.rows}

    def __str__(self) -> str:
        lines = []
        for row in self.rows:
            entered, succeeded, _ = ROWS[row.name]
            losses = "".join(f"  {reason} {n}" for reason, n in sorted(row.dropped.items()))
            line = f"{row.name:<12}{entered} {row.entered:>7}  {succeeded} {row.succeeded:>7}"
            lines.append(f"{line}  lost {row.dropped.total():>6}{losses and ' =' + losses}")
        return "\n".join(lines)


class LossReport:
    """Says in the log what was lost since the last time; never a line for each loss."""

    def __init__(self, stream: str, ledger: Ledger) -> None:
        self._stream = stream
        self._ledger = ledger
        self._said: Counter[str] = Counter()

    def say(self, log: Callable[..., None] = logger.warning) -> None:
        """Log the losses since the last call, if any; call it once a second."""
        now = Counter(
            {f"{row.name} {why}": n for row in self._ledger.rows for why, n in row.dropped.items()}
        )
        if new := now - self._said:
            losses = ", ".join(f"{n} {what}" for what, n in sorted(new.items()))
            log("stream %s lost: %s", self._stream, losses)
        self._said = now
