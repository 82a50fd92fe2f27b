"""aiomqtt, and paho under it: all that we know of their insides.

aiomqtt connects, subscribes and disconnects; paho reads and writes packets. Here the answers of the
broker reach us as they are, and a message that paho cannot read costs that message. The system is
called once for all that is to be written or has come; paho calls it once a packet, thrice to read
one. Acknowledgements are counted in their bytes; paho makes three objects of each.

Others use documented parts of the two, or none; `streamcrop.mqtt.check` tries it all at start.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar, cast

import aiomqtt
from paho.mqtt import client as mqtt
from paho.mqtt.enums import MQTTErrorCode

from streamcrop.mqtt import answers
from streamcrop.mqtt.connack import CERTIFICATE, Offer
from streamcrop.mqtt.flights import Flight
from streamcrop.mqtt.hearing import Hearing
from streamcrop.mqtt.messages import forgetting, numbered
from streamcrop.mqtt.properties import MOST_BYTES, check
from streamcrop.mqtt.pulse import EVERY, Pulse

T = TypeVar("T")

# What `tests/versions.py` ran the tests with, and `pyproject.toml` allows.
TESTED = {"aiomqtt": "2.5.1", "paho-mqtt": "2.1.0 to 2.2.0"}
PROTOCOLS = {"5": aiomqtt.ProtocolVersion.V5, "3.1.1": aiomqtt.ProtocolVersion.V311}
# The identifiers of SUBSCRIBE packets, which paho numbers, are lower than those of ours.
FIRST_NUMBER = 1024
_READ_BYTES = 1 << 16
_PUBACK = 0x40
_PINGREQ = b"\xc0\0"
_GOODBYE = 0.5
_OK, _AGAIN = MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_AGAIN


class Paho(mqtt.Client):
    """paho's client; `Connection` makes one of aiomqtt's by changing its class."""

    def adopt(self, owner: "Connection") -> None:
        """Begin to tell of what arrives."""
        self._owner = owner
        self._came = memoryview(b"")
        self._at = 0
        self._acknowledging = bytearray()
        self._chunks: deque[dict[str, Any]] = deque()
        self.pulse = Pulse(time.monotonic())

    def ask_for_life(self) -> None:
        """Ask the broker for a sign of life if it was silent."""
        if self._sock is not None and self.pulse.should_ask(time.monotonic()):
            self.write(memoryview(_PINGREQ), None)

    def write(self, data: memoryview, flight: Flight | None) -> None:
        """Write, at once if nothing else waits to be written; the owner hears when that is done.

        Not to be called while paho calls back, for it may find the connection lost.
        """
        chunk: dict[str, Any] = {"command": 0, "mid": 0, "qos": 0, "pos": 0, "info": None}
        chunk |= {"to_process": len(data), "packet": data, "flight": flight}
        idle = not self._out_packet
        self._chunks.append(chunk)
        self._out_packet.append(cast("Any", chunk))
        if idle:
            self.loop_write()

    def unwritten(self) -> list[tuple[Flight, int]]:
        """The flights that are not yet written whole, and how many bytes of each were."""
        return [(each["flight"], each["pos"]) for each in self._chunks if each["flight"]]

    def loop_write(self) -> MQTTErrorCode:
        """Write as much as the system takes."""
        done = super().loop_write()
        while self._chunks and not self._chunks[0]["to_process"]:
            flight = self._chunks.popleft()["flight"]
            if flight:
                self._owner.written(flight)
        return done

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:  # noqa: ARG002  # as it is called
        """Ask the system once, and handle all that is there."""
        if self._sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        try:
            self._came, self._at = memoryview(super()._sock_recv(_READ_BYTES)), 0
        except BlockingIOError:
            return _OK
        except OSError as error:
            self._easy_log(mqtt.MQTT_LOG_ERR, "failed to receive: %s", error)
            self._came = memoryview(b"")
        done = _OK if self._came else MQTTErrorCode.MQTT_ERR_CONN_LOST
        self.pulse.heard(time.monotonic())
        while done == _OK and self._sock is not None:
            self._count_acknowledged()
            done = self._packet_read()
        if self._acknowledging and self._sock is not None:
            self.write(memoryview(bytes(self._acknowledging)), None)
        self._acknowledging.clear()
        if done not in {_OK, _AGAIN} and self._sock is not None:
            return self._loop_rc_handle(done)
        self._owner.settled()
        return _OK

    def disconnect(self, *how: Any) -> MQTTErrorCode:
        """Say goodbye, and have the broker forget us (MQTT 5, 3.14.2.2.2)."""
        if how or self._protocol != mqtt.MQTTv5:
            return super().disconnect(*how)
        return super().disconnect(None, forgetting())

    def _sock_send(self, buf: Any) -> int:
        count = int(super()._sock_send(buf))
        if count:
            self.pulse.wrote(time.monotonic())
        return count

    def _sock_recv(self, bufsize: int) -> bytes:
        if piece := bytes(self._came[self._at : self._at + bufsize]):
            self._at += len(piece)
            return piece
        if bufsize < _READ_BYTES:
            raise BlockingIOError
        # The rest of a large message goes straight to where it is gathered.
        return super()._sock_recv(bufsize)

    def _count_acknowledged(self) -> None:
        """Take all whole PUBACK packets that stand next in what came."""
        came, at = self._came, self._at
        while not self._in_packet["command"] and len(came) >= at + 4 and came[at] == _PUBACK:
            end = at + 2 + came[at + 1]
            if came[at + 1] & 0x80 or end > len(came):
                break
            self._owner.take_puback(came[at + 2 : end])
            at = end
        self._at = at

    def _handle_pubackcomp(self, cmd: Any) -> MQTTErrorCode:
        if cmd == "PUBACK":
            self._owner.take_puback(memoryview(self._in_packet["packet"]))
        return _OK

    def _handle_connack(self) -> MQTTErrorCode:
        # Of one refusal of MQTT 3.1.1 paho says nothing.
        if self._protocol != mqtt.MQTTv5 and self._in_packet["packet"][1:2] == b"\1":
            self._owner.refuse(answers.unknown_version())
        return super()._handle_connack()

    def _handle_publish(self) -> MQTTErrorCode:
        """Take a message; one that cannot be read costs that message.

        paho would end the connection, and meet a retained one again at each new one. It refuses
        U+FEFF in a property, for instance, which MQTT 5, 1.5.4 allows.
        """
        try:
            if self._protocol == mqtt.MQTTv5:
                head = bytes(self._in_packet["packet"][: 2 * MOST_BYTES])
                check(head, acknowledged=bool(self._in_packet["command"] & 6))
            return super()._handle_publish()
        except Exception as error:  # noqa: BLE001  # paho raises what it likes
            self._owner.unreadable(str(error))
            packet = self._in_packet
            if packet["command"] >> 1 & 3 != 1:
                return _OK
            at = 2 + int.from_bytes(packet["packet"][:2], "big")
            # The broker sends the next once it is acknowledged.
            return self._send_puback(int.from_bytes(packet["packet"][at : at + 2], "big"))

    def _handle_on_message(self, message: mqtt.MQTTMessage) -> None:
        self._owner.arrived(message)

    def _send_puback(self, mid: int) -> MQTTErrorCode:
        self._acknowledging += bytes([_PUBACK, 2]) + mid.to_bytes(2, "big")
        return _OK

    def _mid_generate(self) -> int:
        self._last_mid = self._last_mid % (FIRST_NUMBER - 1) + 1
        return self._last_mid


class Connection(aiomqtt.Client, Hearing):
    """One connection. A subclass says what becomes of what arrives.

    Attributes:
        paho: What writes.
    """

    def __init__(self, host: str, port: int, *, version: str, **kwargs: Any) -> None:
        super().__init__(host, port, protocol=PROTOCOLS[version], **kwargs)
        self._secret = kwargs.get("password") or None
        self._explained = ""
        self._client.__class__ = Paho
        self.paho = cast("Paho", self._client)
        self.paho.adopt(self)
        self.paho.on_log = self._on_log

    async def ask(self, topic: str, qos: int, number: int | None) -> tuple[int, str]:
        """Subscribe to a topic: the broker's code, and that in words.

        Raises:
            LostError: If the connection is lost.
            MqttError: If no answer comes.
        """
        properties = None if number is None else numbered(number)
        [code] = await self._unless_lost(self.subscribe(topic, qos, properties=properties))
        return getattr(code, "value", cast("int", code)), answers.in_words(code, self._explained)

    async def until_lost(self) -> NoReturn:
        """Wait for the end, and ask now and then whether it has come.

        Raises:
            LostError: When the connection has ended.
            MqttError: If the broker does not answer any more.
        """
        while not self._disconnected.done():
            await asyncio.wait({self._disconnected}, timeout=EVERY)
            self.paho.ask_for_life()
            if self.paho.pulse.is_gone(time.monotonic()):
                raise answers.SilentError("it does not answer")
        raise answers.LostError(self._disconnected.exception())

    async def leave(self) -> None:
        """Disconnect; a broker that hangs does not answer, and the connection ends with us."""
        with contextlib.suppress(answers.MqttError, TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await self.__aexit__(None, None, None)
        if self._disconnected.done() and not self._disconnected.cancelled():
            # Nobody may have waited for it.
            self._disconnected.exception()

    def refuse(self, error: answers.MqttError) -> None:
        """Have `__aenter__` raise this, if it still waits."""
        if not self._connected.done():
            self._connected.set_exception(error)
            # Nobody may wait for it any more.
            self._connected.exception()

    def take_puback(self, body: memoryview) -> None:
        """Take what stands in a PUBACK."""
        if answer := answers.puback(body):
            number, code, said = answer
            self.acknowledged(number, code, answers.refusal(code, self._hidden(said)))

    async def _unless_lost(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for an answer; aiomqtt alone would do so on a connection that is gone."""
        task = asyncio.ensure_future(work)
        try:
            ends: set[asyncio.Future[Any]] = {task, self._disconnected}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else await self.until_lost()
        finally:
            task.cancel()

    def _said(self, properties: object, name: str) -> str:
        """The text that the broker adds in a property."""
        return self._hidden(str(getattr(properties, name, "")))

    def _hidden(self, text: str) -> str:
        """A text of the broker's; our password, which it knows, is not repeated."""
        return text.replace(self._secret, "…") if self._secret else text

    # paho calls the following.

    def _on_log(self, *log: Any) -> None:
        # With TLS 1.3 the broker judges our certificate after the handshake; paho only logs that.
        if CERTIFICATE.search(log[-1]):
            self.refuse(answers.MqttError(log[-1]))

    def _on_connect(self, *answer: Any) -> None:
        # Each packet would be formatted for it, with its properties.
        self.paho.on_log = None
        if self._connected.done():
            # A second CONNACK, which no broker may send (MQTT 5, 3.2): what is on its way stays so.
            return
        *_, flags, reason_code, properties = answer
        if reason_code.is_failure:
            explained = self._said(properties, "ReasonString")
            moved = self._said(properties, "ServerReference")
            self.refuse(answers.RefusedError(reason_code, explained or moved))
            return
        offer = Offer.of(properties)
        if offer.keepalive is not None:
            # paho 2.1 does not heed it (MQTT 5, 3.2.2.3.14).
            self.paho._keepalive = offer.keepalive
        self.accepted(offer, resumed=flags.session_present)
        super()._on_connect(*answer)

    def _on_disconnect(self, *how: Any) -> None:
        # aiomqtt would wait for an answer that cannot come any more.
        self.refuse(answers.EndedError("it ended the connection at our first packet"))
        super()._on_disconnect(*how)

    def _on_subscribe(self, *answer: Any) -> None:
        self._explained = self._said(answer[-1], "ReasonString")
        super()._on_subscribe(*answer)
