"""The connection: what is final, what is tried again, and how each message ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from fakes import until
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from peers import Mosquitto

from streamcrop.broker import (
    Address,
    Broker,
    Outgoing,
    PacketRefusedError,
    PacketTooLargeError,
    tls_context,
)
from streamcrop.demo.brokers import embedded_broker
from streamcrop.errors import BrokerRefusedError

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


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``ca``, its ``cert`` and ``key``, and those of a stranger."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca")
    for issuer, names in ((authority, ("cert", "key")), (trustme.CA(), STRANGER.values())):
        issued = issuer.issue_cert("127.0.0.1")
        for blob, name in zip(
            (issued.cert_chain_pems[0], issued.private_key_pem), names, strict=True
        ):
            blob.write_to_path(folder / name)
    return folder


@pytest.mark.parametrize("key", ["ca", "cert", "key"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_tls_file_that_cannot_be_used_is_named(
    certificates: Path, tmp_path: Path, key: str, content: str | None
) -> None:
    """A missing file, and one that holds something else, is named with its key."""
    files = {name: str(certificates / name) for name in ("ca", "cert", "key")}
    address = Address("127.0.0.1", 8883, tls=True, **files)
    tls_context(address)
    wrong = tmp_path / "wrong.pem"
    if content:
        wrong.write_text(content)
    with pytest.raises(BrokerRefusedError, match=f"broker.{key} {wrong}"):
        tls_context(replace(address, **{key: str(wrong)}))


@pytest.mark.parametrize("tls", ["tlsv1.2", "tlsv1.3"])
@pytest.mark.parametrize(
    ("shown", "refusal"),
    [({}, "wants a client certificate: set broker.cert and broker.key"), (STRANGER, "UNKNOWN_CA")],
)
def test_a_broker_that_wants_another_certificate_is_final(
    certificates: Path, tmp_path: Path, tls: str, shown: dict[str, str], refusal: str
) -> None:
    """No certificate, or one of a stranger, is not tried again; the right one is let in."""
    files = [f"{name}file {certificates / name}" for name in ("ca", "cert", "key")]
    peer = Mosquitto(tmp_path, *files, "require_certificate true", f"tls_version {tls}")
    names = {"ca": "ca", **shown}
    own = {key: str(certificates / name) for key, name in names.items()}
    address = Address("127.0.0.1", peer.port, tls=True, **own)

    async def main() -> None:
        with pytest.raises(BrokerRefusedError, match=refusal):
            await asyncio.wait_for(Broker(address, name="test").run(), 30)
        right = replace(address, cert=str(certificates / "cert"), key=str(certificates / "key"))
        async with running(Broker(right, name="test")):
            pass

    try:
        asyncio.run(main())
    finally:
        peer.kill()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_wrong_credentials_are_final(tmp_path: Path, protocol: str) -> None:
    """The broker's refusal ends `run`, whatever the version, and names no password."""
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o644)
    peer = Mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}")
    address = Address("127.0.0.1", peer.port, False, "me", "s3cret", protocol)
    try:
        with pytest.raises(BrokerRefusedError, match=f"127.0.0.1:{peer.port} refuses") as info:
            asyncio.run(asyncio.wait_for(Broker(address, name="test").run(), 30))
    finally:
        peer.kill()
    assert "s3cret" not in f"{info.value} {address}"


def test_across_a_lost_connection(broker: Mosquitto) -> None:
    """Subscriptions stand again, a message that was begun without a broker arrives, in order."""
    changes: list[bool] = []
    arrived: list[bytes] = []

    async def main() -> None:
        node = Broker(Address("127.0.0.1", broker.port), name="test", on_change=changes.append)
        node.subscribe("here/#", lambda payload, _: arrived.append(payload))
        async with running(node):
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

    asyncio.run(main())
    assert changes == [True, False, True, False]


def test_a_message_whose_answer_does_not_come(broker: Mosquitto) -> None:
    """Given up, it holds up no other; waited for, it is sent again on the next connection."""
    changes: list[bool] = []
    arrived: list[bytes] = []

    async def main() -> None:
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

    asyncio.run(main())
    assert b"other" in arrived
    assert changes == [True, False, True, False]


@pytest.mark.parametrize(
    ("content_type", "user_properties"),
    [
        ("", []),
        ("image/jpeg", []),
        ("", [("key", "")]),
        ("image/jpeg", [("key", "one"), ("key", "zwölf 😀"), ("long", "x" * 65_535)]),
    ],
)
def test_properties_are_packed_as_paho_does(
    content_type: str, user_properties: list[tuple[str, str]]
) -> None:
    """Their bytes are those of paho's own class, and the packet's bound lies above its size."""
    theirs = Properties(PacketTypes.PUBLISH)
    if content_type:
        theirs.ContentType = content_type
    if user_properties:
        theirs.UserProperty = user_properties
    message = Outgoing("a", b"data", content_type=content_type, user_properties=user_properties)
    assert message.pack() == theirs.pack()
    # Fixed header, topic with its length, packet ID, properties, payload.
    assert message.packet_bytes >= 5 + 3 + 2 + len(theirs.pack()) + 4


def test_each_message_ends_as_the_broker_says(tmp_path: Path) -> None:
    """A refusal and a packet beyond the announced size are errors; the connection stays up."""
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite open/#\n")
    peer = Mosquitto(tmp_path, "max_packet_size 2000", f"acl_file {rules}")
    changes: list[bool] = []

    async def main() -> None:
        node = Broker(Address("127.0.0.1", peer.port), name="test", on_change=changes.append)
        async with running(node):
            with pytest.raises(PacketRefusedError):
                await node.publish(Outgoing("closed/a", b""))
            with pytest.raises(PacketTooLargeError):
                await node.publish(Outgoing("open/a", bytes(2000)))
            await node.publish(Outgoing("open/a", bytes(1000), user_properties=[("key", "value")]))

    try:
        asyncio.run(main())
    finally:
        peer.kill()
    assert changes == [True, False]


def test_auto_falls_back_to_3_1_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that does not know MQTT 5 is met with 3.1.1, unless 5 is asked for."""
    monkeypatch.setattr("streamcrop.broker.CONNECT_TIMEOUT", 2)

    async def main() -> None:
        async with embedded_broker("amqtt") as (url, _):
            node = Broker(Address("127.0.0.1", int(url.rpartition(":")[2])), name="test")
            async with running(node):
                assert node.version == "3.1.1"
                await node.publish(Outgoing("a", b"", content_type="text/plain"))

    asyncio.run(main())


def test_a_burst_is_written_at_once_and_in_order(broker: Mosquitto) -> None:
    """Of every QoS and size, more than the system takes at a time: all arrive, each future ends."""
    arrived: list[int] = []

    async def main() -> None:
        node = Broker(Address("127.0.0.1", broker.port), name="test", max_inflight=1000)
        node.subscribe("here", lambda payload, _: arrived.append(int(payload.rstrip(b"."))))
        async with running(node):
            for begin in (0, 400):
                numbers = range(begin, begin + 400)
                payloads = [b"%d" % n + bytes([46]) * (n % 7 * 4_000) for n in numbers]
                ends = [
                    node.begin(Outgoing("here", text, qos=n % 2))
                    for n, text in zip(numbers, payloads, strict=True)
                ]
                assert await asyncio.gather(*ends) == [True] * 400
                await until(lambda: len(arrived) == begin + 400)  # noqa: B023  # awaited here

    asyncio.run(main())
    for qos in (0, 1):
        assert [n for n in arrived if n % 2 == qos] == list(range(qos, 800, 2))


def test_what_was_not_written_when_the_connection_was_lost(broker: Mosquitto) -> None:
    """A message of QoS 0 that the system did not take is known to be lost, and sent again."""
    arrived: list[bytes] = []

    async def main() -> None:
        node = Broker(Address("127.0.0.1", broker.port), name="test")
        node.subscribe("here", lambda payload, _: arrived.append(payload[:5]))
        async with running(node):
            broker.freeze()
            # More than the buffers of both sides hold.
            ends = [node.begin(Outgoing("here", b"large" + bytes(8 << 20), qos=0)) for _ in "123"]
            await asyncio.wait(ends, timeout=0.5)
            assert not ends[-1].done()
            broker.kill()
            broker.start()
            assert await ends[-1] is False
            await node.insist(Outgoing("here", b"again", qos=0))
            await until(lambda: arrived == [b"again"])

    asyncio.run(main())


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_topics_may_overlap(broker: Mosquitto, protocol: str) -> None:
    """Each handler gets a message once, however many topics it was sent for."""
    found: dict[str, list[tuple[bytes, str]]] = {"cams/#": [], "cams/+/jpg": [], "other": []}

    async def main() -> None:
        connection = Broker(Address("127.0.0.1", broker.port, protocol=protocol), name="test")
        for topic, messages in found.items():
            connection.subscribe(
                topic, lambda payload, said, to=messages: to.append((payload, said["topic"]))
            )
        async with running(connection):
            for payload, topic in ((b"1", "cams/front/jpg"), (b"2", "cams"), (b"3", "other")):
                await connection.publish(Outgoing(topic, payload))
            await until(lambda: found["other"])

    asyncio.run(main())
    assert found == {
        "cams/#": [(b"1", "cams/front/jpg"), (b"2", "cams")],
        "cams/+/jpg": [(b"1", "cams/front/jpg")],
        "other": [(b"3", "other")],
    }
