"""The connection: what is final, what is tried again, and how each message ends."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import until
from peers import Mosquitto

from streamcrop.demo.brokers import embedded_broker
from streamcrop.errors import BrokerRefusedError
from streamcrop.mqtt.broker import Address, Broker
from streamcrop.mqtt.messages import Outgoing

# Their files, in the folder of certificates.
STRANGER = {"cert": "stranger-cert", "key": "stranger-key"}


@asynccontextmanager
async def running(broker: Broker) -> AsyncIterator[None]:
    """A broker that is up, and stopped at the end."""
    task = asyncio.create_task(broker.run())
    try:
        async with asyncio.timeout(20):
            await broker.wait_until_up()
            yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def delays(port: int) -> list[int]:
    """Of each socket of this process that leads to a port, the system's word on `TCP_NODELAY`."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        # One is the listing's own; others are no sockets, or lead nowhere.
        with suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as each:
            if each.getpeername()[1:2] == (port,):
                found.append(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    return found


@pytest.mark.parametrize("tls", ["tlsv1.2", "tlsv1.3"])
@pytest.mark.parametrize(
    ("shown", "refusal"),
    [({}, "wants a client certificate: set broker.cert and broker.key"), (STRANGER, "UNKNOWN_CA")],
)
async def test_a_broker_that_wants_another_certificate_is_final(
    certificates: Path, tmp_path: Path, tls: str, shown: dict[str, str], refusal: str
) -> None:
    """No certificate, or one of a stranger, is not tried again; the right one is let in."""
    files = [f"{name}file {certificates / name}" for name in ("ca", "cert", "key")]
    peer = Mosquitto(tmp_path, *files, "require_certificate true", f"tls_version {tls}")
    names = {"ca": "ca", **shown}
    own = {key: str(certificates / name) for key, name in names.items()}
    address = Address("127.0.0.1", peer.port, tls=True, **own)
    try:
        with pytest.raises(BrokerRefusedError, match=refusal):
            await asyncio.wait_for(Broker(address, name="test").run(), 30)
        right = replace(address, cert=str(certificates / "cert"), key=str(certificates / "key"))
        async with running(Broker(right, name="test")):
            assert delays(peer.port) == [1]
    finally:
        peer.kill()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_wrong_credentials_are_final(tmp_path: Path, protocol: str) -> None:
    """The broker's refusal ends `run`, whatever the version, and names no password."""
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o644)
    peer = Mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}")
    address = Address("127.0.0.1", peer.port, False, "me", "s3cret", protocol)
    try:
        with pytest.raises(BrokerRefusedError, match=f"127.0.0.1:{peer.port} refuses") as info:
            await asyncio.wait_for(Broker(address, name="test").run(), 30)
    finally:
        peer.kill()
    assert "s3cret" not in f"{info.value} {address}"


async def test_across_a_lost_connection(broker: Mosquitto) -> None:
    """Subscriptions stand again, a message that was begun without a broker arrives, in order.

    Nothing waits for Nagle's algorithm, on either connection.
    """
    changes: list[bool] = []
    arrived: list[bytes] = []
    node = Broker(Address("127.0.0.1", broker.port), name="test", on_change=changes.append)
    node.subscribe("here/#", lambda payload, _: arrived.append(payload))
    async with running(node):
        assert delays(broker.port) == [1]
        await node.publish(Outgoing("here/1", b"before"))
        await until(lambda: arrived == [b"before"])
        broker.kill()
        await until(lambda: not node.connected)
        sending = asyncio.create_task(node.publish(Outgoing("here/2", b"meanwhile")))
        await asyncio.sleep(0.1)
        assert not sending.done()
        broker.start()
        await sending
        await until(lambda: arrived == [b"before", b"meanwhile"])
        assert delays(broker.port) == [1]
    assert changes == [True, False, True, False]


async def test_a_message_whose_answer_does_not_come(broker: Mosquitto) -> None:
    """Given up, it holds up no other; waited for, it is sent again on the next connection."""
    changes: list[bool] = []
    arrived: list[bytes] = []
    node = Broker(Address("127.0.0.1", broker.port), name="test", on_change=changes.append)
    node.subscribe("here", lambda payload, _: arrived.append(payload))
    async with running(node):
        broker.freeze()
        given_up = asyncio.create_task(node.publish(Outgoing("here", b"given up")))
        other = asyncio.create_task(node.publish(Outgoing("here", b"other")))
        await asyncio.wait({given_up, other}, timeout=0.1)
        given_up.cancel()
        broker.thaw()
        await other
        assert given_up.cancelled()
        assert changes == [True]
        broker.freeze()
        waited_for = asyncio.create_task(node.publish(Outgoing("here", b"waited for")))
        await asyncio.wait({waited_for}, timeout=0.1)
        broker.kill()
        broker.start()
        await waited_for
        await until(lambda: b"waited for" in arrived)
    assert b"other" in arrived
    assert changes == [True, False, True, False]


async def test_auto_falls_back_to_3_1_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that does not know MQTT 5 is met with 3.1.1, unless 5 is asked for."""
    monkeypatch.setattr("streamcrop.mqtt.connector.CONNECT_TIMEOUT", 2)
    async with embedded_broker("amqtt") as (url, _):
        node = Broker(Address("127.0.0.1", int(url.rpartition(":")[2])), name="test")
        async with running(node):
            assert node.version == "3.1.1"
            await node.publish(Outgoing("a", b"", content_type="text/plain"))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_topics_may_overlap(broker: Mosquitto, protocol: str) -> None:
    """Each handler gets a message once, however many topics it was sent for."""
    found: dict[str, list[tuple[bytes, str]]] = {"cams/#": [], "cams/+/jpg": [], "other": []}
    connection = Broker(Address("127.0.0.1", broker.port, protocol=protocol), name="test")
    for topic, messages in found.items():
        connection.subscribe(
            topic, lambda payload, said, to=messages: to.append((payload, said["topic"]))
        )
    async with running(connection):
        for payload, topic in ((b"1", "cams/front/jpg"), (b"2", "cams"), (b"3", "other")):
            await connection.publish(Outgoing(topic, payload))
        await until(lambda: found["other"])
    assert found == {
        "cams/#": [(b"1", "cams/front/jpg"), (b"2", "cams")],
        "cams/+/jpg": [(b"1", "cams/front/jpg")],
        "other": [(b"3", "other")],
    }
