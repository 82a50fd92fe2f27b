"""The connection to a real broker."""

import asyncio

import pytest
from peers import Client, Mosquitto

from streamcrop.broker import Address, Broker


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
        running = asyncio.create_task(connection.run())
        await connection.wait_until_up()
        async with Client(broker.port) as client, asyncio.timeout(20):
            for payload, topic in ((b"1", "cams/front/jpg"), (b"2", "cams"), (b"3", "other")):
                await client.publish(payload, topic)
            while not found["other"]:  # noqa: ASYNC110  # the last message tells nobody
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())
    assert found == {
        "cams/#": [(b"1", "cams/front/jpg"), (b"2", "cams")],
        "cams/+/jpg": [(b"1", "cams/front/jpg")],
        "other": [(b"3", "other")],
    }
