"""What became of everything in one stream: the ledger, the last frames' stories, its end."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from streamcrop.core.pairing import Dropped
from streamcrop.core.values import Frame, Reason
from streamcrop.errors import SinkError, SourceError
from streamcrop.explain import History
from streamcrop.formats.events import Event
from streamcrop.notes import Notes
from streamcrop.render import Rendered
from streamcrop.stats import Ledger

T = TypeVar("T")

# What is lost for these reasons while a stream ends is lost because it ends.
_ENDINGS = {Reason.QUEUE_FULL, Reason.NOT_TAPPED, Reason.CLOSED}


class Outcomes:
    """Counts each frame, message, prediction and crop of a stream once, and remembers why.

    Args:
        paired_by: The pairing key's name.
        max_wait: For the story of a frame that expired.
        stream: The stream's name, for the log.

    Attributes:
        notes: What people ought to know of the stream.
        failure: Why the stream failed for good, or None.
        ending: Is set once the stream is to end.
    """

    def __init__(self, paired_by: str, max_wait: float, *, stream: str = "") -> None:
        self.ledger = Ledger()
        self.history = History()
        self.notes = Notes(stream)
        self.failure: SourceError | SinkError | None = None
        self.ending = asyncio.Event()
        self._paired = f"paired by {paired_by}"
        self._expired = f"expired after {max_wait:g} s"

    async def unless_ending(self, work: Awaitable[T]) -> T | None:
        """Wait for something that may never come, as long as the stream is not to end."""
        task, ending = asyncio.ensure_future(work), asyncio.ensure_future(self.ending.wait())
        try:
            await asyncio.wait({task, ending}, return_when=asyncio.FIRST_COMPLETED)
            return await task if task.done() else None
        finally:
            task.cancel()
            ending.cancel()

    def received(self, item: Frame | Reason) -> None:
        """A source handed out a frame, or one that is lost already."""
        self.ledger.frames.enter()
        if isinstance(item, Reason):
            self.ledger.frames.drop(item)
        else:
            self.history.note(item, "received, waits for its detections")

    def frame_lost(self, frame: Frame, reason: Reason) -> None:
        """A frame ended without a pair."""
        reason = self._why(reason)
        self.ledger.frames.drop(reason)
        self.history.note(frame, self._expired if reason == Reason.EXPIRED else reason)

    def message_lost(self, reason: Reason) -> None:
        """A message ended without a pair."""
        self.ledger.messages.drop(self._why(reason))

    def dropped(self, event: Dropped[Any, Any]) -> None:
        """The pairer let go of a frame or a message."""
        if event.side == "frames":
            self.frame_lost(event.item.value, event.reason)
        else:
            self.message_lost(event.reason)
            self.history.note_message(event.item.value, event.reason)

    def pair_lost(self, frame: Frame) -> None:
        """A pair was made and not rendered."""
        self.frame_lost(frame, Reason.CLOSED)
        self.message_lost(Reason.CLOSED)

    def pair_corrupt(self, frame: Frame) -> None:
        """A pair was made, and its frame turned out to be damaged."""
        self.frame_lost(frame, Reason.CORRUPT)
        self.message_lost(Reason.FAILED)

    def paired(self, frame: Frame, part: Rendered) -> None:
        """A pair is rendered, with this as its first part."""
        self.ledger.frames.succeed()
        self.ledger.messages.succeed()
        refused = "".join(f", {count} {reason}" for reason, count in part.refused.items())
        said = f"{part.received} predictions: {part.made} crops made{refused}"
        self.history.note(frame, f"{self._paired}, {said}")

    def rendered(self, part: Rendered) -> None:
        """A part of a pair is rendered."""
        rows = self.ledger
        rows.predictions.enter(part.received)
        rows.predictions.succeed(part.made)
        rows.crops.enter(part.made)
        for reason, count in part.refused.items():
            rows.predictions.drop(reason, count)
        rows.crops.drop(Reason.ENCODING_FAILED, part.encoding_failed)

    def crop_ended(self, event: Event, reason: Reason | None) -> None:
        """An event was published, or not for a reason."""
        if not event.is_crop:
            return
        if reason is None:
            self.ledger.crops.succeed()
        else:
            self.ledger.crops.drop(reason)

    def _why(self, reason: Reason) -> Reason:
        if isinstance(self.failure, SinkError):
            return Reason.FAILED
        return Reason.CLOSED if self.ending.is_set() and reason in _ENDINGS else reason
