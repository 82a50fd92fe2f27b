"""The connection to the MQTT broker, kept up.

`Broker.run` connects, subscribes, hands incoming messages to their handlers, and does so again
whenever the connection is lost. `Broker.publish` returns once the broker has taken a message
(QoS 1) or it is on its way (QoS 0); across a lost connection it begins anew, so that a message is
delivered at least once.
"""

import asyncio
import contextlib
import logging
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt
import tenacity
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from streamcrop.client import CERTIFICATE, Client, Outgoing, PacketRefusedError, PacketTooLargeError
from streamcrop.errors import BrokerRefusedError, ConfigError

logger = logging.getLogger(__name__)

# Gets the payload, and the user properties with ``content-type`` and ``topic`` among them.
Handler = Callable[[bytes, Mapping[str, str]], None]

# Half of what a broker waits before it gives a client up; a dead network is seen within 2 x this.
KEEPALIVE = 8
CONNECT_TIMEOUT = 10
_TRIES_ALONE = 3
_GOODBYE = 0.5
FIRST_DELAY, LONGEST_DELAY = 0.2, 10.0
PROTOCOLS = {"5": aiomqtt.ProtocolVersion.V5, "3.1.1": aiomqtt.ProtocolVersion.V311}
# MQTT 5, 2.4, and MQTT 3.1.1, 3.2.2.3: bad user name or password, not authorised, banned.
_REFUSED = {134, 135, 138, 140, 4, 5}
# Nagle's algorithm would hold a crop behind an acknowledgement of ours until the broker's system
# acknowledges that: 40 ms between a message and its crop, 3 ms without (2026-11-28).
_AT_ONCE = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
# Unsupported protocol version, in both.
_WRONG_VERSION = {132, 1}


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is, and who we are to it.

    Attributes:
        protocol: ``5``, ``3.1.1``, or ``auto``: 5, and 3.1.1 where the broker does not know it.
        ca: File of the certificates to trust; None: the system's.
        cert: File of the client's certificate, with ``key``.
    """

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    protocol: str = "auto"
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says when we vanish; retained."""

    topic: str
    payload: bytes


class Broker:
    """A connection that is kept up.

    Args:
        address: Of the broker.
        name: For the log and the client ID.
        will: What the broker is to publish when we vanish.
        max_inflight: How many messages may be on their way at once.
        on_change: Is called with True when connected and subscribed, with False when that ends.
    """

    def __init__(
        self,
        address: Address,
        *,
        name: str,
        will: Will | None = None,
        max_inflight: int = 64,
        on_change: Callable[[bool], None] = lambda _: None,
    ) -> None:
        if address.tls:
            # Now, not when the node runs already.
            tls_context(address)
        self.address = address
        self._name = name
        self._will = will
        self._max_inflight = max_inflight
        self._on_change = on_change
        self._handlers: dict[str, list[Handler]] = {}
        self._client: Client | None = None
        self._up = asyncio.Event()
        self._version = "3.1.1" if address.protocol == "3.1.1" else "5"
        self._proved = False
        self._alone = asyncio.Lock()

    @property
    def version(self) -> str:
        """The MQTT version in use, ``5`` or ``3.1.1``; before the first connection a guess."""
        return self._version

    @property
    def connected(self) -> bool:
        """Whether messages can be sent now."""
        return self._up.is_set()

    def subscribe(self, topic: str, handler: Handler) -> None:
        """Have ``handler`` called with each message; say so before `run`."""
        self._handlers.setdefault(topic, []).append(handler)

    async def wait_until_up(self) -> None:
        """Wait until connected and subscribed."""
        await self._up.wait()

    async def run(self) -> None:
        """Keep the connection up until cancelled.

        Raises:
            BrokerRefusedError: If asking again would not help: credentials, certificate.
        """
        while True:
            async with self._connection() as client:
                try:
                    await self._serve(client)
                except aiomqtt.MqttError as error:
                    logger.warning("%s: connection to the broker lost: %s", self._name, error)
                finally:
                    self._client = None
                    if self._up.is_set():
                        self._up.clear()
                        client.give_up()
                        self._on_change(False)  # noqa: FBT003  # the callback's one argument
            await asyncio.sleep(FIRST_DELAY)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """`run` beside a block that begins once the connection is up."""
        running = asyncio.create_task(self.run(), name=f"{self._name} broker")
        up = asyncio.create_task(self.wait_until_up())
        try:
            await asyncio.wait({running, up}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                await running
            yield
        finally:
            up.cancel()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    async def publish(self, message: Outgoing) -> None:
        """Send a message, across connections if need be.

        Raises:
            PacketTooLargeError: If the broker takes no packet of this size.
            PacketRefusedError: If the broker refuses it, or hangs up whenever it gets it.
        """
        async with self._alone:
            # Nobody begins to send while a message is tried alone, below.
            pass
        if not await self._attempt(message):
            await self.insist(message)

    def begin(self, message: Outgoing) -> "asyncio.Future[bool | None]":
        """`publish`, without a task of its own where nothing stands in its way.

        Returns:
            A future that ends as `publish` does; or with false if the connection was lost with the
            message on its way: then `insist`.
        """
        client = self._client
        if client is None or self._alone.locked() or not client.takes(message):
            return asyncio.ensure_future(self.publish(message))
        return client.send(message)  # type: ignore[return-value]  # a bool is one of the two

    async def insist(self, message: Outgoing) -> None:
        """Send a message again with which the connection was lost; as `publish`.

        A broker that hangs up because of one message would do so for ever, so each is now tried
        alone: the guilty one shows.
        """
        async with self._alone:
            for _ in range(_TRIES_ALONE):
                if await self._attempt(message):
                    return
        raise PacketRefusedError(message.topic)

    async def _attempt(self, message: Outgoing) -> bool:
        """Send a message once; false if the connection was lost before it was acknowledged."""
        await self._up.wait()
        client = self._client
        assert client is not None  # noqa: S101  # up, and nothing was awaited since
        if not client.takes(message):
            raise PacketTooLargeError(message.topic)
        return await client.send(message)

    async def _serve(self, client: Client) -> None:
        await self._subscribe(client)
        self._client, self._proved = client, True
        self._up.set()
        self._on_change(True)  # noqa: FBT003  # the callback's one argument
        async for message in client.messages:
            payload = message.payload
            properties = {**_properties(message.properties), "topic": str(message.topic)}
            came_for = getattr(message.properties, "SubscriptionIdentifier", ())
            for number, (topic, handlers) in enumerate(self._handlers.items(), 1):
                if number in came_for if came_for else message.topic.matches(topic):
                    for handler in handlers:
                        handler(payload, properties)
            # The reader of the next message must not keep this one.
            del message, payload

    async def _subscribe(self, client: Client) -> None:
        """Subscribe to each topic by a number of its own.

        Where topics overlap, a broker may send a message once for each (MQTT 5, 3.3.4); without
        the numbers, all of them would get it as often.
        """
        for number, topic in enumerate(self._handlers, 1):
            properties = None
            if self._version == "5" and client.numbers:
                properties = Properties(PacketTypes.SUBSCRIBE)  # type: ignore[no-untyped-call]  # paho's
                properties.SubscriptionIdentifier = number
            await client.subscribe(topic, 1, properties=properties)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Client]:
        """Connect, again and again with growing delays, and disconnect at the end."""
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(aiomqtt.MqttError),
            wait=tenacity.wait_exponential(FIRST_DELAY, LONGEST_DELAY)
            + tenacity.wait_random(0, FIRST_DELAY),
        )
        client: Client = await attempts(self._connect)
        logger.info("%s: connected to the broker with MQTT %s", self._name, self._version)
        try:
            yield client
        finally:
            # A broker that hangs does not answer; the connection then ends with the process.
            with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
                async with asyncio.timeout(_GOODBYE):
                    await client.__aexit__(None, None, None)

    async def _connect(self) -> Client:
        client = self._new_client()
        try:
            await client.__aenter__()
        except aiomqtt.MqttError as error:
            self._consider(error)
            raise
        return client

    def _consider(self, error: aiomqtt.MqttError) -> None:
        """Give up, try the other version, or say that we try again."""
        code = getattr(error, "rc", None)
        code = getattr(code, "value", code)
        if code in _REFUSED or CERTIFICATE.search(str(error)):
            raise _refused(self.address, error)
        host = f"{self.address.host}:{self.address.port}"
        logger.warning("%s: no connection to %s: %s; trying again", self._name, host, error)
        # A broker that once spoke a version and is silent now is down, not older.
        silent = "timed out" in str(error) and not self._proved
        if self.address.protocol == "auto" and (silent or code in _WRONG_VERSION):
            self._version = "3.1.1" if self._version == "5" else "5"

    def _new_client(self) -> Client:
        """A new one for each connection: an old one would send its old messages again itself."""
        address = self.address
        will = None
        if self._will:
            will = aiomqtt.Will(self._will.topic, self._will.payload, 1, retain=True)
        client = Client(
            address.host,
            address.port,
            username=address.username,
            password=address.password,
            identifier=f"streamcrop-{secrets.token_hex(6)}",
            protocol=PROTOCOLS[self._version],
            will=will,
            timeout=CONNECT_TIMEOUT,
            keepalive=KEEPALIVE,
            max_inflight_messages=self._max_inflight,
            socket_options=_AT_ONCE,
            tls_context=tls_context(address) if address.tls else None,
        )
        client.pending_calls_threshold = 1 << 20
        return client


def _properties(properties: Properties | None) -> dict[str, str]:
    found = dict(getattr(properties, "UserProperty", ()))
    if content_type := getattr(properties, "ContentType", ""):
        found["content-type"] = content_type
    return found


def tls_context(address: Address) -> ssl.SSLContext:
    """What to trust and what to show.

    Raises:
        ConfigError: If a file cannot be read or is no certificate.
    """
    what = f"broker.ca {address.ca}"
    try:
        context = ssl.create_default_context(cafile=address.ca)
        if address.cert and address.key:
            what = f"broker.cert {address.cert} or broker.key {address.key}"
            for path in (address.cert, address.key):
                Path(path).read_bytes()  # OpenSSL's error would not name the file
            # With a password OpenSSL does not ask for one at the terminal.
            context.load_cert_chain(address.cert, address.key, "")
    except OSError as error:
        raise ConfigError(f"{what} cannot be used: {error}") from None
    return context


def _refused(address: Address, error: Exception) -> BrokerRefusedError:
    what = f"refuses: {error}"
    if "CERTIFICATE_REQUIRED" in what:
        what = "wants a client certificate: set broker.cert and broker.key"
    return BrokerRefusedError(f"the broker at {address.host}:{address.port} {what}")
