"""One connection: how messages and subscriptions are answered."""

import asyncio
import logging
from pathlib import Path

import pytest
from lying_broker import LyingBroker, reason
from patience import FOR_EVER, PATIENCE
from peers import Mosquitto

from streamcrop.errors import PacketRefusedError, PacketTooLargeError
from streamcrop.mqtt.broker import Address, Broker
from streamcrop.mqtt.client import Unread
from streamcrop.mqtt.messages import Outgoing


async def test_each_message_ends_as_the_broker_says(tmp_path: Path) -> None:
    """A refusal and a packet beyond the announced size are errors; the connection stays up."""
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite open/#\n")
    peer = Mosquitto(tmp_path, "max_packet_size 2000", f"acl_file {rules}")
    changes: list[bool] = []
    try:
        node = Broker(Address("127.0.0.1", peer.port), name="test", on_change=changes.append)
        async with node.opened():
            with pytest.raises(PacketRefusedError, match="Not authorized"):
                await node.publish(Outgoing("closed/a", b""))
            with pytest.raises(PacketTooLargeError, match="it takes 2000 bytes, not 2"):
                await node.publish(Outgoing("open/a", bytes(2000)))
            await node.publish(Outgoing("open/a", bytes(1000), user_properties=[("key", "value")]))
    finally:
        peer.kill()
    assert changes == [True, False]


async def test_the_broker_may_say_more_than_its_code() -> None:
    """Its own words stand behind the code's, printable and not without end."""
    words = reason("no\nquota " + "x" * 1000)
    async with LyingBroker(puback=lambda _: (0x97, words)) as peer:
        broker = Broker(Address("127.0.0.1", peer.port), name="test")
        async with broker.opened():
            with pytest.raises(PacketRefusedError) as found:
                await broker.publish(Outgoing("a", b""))
            said = str(found.value)
    assert said.startswith("Quota exceeded (no quota xxx")
    assert len(said) < 250


def test_what_cannot_be_read_is_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """With the count; a login in the library's words is not."""
    now = [0.0]
    unread = Unread(clock=lambda: now[0])
    for second in (0, 1, 59, 60, 61):
        now[0] = float(second)
        unread.add(f"no topic: mqtt://me:s3cret@host {second}")
    said = [record.getMessage() for record in caplog.records]
    start = "a message that cannot be read is dropped"
    assert said == [f"{start}, {n} by now: no topic: …@host {s}" for n, s in ((1, 0), (4, 60))]


async def test_nobody_subscribed_is_no_refusal() -> None:
    """PUBACK 0x10 is a success (MQTT 5, 3.4.2.1)."""
    async with LyingBroker(puback=lambda _: (0x10, b"")) as peer:
        broker = Broker(Address("127.0.0.1", peer.port), name="test")
        async with broker.opened():
            await broker.publish(Outgoing("a", b""))


async def test_a_connection_that_ends_while_a_topic_is_asked_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noticed at once, not after the time that an answer may take."""
    monkeypatch.setattr("streamcrop.mqtt.connector.CONNECT_TIMEOUT", FOR_EVER)
    answers = iter([None])
    caplog.set_level(logging.WARNING)
    async with LyingBroker(suback=lambda _: next(answers, 1)) as peer:
        broker = Broker(Address("127.0.0.1", peer.port), name="test")
        broker.subscribe("a", lambda *_: None)
        async with asyncio.timeout(PATIENCE), broker.opened():
            assert len(peer.connects) == 2
    assert "connection to the broker lost: it ended without a word" in caplog.text


async def test_a_broker_that_lets_us_in_twice() -> None:
    """A second CONNACK (MQTT 5, 3.2: there is none) ends nothing of what is on its way.

    `python -m tests.fuzz mqtt`: a message then waited for its end for ever.
    """
    connack = b"\x20\x03\0\0\0"
    async with LyingBroker(connacks=[(0, b"")]) as peer:

        def answer(_: str) -> tuple[int, bytes]:
            peer.say(connack)
            return 0, b""

        peer.puback = answer
        broker = Broker(Address("127.0.0.1", peer.port), name="test")
        async with asyncio.timeout(PATIENCE), broker.opened():
            await broker.publish(Outgoing("a", b""))
            await broker.publish(Outgoing("b", b""))
            assert len(peer.connects) == 1
