"""Each message to the broker, over however many connections that takes.

A message is lost with a connection if it was not acknowledged then, and sent again on the next one.
A broker that hangs up because of one message would do so for ever, so each of them is tried alone:
the guilty one shows, and so do sizes that the broker does not take and never announced.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from streamcrop.errors import PacketRefusedError, PacketTooLargeError
from streamcrop.mqtt.client import Client
from streamcrop.mqtt.flights import Ends, Numbers
from streamcrop.mqtt.messages import Outgoing
from streamcrop.mqtt.packets import Parcel, Terms
from streamcrop.mqtt.sizes import Sizes

# So often a message may end the connection; and so often it may be lost with one that ends by
# itself, for brokers restart.
_HANG_UPS, _TRIES = 3, 10
# MQTT 5, 3.14.2.1: packet too large; keep-alive timeout, which is our own word.
_TOO_LARGE, _SILENT = 0x95, 0x8D


class Delivery:
    """Sends messages.

    Args:
        numbers: Where the identifiers of messages come from.
        version: Of MQTT; a guess.

    Attributes:
        up: Set while there is a connection.
    """

    def __init__(self, numbers: Numbers, version: str) -> None:
        self.up = asyncio.Event()
        self._numbers = numbers
        self._terms = Terms(version)
        self._client: Client | None = None
        self._alone = asyncio.Lock()
        self._sizes = Sizes()
        self._largest = 0
        # How the last connection ended, and whether that was the broker's doing.
        self._code = 0
        self._hung_up = False

    def open(self, client: Client) -> None:
        """Begin to send on a connection."""
        # A broker that should know us and does not was restarted.
        restarted = client.keeps_session and not client.resumed
        self._hung_up = not restarted and self._code != _SILENT
        self._client = client
        self._terms = client.terms
        self.up.set()

    def close(self, code: int) -> None:
        """Stop, for the connection is lost.

        Args:
            code: The broker's reason.
        """
        client, self._client, self._code = self._client, None, code
        self.up.clear()
        if client:
            self._largest = max(self._largest, client.largest)
            client.give_up()

    async def publish(self, message: Outgoing) -> None:
        """Send a message, across connections if need be.

        Raises:
            PacketTooLargeError: If the broker takes no packet of this size.
            PacketRefusedError: If the broker refuses it, or hangs up whenever it gets it.
        """
        parcel = self.parcel(lambda _: [message])
        if not await self._is_through(parcel):
            _raise(await self.insist(parcel, [0]))

    async def attempt(self, message: Outgoing) -> bool:
        """Send a message once; false if the connection was lost with it; raises as `publish`."""
        parcel = self.parcel(lambda _: [message])
        if await self._is_through(parcel):
            return True
        # Nobody insists on it: whoever tries again packs it anew.
        for number in parcel.numbers:
            self._numbers.free(number)
        return False

    def parcel(self, make: Callable[[str], Sequence[Outgoing]]) -> Parcel:
        """Pack messages of one QoS for the connection that there is; in any thread.

        Args:
            make: Makes them for a version of MQTT, again where a later connection has another.

        Raises:
            ValueError: If a topic is none, or a packet longer than MQTT can say.
        """
        return Parcel(make, self._terms)

    def begin(self, parcel: Parcel, at: int, end: int) -> "asyncio.Future[Ends]":
        """Send messages of a parcel: those from ``at`` up to ``end``, in one write as a rule.

        Returns:
            Why some did not end well: None, where the connection was lost with a message on its
            way: then `insist`. If it is cancelled, `Parcel.numbers` tells what arrived.
        """
        client = self._client
        if (
            client is None
            or self._alone.locked()
            or parcel.terms != client.terms
            or parcel.largest > client.offer.max_packet
            or self._sizes
        ):
            return asyncio.ensure_future(self._deliver(parcel, range(at, end)))
        return client.send(parcel, at, end)

    async def insist(self, parcel: Parcel, which: Iterable[int]) -> Ends:
        """Send again, one by one, what was lost with a connection; why some cannot be sent."""
        lost, refused = deque(which), Ends()
        try:
            async with self._alone:
                while lost:
                    at = lost.popleft()
                    if why := await self._try_alone(parcel, at):
                        self._numbers.free(parcel.numbers[at])
                        refused[at] = why
        finally:
            for at in lost:
                self._numbers.free(parcel.numbers[at])
        return refused

    async def _is_through(self, parcel: Parcel) -> bool:
        ends = await self.begin(parcel, 0, 1)
        _raise(ends)
        return not ends

    async def _deliver(self, parcel: Parcel, which: Sequence[int]) -> Ends:
        """Send messages as soon as there is a connection; what is too large for it is not sent."""
        async with self._alone:
            # Nobody begins to send while a message is tried alone, below.
            pass
        return await self._send(parcel, which)

    async def _send(self, parcel: Parcel, which: Sequence[int]) -> Ends:
        while (client := self._client) is None:
            await self.up.wait()
        self._suit(parcel, client)
        ends: Ends = {}
        sent = []
        for at in which:
            if why := self._unfit(client, parcel, at):
                ends[at] = why
            else:
                sent.append(client.send(parcel, at, at + 1))
        for each in sent:
            ends |= await each
        return ends

    async def _try_alone(self, parcel: Parcel, at: int) -> Exception | None:
        """Send a message; why it cannot be."""
        topic, size = parcel.messages[at].topic, parcel.packet_bytes(at)
        strikes = 0
        for _ in range(_TRIES):
            ends = await self._send(parcel, [at])
            if (why := ends.get(at)) or at not in ends:
                return why
            await self.up.wait()
            strikes += self._hung_up
            if self._code == _TOO_LARGE:
                strikes = _HANG_UPS
            if self._sizes.hung_up(topic, size, strikes=strikes, taken=self._largest):
                return PacketTooLargeError(f"it hangs up on its {size} bytes")
            if strikes == _HANG_UPS:
                break
        return PacketRefusedError("it ends the connection whenever it gets this message")

    def _unfit(self, client: Client, parcel: Parcel, at: int) -> PacketTooLargeError | None:
        topic, size = parcel.messages[at].topic, parcel.packet_bytes(at)
        return self._sizes.check(topic, size, client.offer.max_packet)

    def _suit(self, parcel: Parcel, client: Client) -> None:
        """Pack a parcel anew where it is packed for another connection than this one."""
        if parcel.terms != client.terms:
            for number in parcel.numbers:
                self._numbers.free(number)
            parcel.suit(client.terms)


def _raise(ends: Ends) -> None:
    for why in ends.values():
        if why:
            raise why
