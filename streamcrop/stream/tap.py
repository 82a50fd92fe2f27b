"""The frame tap: frames with their IDs for any detector that can echo one."""

import time
from collections import Counter
from collections.abc import Callable

from streamcrop import config
from streamcrop.core.values import Frame
from streamcrop.errors import PacketRefusedError, PacketTooLargeError
from streamcrop.formats.events import MODES, Event
from streamcrop.mqtt.broker import Broker
from streamcrop.mqtt.messages import Outgoing
from streamcrop.stream.keys import media_time
from streamcrop.stream.render import render_tap

_SLACK = 0.001


class Tap:
    """Chooses the frames that are due, and publishes them.

    Args:
        settings: The tap's part of the configuration; None: no frame is ever due.
        source: ``(node, stream)``.
        broker: The connection.
        mode: How events travel now, a key of `MODES`.
        qos: Of the messages: 1 where no frame may be lost.
        say: Is told what the broker says of it: the kind of note, and a sentence.

    Attributes:
        counts: How many were published, dropped, too large, refused.
    """

    def __init__(
        self,
        settings: config.Tap | None,
        source: tuple[str, str],
        broker: Broker,
        mode: Callable[[], str],
        qos: int,
        say: Callable[[str, str], None],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._is_on = settings is not None
        self._settings = settings or config.Tap()
        self._source = source
        self._broker = broker
        self._mode = mode
        self._qos = qos
        self._say = say
        self._last: float | None = None

    def is_due(self, frame: Frame) -> bool:
        """True if this frame is to be shown, by its media time where it has one."""
        if not self._is_on or self._settings.rate is None:
            return self._is_on
        media = media_time(frame)
        now = time.monotonic() if media is None else float(media)
        # A little patience, so that 10 of 30 frames a second are every third.
        step = 1 / self._settings.rate - _SLACK
        if self._last is not None and 0 <= now - self._last < step:
            return False
        self._last = now
        return True

    def render(self, frame: Frame) -> Event:
        """A frame as detectors get it; takes its time, and so belongs into a thread."""
        return render_tap(frame, self._source, self._settings.longest_side, self._settings.quality)

    async def publish(self, event: Event) -> bool:
        """Show a frame; waits while the broker is down. False if the broker does not take it."""
        packet = MODES[self._mode()](event)
        outgoing = Outgoing(
            event.topic,
            packet.payload,
            self._qos,
            content_type=packet.content_type,
            user_properties=packet.user_properties,
        )
        try:
            await self._broker.publish(outgoing)
        except (PacketRefusedError, PacketTooLargeError) as error:
            too_large = isinstance(error, PacketTooLargeError)
            self.counts["too_large" if too_large else "refused"] += 1
            self._say("refused_frames", f"the broker refuses {event.topic}: {error}")
            return False
        self.counts["published"] += 1
        return True
