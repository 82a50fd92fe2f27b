"""Which pairs are doubted although their keys agree: times are those of a clock that may be set.

A camera's clock is set now and then, and detector and node hear of it each by its own next sender
report. Between the two, the capture time of a message names a frame of another moment. What shows
it is media time, which nobody sets: two sessions of one camera count it from different beginnings,
but at one pace, so ``pts_message - pts_frame`` is one constant for as long as both sessions last.
Measured 2026-11-28: it holds to 0.000 ms between two sessions of FFmpeg, to 0.07 ms against
GStreamer's times, to 4 ms between a sub and a main stream.

All times in here are whole microseconds, but for ``now``, which is in seconds.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Protocol

from streamcrop.core.constant import DOUBT, LONGEST, Constant, Verdict
from streamcrop.core.delay import Delays
from streamcrop.core.values import Frame, Message, Note

# So much sooner or later than before may a picture come by another connection, in microseconds.
_DELAYED = 1_000_000
# So many detectors may speak of one stream.
_SENDERS = 256
# A 32-bit media time begins again (RFC 3550, 5.1); FFmpeg and GStreamer count on.
_WRAP = 1 << 32
_SHORTEST_WRAP = 1_000_000_000


class Item(Protocol):
    """An item of the pairer, as far as a guard looks at it."""

    @property
    def key(self) -> Any:
        """The time, in seconds; None where there is none."""
        ...

    @property
    def value(self) -> Any:  # a Frame or a Message
        """The frame or message itself."""
        ...

    @property
    def came(self) -> float | None:
        """When a message came, in seconds on a clock that never stands still.

        None where that tells nothing of its detector: it had to wait for somebody else.
        """
        ...

    @property
    def sender(self) -> Hashable:
        """Tells the detectors apart that speak of one stream."""
        ...


class Guard:
    """Doubts nothing; the others are made of it.

    Attributes:
        longest: For how long a pair may be held, in seconds.
        note: Why the last pair was refused, for people.
    """

    longest = 0.0
    note: Note | None = None

    def frame(self, item: Any, now: float) -> bool:  # noqa: ARG002  # for the others
        """Take note of a frame; true where keys begin to repeat: all that waits is let go of."""
        return False

    def message(self, item: Any, now: float) -> None:
        """Take note of a message."""

    def judge(self, frame: Any, message: Any, now: float) -> Verdict:  # noqa: ARG002  # as above
        """Judge two whose keys agree."""
        return Verdict.PAIR

    def again(self, frame: Any, message: Any, since: float, now: float) -> Verdict:
        """Judge a pair again that was told to wait, at ``since``."""
        raise NotImplementedError


OPEN = Guard()


class Epochs(Guard):
    """Times may repeat in another epoch.

    What waits is let go of when an epoch begins, and again at its first key: messages of the old
    one that came between wait by the old times.
    """

    def __init__(self) -> None:
        self._epoch: str | None = None
        self._renewed = False

    def frame(self, item: Item, now: float) -> bool:  # noqa: ARG002  # as Guard
        """See `Guard.frame`."""
        frame: Frame = item.value
        began = self._epoch is not None and frame.epoch != self._epoch
        self._epoch = frame.epoch
        forget = began or (self._renewed and item.key is not None)
        self._renewed = began or (self._renewed and item.key is None)
        return forget


class CaptureTimes(Epochs):
    """Capture times are held to media time, or to what else can be known.

    Args:
        tolerance: By how much the times of a pair may differ, in microseconds.
        confirm: Whether a message without media time waits until a report that came after its
            frame shows that the camera's clock was not set.
    """

    longest = LONGEST

    def __init__(self, tolerance: int, *, confirm: bool = False) -> None:
        super().__init__()
        self._tolerance = tolerance
        self._confirm = confirm
        self._connection: str | None = None
        # The last frame with a capture time, and when it was added; till when nothing tells whether
        # a detector has heard of a clock that was set.
        self._last: tuple[int, float] | None = None
        self._quiet_until = float("-inf")
        # Till when a detector may go by a report that is older than our first.
        self._unsure_until = float("-inf")
        # Capture time - media time of the last frame that had both.
        self._mapping: int | None = None
        self._reports = 0
        self._senders: OrderedDict[Hashable, _Sender] = OrderedDict()

    def frame(self, item: Item, now: float) -> bool:
        """See `Guard.frame`."""
        frame: Frame = item.value
        if frame.connection != self._connection:
            self._connection = frame.connection
            for sender in self._senders.values():
                sender.constant = Constant(self._tolerance)
        elif self._epoch is not None and frame.epoch != self._epoch:
            # The camera's clock was set.
            self._be_quiet(now)
        forget = super().frame(item, now)
        if forget:
            self._mapping = None
            for sender in self._senders.values():
                sender.constant.unsettle()
        if frame.captured_at is not None:
            media = media_time(frame)
            self._heed_clock(frame.captured_at, now, begun=forget)
            self._reports = frame.reports
            self._mapping = None if media is None else frame.captured_at - media
        return forget

    def _heed_clock(self, captured_at: int, now: float, *, begun: bool) -> None:
        """Look at the first time by another connection: as much must have gone by as here."""
        if begun and self._last is not None:
            gone = captured_at - self._last[0]
            if gone <= 0 or abs(gone - (now - self._last[1]) * 1_000_000) > _DELAYED:
                self._be_quiet(now)
        if begun or self._last is None:
            self._unsure_until = now + DOUBT
        self._last = captured_at, now

    def _be_quiet(self, now: float) -> None:
        self._quiet_until = now + DOUBT
        for sender in self._senders.values():
            sender.delays = Delays()

    def message(self, item: Item, now: float) -> None:
        """See `Guard.message`."""
        message: Message = item.value
        sender = self._sender(item)
        media = sender.media_time(message, self._tolerance)
        if media is None or message.captured_at is None:
            sender.delays.heed(_microseconds(item.key), now)
        elif self._mapping is not None:
            gap = message.captured_at - media - self._mapping
            sender.constant.heed(gap, now, self._reports)

    def judge(self, frame: Item, message: Item, now: float) -> Verdict:
        """See `Guard.judge`."""
        sender = self._sender(message)
        if (apart := sender.apart(frame.value, message.value)) is not None:
            self.note = self._contradicts(sender)
            return sender.constant.judge(apart, now)
        if frame.value.connection is None:
            # Its time came with the picture, by no report that others hear at another moment.
            return Verdict.PAIR
        if now < self._quiet_until:
            self.note = _SET
            return Verdict.REFUSE
        usual = True
        if message.came is not None:
            delay = round(message.came * 1_000_000) - _microseconds(message.key)
            usual = sender.delays.allow(delay, now)
        if self._confirm:
            self.note = _UNCONFIRMED
            return self._confirmed(frame, now) if usual else Verdict.WAIT
        self.note = _UNLIKE
        return Verdict.PAIR if usual else Verdict.REFUSE

    def again(self, frame: Item, message: Item, since: float, now: float) -> Verdict:
        """See `Guard.again`."""
        sender = self._sender(message)
        if (apart := sender.apart(frame.value, message.value)) is None:
            self.note = _UNCONFIRMED
            verdict = self._confirmed(frame, now)
            # Its detector has heard of another clock since, and we have not: ours is the newer one.
            unlike = verdict == Verdict.PAIR and sender.delays.doubted_at > since
            return Verdict.REFUSE if unlike else verdict
        self.note = self._contradicts(sender)
        return sender.constant.again(apart, since, now)

    def _confirmed(self, frame: Item, now: float) -> Verdict:
        """A pair of another epoch was let go of; within one, the clock was not set."""
        sure = frame.value.reports < self._reports and now >= self._unsure_until
        return Verdict.PAIR if sure else Verdict.WAIT

    def _contradicts(self, sender: "_Sender") -> Note:
        """Why a pair is doubted by media time."""
        if not sender.constant.is_known and sender.constant.scatter is None:
            return _LEARNING
        scatter = sender.constant.scatter
        if scatter is None or scatter <= 2 * self._tolerance:
            return _CONTRADICTS
        return Note("media_time", _SCATTERS.format(scatter / 1000))

    def _sender(self, item: Item) -> "_Sender":
        name = item.sender, item.value.session
        if name not in self._senders:
            self._senders[name] = _Sender(self._tolerance)
            while len(self._senders) > _SENDERS:
                self._senders.popitem(last=False)
        self._senders.move_to_end(name)
        return self._senders[name]


class _Sender:
    """All that is known of one detector."""

    def __init__(self, tolerance: int) -> None:
        self.constant = Constant(tolerance)
        self.delays = Delays()
        self._mapping: int | None = None
        self._wrapped = 0

    def media_time(self, message: Message, tolerance: int) -> int | None:
        """A message's media time, counted on where it began again; takes note of it."""
        media = media_time(message)
        if media is None or message.captured_at is None:
            return None
        mapping = message.captured_at - media - self._wrapped
        # In the ticks of the message, as they stand there; shorter than hours it is no RTP time's.
        wrap = round(_WRAP * (message.time_base or 0) * 1_000_000)
        for sign in (1, -1) if wrap > _SHORTEST_WRAP else ():
            jump = 0 if self._mapping is None else mapping - self._mapping
            if abs(jump - sign * wrap) <= tolerance:
                self._wrapped += sign * wrap
                mapping -= sign * wrap
        self._mapping = mapping
        return media + self._wrapped

    def apart(self, frame: Frame, message: Message) -> int | None:
        """Media time of a message - that of a frame; None where one has none."""
        ours, theirs = media_time(frame), media_time(message)
        return None if ours is None or theirs is None else theirs + self._wrapped - ours


def media_time(item: Frame | Message) -> int | None:
    """Media time in microseconds.

    Example:
        >>> from fractions import Fraction
        >>> media_time(Message(b"", pts=90, time_base=Fraction(1, 90_000)))
        1000
    """
    if item.pts is None or item.time_base is None:
        return None
    base = item.time_base
    return int(item.pts * 1_000_000 * base.numerator // base.denominator)


def _microseconds(seconds: Any) -> int:
    whole: int = round(seconds * 1_000_000)
    return whole


_CONTRADICTS = Note(
    "clock",
    "the capture times of messages contradict their media times (pts): the camera's clock was set, "
    "or the detector began anew; such pairs wait, and are ambiguous unless both agree again",
)
_LEARNING = Note(
    "clock",
    "it did not become sure in time that the capture times of messages and of frames are of one "
    "clock: the session was too short, or no sender reports came",
)
_SCATTERS = (
    "the media times (pts) of messages keep no constant distance from those of frames, they "
    "scatter by {:g} ms, so their pairs are ambiguous: send pts as the stream has them, or none"
)
_SET = Note(
    "clock",
    "the camera's clock was set: messages without media time (pts) are ambiguous for "
    f"{DOUBT:g} s, in which their detector must hear of it",
)
_UNCONFIRMED = Note(
    "clock",
    "no sender report of the camera confirms the capture times of frames, so their pairs are "
    "ambiguous: without media time (pts) in the messages each waits for one (pairing.confirm)",
)
_UNLIKE = Note(
    "clock",
    "messages come sooner or later after the time that they name than ever before, so they are "
    "ambiguous: the camera's clock may have been set; messages with pts and time_base would tell",
)
