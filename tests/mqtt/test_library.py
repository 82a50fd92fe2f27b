"""Many packets in one write: their order, and what is told of each."""

import asyncio

from fakes import begin, until
from patience import PATIENCE
from peers import Mosquitto

from streamcrop.mqtt.broker import Address, Broker
from streamcrop.mqtt.messages import Outgoing


async def test_a_burst_is_written_at_once_and_in_order(broker: Mosquitto) -> None:
    """Of every QoS and size, more than the system takes at a time: all arrive, each future ends."""
    arrived: list[int] = []
    node = Broker(Address("127.0.0.1", broker.port), name="test", max_inflight=1000)
    node.subscribe("here", lambda payload, _: arrived.append(int(payload.rstrip(b"."))))
    async with node.opened():
        for first in (0, 400):
            numbers = range(first, first + 400)
            payloads = [b"%d" % n + bytes([46]) * (n % 7 * 4_000) for n in numbers]
            ends = [
                begin(node, Outgoing("here", text, qos=n % 2))
                for n, text in zip(numbers, payloads, strict=True)
            ]
            assert await asyncio.gather(*ends) == [{}] * 400
            await until(lambda: len(arrived) == first + 400)  # noqa: B023  # awaited here
    for qos in (0, 1):
        assert [n for n in arrived if n % 2 == qos] == list(range(qos, 800, 2))


async def test_what_was_not_written_when_the_connection_was_lost(broker: Mosquitto) -> None:
    """A message of QoS 0 that the system did not take is known to be lost, and sent again."""
    arrived: list[bytes] = []
    node = Broker(Address("127.0.0.1", broker.port), name="test")
    node.subscribe("here", lambda payload, _: arrived.append(payload[:5]))
    async with node.opened():
        broker.freeze()
        # More than the buffers of both sides hold.
        ends = [begin(node, Outgoing("here", b"large" + bytes(8 << 20), qos=0)) for _ in "123"]
        await asyncio.wait(ends, timeout=0.5)
        assert not ends[-1].done()
        broker.kill()
        broker.start()
        assert await ends[-1] == {0: None}
        await node.publish(Outgoing("here", b"again", qos=0))
        await until(lambda: arrived == [b"again"])


async def test_qos_0_is_through_although_others_still_wait(broker: Mosquitto) -> None:
    """A message ends when it is written, whatever came behind it meanwhile."""
    node = Broker(Address("127.0.0.1", broker.port), name="test", max_inflight=64)
    async with node.opened():
        small = begin(node, Outgoing("here", b"small", qos=0))
        await asyncio.sleep(0)
        broker.freeze()
        # More than the buffers of both sides hold.
        large = [begin(node, Outgoing("there", bytes(8 << 20))) for _ in "123"]
        assert await asyncio.wait_for(small, PATIENCE) == {}
        assert not any(each.done() for each in large)
        broker.thaw()
        assert await asyncio.gather(*large) == [{}] * 3
