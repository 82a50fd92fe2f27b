"""Messages of MQTT: one that is to be sent, one that arrived, and a last will."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import aiomqtt
from paho.mqtt.properties import VariableByteIntegers


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says when we vanish; retained, if it can be."""

    topic: str
    payload: bytes

    def with_terms(self, qos: int, *, retain: bool) -> aiomqtt.Will:
        """As aiomqtt takes it."""
        return aiomqtt.Will(self.topic, self.payload, qos, retain)


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


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message that arrived.

    Attributes:
        properties: The user properties, with ``content-type`` and ``topic`` among them.
        retained: Whether the broker had kept it from before we asked for its topic.
    """

    message: aiomqtt.Message
    payload: bytes
    properties: Mapping[str, str]
    retained: bool

    @classmethod
    def of(cls, message: aiomqtt.Message) -> "Incoming":
        """A message of aiomqtt's."""
        said = message.properties
        properties = dict(getattr(said, "UserProperty", ()))
        if content_type := getattr(said, "ContentType", ""):
            properties["content-type"] = content_type
        properties["topic"] = str(message.topic)
        return cls(message, message.payload, properties, message.retain)

    def is_for(self, topic: str, number: int) -> bool:
        """True if it came for the subscription to a topic, by its number where it has one."""
        came_for: Sequence[int] = getattr(self.message.properties, "SubscriptionIdentifier", ())
        return number in came_for if came_for else self.message.topic.matches(topic)
