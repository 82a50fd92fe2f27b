"""How each message ends, over however many connections."""

import asyncio
from pathlib import Path

import pytest
from fakes import begin, until
from lying_broker import LyingBroker
from patience import PATIENCE
from peers import Mosquitto

from streamcrop.errors import PacketRefusedError, PacketTooLargeError
from streamcrop.mqtt.broker import Address, Broker
from streamcrop.mqtt.messages import Outgoing


def at(peer: LyingBroker | Mosquitto, protocol: str = "5") -> Broker:
    """A connection to it."""
    return Broker(Address("127.0.0.1", peer.port, protocol=protocol), name="test")


async def test_what_it_may_have_got_is_sent_as_sent_again() -> None:
    """To a broker that kept our session: by the same identifier, and said to be a repetition."""
    silent = [True]
    peer = LyingBroker(sessions=True, puback=lambda _: None if silent[0] else (0, b""))
    async with peer:
        broker = at(peer)
        async with broker.opened():
            sending = asyncio.create_task(broker.publish(Outgoing("a", b"1")))
            await until(lambda: peer.published)
            silent[0] = False
            peer.hang_up()
            await sending
    assert [payload for _, payload in peer.payloads] == [b"1", b"1"]
    assert peer.repeats == 1
    assert peer.numbers[0] == peer.numbers[1]


@pytest.mark.parametrize(("protocol", "sessions"), [("5", True), ("3.1.1", False)])
async def test_a_size_that_it_hangs_up_on_is_remembered(protocol: str, sessions: bool) -> None:
    """After two hang-ups; others of its size are not sent any more, smaller ones are, at once."""
    async with LyingBroker(sessions=sessions, longest=1000) as peer:
        broker = at(peer, protocol)
        async with asyncio.timeout(PATIENCE), broker.opened():
            await broker.publish(Outgoing("crops", bytes(500)))
            with pytest.raises(PacketTooLargeError, match="it hangs up on its"):
                await broker.publish(Outgoing("crops", bytes(2000)))
            connects = len(peer.connects)
            assert connects == 4
            for _ in range(50):
                with pytest.raises(PacketTooLargeError, match="it hung up on"):
                    await broker.publish(Outgoing("crops", bytes(2001)))
                await broker.publish(Outgoing("crops", bytes(500)))
            assert len(peer.connects) == connects


async def test_a_message_that_it_hangs_up_on_for_another_reason() -> None:
    """A larger one went through, so it is refused, and its size is not blamed."""
    async with LyingBroker(sessions=True) as peer:
        broker = at(peer)
        async with asyncio.timeout(PATIENCE), broker.opened():
            await broker.publish(Outgoing("open", bytes(3000)))
            peer.closed = "shut"
            with pytest.raises(PacketRefusedError, match="whenever it gets this message"):
                await broker.publish(Outgoing("shut", bytes(2000)))
            await broker.publish(Outgoing("open", bytes(3000)))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_broker_that_is_restarted_again_and_again(broker: Mosquitto, protocol: str) -> None:
    """No message is given up for that: it is not what ends the connection."""
    node = at(broker, protocol)
    arrived: list[bytes] = []
    node.subscribe("a", lambda payload, _: arrived.append(payload))
    async with asyncio.timeout(PATIENCE), node.opened():
        for number in range(6 if protocol == "5" else 2):
            broker.freeze()
            sending = asyncio.create_task(node.publish(Outgoing("a", b"%d" % number)))
            await asyncio.sleep(0.1)
            broker.kill()
            broker.start()
            await sending
        await until(lambda: arrived[-1:] == [b"%d" % number])


@pytest.mark.parametrize("max_qos", [0, 1])
async def test_tls_takes_what_it_can(certificates: Path, tmp_path: Path, max_qos: int) -> None:
    """Messages of many megabytes, in pieces, while others come; each arrives whole, in order."""
    files = [f"{name}file {certificates / name}" for name in ("ca", "cert", "key")]
    peer = Mosquitto(tmp_path, *files)
    address = Address("127.0.0.1", peer.port, tls=True, ca=str(certificates / "ca"))
    arrived: list[tuple[int, int]] = []
    node = Broker(address, name="test")
    node.subscribe("a", lambda payload, _: arrived.append((payload[0], len(payload))))
    expected = [(number, 1 + number % 3 * (3 << 20)) for number in range(9)]
    try:
        async with asyncio.timeout(PATIENCE), node.opened():
            ends = [
                begin(node, Outgoing("a", bytes([number]) * size, max_qos))
                for number, size in expected
            ]
            assert await asyncio.gather(*ends) == [{}] * 9
            await until(lambda: len(arrived) == 9)
    finally:
        peer.kill()
    assert arrived == expected


async def test_tries_that_are_given_up_keep_no_identifiers() -> None:
    """However often the connection is lost with what nobody insists on, none runs out."""
    async with LyingBroker(sessions=True, puback=lambda _: None) as peer:
        broker = at(peer)
        async with asyncio.timeout(PATIENCE), broker.opened():
            for lost in range(1, 4):
                trying = [asyncio.create_task(broker.attempt(Outgoing("a", b"1"))) for _ in "ab"]
                await until(lambda lost=lost: len(peer.published) >= 2 * lost)
                peer.hang_up()
                assert await asyncio.gather(*trying) == [False, False]
                assert not broker._connector.numbers._taken
                await broker.wait_until_up()
