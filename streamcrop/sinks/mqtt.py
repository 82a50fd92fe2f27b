"""Events to the broker, through a window: many on their way, none without bound."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from streamcrop.core.values import Reason
from streamcrop.errors import PacketRefusedError, PacketTooLargeError
from streamcrop.formats.events import MAX_PROPERTY_BYTES, MODES, Event
from streamcrop.mqtt.broker import Broker
from streamcrop.mqtt.messages import Outgoing
from streamcrop.notes import unexpected
from streamcrop.sinks import Ended

MAX_INFLIGHT_BYTES = 32 << 20


class Envelope:
    """Makes MQTT messages of events, in the mode that the connection can carry.

    Args:
        broker: The connection.
        wanted: ``binary``, ``json``, or ``auto``: binary where the broker speaks MQTT 5.
    """

    def __init__(self, broker: Broker, wanted: str) -> None:
        self._broker = broker
        self._wanted = wanted

    @property
    def mode(self) -> str:
        """How events travel now, a key of `MODES`."""
        if self._broker.version != "5":
            return "json"
        return "binary" if self._wanted == "auto" else self._wanted

    @property
    def is_limited(self) -> bool:
        """True if metadata travels as a property now, which is short."""
        return self.mode == "binary"

    def message(self, event: Event, qos: int) -> Outgoing:
        """An event as a message."""
        mode = self.mode
        if mode == "binary" and len(event.metadata) > MAX_PROPERTY_BYTES:
            # Rendered for MQTT 3.1.1, before the broker came back with 5.
            mode = "json"
        packet = MODES[mode](event)
        return Outgoing(
            event.topic,
            packet.payload,
            qos,
            content_type=packet.content_type,
            user_properties=packet.user_properties,
        )


class MqttSink:
    """Publishes events.

    Args:
        broker: The connection.
        envelope: Makes messages of events.
        qos: Of the messages.
        max_inflight: How many events may be sent and not yet acknowledged.
        on_end: Is told how each event ended.
        say: Is told what the broker says of it: the kind of note, and a sentence.
    """

    name = "mqtt"
    trouble: str | None = None

    def __init__(
        self,
        broker: Broker,
        *,
        envelope: Envelope,
        qos: int,
        max_inflight: int,
        on_end: Ended,
        say: Callable[[str, str], None],
    ) -> None:
        self._broker = broker
        self._envelope = envelope
        self._qos = qos
        self._max_inflight = max_inflight
        self._on_end = on_end
        self._say = say
        self._sending: dict[asyncio.Future[Any], tuple[Event, Outgoing]] = {}
        self._bytes = 0
        self._room = asyncio.Event()
        self._given_up = False

    async def put(self, events: Sequence[Event]) -> None:
        """See `Sink`."""
        begun = 0
        try:
            for event in events:
                await self._wait_for_room(event)
                begun += 1
                self._begin(event)
        finally:
            for event in events[begun:]:
                self._on_end(event, Reason.CLOSED)

    async def drain(self) -> None:
        """See `Sink`."""
        while self._sending:
            await asyncio.wait(self._sending)

    async def abort(self) -> None:
        """See `Sink`."""
        self._given_up = True
        for sending in tuple(self._sending):
            sending.cancel()
        await self.drain()

    def _begin(self, event: Event) -> None:
        try:
            message = self._envelope.message(event, self._qos)
            sending = self._broker.begin(message)
        except Exception as error:  # noqa: BLE001  # nobody knows which; it costs this event
            self._say("failed", unexpected("publishing", error))
            self._on_end(event, Reason.FAILED)
            return
        self._bytes += event.nbytes
        self._send(sending, event, message)

    async def _wait_for_room(self, event: Event) -> None:
        while self._sending and (
            len(self._sending) >= self._max_inflight
            or self._bytes + event.nbytes > MAX_INFLIGHT_BYTES
        ):
            self._room.clear()
            await self._room.wait()

    def _send(self, sending: "asyncio.Future[Any]", event: Event, message: Outgoing) -> None:
        self._sending[sending] = event, message
        sending.add_done_callback(self._sent)

    def _sent(self, sending: "asyncio.Future[Any]") -> None:
        event, message = self._sending.pop(sending)
        reason = None
        if sending.cancelled():
            reason = Reason.NOT_ACKNOWLEDGED
        elif isinstance(error := sending.exception(), Exception):
            reason = self._why(event, error)
        elif sending.result() is False and self._given_up:
            reason = Reason.NOT_ACKNOWLEDGED
        elif sending.result() is False:
            self._send(asyncio.ensure_future(self._broker.insist(message)), event, message)
            return
        self._bytes -= event.nbytes
        self._room.set()
        self._on_end(event, reason)

    def _why(self, event: Event, error: Exception) -> Reason:
        """Say why the broker did not take an event."""
        if not isinstance(error, PacketRefusedError | PacketTooLargeError):
            self._say("failed", unexpected("publishing", error))
            return Reason.FAILED
        kind = "crops" if event.is_crop else "metadata"
        self._say(f"refused_{kind}", f"the broker refuses {event.topic}: {error}")
        too_large = isinstance(error, PacketTooLargeError)
        return Reason.TOO_LARGE if too_large else Reason.NOT_ACKNOWLEDGED
