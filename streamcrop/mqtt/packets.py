"""PUBLISH packets: a parcel of messages that leave together, packed in any thread.

Pure: the bytes are those of MQTT 5, 3.3, and of MQTT 3.1.1, 3.3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from streamcrop.mqtt.messages import Outgoing, length_of

ACKNOWLEDGED = -1
_DUP = 0x08


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a connection, by which messages are packed for it.

    Attributes:
        version: Of MQTT: ``5``, or ``3.1.1``, which has no properties.
        max_qos: A message has this QoS at most.
        retain: False: the broker keeps no messages.
    """

    version: str = "5"
    max_qos: int = 1
    retain: bool = True


class Parcel:
    r"""Messages of one QoS, packed one behind the other.

    Args:
        make: Makes the messages, for a version of MQTT; at least one.
        terms: For whom they are packed at first.

    Attributes:
        messages: What is packed.
        terms: For whom.
        qos: Theirs, 0 or 1.
        data: The packets; their identifiers are filled in when they are sent.
        starts: Where each packet begins in ``data``, and the end of the last.
        largest: The bytes of its largest packet.
        numbers: Of each packet its identifier; 0: none yet; `ACKNOWLEDGED`.

    Raises:
        ValueError: If a topic is none, or a packet longer than MQTT can say.

    Example:
        >>> bytes(Parcel.of([Outgoing("a", b"hello", qos=0)], Terms("3.1.1")).data)
        b'0\x08\x00\x01ahello'
    """

    def __init__(self, make: Callable[[str], Sequence[Outgoing]], terms: Terms) -> None:
        self._make = make
        self.numbers: list[int] = []
        self._pack(terms)

    @classmethod
    def of(cls, messages: Sequence[Outgoing], terms: Terms) -> "Parcel":
        """Messages that are the same for every version."""
        return cls(lambda _: messages, terms)

    def packet_bytes(self, at: int) -> int:
        """The bytes of one of its packets."""
        return self.starts[at + 1] - self.starts[at]

    def suit(self, terms: Terms) -> None:
        """Pack it anew if that is not for whom it is packed; none of it may be on its way."""
        if terms != self.terms:
            self._pack(terms)

    def number(self, at: int, number: int, *, again: bool) -> None:
        """Give a packet its identifier, and say whether it is sent again (MQTT 5, 3.3.1.1)."""
        self.numbers[at] = number
        place, first = self._places[at], self.starts[at]
        self.data[place : place + 2] = number.to_bytes(2, "big")
        self.data[first] = self.data[first] & ~_DUP | (_DUP if again else 0)

    def _pack(self, terms: Terms) -> None:
        self.terms = terms
        self.messages = self._make(terms.version)
        self.qos = min(self.messages[0].qos, terms.max_qos)
        self.numbers = [n if n == ACKNOWLEDGED else 0 for n in self.numbers]
        self.numbers = self.numbers or [0] * len(self.messages)
        self.starts, self._places = [0], list[int]()
        parts: list[bytes] = []
        at = 0
        for message in self.messages:
            topic = _topic(message.topic)
            number = b"\0\0" if self.qos else b""
            properties = message.pack() if terms.version == "5" else b""
            length = len(topic) + len(number) + len(properties) + len(message.payload)
            kind = 0x30 | self.qos << 1 | (message.retain and terms.retain)
            head = bytes([kind]) + length_of(length)
            self._places.append(at + len(head) + len(topic))
            parts += head, topic, number, properties, message.payload
            at += len(head) + length
            self.starts.append(at)
        self.data = bytearray().join(parts)
        self.largest = max(end - at for at, end in pairwise(self.starts))


def checked(message: Outgoing) -> Outgoing:
    """A message that can be packed.

    Raises:
        ValueError: If its topic is none.
    """
    _topic(message.topic)
    return message


def _topic(topic: str) -> bytes:
    """A topic's name (MQTT 5, 3.3.2.1 and 4.7.3)."""
    encoded = topic.encode()
    if not topic or len(encoded) > 0xFFFF or {"+", "#", "\0"} & {*topic}:
        raise ValueError(f"a message cannot have the topic {topic[:100]!r}")
    return len(encoded).to_bytes(2, "big") + encoded
