"""Events to the broker, through a window: many on their way, none without bound."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from streamcrop.core.values import Reason
from streamcrop.errors import PacketRefusedError, PacketTooLargeError
from streamcrop.formats.events import MAX_PROPERTY_BYTES, MODES, Event
from streamcrop.mqtt.broker import Broker
from streamcrop.mqtt.flights import Ends
from streamcrop.mqtt.messages import Outgoing
from streamcrop.mqtt.packets import ACKNOWLEDGED, Parcel, checked
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
    def is_limited(self) -> bool:
        """True if metadata travels as a property now, which is short."""
        return self._mode(self._broker.version) == "binary"

    def message(self, event: Event, qos: int, version: str | None = None) -> Outgoing:
        """An event as a message, for a version of MQTT; None: the one that is in use."""
        mode = self._mode(version or self._broker.version)
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

    def _mode(self, version: str) -> str:
        """How events travel, a key of `MODES`."""
        if version != "5":
            return "json"
        return "binary" if self._wanted == "auto" else self._wanted


class _Prepared(NamedTuple):
    """A parcel of events; and those of which no message can be made, and why."""

    events: Sequence[Event]
    parcel: Parcel | None
    failed: Sequence[tuple[Event, Exception]]


class _Job(NamedTuple):
    """Events of a parcel that are on their way, by their places in it."""

    events: Sequence[Event]
    parcel: Parcel
    which: Sequence[int]


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
        self._sending: dict[asyncio.Future[Ends], _Job] = {}
        self._count = self._bytes = 0
        self._room = asyncio.Event()
        self._given_up = False

    def prepare(self, events: Sequence[Event]) -> _Prepared:
        """See `Sink`: what leaves together is packed."""
        version, message = self._broker.version, self._envelope.message
        good: list[Event] = []
        made: list[Outgoing] = []
        failed: list[tuple[Event, Exception]] = []
        for event in events:
            try:
                made.append(checked(message(event, self._qos, version)))
                good.append(event)
            except Exception as error:  # noqa: BLE001  # nobody knows which; it costs this event
                failed.append((event, error))

        def make(wanted: str) -> Sequence[Outgoing]:
            return made if wanted == version else [message(e, self._qos, wanted) for e in good]

        return _Prepared(good, self._broker.parcel(make) if good else None, failed)

    async def put(self, events: Sequence[Event], prepared: object = None) -> None:
        """See `Sink`."""
        ready = prepared if isinstance(prepared, _Prepared) else self.prepare(events)
        for event, error in ready.failed:
            self._on_end(event, self._why(event, error))
        begun = 0
        try:
            while ready.parcel and begun < len(ready.events):
                begun = await self._begin(ready.events, ready.parcel, begun)
        finally:
            for event in ready.events[begun:]:
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

    async def _begin(self, events: Sequence[Event], parcel: Parcel, at: int) -> int:
        """Send what the window has room for, at least one; up to where."""
        while self._sending and not self._has_room(events[at], 0, 0):
            self._room.clear()
            await self._room.wait()
        end, size = at + 1, events[at].nbytes
        while end < len(events) and self._has_room(events[end], end - at, size):
            size += events[end].nbytes
            end += 1
        try:
            sending = self._broker.begin(parcel, at, end)
        except Exception as error:  # noqa: BLE001  # nobody knows which; it costs these events
            for event in events[at:end]:
                self._on_end(event, self._why(event, error))
            return end
        self._count += end - at
        self._bytes += size
        self._send(sending, _Job(events, parcel, range(at, end)))
        return end

    def _has_room(self, event: Event, count: int, size: int) -> bool:
        """True if an event fits behind others that are about to be sent."""
        fits = self._bytes + size + event.nbytes <= MAX_INFLIGHT_BYTES
        return self._count + count < self._max_inflight and fits

    def _send(self, sending: "asyncio.Future[Ends]", job: _Job) -> None:
        self._sending[sending] = job
        sending.add_done_callback(self._sent)

    def _sent(self, sending: "asyncio.Future[Ends]") -> None:
        events, parcel, which = job = self._sending.pop(sending)
        ends = Ends()
        if sending.cancelled():
            ends = dict.fromkeys(at for at in which if parcel.numbers[at] != ACKNOWLEDGED)
        elif isinstance(error := sending.exception(), Exception):
            ends = dict.fromkeys(which, error)
        else:
            ends = sending.result()
        lost = []
        for at in which:
            reason = None
            if at in ends:
                why = ends[at]
                if why is None and not self._given_up:
                    lost.append(at)
                    continue
                reason = self._why(events[at], why) if why else Reason.NOT_ACKNOWLEDGED
            self._count -= 1
            self._bytes -= events[at].nbytes
            self._on_end(events[at], reason)
        if lost:
            insisting = asyncio.ensure_future(self._broker.insist(parcel, lost))
            self._send(insisting, job._replace(which=lost))
        self._room.set()

    def _why(self, event: Event, error: Exception) -> Reason:
        """Say why the broker did not take an event."""
        if not isinstance(error, PacketRefusedError | PacketTooLargeError):
            self._say("failed", unexpected("publishing", error))
            return Reason.FAILED
        kind = "crops" if event.is_crop else "metadata"
        self._say(f"refused_{kind}", f"the broker refuses {event.topic}: {error}")
        too_large = isinstance(error, PacketTooLargeError)
        return Reason.TOO_LARGE if too_large else Reason.NOT_ACKNOWLEDGED
