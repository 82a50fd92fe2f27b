"""The connection: what is final, what is tried again, and how each message ends."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import until
from lying_broker import LyingBroker
from patience import PATIENCE
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
        async with asyncio.timeout(PATIENCE):
            await broker.wait_until_up()
            yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def delays(port: int) -> list[int]:
    """Of each socket of this process that leads to a port, the system's word on `TCP_NODELAY`."""
    return [delay for delay, _ in _sockets(port)]


def peers(port: int) -> set[str]:
    """Where the sockets of this process that lead to a port lead to."""
    return {host for _, host in _sockets(port)}


def cut(port: int) -> None:
    """End each connection of this process that leads to a port."""
    _sockets(port, end=True)


def _sockets(port: int, *, end: bool = False) -> list[tuple[int, str]]:
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        # One is the listing's own; others are no sockets, or lead nowhere.
        with suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as each:
            if each.getpeername()[1:2] == (port,):
                delay = each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                found.append((delay, each.getpeername()[0]))
                if end:
                    each.shutdown(socket.SHUT_RDWR)
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
            await asyncio.wait_for(Broker(address, name="test").run(), PATIENCE)
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
            await asyncio.wait_for(Broker(address, name="test").run(), PATIENCE)
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


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_what_comes_while_we_are_away(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """The broker keeps it for us with MQTT 5; nothing is asked for twice, and all is told once."""
    monkeypatch.setattr("streamcrop.mqtt.broker.FIRST_DELAY", 1)
    found: list[tuple[str, bytes]] = []
    node = Broker(Address("127.0.0.1", broker.port, protocol=protocol), name="test")
    node.subscribe(
        "here",
        lambda payload, _: found.append(("live", payload)),
        retained=lambda payload, _: found.append(("kept", payload)),
    )
    other = Broker(Address("127.0.0.1", broker.port), name="other")
    async with node.opened():
        await node.publish(Outgoing("here", b"old", retain=True))
        await until(lambda: found)
        cut(broker.port)
        await until(lambda: not node.connected)
        async with other.opened():
            for number in range(20):
                await other.publish(Outgoing("here", b"%d" % number))
            await until(lambda: node.connected)
            await other.publish(Outgoing("here", b"end"))
            await until(lambda: found[-1] == ("live", b"end"))
    meanwhile = [("live", b"%d" % number) for number in range(20)]
    # What was kept from before comes with a new subscription.
    expected = meanwhile if protocol == "5" else [("kept", b"old")]
    assert found == [("live", b"old"), *expected, ("live", b"end")]


async def test_a_broker_that_hung_is_found_at_once(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given up while it hangs, it is met again when it goes on, with what came for us."""
    monkeypatch.setattr("streamcrop.mqtt.connector.KEEPALIVE", 1)
    found: list[bytes] = []
    node = Broker(Address("127.0.0.1", broker.port), name="test")
    node.subscribe("here", lambda payload, _: found.append(payload))
    monkeypatch.setattr("streamcrop.mqtt.connector.KEEPALIVE", 30)
    other = Broker(Address("127.0.0.1", broker.port), name="other")
    async with other.opened():
        monkeypatch.setattr("streamcrop.mqtt.connector.KEEPALIVE", 1)
        async with node.opened():
            broker.freeze()
            sending = asyncio.create_task(other.publish(Outgoing("here", b"1")))
            await until(lambda: not node.connected)
            await asyncio.sleep(0.5)
            broker.thaw()
            began = time.monotonic()
            await until(lambda: node.connected)
            assert time.monotonic() - began < 1.5
            await sending
            await until(lambda: b"1" in found)


@pytest.mark.parametrize("moved", [False, True])
async def test_a_broker_that_was_away_is_found_within_a_second(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    """Restarted, it gets the subscriptions again; its address is looked up anew."""
    hosts = {"broker.test": "127.0.0.1"}
    ask = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **how: ask(hosts.get(host, host), *rest, **how)
    )
    found: list[bytes] = []
    node = Broker(Address("broker.test", broker.port), name="test")
    node.subscribe("here", lambda payload, _: found.append(payload))
    async with node.opened():
        broker.kill()
        await asyncio.sleep(2.5)
        with broker._config.open("a") as config:
            config.write(f"listener {broker.port} 127.0.0.2\n")
        if moved:
            hosts["broker.test"] = "127.0.0.2"
        await asyncio.to_thread(broker.start)
        began = time.monotonic()
        await until(lambda: node.connected)
        # One second, and what a busy machine adds.
        assert time.monotonic() - began < 1.5
        assert peers(broker.port) == {hosts["broker.test"]}
        await node.publish(Outgoing("here", b"1"))
        await until(lambda: found == [b"1"])


@pytest.mark.parametrize(
    ("protocol", "clean"), [("5", [True, False, False]), ("3.1.1", [True] * 3)]
)
async def test_only_the_first_connection_begins_anew(protocol: str, clean: list[bool]) -> None:
    """By a client ID that stays. With MQTT 3.1.1 each does, for its sessions have no end."""
    async with LyingBroker() as peer:
        node = Broker(Address("127.0.0.1", peer.port, protocol=protocol), name="test")
        asked = []
        async with node.opened():
            for _ in range(3):
                await until(lambda: peer.connects and node.connected)
                asked += peer.connects
                peer.hang_up()
                await until(lambda: not node.connected)
    assert [each["clean"] for each in asked] == clean
    assert len({each["id"] for each in asked}) == 1


async def test_what_is_too_large_for_us_is_not_sent(broker: Mosquitto) -> None:
    """The broker is told how much we take (MQTT 5, 3.1.2.11.4), and drops what is more."""
    found: list[int] = []
    node = Broker(Address("127.0.0.1", broker.port), name="test", max_packet=2000)
    node.subscribe("here", lambda payload, _: found.append(len(payload)))
    async with node.opened():
        for size in (1000, 3000, 1001):
            await node.publish(Outgoing("here", bytes(size)))
        await until(lambda: len(found) == 2)
    assert found == [1000, 1001]
