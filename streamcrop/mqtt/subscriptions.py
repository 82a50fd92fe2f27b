"""The topics that we listen to: asked for, granted or refused, and each message handed on.

Nothing that a message causes reaches further than that message: an error of its handler is logged,
once of each kind, and its listener is told.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from streamcrop.mqtt.answers import MqttError, Refusal
from streamcrop.mqtt.client import Client
from streamcrop.mqtt.messages import Incoming
from streamcrop.notes import unexpected

# Gets the payload, and the user properties with ``content-type`` and ``topic`` among them.
Handler = Callable[[bytes, Mapping[str, str]], None]
# Gets a topic, and why the broker refuses it: None when it is granted after all.
Answered = Callable[[str, str | None], None]

# After so many seconds a topic that was refused is asked for again.
AGAIN = 60.0
# So often may the connection end while we wait for an answer.
_HANG_UPS = 2
_HUNG_UP = "it ends the connection, or does not answer, when asked for it"


def _nothing(_: Exception) -> None:
    """Nobody counts these messages."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who gets the messages of a topic.

    Attributes:
        handler: Is called with each message.
        retained: Is called in its place with those that the broker had kept from before.
        failed: Is called where one of the two raised.
    """

    handler: Handler
    retained: Handler
    failed: Callable[[Exception], None] = _nothing


@dataclass(slots=True, eq=False)
class _Subscription:
    number: int
    listeners: list[Listener] = field(default_factory=list)
    asked: bool = False
    granted: bool = False
    hang_ups: int = 0
    quiet_until: float = 0.0
    said: str = ""
    refusal: Refusal | None = None


class Subscriptions:
    """The topics that we listen to.

    Args:
        answered: Is told when a topic is refused, and when it is granted after that.
    """

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        self._topics: dict[str, _Subscription] = {}
        self._added = asyncio.Event()

    def add(self, topic: str, listener: Listener) -> None:
        """Listen to a topic, from now on or once there is a connection."""
        numbered = _Subscription(len(self._topics) + 1)
        self._topics.setdefault(topic, numbered).listeners.append(listener)
        self._added.set()

    async def begin(self, client: Client) -> None:
        """Ask on a new connection for every topic that the broker does not send us already.

        Raises:
            MqttError: If the connection is lost meanwhile.
        """
        for wanted in self._topics.values():
            wanted.asked = wanted.granted = client.resumed and wanted.granted
        for topic, wanted in [*self._topics.items()]:
            if not wanted.asked:
                await self._ask(client, topic)

    async def keep(self, client: Client) -> None:
        """Ask at once for what is added, each minute for what was refused; until cancelled."""
        while True:
            refused = [t for t, wanted in self._topics.items() if _may_be_granted(wanted.refusal)]
            self._added.clear()
            due = [topic for topic, wanted in self._topics.items() if not wanted.asked]
            if not due:
                with suppress(TimeoutError):
                    async with asyncio.timeout(AGAIN if refused else None):
                        await self._added.wait()
                        continue
                due = refused
            with suppress(MqttError):  # whoever reads from the connection notices as well
                for topic in due:
                    await self._ask(client, topic)

    async def _ask(self, client: Client, topic: str) -> None:
        """Ask for a topic by its number, and tell where the answer is another than before.

        Where topics overlap, a broker may send a message once for each (MQTT 5, 3.3.4); without
        the numbers, all of them would get it as often.
        """
        wanted = self._topics[topic]
        wanted.asked = True
        if time.monotonic() < wanted.quiet_until:
            refusal: Refusal | None = Refusal(f"{_HUNG_UP} ({wanted.said})")
        else:
            try:
                refusal = await client.ask_for(topic, wanted.number)
            except MqttError as error:
                wanted.hang_ups += 1
                wanted.said = str(error)
                if wanted.hang_ups >= _HANG_UPS:
                    # The other topics shall not fall with it.
                    wanted.quiet_until = time.monotonic() + AGAIN
                raise
            wanted.hang_ups = 0
        wanted.granted = refusal is None
        if refusal != wanted.refusal:
            wanted.refusal = refusal
            self._answered(topic, None if refusal is None else str(refusal))

    def hand_on(self, message: Incoming) -> None:
        """Call the handlers of a message."""
        for topic, wanted in self._topics.items():
            if message.is_for(topic, wanted.number):
                for listener in wanted.listeners:
                    self._call(topic, listener, message)

    def _call(self, topic: str, listener: Listener, message: Incoming) -> None:
        handler = listener.retained if message.retained else listener.handler
        try:
            handler(message.payload, message.properties)
        except Exception as error:  # noqa: BLE001  # nobody knows which; it costs this message
            unexpected(f"handling a message on {topic}", error)
            listener.failed(error)


def _may_be_granted(refusal: Refusal | None) -> bool:
    return refusal is not None and not refusal.final
