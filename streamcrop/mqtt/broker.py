"""The connection to the MQTT broker, kept up.

`Broker.run` connects, subscribes, hands incoming messages to their handlers, and does so again
whenever the connection is lost; a broker of MQTT 5 keeps for us what comes meanwhile.
`Broker.publish` returns once the broker has taken a message (QoS 1) or it is on its way (QoS 0);
across a lost connection it is sent again, so that it is delivered at least once. What a broker
cannot do is done without, and said once.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from streamcrop.mqtt.address import Address
from streamcrop.mqtt.answers import MqttError
from streamcrop.mqtt.client import Client
from streamcrop.mqtt.connector import FIRST_DELAY, Connector
from streamcrop.mqtt.delivery import Delivery
from streamcrop.mqtt.flights import Ends
from streamcrop.mqtt.messages import Outgoing, Will
from streamcrop.mqtt.packets import Parcel
from streamcrop.mqtt.subscriptions import Answered, Handler, Listener, Subscriptions

__all__ = ["Address", "Broker", "Handler", "Will"]

logger = logging.getLogger(__name__)


def _log_answer(topic: str, why: str | None) -> None:
    if why:
        logger.warning("the broker refuses %s: %s", topic, why)
    else:
        logger.info("the broker grants %s", topic)


class Broker:
    """A connection that is kept up.

    Args:
        address: Of the broker.
        name: For the log.
        instance: Letters and digits, at most 13; with them the client ID ends. None: random.
        will: What the broker is to publish when we vanish.
        max_inflight: How many messages may be on their way at once.
        max_packet: The broker is told to send us no packet of more bytes; None: any.
        on_change: Is called with True when connected and subscribed, with False when that ends.
        answered: Is told of topics that are refused, and of those that are granted after that.
    """

    def __init__(
        self,
        address: Address,
        *,
        name: str,
        instance: str | None = None,
        will: Will | None = None,
        max_inflight: int = 64,
        max_packet: int | None = None,
        on_change: Callable[[bool], None] = lambda _: None,
        answered: Answered = _log_answer,
    ) -> None:
        self._name = name
        self._subscriptions = Subscriptions(answered)
        self._connector = Connector(
            address,
            name=name,
            instance=instance,
            will=will,
            max_inflight=max_inflight,
            max_packet=max_packet,
            hear=self._subscriptions.hand_on,
        )
        self._on_change = on_change
        self._client: Client | None = None
        self._delivery = Delivery(self._connector.numbers, self._connector.version)

    @property
    def version(self) -> str:
        """The MQTT version in use, ``5`` or ``3.1.1``; before the first connection a guess."""
        return self._connector.version

    @property
    def connected(self) -> bool:
        """True if messages can be sent now."""
        return self._delivery.up.is_set()

    @property
    def answers(self) -> bool:
        """True if it is connected, and the broker does not hang, as far as we know."""
        return self._client is not None and self._client.answers

    def subscribe(
        self,
        topic: str,
        handler: Handler,
        *,
        retained: Handler | None = None,
        failed: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        """Listen to a topic, from now on or once there is a connection.

        Args:
            topic: A topic filter.
            handler: Is called with each message.
            retained: Is called in its place with what the broker had kept from before; None: so is
                ``handler``.
            failed: Is called where one of the two raises.
        """
        self._subscriptions.add(topic, Listener(handler, retained or handler, failed))

    async def wait_until_up(self) -> None:
        """Wait until connected and subscribed."""
        await self._delivery.up.wait()

    async def run(self) -> None:
        """Keep the connection up until cancelled.

        Raises:
            BrokerRefusedError: If asking again would not help (`streamcrop.mqtt.connack`).
        """
        while True:
            async with self._connection() as client:
                code = 0
                try:
                    await self._serve(client)
                except MqttError as error:
                    self._connector.heed(error)
                    code = getattr(error, "code", 0)
                    logger.warning("%s: connection to the broker lost: %s", self._name, error)
                finally:
                    self._client = None
                    was_up = self.connected
                    self._delivery.close(code)
                    if was_up:
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
        await self._delivery.publish(message)

    async def attempt(self, message: Outgoing) -> bool:
        """See `Delivery`."""
        return await self._delivery.attempt(message)

    def parcel(self, make: Callable[[str], Sequence[Outgoing]]) -> Parcel:
        """See `Delivery`."""
        return self._delivery.parcel(make)

    def begin(self, parcel: Parcel, at: int, end: int) -> "asyncio.Future[Ends]":
        """See `Delivery`."""
        return self._delivery.begin(parcel, at, end)

    async def insist(self, parcel: Parcel, which: Iterable[int]) -> Ends:
        """See `Delivery`."""
        return await self._delivery.insist(parcel, which)

    async def _serve(self, client: Client) -> None:
        await self._subscriptions.begin(client)
        self._connector.prove()
        self._delivery.open(client)
        self._client = client
        self._on_change(True)  # noqa: FBT003  # the callback's one argument
        keeping = asyncio.create_task(self._subscriptions.keep(client), name="subscriptions")
        try:
            await client.until_lost()
        finally:
            keeping.cancel()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Client]:
        """Connect, and disconnect at the end."""
        client = await self._connector.connect()
        try:
            yield client
        finally:
            await client.leave()
