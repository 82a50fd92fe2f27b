"""One connection to an MQTT broker, as this program sees it.

It heeds what the broker announces (`Offer`) and how it answers, to each message and subscription.
"""

import logging
import time
from asyncio import Future
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import MQTTMessage

from streamcrop.addresses import redacted
from streamcrop.errors import PacketRefusedError, PacketTooLargeError
from streamcrop.mqtt.answers import FINAL, Refusal
from streamcrop.mqtt.connack import Offer
from streamcrop.mqtt.flights import Ends, Flight, Flights, Numbers
from streamcrop.mqtt.library import Connection
from streamcrop.mqtt.messages import Incoming
from streamcrop.mqtt.packets import Parcel, Terms
from streamcrop.notes import unexpected

logger = logging.getLogger(__name__)

# MQTT 5, 3.9.3: subscription identifiers are not supported; 3.14.2.1: packet too large.
_NO_NUMBERS, _TOO_LARGE = 0xA1, 0x95
# So often, in seconds, unreadable messages are logged, and so much of why they are.
_SAID_EVERY, _LONGEST = 60.0, 200


class Unread:
    """The messages that cannot be read, counted, for they belong to no stream; said seldom.

    Args:
        clock: Seconds, on any monotonic clock.

    Attributes:
        count: How many there were.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.count = 0
        self._clock = clock
        self._logged = float("-inf")

    def add(self, why: str) -> None:
        """Count one, and log it with the count where the turn has come."""
        self.count += 1
        now = self._clock()
        if now - self._logged >= _SAID_EVERY:
            self._logged = now
            text = "a message that cannot be read is dropped, %d by now: %s"
            logger.warning(text, self.count, redacted(why)[:_LONGEST])


# Of all connections: a broker hands a retained one out again at each.
unread = Unread()

# There are 64,512 identifiers; messages that are lost and wait for their turn have some, too.
_MOST_INFLIGHT = 32_000


class Client(Connection):
    """One connection.

    Args:
        version: Of MQTT.
        numbers: Where the identifiers of our messages come from.
        max_inflight: How many may be on their way at once.
        hear: Is called with each message that arrives.

    Attributes:
        offer: The broker's abilities, once connected.
        resumed: True if the broker kept our session over the last connection.
    """

    def __init__(
        self,
        *args: Any,
        version: str,
        numbers: Numbers,
        max_inflight: int,
        hear: Callable[[Incoming], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, version=version, **kwargs)
        self.offer = Offer()
        self.resumed = False
        self._version = version
        self._numbered = version == "5"
        self._numbers = numbers
        self._max_inflight = max_inflight
        self._hear = hear
        self._flights = self._new_flights()
        self._terms_of: Offer | None = None

    @property
    def terms(self) -> Terms:
        """The terms that messages are to be packed for."""
        offer = self.offer
        if self._terms_of is not offer:
            self._terms_of = offer
            self._terms = Terms(self._version, min(1, offer.max_qos), offer.retain)
        return self._terms

    def send(self, parcel: Parcel, at: int, end: int) -> Future[Ends]:
        """Send packets of a parcel; the future says which did not end well, and why."""
        return self._flights.send(parcel, at, end)

    @property
    def keeps_session(self) -> bool:
        """True if the broker is to know us again after this connection."""
        return self._version == "5" and self.offer.sessions

    @property
    def largest(self) -> int:
        """The bytes of the largest packet that the broker acknowledged."""
        return self._flights.largest

    @property
    def answers(self) -> bool:
        """True if the broker does not hang, as far as we know."""
        return self.paho.pulse.answers(time.monotonic())

    def give_up(self) -> None:
        """Let `send` say of all that is on its way that the connection was lost."""
        self._flights.give_up(self.paho.unwritten())

    async def ask_for(self, topic: str, number: int) -> Refusal | None:
        """Subscribe to a topic, as the subscription of this number; None: it is granted.

        Raises:
            LostError: If the connection is lost.
            MqttError: If no answer comes.
        """
        if lack := self.offer.lacks(topic):
            return Refusal(lack, final=True)
        numbered = self._numbered and self.offer.numbers
        qos = min(1, self.offer.max_qos)
        code, why = await self.ask(topic, qos, number if numbered else None)
        if code == _NO_NUMBERS and numbered:
            self._numbered = False
            return await self.ask_for(topic, number)
        if code < 0x80:
            return None
        why = why if self._version == "5" else "MQTT 3.1.1 gives no reason"
        return Refusal(why, final=code in FINAL)

    def accepted(self, offer: Offer, *, resumed: bool) -> None:
        """See `Hearing`."""
        self.offer = offer
        self.resumed = resumed
        self._flights = self._new_flights()

    def arrived(self, message: MQTTMessage) -> None:
        """See `Hearing`."""
        try:
            topic, payload = message.topic, bytes(message.payload)
            incoming = Incoming.of(topic, payload, message.properties, retained=message.retain)
        except ValueError:
            unread.add("its topic is none")
            return
        try:
            self._hear(incoming)
        except Exception as error:  # noqa: BLE001  # nobody knows which; it costs this message
            unexpected("handing on a message", error)

    def unreadable(self, why: str) -> None:
        """See `Hearing`."""
        unread.add(why)

    def acknowledged(self, number: int, code: int, why: str) -> None:
        """See `Hearing`."""
        if code < 0x80:
            self._flights.acknowledge(number, None)
        elif code == _TOO_LARGE:
            self._flights.acknowledge(number, PacketTooLargeError(why))
        else:
            self._flights.acknowledge(number, PacketRefusedError(why))

    def settled(self) -> None:
        """See `Hearing`."""
        self._flights.pump()

    def written(self, flight: Flight) -> None:
        """See `Hearing`."""
        self._flights.written(flight)

    def _new_flights(self) -> Flights:
        window = min(self._max_inflight, self.offer.window, _MOST_INFLIGHT)
        return Flights(self.paho.write, self._numbers, window=window, resumed=self.resumed)
