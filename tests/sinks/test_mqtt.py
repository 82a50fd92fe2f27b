"""The window of events to the broker: its bounds, its order, and how each event ends."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import FakeBroker, until
from patience import PATIENCE
from peers import Mosquitto

from streamcrop.core.values import Reason
from streamcrop.errors import PacketRefusedError, PacketTooLargeError
from streamcrop.formats.events import MAX_PROPERTY_BYTES, STRUCTURED, Event
from streamcrop.mqtt.broker import Address, Broker
from streamcrop.mqtt.flights import Ends
from streamcrop.mqtt.messages import Outgoing
from streamcrop.mqtt.packets import ACKNOWLEDGED, Parcel, Terms
from streamcrop.sinks import mqtt
from streamcrop.sinks.mqtt import Envelope, MqttSink

FAILED = "publishing failed: ValueError in publish; the log has the traceback, once"
Told = list[tuple[str, Reason | None]]


def event(topic: str = "t", size: int = 10, metadata: bytes = b"{}") -> Event:
    """A CloudEvent with a picture of so many bytes."""
    return Event(topic, bytes(size), "image/png", {"id": topic}, metadata)


def make(
    broker: FakeBroker, envelope: str = "auto", max_inflight: int = 3
) -> tuple[MqttSink, Told]:
    """A sink, and the ends it tells of."""
    ends: Told = []
    sink = MqttSink(
        broker,
        envelope=Envelope(broker, envelope),
        qos=1,
        max_inflight=max_inflight,
        on_end=lambda event, reason: ends.append((event.topic, reason)),
        say=lambda *_: None,
    )
    return sink, ends


class Losing(FakeBroker):
    """Loses its connection with what is sent to the topic ``lost``."""

    def begin(self, parcel: Parcel, at: int, end: int) -> asyncio.Future[Ends]:
        ended: asyncio.Future[Ends] = asyncio.get_running_loop().create_future()
        ends: Ends = {}
        for place in range(at, end):
            if parcel.messages[place].topic == "lost":
                ends[place] = None
            else:
                parcel.numbers[place] = ACKNOWLEDGED
        asyncio.get_running_loop().call_soon(ended.set_result, ends)
        return ended


async def test_what_was_on_its_way_when_the_connection_was_lost_is_sent_again() -> None:
    """It keeps its place in the window until it has arrived."""
    broker = Losing()
    broker.flowing.clear()
    sink, ends = make(broker)
    events = [event("0"), event("lost"), event("2")]
    await sink.put(events, sink.prepare(events))
    await until(lambda: ends == [("0", None), ("2", None)])
    broker.flowing.set()
    await sink.drain()
    assert ends[-1] == ("lost", None)
    assert [message.topic for message in broker.published] == ["lost"]


async def test_what_is_lost_while_it_is_given_up_is_not_sent_again() -> None:
    """The end of the connection and of the stream may come together; what arrived has arrived."""
    broker = Losing()
    sink, ends = make(broker)
    await sink.put([event("lost")])
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(sink.abort(), asyncio.sleep(0))
    assert ends == [("lost", Reason.NOT_ACKNOWLEDGED)]
    assert broker.published == []


async def test_what_is_given_up_may_have_arrived_in_part() -> None:
    """Of a parcel, each event ends as is known of it."""

    class Half(FakeBroker):
        def begin(self, parcel: Parcel, at: int, _: int) -> asyncio.Future[Ends]:
            parcel.numbers[at] = ACKNOWLEDGED
            return asyncio.get_running_loop().create_future()

    sink, ends = make(Half())
    events = [event("arrived"), event("not")]
    await sink.put(events, sink.prepare(events))
    await sink.abort()
    assert ends == [("arrived", None), ("not", Reason.NOT_ACKNOWLEDGED)]


@pytest.mark.parametrize(
    ("sizes", "fit"),
    [([1] * 5, 3), ([60, 60], 1), ([30, 60, 30], 2), ([500, 1], 1)],
    ids=["items", "bytes", "bytes of several", "one that is larger than the window goes alone"],
)
async def test_the_window_is_bounded(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int], fit: int
) -> None:
    """`put` waits while so many items or bytes are on their way; all arrive, in their order."""
    monkeypatch.setattr(mqtt, "MAX_INFLIGHT_BYTES", 100)
    broker = FakeBroker()
    broker.flowing.clear()
    sink, ends = make(broker)
    put = 0

    async def put_all() -> None:
        nonlocal put
        for number, size in enumerate(sizes):
            await sink.put([event(str(number), size)])
            put += 1

    putting = asyncio.create_task(put_all())
    await until(lambda: put == fit)
    await asyncio.sleep(0.05)
    assert (put, ends) == (fit, [])
    broker.flowing.set()
    await putting
    await sink.drain()
    topics = [str(number) for number in range(len(sizes))]
    assert [message.topic for message in broker.published] == topics
    assert ends == [(topic, None) for topic in topics]


async def test_how_each_event_ends() -> None:
    """Published, too large, refused, or given up: each event is told of once."""

    class Refusing(FakeBroker):
        async def publish(self, message: Outgoing) -> None:
            if message.topic == "refused":
                raise PacketRefusedError(message.topic)
            if message.topic == "hanging":
                self.flowing.clear()
            await super().publish(message)

    broker = Refusing()
    broker.max_packet = 1000
    sink, ends = make(broker)
    await sink.put([event("fine")])
    await sink.put([event("large", 2000)])
    await sink.put([event("refused")])
    await sink.drain()
    await sink.put([event("hanging")])
    await until(lambda: not broker.flowing.is_set())
    await sink.abort()
    assert ends == [
        ("fine", None),
        ("large", Reason.TOO_LARGE),
        ("refused", Reason.NOT_ACKNOWLEDGED),
        ("hanging", Reason.NOT_ACKNOWLEDGED),
    ]


@pytest.mark.parametrize(
    ("version", "envelope", "metadata", "content_type"),
    [
        ("5", "auto", b"{}", "image/png"),
        ("5", "binary", b"{}", "image/png"),
        ("5", "json", b"{}", STRUCTURED),
        ("3.1.1", "auto", b"{}", STRUCTURED),
        ("5", "auto", b" " * (MAX_PROPERTY_BYTES + 1), STRUCTURED),
    ],
)
async def test_how_events_travel(
    version: str, envelope: str, metadata: bytes, content_type: str
) -> None:
    """Binary where user properties exist and hold the metadata, else in one JSON object."""
    broker = FakeBroker()
    broker.version = version
    sink, ends = make(broker, envelope)
    await sink.put([event(metadata=metadata)])
    await sink.drain()
    assert [message.content_type for message in broker.published] == [content_type]
    assert ends == [("t", None)]


@pytest.mark.parametrize(
    ("error", "reason", "notes"),
    [
        (
            PacketRefusedError("Not authorized"),
            Reason.NOT_ACKNOWLEDGED,
            [("refused_crops", "the broker refuses t: Not authorized")],
        ),
        (
            PacketTooLargeError("it takes 9 bytes, not 10"),
            Reason.TOO_LARGE,
            [("refused_crops", "the broker refuses t: it takes 9 bytes, not 10")],
        ),
        (ValueError("nobody thought of it"), Reason.FAILED, [("failed", FAILED)]),
    ],
)
async def test_why_an_event_was_not_taken_is_said(
    error: Exception, reason: Reason, notes: list[tuple[str, str]]
) -> None:
    """In the broker's words; the window has room again."""

    class Unwilling(FakeBroker):
        async def publish(self, _: Outgoing) -> None:
            raise error

    said: list[tuple[str, str]] = []
    ends: list[Reason | None] = []
    broker = Unwilling()
    sink = MqttSink(
        broker,
        envelope=Envelope(broker, "auto"),
        qos=1,
        max_inflight=1,
        on_end=lambda _, reason: ends.append(reason),
        say=lambda *note: said.append(note),
    )
    crop = replace(event(), is_crop=True)
    await sink.put([crop])
    await sink.put([crop])
    await sink.drain()
    assert ends == [reason] * 2
    assert said == notes * 2


async def test_what_is_taken_and_not_begun_has_ended_too() -> None:
    """Cancelled while it waits for room, a sink tells of all that it was given."""
    broker = FakeBroker()
    broker.flowing.clear()
    sink, ends = make(broker, max_inflight=1)
    putting = asyncio.create_task(sink.put([event("1"), event("2"), event("3")]))
    await asyncio.sleep(0.05)
    putting.cancel()
    await asyncio.wait({putting})
    assert ends == [("2", Reason.CLOSED), ("3", Reason.CLOSED)]
    await sink.abort()
    assert ends[2:] == [("1", Reason.NOT_ACKNOWLEDGED)]


@pytest.mark.parametrize(("max_inflight", "writes"), [(64, [10]), (4, [4, 4, 2]), (1, [1] * 10)])
async def test_a_part_leaves_together_as_far_as_the_window_has_room(
    max_inflight: int, writes: list[int]
) -> None:
    """In order, whatever the window; packed for the version of the connection that it meets."""

    class Counting(FakeBroker):
        found: list[int] = []  # noqa: RUF012  # of the class

        def begin(self, parcel: Parcel, at: int, end: int) -> asyncio.Future[Ends]:
            self.found = [*self.found, end - at]
            return super().begin(parcel, at, end)

    broker = Counting()
    sink, ends = make(broker, max_inflight=max_inflight)
    events = [event(str(number)) for number in range(10)]
    await sink.put(events, sink.prepare(events))
    await sink.drain()
    assert broker.found == writes
    assert ends == [(str(number), None) for number in range(10)]


async def test_a_parcel_that_meets_another_version_is_made_anew() -> None:
    """Metadata travels as a property with MQTT 5, and in the payload with 3.1.1."""
    sink, _ = make(FakeBroker())
    events = [event(metadata=b'{"a": 1}')]
    parcel = sink.prepare(events).parcel
    assert parcel
    assert ("metadata", '{"a": 1}') in parcel.messages[0].user_properties
    parcel.suit(Terms("3.1.1"))
    assert rb'"metadata":"{\"a\": 1}"' in parcel.messages[0].payload


async def test_an_event_that_makes_no_message_costs_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others of its part are sent."""
    sink, ends = make(FakeBroker())
    makes = Envelope.message

    def message(self: Envelope, which: Event, qos: int, version: str) -> Outgoing:
        return makes(self, which, 1 // (which.topic != "2") and qos, version)

    monkeypatch.setattr(Envelope, "message", message)
    events = [event("1"), event("2"), event("3")]
    await sink.put(events, sink.prepare(events))
    await sink.drain()
    assert sorted(ends) == [("1", None), ("2", Reason.FAILED), ("3", None)]


@pytest.mark.parametrize(
    ("lines", "protocol"),
    [
        ((), "5"),
        ((), "3.1.1"),
        # Its receive maximum.
        (("max_inflight_messages 1",), "5"),
        (("max_packet_size 3000",), "5"),
        (("message_size_limit 2000",), "5"),
    ],
    ids=["MQTT 5", "MQTT 3.1.1", "one at a time", "announces a size", "refuses a size"],
)
async def test_each_event_ends_once_whatever_happens(
    tmp_path: Path, lines: tuple[str, ...], protocol: str
) -> None:
    """The broker is cut off, hangs, and is killed between parts: what was delivered arrived."""
    peer = Mosquitto(tmp_path, *lines)
    node = Broker(Address("127.0.0.1", peer.port, protocol=protocol), name="node")
    ends: list[tuple[str, Reason | None]] = []
    sink = MqttSink(
        node,
        envelope=Envelope(node, "auto"),
        qos=1,
        max_inflight=64,
        on_end=lambda event, reason: ends.append((event.attributes["id"], reason)),
        say=lambda *_: None,
    )
    arrived: set[str] = set()

    def hear(payload: bytes, said: Mapping[str, str]) -> None:
        arrived.add(said.get("id") or json.loads(payload)["id"])

    other = Broker(Address("127.0.0.1", peer.port), name="other")
    other.subscribe("crops", hear)
    sent = []

    async def put_all() -> None:
        for part in range(20):
            sizes = [10 if n % 5 else 4000 for n in range(10)]
            events = [
                Event("crops", bytes(size), "image/png", {"id": f"{part}-{n}"}, b"{}")
                for n, size in enumerate(sizes)
            ]
            sent.extend(event.attributes["id"] for event in events)
            await sink.put(events, sink.prepare(events))
            await asyncio.sleep(0.05)

    try:
        async with asyncio.timeout(PATIENCE), other.opened(), node.opened():
            putting = asyncio.create_task(put_all())
            for fault in (peer.freeze, peer.thaw, peer.kill, peer.start):
                await asyncio.sleep(0.3)
                fault()
            await putting
            await sink.drain()
            delivered = {which for which, reason in ends if reason is None}
            # Those that the broker had acknowledged, and not handed on, died with it.
            await until(lambda: len(delivered - arrived) <= 64)
    finally:
        peer.kill()
    assert sorted(which for which, _ in ends) == sorted(sent)
    too_large = {which for which, reason in ends if reason is Reason.TOO_LARGE}
    large = {which for which in sent if int(which.partition("-")[2]) % 5 == 0}
    assert too_large == (large if lines and "size" in lines[0] else set())
    assert {reason for _, reason in ends} <= {None, Reason.TOO_LARGE}
