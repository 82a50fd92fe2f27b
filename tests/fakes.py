"""Doubles for what a real peer cannot be made to do on cue."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from patience import PATIENCE

from streamcrop.core.pixels import ArrayPixels
from streamcrop.core.values import Frame, Reason
from streamcrop.errors import PacketRefusedError, PacketTooLargeError
from streamcrop.mqtt.broker import Broker, Handler
from streamcrop.mqtt.flights import Ends
from streamcrop.mqtt.messages import Outgoing
from streamcrop.mqtt.packets import ACKNOWLEDGED, Parcel, Terms


class FakeBroker:
    """Records what is published; can be made to hang, to be down, or to refuse large packets."""

    version = "5"

    def __init__(self) -> None:
        self.published: list[Outgoing] = []
        self.handlers: dict[str, Handler] = {}
        # What else was said of a topic: who gets what was retained, who is told of a failure.
        self.others: dict[str, dict[str, Any]] = {}
        self.connected = True
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.max_packet: int | None = None
        self.refusal: str | None = None

    @property
    def answers(self) -> bool:
        return self.connected

    def subscribe(self, topic: str, handler: Handler, **others: Any) -> None:
        self.handlers[topic] = handler
        self.others[topic] = others

    def send(self, payload: bytes, topic: str = "detections") -> None:
        """Deliver a message."""
        self.handlers[topic](payload, {})

    async def publish(self, message: Outgoing) -> None:
        if self.refusal:
            raise PacketRefusedError(self.refusal)
        if self.max_packet and message.packet_bytes > self.max_packet:
            raise PacketTooLargeError(message.topic)
        await self.flowing.wait()
        self.published.append(message)

    async def attempt(self, message: Outgoing) -> bool:
        await self.publish(message)
        return True

    def parcel(self, make: Callable[[str], Sequence[Outgoing]]) -> Parcel:
        return Parcel(make, Terms(self.version))

    def begin(self, parcel: Parcel, at: int, end: int) -> asyncio.Future[Ends]:
        return asyncio.ensure_future(self.insist(parcel, range(at, end)))

    async def insist(self, parcel: Parcel, which: Iterable[int]) -> Ends:
        ends: Ends = {}
        for at in which:
            try:
                await self.publish(parcel.messages[at])
            except (PacketRefusedError, PacketTooLargeError) as error:
                ends[at] = error
            else:
                parcel.numbers[at] = ACKNOWLEDGED
        return ends

    def crops(self) -> list[Outgoing]:
        return [message for message in self.published if message.topic.endswith("/crops")]


def begin(broker: Broker, message: Outgoing) -> asyncio.Future[Ends]:
    """Send one message; its end is at 0."""
    return broker.begin(broker.parcel(lambda _: [message]), 0, 1)


class ListSource:
    """Hands out what it is given; with a gate, an item each time the gate lets one through."""

    def __init__(self, items: Iterable[Frame | Reason], error: Exception | None = None) -> None:
        self._items = list(items)
        self._error = error
        self.stopped = threading.Event()
        self.gate: threading.Semaphore | None = None

    def __iter__(self) -> Iterator[Frame | Reason]:
        for item in self._items:
            while self.gate is not None and not self.gate.acquire(timeout=0.02):
                if self.stopped.is_set():
                    return
            if self.stopped.is_set():
                return
            yield item
        if self._error:
            raise self._error

    def again(self, last: Frame | None) -> "ListSource":
        """Goes on behind the last item that was handed out."""
        left = self._items[self._items.index(last) + 1 :] if last else self._items
        return ListSource(left)

    def stop(self) -> None:
        self.stopped.set()


def frame(frame_id: object, size: int = 64, **known: object) -> Frame:
    """A frame of one colour."""
    pixels = ArrayPixels(np.full((size, size, 3), 90, np.uint8))
    return Frame(str(frame_id), pixels, **known)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # a ledger tells nobody when it counts
            await asyncio.sleep(0.005)
