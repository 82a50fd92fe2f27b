"""A broker that answers as it is told to, for what no real one can be made to say on cue.

It speaks as much of MQTT 5 and 3.1.1 as a node does; nothing that is published is handed on, unless
`deliver` says so.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PING, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 14
# Properties of CONNACK (MQTT 5, 3.2.2.3), each with its value's bytes behind it.
RECEIVE_MAXIMUM, KEEP_ALIVE, MAXIMUM_QOS, RETAIN = b"\x21", b"\x13", b"\x24", b"\x25"
WILDCARDS, NUMBERS, SHARED = b"\x28", b"\x29", b"\x2a"


def text(value: str) -> bytes:
    """As MQTT writes it."""
    return len(value.encode()).to_bytes(2, "big") + value.encode()


def reason(value: str) -> bytes:
    """The property Reason String."""
    return b"\x1f" + text(value)


def varint(number: int) -> bytes:
    """A length as MQTT writes it, of at most two bytes."""
    return bytes([number]) if number < 128 else bytes([number % 128 | 128, number // 128])


@dataclass
class LyingBroker:
    """Answers as it is told to.

    Attributes:
        connacks: Code and properties of the first CONNACK, the second, and so on; the last again
            and again. Code None: it hangs up.
        versions: The levels of the protocol that it speaks; for others it hangs up.
        suback: Says the code for a topic; None: it hangs up; -1: it says nothing.
        puback: Says code and properties for a topic; None: it says nothing.
        sessions: It says that it knew whoever does not want a clean start.
        longest: It hangs up on messages of more bytes.
        closed: It hangs up on messages of this topic.
    """

    connacks: Sequence[tuple[int | None, bytes]] = ((0, b""),)
    versions: Sequence[int] = (4, 5)
    suback: Callable[[str], int | None] = lambda _: 1
    puback: Callable[[str], tuple[int, bytes] | None] = lambda _: (0, b"")
    sessions: bool = False
    longest: int | None = None
    closed: str | None = None
    connects: list[dict[str, Any]] = field(default_factory=list)
    subscribed: list[str] = field(default_factory=list)
    published: list[tuple[str, int, bool]] = field(default_factory=list)
    payloads: list[tuple[str, bytes]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    pings: int = 0
    repeats: int = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._writers: list[asyncio.StreamWriter] = []
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End all connections; the next one meets the first CONNACK again."""
        self.connects.clear()
        for writer in self._writers:
            writer.close()

    def say_goodbye(self, code: int) -> None:
        """Send a DISCONNECT (MQTT 5, 3.14) to whoever is connected, and end the connection."""
        # paho 2.1 does not see a code that stands alone.
        words = reason("goodbye")
        self._writers[-1].write(_framed(DISCONNECT, bytes([code]), words, version=5))
        self.hang_up()

    def say(self, data: bytes) -> None:
        """Send whoever is connected any bytes."""
        self._writers[-1].write(data)

    def deliver(self, flags: int, body: bytes) -> None:
        """Send a PUBLISH packet to whoever is connected: its flags, and all after its length."""
        self._writers[-1].write(bytes([PUBLISH << 4 | flags]) + varint(len(body)) + body)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        version = 0
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, flags, body = await _packet(reader)
                if kind == CONNECT:
                    version = self._take_connect(body)
                answer = self._answer(kind, flags, _Body(body), version)
                if answer is None:
                    break
                writer.write(answer)
        writer.close()

    def _take_connect(self, body: bytes) -> int:
        fields = _Body(body)
        fields.text()
        version, flags = fields.take(1)[0], fields.take(1)[0]
        keepalive = int.from_bytes(fields.take(2), "big")
        fields.properties(version)
        found = {"version": version, "id": fields.text(), "keepalive": keepalive}
        found |= {
            "clean": bool(flags & 2),
            "will": bool(flags & 4),
            "qos": flags >> 3 & 3,
            "retain": bool(flags & 32),
        }
        self.connects.append(found)
        return version

    def _answer(self, kind: int, flags: int, body: "_Body", version: int) -> bytes | None:
        if kind == CONNECT:
            code, properties = self.connacks[min(len(self.connects), len(self.connacks)) - 1]
            if version not in self.versions:
                return None
            known = self.sessions and not self.connects[-1]["clean"]
            answer = bytes([known, code or 0])
            return None if code is None else _framed(CONNACK, answer, properties, version)
        if kind == SUBSCRIBE:
            return self._answer_subscribe(body, version)
        if kind == PUBLISH and self.longest is not None and len(body) > self.longest:
            return None
        if kind == PUBLISH:
            self.repeats += flags >> 3 & 1
            return self._answer_publish(flags >> 1 & 3, bool(flags & 1), body, version)
        self.pings += kind == PING
        if kind == PUBACK:
            self.acknowledged.append(int.from_bytes(body.take(2), "big"))
        return {PING: b"\xd0\0", DISCONNECT: None}.get(kind, b"")

    def _answer_subscribe(self, body: "_Body", version: int) -> bytes | None:
        mid = body.take(2)
        body.properties(version)
        topic = body.text()
        self.subscribed.append(topic)
        given = self.suback(topic)
        if given is None or given < 0:
            return None if given is None else b""
        return _framed(SUBACK, mid + (b"\0" if version == 5 else b"") + bytes([given]))

    def _answer_publish(self, qos: int, retain: bool, body: "_Body", version: int) -> bytes | None:
        topic = body.text()
        if topic == self.closed:
            return None
        self.published.append((topic, qos, retain))
        mid = body.take(2) if qos else b""
        self.numbers.append(int.from_bytes(mid, "big"))
        body.properties(version)
        self.payloads.append((topic, body.take(1 << 20)))
        if not qos or (said := self.puback(topic)) is None:
            return b""
        code, properties = said
        return _framed(PUBACK, mid + bytes([code] if version == 5 else []), properties, version)


class _Body:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def take(self, count: int) -> bytes:
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def text(self) -> str:
        return self.take(int.from_bytes(self.take(2), "big")).decode()

    def properties(self, version: int) -> None:
        if version == 5:
            length = self.take(1)[0]
            if length & 128:
                length = (length & 127) + 128 * self.take(1)[0]
            self.take(length)


def _framed(kind: int, body: bytes, properties: bytes | None = None, version: int = 0) -> bytes:
    if version == 5 and properties is not None:
        body += varint(len(properties)) + properties
    return bytes([kind << 4]) + varint(len(body)) + body


async def _packet(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    [first] = await reader.readexactly(1)
    length, shift = 0, 0
    while True:
        [byte] = await reader.readexactly(1)
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return first >> 4, first & 15, await reader.readexactly(length)
