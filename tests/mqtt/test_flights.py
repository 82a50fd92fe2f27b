"""What is on its way: identifiers, the window, and each message's end."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcrop.errors import PacketRefusedError
from streamcrop.mqtt.flights import LAST_NUMBER, Ends, Flight, Flights, Numbers
from streamcrop.mqtt.messages import Outgoing
from streamcrop.mqtt.packets import ACKNOWLEDGED, Parcel, Terms


def parcel(count: int, qos: int = 1) -> Parcel:
    """So many messages."""
    return Parcel.of([Outgoing("t", b"%d" % at, qos) for at in range(count)], Terms())


class Peer:
    """Takes what is written, and reads packets of it."""

    def __init__(self, window: int = 64, *, resumed: bool = False, numbers: Any = None) -> None:
        self.writes: list[bytes] = []
        self.given: list[Flight] = []
        self.numbers = numbers or Numbers(1)
        self.flights = Flights(self._write, self.numbers, window=window, resumed=resumed)

    def send(self, each: Parcel, at: int = 0, end: int | None = None) -> asyncio.Future[Ends]:
        """Send all of a parcel."""
        return self.flights.send(each, at, len(each.messages) if end is None else end)

    def packets(self) -> list[tuple[int, bool, bytes]]:
        """Identifier, sent again, payload of each packet of QoS 1 that was written."""
        found, rest = [], b"".join(self.writes)
        while rest:
            packet, rest = rest[: 2 + rest[1]], rest[2 + rest[1] :]
            found.append((int.from_bytes(packet[5:7], "big"), bool(packet[0] & 8), packet[8:]))
        return found

    def _write(self, data: memoryview, flight: Flight) -> None:
        self.writes.append(bytes(data))
        self.given.append(flight)


async def test_a_parcel_leaves_in_one_write_and_ends_with_its_last_acknowledgement() -> None:
    """In whatever order they come."""
    peer = Peer()
    sent, each = peer.send(parcel(3)), peer.given[0].parcel
    assert len(peer.writes) == 1
    numbers = [number for number, _, _ in peer.packets()]
    for number in (numbers[2], numbers[0]):
        peer.flights.acknowledge(number, None)
    assert not sent.done()
    assert each.numbers == [ACKNOWLEDGED, numbers[1], ACKNOWLEDGED]
    peer.flights.acknowledge(numbers[1], None)
    assert sent.result() == {}
    assert peer.flights.largest == each.largest


@pytest.mark.parametrize("window", [1, 2, 5])
async def test_no_more_is_on_its_way_than_the_broker_takes(window: int) -> None:
    """All of it arrives in order, at any window."""
    peer = Peer(window)
    ends = [peer.send(parcel(3)), peer.send(parcel(4))]
    done = 0
    while not ends[1].done():
        waiting = peer.packets()[done:]
        assert 1 <= len(waiting) <= window
        peer.flights.acknowledge(waiting[0][0], None)
        peer.flights.pump()
        done += 1
    assert [payload for _, _, payload in peer.packets()] == [b"0", b"1", b"2", *b"0 1 2 3".split()]
    assert [each.result() for each in ends] == [{}, {}]


async def test_a_refusal_is_of_its_message_alone() -> None:
    """The others of the parcel are through; an acknowledgement of nothing is nothing."""
    peer = Peer()
    sent = peer.send(parcel(2))
    why = PacketRefusedError("no")
    first, second = (number for number, _, _ in peer.packets())
    peer.flights.acknowledge(first, why)
    peer.flights.acknowledge(999, why)
    peer.flights.acknowledge(second, None)
    assert sent.result() == {0: why}


async def test_what_was_lost_keeps_its_identifier() -> None:
    """It is sent again as such to a broker that knows us (MQTT 5, 4.4), else as new."""
    peer = Peer(window=2)
    each = parcel(3)
    sent, queued = peer.send(each), peer.send(parcel(1))
    first, second = (number for number, _, _ in peer.packets())
    peer.flights.acknowledge(first, None)
    peer.flights.give_up([])
    assert sent.result() == {1: None, 2: None}
    assert queued.result() == {0: None}
    for resumed in (True, False):
        later = Peer(resumed=resumed, numbers=peer.numbers)
        later.send(each, 1, 3)
        [(again, dup, _), (new, _, _)] = later.packets()
        assert (again, dup) == (second, resumed)
        assert new not in {first, second}


@pytest.mark.parametrize(("bytes_written", "lost"), [(0, [0, 1]), (8, [0, 1]), (9, [1]), (17, [1])])
async def test_qos_0_is_through_once_it_is_written(bytes_written: int, lost: list[int]) -> None:
    """Where the connection was lost, by the bytes that were."""
    peer = Peer()
    whole, cut = peer.send(parcel(2, 0)), peer.send(parcel(2, 0))
    assert peer.given[1].parcel.starts == [0, 7, 14]
    peer.flights.written(peer.given[0])
    assert whole.result() == {}
    peer.flights.give_up([(peer.given[1], bytes_written * 7 // 9)])
    assert cut.result() == dict.fromkeys(lost)


async def test_nobody_waits_for_it_any_more() -> None:
    """What was not yet sent is not sent; identifiers come back, at the latest at the end."""
    peer = Peer(window=1)
    first, second, third = (peer.send(parcel(1)) for _ in "123")
    first.cancel()
    second.cancel()
    peer.flights.acknowledge(1, None)
    peer.flights.pump()
    assert len(peer.packets()) == 2
    third.cancel()
    assert peer.numbers._taken == {2}
    peer.flights.give_up([])
    assert peer.numbers._taken == set()


def test_identifiers_wrap_and_skip_what_is_taken() -> None:
    """No number is given twice before it is back, and 0 never."""
    numbers = Numbers(LAST_NUMBER - 2)
    taken = [numbers.take() for _ in range(3)]
    assert taken == [LAST_NUMBER - 2, LAST_NUMBER - 1, LAST_NUMBER]
    numbers.free(LAST_NUMBER - 1)
    assert numbers.take() == LAST_NUMBER - 1


@settings(max_examples=50, deadline=None)
@given(st.data())
async def test_every_message_has_one_end(data: st.DataObject) -> None:
    """Whatever is sent, acknowledged, refused, cancelled and lost; and no identifier leaks."""
    numbers = Numbers(1)
    for _ in range(data.draw(st.integers(1, 3))):
        peer = Peer(data.draw(st.integers(1, 5)), numbers=numbers)
        sent: list[tuple[Parcel, asyncio.Future[Ends]]] = []
        for step in data.draw(st.lists(st.sampled_from("saarc"), max_size=30)):
            if step == "s":
                each = parcel(data.draw(st.integers(1, 4)))
                sent.append((each, peer.send(each)))
            elif step == "c" and sent:
                sent[-1][1].cancel()
            elif numbers._taken:
                why = PacketRefusedError("no") if step == "r" else None
                peer.flights.acknowledge(data.draw(st.sampled_from([*numbers._taken])), why)
                peer.flights.pump()
            assert len(numbers._taken) <= 5
        peer.flights.give_up([])
        for each, future in sent:
            assert future.done()
            if not future.cancelled():
                check_end(each, future.result(), numbers)
        assert numbers._taken == set()


def check_end(each: Parcel, ends: Ends, numbers: Numbers) -> None:
    """A message is acknowledged, or its end says why not; what is lost keeps its identifier."""
    for at, number in enumerate(each.numbers):
        assert (number == ACKNOWLEDGED) == (at not in ends)
        if ends.get(at, 1) is None:
            numbers.free(number)
