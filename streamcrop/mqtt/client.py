"""One connection to an MQTT broker: aiomqtt's, with its messages sent and answered as we need it.

It heeds what the broker announces (`Offer`) and how it answers, to each message and subscription.

This module, `answers`, `messages` and `writing` beside it alone know the MQTT client libraries.
"""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import aiomqtt
from paho.mqtt import client as mqtt
from paho.mqtt.client import MQTT_ERR_SUCCESS
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from streamcrop.addresses import redacted
from streamcrop.errors import PacketRefusedError
from streamcrop.mqtt.answers import (
    FINAL,
    EndedError,
    LostError,
    MqttError,
    Refusal,
    RefusedError,
    in_words,
)
from streamcrop.mqtt.connack import Offer
from streamcrop.mqtt.messages import Incoming, Outgoing
from streamcrop.mqtt.writing import Writing

logger = logging.getLogger(__name__)

T = TypeVar("T")

PROTOCOLS = {"5": aiomqtt.ProtocolVersion.V5, "3.1.1": aiomqtt.ProtocolVersion.V311}
# As OpenSSL says it: the broker's certificate is wrong, or ours in the broker's eyes.
CERTIFICATE = re.compile("CERTIFICATE|UNKNOWN_CA")
# More bytes than stand beside the payload in a packet of ours: its topic and properties.
_MOST_BESIDE = 1 << 20
_GOODBYE = 0.5
# After so many seconds the reader has noticed that the connection is gone.
_NOTICED = 0.2
# MQTT 5, 3.9.3: subscription identifiers are not supported.
_NO_NUMBERS = 0xA1
# So often, in seconds, unreadable messages are logged, and so much of why they are.
_SAID_EVERY, _LONGEST = 60.0, 200


class Unread:
    """The messages that cannot be read, counted, for they belong to no stream; said seldom.

    Args:
        clock: Seconds, on any monotonic clock.

    Attributes:
        count: How many there were.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.count = 0
        self._clock = clock
        self._logged = float("-inf")

    def add(self, why: str) -> None:
        """Count one, and log it with the count where the turn has come."""
        self.count += 1
        now = self._clock()
        if now - self._logged >= _SAID_EVERY:
            self._logged = now
            text = "a message that cannot be read is dropped, %d by now: %s"
            logger.warning(text, self.count, redacted(why)[:_LONGEST])


# Of all connections: a broker hands a retained one out again at each.
unread = Unread()


class Client(aiomqtt.Client):
    """An `aiomqtt.Client` that heeds what the broker announces, and how it answers.

    Attributes:
        offer: The broker's abilities, once connected.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer = Offer()
        self._is_5 = kwargs["protocol"] == aiomqtt.ProtocolVersion.V5
        self._numbers = self._is_5
        self._secret = kwargs.get("password") or None
        self._explained = ""
        self._sent: dict[int, asyncio.Future[bool]] = {}
        self._writing = Writing(self._client)
        self._client.on_log = self._on_log
        # paho calls these two.
        self._client._handle_connack = self._take_connack  # type: ignore[method-assign]  # noqa: SLF001
        self._client._handle_publish = self._take_publish  # type: ignore[method-assign]  # noqa: SLF001

    def send(self, message: Outgoing) -> "asyncio.Future[bool]":
        """Send a message; false if the connection was lost before it was acknowledged.

        The future may also hold a `PacketRefusedError`, if the broker says so.
        """
        # Not aiomqtt's own `publish`, which neither looks at the answer nor notices the end of
        # the connection, and costs as much as a crop's JPEG.
        qos = min(message.qos, self.offer.max_qos)
        info = self._client.publish(
            message.topic,
            message.payload,
            qos,
            message.retain and self.offer.retain,
            message,  # type: ignore[arg-type]  # paho packs it, and does nothing else with it
        )
        loop = asyncio.get_running_loop()
        sent: asyncio.Future[bool] = loop.create_future()
        if info.rc == MQTT_ERR_SUCCESS and qos:
            self._sent[info.mid] = sent
        elif info.rc == MQTT_ERR_SUCCESS:
            self._writing.tell_of_last(sent)
        else:
            # The reader is about to notice that the connection is gone.
            loop.call_later(_NOTICED, _lost, sent)
        return sent

    def takes(self, message: Outgoing) -> bool:
        """True if the broker takes packets of this size."""
        most = self.offer.max_packet
        # To know the size, its properties are packed, which costs as much as to send them.
        return len(message.payload) + _MOST_BESIDE < most or message.packet_bytes <= most

    async def ask_for(self, topic: str, number: int) -> Refusal | None:
        """Subscribe to a topic, as the subscription of this number; None: it is granted.

        Raises:
            LostError: If the connection is lost.
            MqttError: If no answer comes.
        """
        if lack := self.offer.lacks(topic):
            return Refusal(lack, final=True)
        properties = None
        if self._numbers and self.offer.numbers:
            properties = Properties(PacketTypes.SUBSCRIBE)  # type: ignore[no-untyped-call]  # paho's
            properties.SubscriptionIdentifier = number
        qos = min(1, self.offer.max_qos)
        codes = await self._unless_lost(self.subscribe(topic, qos, properties=properties))
        code = getattr(codes[0], "value", codes[0])
        if code == _NO_NUMBERS and properties:
            self._numbers = False
            return await self.ask_for(topic, number)
        if code < 0x80:
            return None
        why = in_words(codes[0], self._explained) if self._is_5 else "MQTT 3.1.1 gives no reason"
        return Refusal(why, final=code in FINAL)

    async def arrivals(self) -> AsyncIterator[Incoming]:
        """The messages that arrive.

        Raises:
            LostError: Once the connection is lost.
        """
        try:
            async for message in self.messages:
                yield Incoming.of(message)
                # The reader of the next message must not keep this one.
                del message
                # aiomqtt's iterator takes some rounds of the loop for a message, and each round
                # reads another: 40,000 that came at once took 200 MB (2026-11-28).
                while not self._queue.empty():
                    yield Incoming.of(self._queue.get_nowait())
        except MqttError as error:
            raise LostError(error.__cause__) from None

    async def leave(self) -> None:
        """Disconnect; a broker that hangs does not answer, and the connection ends with us."""
        with contextlib.suppress(MqttError, TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await self.__aexit__(None, None, None)

    async def _unless_lost(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for an answer; aiomqtt alone would do so on a connection that is gone."""
        task = asyncio.ensure_future(work)
        try:
            ends: set[asyncio.Future[Any]] = {task, self._disconnected}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise LostError(self._disconnected.exception())
        finally:
            task.cancel()

    def give_up(self) -> None:
        """Let `send` say of all that is on its way that the connection was lost."""
        for sent in (*self._sent.values(), *self._writing.unwritten):
            _lost(sent)

    def _said(self, properties: object, name: str) -> str:
        """What the broker adds in a property; our password, which it knows, is not repeated."""
        text = str(getattr(properties, name, ""))
        return text.replace(self._secret, "…") if self._secret else text

    def _on_publish(self, *answer: Any) -> None:
        _, _, mid, reason_code, properties = answer
        sent = self._sent.pop(mid)
        if sent.done():
            # Nobody waits for it any more.
            return
        if reason_code.is_failure:
            why = in_words(reason_code, self._said(properties, "ReasonString"))
            sent.set_exception(PacketRefusedError(why))
        else:
            sent.set_result(True)

    def _on_subscribe(self, *answer: Any) -> None:
        self._explained = self._said(answer[-1], "ReasonString")
        super()._on_subscribe(*answer)

    def _take_connack(self) -> MQTTErrorCode:
        """What paho's own does, which says nothing of one refusal of MQTT 3.1.1."""
        code = self._client._in_packet["packet"][1:2]  # noqa: SLF001  # as paho reads it
        if not self._is_5 and code == b"\1":
            self._not_connected(RefusedError(ReasonCode(PacketTypes.CONNACK, identifier=0x84)))
        return mqtt.Client._handle_connack(self._client)  # noqa: SLF001  # see above

    def _take_publish(self) -> MQTTErrorCode:
        """What paho's own does; a message that it cannot read costs that message.

        paho would end the connection, and meet a retained one again at each new one. It refuses
        U+FEFF in a property, for instance, which MQTT 5, 1.5.4 allows.
        """
        try:
            return mqtt.Client._handle_publish(self._client)  # noqa: SLF001  # see above
        except Exception as error:  # noqa: BLE001  # paho 2.1 and 2.2 raise what they like
            unread.add(str(error))
            packet = self._client._in_packet  # noqa: SLF001  # as paho reads it
            if packet["command"] >> 1 & 3 != 1:
                return MQTT_ERR_SUCCESS
            at = 2 + int.from_bytes(packet["packet"][:2], "big")
            mid = int.from_bytes(packet["packet"][at : at + 2], "big")
            return self._client._send_puback(mid)  # noqa: SLF001  # so the broker sends the next

    def _on_message(self, *arrived: Any) -> None:
        try:
            super()._on_message(*arrived)
        except ValueError:
            # As aiomqtt and Python say that it is no topic; paho would end the connection.
            unread.add("its topic is none")

    def _on_log(self, *log: Any) -> None:
        # With TLS 1.3 the broker judges our certificate after the handshake; paho only logs that.
        if CERTIFICATE.search(log[-1]):
            self._not_connected(MqttError(log[-1]))

    def _on_connect(self, *answer: Any) -> None:
        # Each packet would be formatted for it, with its properties.
        self._client.on_log = None
        *_, reason_code, properties = answer
        if reason_code.is_failure:
            explained = self._said(properties, "ReasonString")
            moved = self._said(properties, "ServerReference")
            self._not_connected(RefusedError(reason_code, explained or moved))
            return
        self.offer = Offer.of(properties)
        # paho sends as much as it was told to, whatever the broker can take (MQTT 5, 3.3.4), and
        # has no public way to change that once connected; paho 2.1 does not heed the broker's
        # keep-alive either (MQTT 5, 3.2.2.3.14).
        window = min(self._client.max_inflight_messages, self.offer.window)
        self._client._max_inflight_messages = window  # noqa: SLF001  # see above
        if self.offer.keepalive is not None:
            self._client._keepalive = self.offer.keepalive  # noqa: SLF001  # see above
        super()._on_connect(*answer)

    def _on_disconnect(self, *how: Any) -> None:
        # aiomqtt would wait for an answer that cannot come any more.
        self._not_connected(EndedError("it ended the connection at our first packet"))
        super()._on_disconnect(*how)

    def _not_connected(self, error: MqttError) -> None:
        if not self._connected.done():
            self._connected.set_exception(error)
            # Nobody may wait for it any more.
            self._connected.exception()


def _lost(sent: "asyncio.Future[bool]") -> None:
    if not sent.done():
        sent.set_result(False)
