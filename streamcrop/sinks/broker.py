"""Events to another broker than the detections': what does not arrive there is tried again."""

from collections.abc import Sequence

from streamcrop.errors import PacketRefusedError, PacketTooLargeError, RejectedError, SinkError
from streamcrop.formats.events import Event
from streamcrop.mqtt.broker import Broker
from streamcrop.sinks.mqtt import Envelope


class BrokerOutlet:
    """Publishes events, one at a time.

    Args:
        broker: The connection.
        envelope: Makes messages of events.
        qos: Of the messages.
    """

    batch = 1

    def __init__(self, broker: Broker, envelope: Envelope, qos: int) -> None:
        self._broker = broker
        self._envelope = envelope
        self._qos = qos

    def take(self, event: Event) -> Event:
        """See `Outlet`."""
        return event

    async def deliver(self, events: Sequence[Event], *, again: bool) -> int:
        """See `Outlet`."""
        if not self._broker.connected:
            raise SinkError("there is no connection to the broker")
        message = self._envelope.message(events[0], self._qos)
        try:
            if again:
                # A broker that hangs up because of one message shows it: it is tried alone.
                await self._broker.publish(message)
            elif not await self._broker.attempt(message):
                raise SinkError("the connection to the broker was lost")
        except PacketTooLargeError as error:
            raise RejectedError(f"the broker refuses it: {error}", reason="too_large") from None
        except PacketRefusedError as error:
            why = f"the broker refuses it: {error}"
            raise RejectedError(why, reason="not_acknowledged") from None
        return 1

    async def close(self) -> None:
        """See `Outlet`; the connection is others', too."""
