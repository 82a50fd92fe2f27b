"""One connection to an MQTT broker: aiomqtt's, with its messages sent and answered as we need it.

This module and `streamcrop.broker` alone know the MQTT client library.
"""

import asyncio
import re
from collections import deque
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import aiomqtt
from paho.mqtt import client as mqtt
from paho.mqtt.client import DISCONNECT, MQTT_ERR_SUCCESS
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import VariableByteIntegers

# As OpenSSL says it: the broker's certificate is wrong, or ours in the broker's eyes.
CERTIFICATE = re.compile("CERTIFICATE|UNKNOWN_CA")
# So many bytes are written at once, and a little more.
_JOINED_BYTES = 1 << 20
# After so many seconds the reader has noticed that the connection is gone.
_NOTICED = 0.2


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to publish."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    content_type: str = ""
    user_properties: list[tuple[str, str]] = field(default_factory=list)

    @property
    def packet_bytes(self) -> int:
        """An upper bound of its MQTT packet's size."""
        return len(self.payload) + len(self.topic.encode()) + len(self.pack()) + 16

    def pack(self) -> bytes:
        """Its properties (MQTT 5, 3.3.2.3); what paho asks of them, whose own class is slow."""
        parts = [b"\x03", _name(self.content_type)] if self.content_type else []
        for key, value in self.user_properties:
            parts += b"\x26", _name(key), _text(value)
        packed = b"".join(parts)
        length: bytes = VariableByteIntegers.encode(len(packed))  # type: ignore[no-untyped-call]  # paho's
        return length + packed


def _text(value: str) -> bytes:
    """A UTF-8 encoded string (MQTT 5, 1.5.4)."""
    encoded = value.encode()
    return len(encoded).to_bytes(2, "big") + encoded


# Of what we write ourselves, and again and again.
_name = cache(_text)


class PacketTooLargeError(Exception):
    """The broker announced that it takes no packet of this size."""


class PacketRefusedError(Exception):
    """The broker will not take this message: it says so, or hangs up whenever it gets it."""


class Client(aiomqtt.Client):
    """An `aiomqtt.Client` that heeds what the broker announces, and how it acknowledges."""

    max_packet: int | None = None
    numbers = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sent: dict[int, asyncio.Future[bool]] = {}
        self._unwritten: set[asyncio.Future[bool]] = set()
        self._writing: deque[dict[str, Any]] = deque()
        self._client.on_log = self._on_log
        self._client.loop_write = self._write  # type: ignore[method-assign]  # aiomqtt calls it

    def send(self, message: Outgoing) -> "asyncio.Future[bool]":
        """Send a message; false if the connection was lost before it was acknowledged.

        The future may also hold a `PacketRefusedError`, if the broker says so.
        """
        # Not aiomqtt's own `publish`, which neither looks at the answer nor notices the end of
        # the connection, and costs as much as a crop's JPEG.
        info = self._client.publish(
            message.topic,
            message.payload,
            message.qos,
            message.retain,
            message,  # type: ignore[arg-type]  # paho packs it, and does nothing else with it
        )
        loop = asyncio.get_running_loop()
        sent: asyncio.Future[bool] = loop.create_future()
        if info.rc == MQTT_ERR_SUCCESS and message.qos:
            self._sent[info.mid] = sent
        elif info.rc == MQTT_ERR_SUCCESS:
            self._unwritten.add(sent)
            # The last one, for nothing is written before the loop's next turn.
            self._waiting[-1]["sent"] = sent
        else:
            # The reader is about to notice that the connection is gone.
            loop.call_later(_NOTICED, _lost, sent)
        return sent

    def takes(self, message: Outgoing) -> bool:
        """Whether the broker takes packets of this size."""
        return self.max_packet is None or message.packet_bytes <= self.max_packet

    def give_up(self) -> None:
        """Let `send` say of all that is on its way that the connection was lost."""
        for sent in (*self._sent.values(), *self._unwritten):
            _lost(sent)

    @property
    def _waiting(self) -> deque[dict[str, Any]]:
        """The packets that paho has to write."""
        return cast("deque[dict[str, Any]]", self._client._out_packet)  # noqa: SLF001  # there is no other way in

    def _write(self) -> MQTTErrorCode:
        """What paho's `loop_write` does, with one call of the system for many small packets.

        paho makes one for each, and five objects more at QoS 0 to say that it is written: together
        a third of what publishing a crop costs (2026-11-28).
        """
        self._join()
        done = mqtt.Client.loop_write(self._client)
        while self._writing:
            first = self._writing[0]
            while first["ends"] and first["ends"][0][0] <= first["pos"]:
                _, sent = first["ends"].popleft()
                self._unwritten.discard(sent)
                if not sent.done():
                    sent.set_result(True)
            if first["to_process"]:
                break
            self._writing.popleft()
        return done

    def _join(self) -> None:
        """Make one packet of several; none that was joined before, or that says goodbye."""
        waiting = self._waiting
        whole: dict[str, Any] | None = None
        for packet in [waiting.popleft() for _ in range(len(waiting))]:
            if packet["command"] == DISCONNECT or "ends" in packet:
                waiting.append(packet)
                whole = None
                continue
            if whole is None or whole["to_process"] > _JOINED_BYTES:
                # Of no kind behind which paho would do anything.
                whole = {"command": 0, "mid": 0, "qos": 0, "pos": 0, "to_process": 0, "info": None}
                whole |= {"packet": bytearray(), "ends": deque()}
                waiting.append(whole)
                self._writing.append(whole)
            whole["packet"] += packet["packet"]
            whole["to_process"] += packet["to_process"]
            if "sent" in packet:
                whole["ends"].append((whole["to_process"], packet["sent"]))

    def _on_publish(self, *answer: Any) -> None:
        _, _, mid, reason_code, _ = answer
        sent = self._sent.pop(mid)
        if sent.done():
            # Nobody waits for it any more.
            return
        if reason_code.is_failure:
            sent.set_exception(PacketRefusedError(str(reason_code)))
        else:
            sent.set_result(True)

    def _on_log(self, *log: Any) -> None:
        # With TLS 1.3 the broker judges our certificate after the handshake; paho only logs that.
        if CERTIFICATE.search(log[-1]) and not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError(log[-1]))

    def _on_connect(self, *answer: Any) -> None:
        # Each packet would be formatted for it, with its properties.
        self._client.on_log = None
        properties = answer[-1]
        self.max_packet = getattr(properties, "MaximumPacketSize", None)
        self.numbers = bool(getattr(properties, "SubscriptionIdentifierAvailable", True))
        # paho sends as much as it was told to, whatever the broker can take (MQTT 5, 3.3.4), and
        # has no public way to change that once connected.
        window = getattr(properties, "ReceiveMaximum", 65_535)
        self._client._max_inflight_messages = min(self._client.max_inflight_messages, window)  # noqa: SLF001  # see above
        super()._on_connect(*answer)


def _lost(sent: "asyncio.Future[bool]") -> None:
    if not sent.done():
        sent.set_result(False)
