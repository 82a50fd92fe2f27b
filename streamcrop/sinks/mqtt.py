"""Events to the broker, through a window: many on their way, none without bound."""

import asyncio
from collections.abc import Callable
from typing import Any

from streamcrop.core.values import Reason
from streamcrop.errors import PacketRefusedError, PacketTooLargeError
from streamcrop.formats.events import MAX_PROPERTY_BYTES, MODES, Event
from streamcrop.mqtt.broker import Broker
from streamcrop.mqtt.messages import Outgoing
from streamcrop.notes import unexpected

MAX_INFLIGHT_BYTES = 32 << 20


class MqttSink:
    """Publishes events in order and tells how each one ended.

    Args:
        broker: The connection.
        envelope: ``binary``, ``json``, or ``auto``: binary where the broker speaks MQTT 5.
        qos: Of the messages.
        max_inflight: How many events may be sent and not yet acknowledged.
        on_end: Is called with each event and None, or why it was not published.
        say: Is told what the broker says of it: the kind of note, and a sentence.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        envelope: str,
        qos: int,
        max_inflight: int,
        on_end: Callable[[Event, Reason | None], None],
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

    @property
    def mode(self) -> str:
        """How events travel now, a key of `MODES`."""
        if self._broker.version != "5":
            return "json"
        return "binary" if self._envelope == "auto" else self._envelope

    async def put(self, event: Event) -> None:
        """Begin to send an event, once the window has room for it."""
        while self._sending and (
            len(self._sending) >= self._max_inflight
            or self._bytes + event.nbytes > MAX_INFLIGHT_BYTES
        ):
            self._room.clear()
            await self._room.wait()
        outgoing = self._outgoing(event)
        sending = self._broker.begin(outgoing)
        self._bytes += event.nbytes
        self._send(sending, event, outgoing)

    async def drain(self) -> None:
        """Wait until everything is acknowledged."""
        while self._sending:
            await asyncio.wait(self._sending)

    async def abort(self) -> None:
        """Give up what is not acknowledged."""
        self._given_up = True
        for sending in tuple(self._sending):
            sending.cancel()
        await self.drain()

    def _outgoing(self, event: Event) -> Outgoing:
        mode = self.mode
        if mode == "binary" and len(event.metadata) > MAX_PROPERTY_BYTES:
            # Rendered for MQTT 3.1.1, before the broker came back with 5.
            mode = "json"
        packet = MODES[mode](event)
        return Outgoing(
            event.topic,
            packet.payload,
            self._qos,
            content_type=packet.content_type,
            user_properties=packet.user_properties,
        )

    def _send(self, sending: "asyncio.Future[Any]", event: Event, outgoing: Outgoing) -> None:
        self._sending[sending] = event, outgoing
        sending.add_done_callback(self._sent)

    def _sent(self, sending: "asyncio.Future[Any]") -> None:
        event, outgoing = self._sending.pop(sending)
        reason = None
        if sending.cancelled():
            reason = Reason.NOT_ACKNOWLEDGED
        elif isinstance(error := sending.exception(), Exception):
            reason = self._why(event, error)
        elif sending.result() is False and self._given_up:
            reason = Reason.NOT_ACKNOWLEDGED
        elif sending.result() is False:
            self._send(asyncio.ensure_future(self._broker.insist(outgoing)), event, outgoing)
            return
        self._bytes -= event.nbytes
        self._room.set()
        self._on_end(event, reason)

    def _why(self, event: Event, error: Exception) -> Reason:
        """Say why the broker did not take an event."""
        if not isinstance(error, PacketRefusedError | PacketTooLargeError):
            unexpected("publishing", error)
            return Reason.FAILED
        kind = "crops" if event.is_crop else "metadata"
        self._say(f"refused_{kind}", f"the broker refuses {event.topic}: {error}")
        too_large = isinstance(error, PacketTooLargeError)
        return Reason.TOO_LARGE if too_large else Reason.NOT_ACKNOWLEDGED
