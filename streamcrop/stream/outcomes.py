"""The outcomes of one stream: the ledger, the last frames' stories, its end."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from streamcrop.core.pairing import Dropped
from streamcrop.core.values import Frame, Message, Reason
from streamcrop.errors import CorruptError, FormatError, SourceError
from streamcrop.formats.documents import shown
from streamcrop.formats.events import Event
from streamcrop.keys import KEYS
from streamcrop.notes import Notes, excerpt, unexpected
from streamcrop.stream.accounts import SinkAccount
from streamcrop.stream.history import History
from streamcrop.stream.ledger import Ledger, Row
from streamcrop.stream.measures import Measures
from streamcrop.stream.render import Rendered

T = TypeVar("T")

# A camera's first sender report, by which frames get capture times, comes within some 7 s.
_PATIENCE = 10_000_000
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
        failing: Whether what is let go of now is so because of an error that nobody expected.
        restarts: How often the stream was begun again after such an error.
        measures: How long things take.
        delivered: Is told of each crop that has arrived where it was to go.
    """

    def __init__(self, paired_by: str, max_wait: float, *, stream: str = "") -> None:
        self.ledger = Ledger()
        self._accounts: dict[str, SinkAccount] = {}
        self.history = History()
        self.notes = Notes(stream)
        self.failure: SourceError | None = None
        self.ending = asyncio.Event()
        self.failing = False
        self.restarts = 0
        self.measures = Measures()
        self._met_unexpected = False
        self.delivered: Callable[[Event], None] = lambda _: None
        self._paired = f"paired by {paired_by}"
        self._lacks = KEYS[paired_by].lacks
        self._epoch: str | None = None
        self._epoch_began = 0
        self._expired = f"expired after {max_wait:g} s"

    def received(self, item: Frame | Reason) -> None:
        """A source handed out a frame, or one that is lost already."""
        self.ledger.frames.enter()
        if isinstance(item, Reason):
            self.ledger.frames.drop(item)
        else:
            self.measures.received(item)
            self._remember(self.history.note, item, "received, waits for its detections")

    def frame_lost(self, frame: Frame, reason: Reason) -> None:
        """A frame ended without a pair."""
        reason = self._why(reason)
        self.ledger.frames.drop(reason)
        said = self._expired if reason == Reason.EXPIRED else reason
        self._remember(self.history.note, frame, said)

    def message_lost(self, reason: Reason) -> None:
        """A message ended without a pair."""
        self.ledger.messages.drop(self._why(reason))

    def message_refused(self, topic: str, payload: bytes, error: FormatError) -> None:
        """A message is not what it has to be."""
        self.message_lost(Reason(error.reason))
        self.notes.say(error.kind, f"{topic}: {error}; it begins with {excerpt(payload)}")

    def message_unkeyed(self, topic: str, payload: bytes) -> None:
        """A message does not say what it would be paired by."""
        self.message_lost(Reason.NO_KEY)
        said = f"a message does not say what it is {self._paired}"
        self.notes.say("no_key", f"{topic}: {said}; it begins with {excerpt(payload)}")

    def message_read(self, topic: str, payload: bytes, message: Message) -> None:
        """A message says what is needed; what else it says may be wrong."""
        for name, fault in message.faults.items():
            self.notes.say(
                f"unread_{name}", f"{topic}: not read: {fault}; it is of {excerpt(payload)}"
            )

    def message_described(self, topic: str, payload: bytes, part: Rendered) -> None:
        """Say of a part of a pair what is wrong with the message's predictions."""
        for kind, said in part.said.items():
            self.notes.say(kind, f"{topic}: {said}; it is of {excerpt(payload)}")

    def message_failed(self, error: Exception) -> None:
        """To read a message failed as nobody thought that it could."""
        self.message_lost(Reason.FAILED)
        self.unexpected("reading a message", error)

    def frame_failed(self, frame: Frame, doing: str, error: Exception) -> None:
        """To handle a frame failed as nobody thought that it could."""
        self.frame_lost(frame, Reason.FAILED)
        self.unexpected(doing, error)

    def pair_failed(self, frame: Frame, error: Exception) -> None:
        """A pair was made, and to render it failed as nobody thought that it could."""
        self.frame_failed(frame, "rendering a frame's crops", error)
        self.message_lost(Reason.FAILED)

    def crops_lost(self, count: int, reason: Reason = Reason.CLOSED) -> None:
        """Crops were made, or would have been, and no sink has got them."""
        self.ledger.crops.drop(self._why(reason), count)

    def held_passed(self, count: int) -> None:
        """Crops were held, and better ones of their tracks came."""
        self.ledger.predictions.enter(count)
        self.ledger.predictions.drop(Reason.NOT_CHOSEN, count)

    def held_lost(self, count: int, reason: Reason = Reason.CLOSED) -> None:
        """Crops were held, and no sink will get them."""
        self.ledger.predictions.enter(count)
        self.ledger.predictions.succeed(count)
        self.ledger.crops.enter(count)
        self.crops_lost(count, reason)

    def crops_failed(self, count: int, error: Exception) -> None:
        """Crops of a pair were made, and with them something failed as nobody thought."""
        self.ledger.crops.drop(Reason.FAILED, count)
        self.unexpected("handing on a frame's crops", error)

    def unexpected(self, doing: str, error: Exception) -> None:
        """Say of an error that nobody thought of that it was there; it costs what was in hand."""
        self._met_unexpected = True
        self.notes.say("failed", unexpected(doing, error))

    def settle(self) -> None:
        """The stream has ended: what an error that nobody expected left without an end has failed.

        Where there was none, a row that does not add up is a fault of ours, and stays one.
        """
        if not self._met_unexpected:
            return
        ledger = self.ledger
        for row in (ledger.frames, ledger.messages, ledger.crops, *ledger.sinks.values()):
            # It may have come before something was counted as received.
            row.enter(max(0, -row.missing))
            row.drop(Reason.FAILED, row.missing)

    def message_stale(self, topic: str) -> None:
        """A message was said before this run: the frame that it speaks of is not of this one."""
        self.ledger.messages.enter()
        self.message_lost(Reason.STALE)
        said = "the broker had kept a message (retained) from before we listened; it is not used"
        self.notes.say("stale", f"{topic}: {said}")

    def dropped(self, event: Dropped[Any, Any]) -> None:
        """The pairer let go of a frame or a message."""
        if event.note:
            self.notes.say(event.note.kind, event.note.text)
        if event.side == "frames":
            self.frame_lost(event.item.value, event.reason)
            if event.reason == Reason.NO_KEY:
                self._frame_unkeyed(event.item.value)
        else:
            self.message_lost(event.reason)
            self._remember(self.history.note_message, event.item.value, event.reason)

    def pair_lost(self, frame: Frame, reason: Reason = Reason.CLOSED) -> None:
        """A pair was made and not rendered."""
        self.frame_lost(frame, reason)
        self.message_lost(reason)

    def pair_corrupt(self, frame: Frame, error: CorruptError) -> None:
        """A pair was made, and its frame turned out to be damaged."""
        self.notes.say("corrupt", f"frame {shown(frame.frame_id)}: {error}")
        self.frame_lost(frame, Reason.CORRUPT)
        self.message_lost(Reason.FAILED)

    def paired(self, frame: Frame, part: Rendered, arrived: int | None = None) -> None:
        """A pair is rendered, with this as its first part.

        Args:
            frame: Its frame.
            part: The part.
            arrived: When its message came, in microseconds since 1970.
        """
        self.measures.paired(frame, arrived)
        self.ledger.frames.succeed()
        self.ledger.messages.succeed()
        refused = "".join(f", {count} {reason}" for reason, count in part.refused.items())
        held = f", {part.held} held" if part.held else ""
        count = part.received + part.held
        said = f"{count} predictions: {part.made} crops made{held}{refused}"
        self._remember(self.history.note, frame, f"{self._paired}, {said}")

    def rendered(self, part: Rendered) -> None:
        """A part of a pair is rendered."""
        rows = self.ledger
        rows.predictions.enter(part.received)
        rows.predictions.succeed(part.made)
        rows.crops.enter(part.made)
        for reason, count in part.refused.items():
            rows.predictions.drop(reason, count)
        rows.crops.drop(Reason.ENCODING_FAILED, part.encoding_failed)
        rows.crops.drop(Reason.FAILED, part.failed)
        for error in part.unexpected:
            self.unexpected("making a crop", error)

    def account(self, sink: str) -> SinkAccount:
        """Who counts for a sink; for the first one that is asked for, crops are published."""
        ledger = self.ledger
        is_first = not ledger.sinks
        row = ledger.sinks[sink] = Row("sink")
        self._accounts[sink] = account = SinkAccount(
            [row, ledger.crops] if is_first else [row],
            self._why,
            delivered=self._delivered if is_first else lambda _: None,
        )
        return account

    def _delivered(self, event: Event) -> None:
        self.measures.acknowledged(event.name[0])
        self.delivered(event)

    def handed_on(self, sinks: Sequence[str], events: Sequence[Event]) -> None:
        """Sinks are given events."""
        count = sum(event.is_crop for event in events)
        for sink in sinks:
            self._accounts[sink].taken(count)

    def not_reached(self, sinks: Sequence[str], events: Sequence[Event]) -> None:
        """They were not, for it was given up before their turn."""
        for sink in sinks:
            for event in events:
                self._accounts[sink].ended(event, Reason.CLOSED)

    def _frame_unkeyed(self, frame: Frame) -> None:
        """A connection that lasts and still gives frames no key ought to be looked at."""
        arrived = frame.arrived or 0
        if frame.epoch != self._epoch:
            self._epoch, self._epoch_began = frame.epoch, arrived
        if frame.epoch is None or arrived - self._epoch_began >= _PATIENCE:
            self.notes.say("frame_no_key", f"a frame has no {self._lacks}")

    def _remember(self, note: Callable[[T, str], None], of: T, what: str) -> None:
        """A story that cannot be told costs nothing else."""
        try:
            note(of, what)
        except Exception as error:  # noqa: BLE001  # nobody knows which
            self.unexpected("remembering what became of a frame", error)

    def restarted(self) -> None:
        """Everything that was in hand is let go of, and the stream begins again.

        The item in the very hands of what failed, nobody could let go of: it has ended with it.
        """
        for row in (self.ledger.frames, self.ledger.messages):
            row.drop(Reason.FAILED, max(0, row.missing))
        self.failing = False
        self.restarts += 1

    def _why(self, reason: Reason) -> Reason:
        if self.failing and reason in _ENDINGS:
            return Reason.FAILED
        return Reason.CLOSED if self.ending.is_set() and reason in _ENDINGS else reason
