"""Messages of MQTT: one that is to be sent, one that arrived, and a last will."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

# 268,435,455, the most that a packet's length can say (MQTT 5, 1.5.5).
LONGEST = (1 << 28) - 1


@dataclass(frozen=True, slots=True)
class Will:
    """The broker's last word for us, when we vanish; retained, if it can be."""

    topic: str
    payload: bytes

    def with_terms(self, qos: int, *, retain: bool) -> aiomqtt.Will:
        """As aiomqtt takes it."""
        return aiomqtt.Will(self.topic, self.payload, qos, retain)


def wishes(session: int, max_packet: int | None) -> Properties:
    """The properties of our CONNECT (MQTT 5, 3.1.2.11).

    Args:
        session: So many seconds the broker is to keep what comes for us while we are away.
        max_packet: It is to send us no packet of more bytes; None: any.
    """
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
    properties.SessionExpiryInterval = session
    if max_packet is not None:
        properties.MaximumPacketSize = max_packet
    return properties


def numbered(number: int) -> Properties:
    """Those of a SUBSCRIBE (MQTT 5, 3.8.2.1): what comes for it says this number."""
    properties = Properties(PacketTypes.SUBSCRIBE)  # type: ignore[no-untyped-call]  # paho's
    properties.SubscriptionIdentifier = number
    return properties


def forgetting() -> Properties:
    """Those of a DISCONNECT after which the broker keeps nothing for us (MQTT 5, 3.14.2.2)."""
    properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]  # paho's
    properties.SessionExpiryInterval = 0
    return properties


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
        """Its properties (MQTT 5, 3.3.2.3), behind their length."""
        parts = [b"\x03", _name(self.content_type)] if self.content_type else []
        for key, value in self.user_properties:
            parts += b"\x26", _name(key), _text(value)
        packed = b"".join(parts)
        return length_of(len(packed)) + packed


def length_of(count: int) -> bytes:
    r"""A length as MQTT writes it: a variable byte integer (MQTT 5, 1.5.5).

    Raises:
        ValueError: If it is more than four bytes can say.

    Example:
        >>> length_of(200)
        b'\xc8\x01'
    """
    if count < 0x80:
        return bytes([count])
    if count > LONGEST:
        raise ValueError(f"MQTT has no length of {count} bytes")
    digits = []
    while count:
        digits.append(count & 0x7F | 0x80)
        count >>= 7
    digits[-1] &= 0x7F
    return bytes(digits)


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
        came_for: The numbers of the subscriptions that it came for; empty: not known.
    """

    topic: aiomqtt.Topic
    payload: bytes
    properties: Mapping[str, str]
    retained: bool
    came_for: Sequence[int] = ()

    @classmethod
    def of(cls, topic: str, payload: bytes, said: object, *, retained: bool) -> "Incoming":
        """A message, and an object with its properties' names as attributes.

        Raises:
            ValueError: If its topic is none.
        """
        properties = dict(getattr(said, "UserProperty", ()))
        if content_type := getattr(said, "ContentType", ""):
            properties["content-type"] = content_type
        properties["topic"] = topic
        came_for = getattr(said, "SubscriptionIdentifier", ())
        return cls(aiomqtt.Topic(topic), payload, properties, retained, came_for)

    def is_for(self, topic: str, number: int) -> bool:
        """True if it came for the subscription to a topic, by its number where it has one."""
        return number in self.came_for if self.came_for else self.topic.matches(topic)
