"""The packets under way on one connection: identifiers, the broker's window, acknowledgements.

Pure: it is told what came, and writes by a function that it is given.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from streamcrop.mqtt.packets import ACKNOWLEDGED, Parcel

# Of the messages of a parcel that did not end well, by their place: why; None: the connection was
# lost with it on its way.
Ends = dict[int, Exception | None]
LAST_NUMBER = 0xFFFF


class Numbers:
    """The identifiers of PUBLISH packets (MQTT 5, 2.2.1), over all connections of a session.

    Args:
        first: The lowest; those below belong to other packets.
    """

    def __init__(self, first: int) -> None:
        self._first = self._next = first
        self._taken: set[int] = set()

    def take(self) -> int:
        """One that nobody has, the longest unused."""
        while (number := self._next) in self._taken:
            self._step()
        self._step()
        self._taken.add(number)
        return number

    def free(self, number: int) -> None:
        """Take one back."""
        self._taken.discard(number)

    def _step(self) -> None:
        self._next = self._first if self._next == LAST_NUMBER else self._next + 1


@dataclass(slots=True, eq=False)
class Flight:
    """A parcel, or packets of it next to each other, that is sent.

    Attributes:
        at: Where it begins.
        next: Up to here it is written, or about to be.
        end: Where it ends.
        left: How many packets are neither acknowledged nor refused.
        ended: Its end.
    """

    parcel: Parcel
    at: int
    next: int
    end: int
    left: int
    ended: "asyncio.Future[Ends]"
    refused: Ends = field(default_factory=dict)


class Flights:
    """The packets under way on one connection.

    Args:
        write: Writes bytes; then `written` is to be told whose.
        numbers: Where identifiers come from.
        window: So many packets of QoS 1 may be unacknowledged (MQTT 5, 4.9).
        resumed: True if the broker kept our session: what it may know is sent as sent again.

    Attributes:
        largest: The bytes of the largest packet of QoS 1 that was acknowledged.
    """

    def __init__(
        self,
        write: Callable[[memoryview, Flight], None],
        numbers: Numbers,
        *,
        window: int,
        resumed: bool,
    ) -> None:
        self._write = write
        self._numbers = numbers
        self._window = window
        self._resumed = resumed
        self.largest = 0
        self._queue: deque[Flight] = deque()
        self._waiting: dict[int, Flight] = {}

    def send(self, parcel: Parcel, at: int, end: int) -> "asyncio.Future[Ends]":
        """Send packets of a parcel, in order, as the window has room for them."""
        ended: asyncio.Future[Ends] = asyncio.get_running_loop().create_future()
        self._queue.append(Flight(parcel, at, at, end, end - at, ended))
        self.pump()
        return ended

    def pump(self) -> None:
        """Write what has room; to be called when acknowledgements have come."""
        while self._queue:
            flight = self._queue[0]
            parcel, first = flight.parcel, flight.next
            room = self._window - len(self._waiting) if parcel.qos else flight.end
            end = min(flight.end, first + room)
            if flight.ended.done():
                # Nobody waits for it any more.
                self._queue.popleft()
                continue
            if end <= first:
                return
            for at in range(first, end) if parcel.qos else ():
                number = parcel.numbers[at]
                parcel.number(
                    at, number or self._numbers.take(), again=bool(number) and self._resumed
                )
                self._waiting[parcel.numbers[at]] = flight
            flight.next = end
            if end == flight.end:
                self._queue.popleft()
            self._write(memoryview(parcel.data)[parcel.starts[first] : parcel.starts[end]], flight)

    def acknowledge(self, number: int, why: Exception | None) -> None:
        """Take note of an acknowledgement; ``why``: it says that the message is refused."""
        flight = self._waiting.pop(number, None)
        if flight is None:
            return
        self._numbers.free(number)
        at = flight.parcel.numbers.index(number)
        if why is None:
            flight.parcel.numbers[at] = ACKNOWLEDGED
            self.largest = max(self.largest, flight.parcel.packet_bytes(at))
        else:
            flight.parcel.numbers[at] = 0
            flight.refused[at] = why
        flight.left -= 1
        if not flight.left:
            _end(flight)

    def written(self, flight: Flight) -> None:
        """Take note that what was given to ``write`` for it is written: at QoS 0 that is all."""
        if not flight.parcel.qos:
            _mark(flight, flight.end)
            _end(flight)

    def give_up(self, unwritten: Iterable[tuple[Flight, int]]) -> None:
        """Say of all that is on its way that the connection was lost.

        Args:
            unwritten: What was given to ``write`` and not `written`, and how many bytes were.
        """
        for number, flight in self._waiting.items():
            if flight.ended.done():
                self._numbers.free(number)
        lost = dict.fromkeys(self._waiting.values())
        for flight, count in unwritten:
            if not flight.parcel.qos:
                starts = flight.parcel.starts
                _mark(flight, bisect_right(starts, starts[flight.at] + count) - 1)
                lost[flight] = None
        for flight in (*lost, *self._queue):
            numbers = flight.parcel.numbers
            for at in range(flight.at, flight.end):
                if numbers[at] != ACKNOWLEDGED:
                    flight.refused.setdefault(at, None)
            _end(flight)
        self._waiting.clear()
        self._queue.clear()


def _mark(flight: Flight, end: int) -> None:
    for at in range(flight.at, end):
        flight.parcel.numbers[at] = ACKNOWLEDGED


def _end(flight: Flight) -> None:
    if not flight.ended.done():
        flight.ended.set_result(flight.refused)
