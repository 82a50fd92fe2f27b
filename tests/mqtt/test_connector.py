"""What is final, what is tried again, and what is done without."""

import asyncio
import gc
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
import trustme
from fakes import begin, until
from lying_broker import KEEP_ALIVE, MAXIMUM_QOS, RECEIVE_MAXIMUM, RETAIN, LyingBroker, reason, text
from patience import FOR_EVER, PATIENCE
from peers import Mosquitto

from streamcrop.errors import BrokerRefusedError
from streamcrop.mqtt.broker import Address, Broker, Will
from streamcrop.mqtt.messages import Outgoing

Connacks = Sequence[tuple[int | None, bytes]]
SECRET = "s3cret"  # noqa: S105  # of nobody
WILL = Will("here/status", b"gone")


def connected(peer: LyingBroker, protocol: str = "5", will: Will | None = WILL) -> Broker:
    """A connection to it, with a will."""
    address = Address("127.0.0.1", peer.port, username="me", password=SECRET, protocol=protocol)
    broker = Broker(address, name="test", will=will)
    broker.subscribe("detections", lambda *_: None)
    return broker


@pytest.mark.parametrize(
    ("connacks", "retain", "qos"),
    [
        ([(0, b"")], True, 1),
        # It refuses the will, or takes it and says that it keeps nothing.
        ([(0x9A, b""), (0, RETAIN + b"\0")], False, 1),
        ([(0x9A, b""), (0, b"")], False, 1),
        ([(0, RETAIN + b"\0")], False, 1),
        ([(0x9B, b""), (0, MAXIMUM_QOS + b"\0")], True, 0),
        ([(0x9A, b""), (0x9B, b""), (0, MAXIMUM_QOS + b"\0" + RETAIN + b"\0")], False, 0),
        ([(0, MAXIMUM_QOS + b"\1")], True, 1),
    ],
)
async def test_what_a_broker_cannot_do_is_done_without(
    connacks: Connacks, retain: bool, qos: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It is let in without, and so are the messages; one warning for each, not one a connection."""
    caplog.set_level(logging.WARNING)
    async with LyingBroker(connacks) as peer:
        broker = connected(peer)
        async with broker.opened():
            peer.hang_up()
            await until(lambda: len(peer.connects) == len(connacks) and broker.connected)
            await broker.publish(Outgoing("here/status", b"", retain=True))
            # At QoS 0 it is through once it is written.
            await until(lambda: peer.published)
            last = peer.connects[-1]
    assert peer.published == [("here/status", qos, retain)]
    if len(connacks) > 1:
        assert (last["qos"], last["retain"]) == (qos, retain)
    assert caplog.text.count("keeps no retained messages") == (not retain)
    assert caplog.text.count("QoS 0 only") == (qos == 0)


@pytest.mark.parametrize(("code", "expected"), [(0x9A, (1, False)), (0x9B, (0, True))])
async def test_what_it_says_at_its_end_is_heeded(
    code: int, expected: tuple[int, bool], caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that announced nothing, and hangs up at a retained message, or at its QoS."""
    caplog.set_level(logging.WARNING)
    async with LyingBroker() as peer:
        broker = connected(peer)
        async with broker.opened():
            peer.say_goodbye(code)
            await until(lambda: peer.connects and broker.connected)
            await broker.publish(Outgoing("here/status", b"", retain=True))
            await until(lambda: peer.published)
            assert peer.published == [("here/status", *expected)]
            assert (peer.connects[-1]["qos"], peer.connects[-1]["retain"]) == expected
    assert f"connection to the broker lost: [code:{code}]" in caplog.text


@pytest.mark.parametrize(
    ("protocol", "connacks", "said"),
    [
        ("5", [(0x85, b"")], "Client identifier not valid"),
        ("5", [(0x87, reason("ask the owner"))], r"Not authorized \(ask the owner\)"),
        ("5", [(0x86, reason("s3cret is wrong for me"))], r"password \(… is wrong for me\)"),
        ("5", [(0x9D, b"\x1c" + text("mqtt://a:b@c"))], r"Server moved \(…@c\)"),
        ("5", [(0x95, b"")], "Packet too large"),
        ("5", [(0x9D, b"")], "Server moved"),
        ("5", [(0x84, b"")], "broker.protocol asks for, 5"),
        ("auto", [(0x84, b""), (1, b"")], "version: it does .*broker.protocol asks for, auto"),
        ("3.1.1", [(1, b"")], "version: it does .*broker.protocol asks for, 3.1.1"),
        ("3.1.1", [(2, b"")], "Client identifier not valid"),
        ("3.1.1", [(5, b"")], "Not authorized"),
        # Nothing is left that could be asked for less of.
        ("5", [(0x9A, b"")], "Retain not supported"),
        ("5", [(0x9B, b"")], "QoS not supported"),
    ],
)
async def test_what_asking_again_cannot_cure_is_final(
    protocol: str, connacks: Connacks, said: str
) -> None:
    """It ends with an error that says the broker's reason; each question is asked once."""
    expected = 2 if connacks[0][0] in {0x9A, 0x9B} else len(connacks)
    async with LyingBroker(connacks) as peer:
        with pytest.raises(BrokerRefusedError, match=said):
            await asyncio.wait_for(connected(peer, protocol).run(), PATIENCE)
        found = len(peer.connects)
    assert found == expected


@pytest.mark.parametrize("code", [0x88, 0x89, 0x97, 0x9F])
async def test_what_passes_is_waited_for(code: int) -> None:
    """A broker that is busy is asked again, by the same client ID."""
    async with LyingBroker([(code, b""), (0, b"")]) as peer:
        async with asyncio.timeout(PATIENCE), connected(peer).opened():
            pass
        assert len({each["id"] for each in peer.connects}) == 1
        assert len(peer.connects) == 2


async def test_a_client_id_that_every_broker_takes() -> None:
    """Letters and digits, at most 23; of this process alone."""
    async with LyingBroker() as peer:
        for _ in range(2):
            async with connected(peer).opened():
                pass
        first, second = [each["id"] for each in peer.connects]
    assert first != second
    assert first.isalnum()
    assert len(first) <= 23


@pytest.mark.parametrize(
    ("peer", "version", "asked"),
    [
        (LyingBroker(versions=[4]), "3.1.1", [5, 4, 5, 4]),
        # Not yet up, behind a proxy.
        (LyingBroker([(None, b""), (0, b"")]), "5", [5, 4, 5]),
        (LyingBroker([(None, b""), (None, b""), (0, b"")]), "5", [5, 4, 5]),
    ],
)
async def test_an_old_broker_hangs_up_and_so_does_one_that_is_not_up(
    peer: LyingBroker, version: str, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are told apart by asking for MQTT 5 once more; none of it takes long."""
    monkeypatch.setattr("streamcrop.mqtt.connector.CONNECT_TIMEOUT", FOR_EVER)
    async with peer:
        broker = connected(peer, "auto")
        async with asyncio.timeout(PATIENCE), broker.opened():
            assert broker.version == version
        assert [each["version"] for each in peer.connects] == asked


async def test_its_keep_alive_and_its_window_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is pinged as often as it wants, and gets no more at a time than it takes."""
    monkeypatch.setattr("streamcrop.mqtt.connector.KEEPALIVE", 600)
    properties = KEEP_ALIVE + b"\0\1" + RECEIVE_MAXIMUM + b"\0\2"
    async with LyingBroker([(0, properties)], puback=lambda _: None) as peer:
        broker = connected(peer)
        async with broker.opened():
            sent = [begin(broker, Outgoing("a", b"")) for _ in "12345"]
            assert peer.connects[0]["keepalive"] == 600
            await until(lambda: peer.pings >= 2)
            assert len(peer.published) == 2
            for each in sent:
                each.cancel()


@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl:pytest.PytestUnraisableExceptionWarning"
)
async def test_the_wrong_scheme_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`mqtt` to a port that speaks TLS, and the other way round; neither where nobody listens."""
    issued = trustme.CA().issue_cert("127.0.0.1")
    for blob, name in ((issued.cert_chain_pems[0], "cert"), (issued.private_key_pem, "key")):
        blob.write_to_path(tmp_path / name)
    secure = Mosquitto(tmp_path, f"certfile {tmp_path / 'cert'}", f"keyfile {tmp_path / 'key'}")
    plain = Mosquitto(tmp_path)

    async def said(port: int, *, tls: bool) -> str:
        caplog.clear()
        broker = Broker(Address("127.0.0.1", port, tls=tls), name="test")
        running = asyncio.create_task(broker.run())
        await until(lambda: "trying again" in caplog.text)
        running.cancel()
        await asyncio.wait({running})
        return caplog.text

    try:
        assert "(does this port want mqtts://?)" in await said(secure.port, tls=False)
        assert "(does this port want mqtt://?)" in await said(plain.port, tls=True)
        # paho leaves it to Python to close what it could not shake hands with.
        gc.collect()
        plain.kill()
        assert "does this port" not in await said(plain.port, tls=True)
        assert "does this port" not in await said(plain.port, tls=False)
    finally:
        secure.kill()
        plain.kill()
