"""A node: what it is told of the broker, and what the broker is told of it."""

import asyncio
import json
from pathlib import Path

import pytest
from peers import Client, Mosquitto, Node, numbered_clip, settings

from streamcrop import config
from streamcrop.build import address_of
from streamcrop.mqtt.broker import Address, Broker
from streamcrop.stream.history import ask


@pytest.mark.parametrize(
    ("envelope", "wanted", "protocol"),
    [
        ("auto", "auto", "auto"),
        ("binary", "auto", "5"),
        ("json", "auto", "auto"),
        ("auto", "3.1.1", "3.1.1"),
    ],
)
def test_the_version_follows_from_the_envelope(envelope: str, wanted: str, protocol: str) -> None:
    """User properties need MQTT 5, so with `envelope: binary` there is nothing to fall back to."""
    tree = settings("mqtts://me:x@h:1", "a.mp4", output={"envelope": envelope})
    tree["broker"] |= {"protocol": wanted, "ca": "ca.pem"}
    address = address_of(config.parse(json.dumps(tree)))
    assert (address.host, address.port, address.tls, address.ca) == ("h", 1, True, "ca.pem")
    assert (address.username, address.password) == ("me", "x")
    assert address.protocol == protocol


async def test_a_node_that_is_killed_is_offline(broker: Mosquitto, tmp_path: Path) -> None:
    """The last will says so, since the node cannot; a later subscriber hears it, too."""
    clip = numbered_clip(tmp_path / "clip.mp4", 3)
    with Node(tmp_path, settings(broker.url, clip, pairing={"max_wait": 60})) as node:
        async with Client(broker.port) as client:
            await client.until_running()
            node.process.kill()
            await client.until(lambda: presence(client)[-1:] == ["offline"])
            assert presence(client)[0] == "online"
        async with Client(broker.port) as later:
            await later.until(lambda: presence(later) == ["offline"])


async def test_the_first_of_two_that_ends_does_not_speak_for_the_other(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """Two processes with one configuration: stopped or killed, the one that stays says so."""
    clip = numbered_clip(tmp_path / "clip.mp4", 3)
    whole = settings(broker.url, clip, pairing={"max_wait": 60})
    for name in "abc":
        (tmp_path / name).mkdir()
    async with Client(broker.port) as client:

        def last() -> dict[str, str]:
            said = [m for m in client.arrived if m.topic == "streamcrop/node/test/status"]
            return json.loads(said[-1].payload) if said else {}

        def contradicted(count: int) -> bool:
            said = presence(client)
            return said.count("offline") == count and said[-1] == "online"

        with Node(tmp_path / "a", whole) as first:
            await client.until_running()
            one = last()["instance"]
            with Node(tmp_path / "b", whole) as second, Node(tmp_path / "c", whole) as third:
                await client.until(lambda: len(presence(client)) == 3)
                second.process.kill()
                await client.until(lambda: contradicted(1))
                third.stop()
                await asyncio.to_thread(third.wait)
                await client.until(lambda: contradicted(2))
            assert presence(client).count("offline") == 2
            assert last() == {"state": "online", "node": "test", "instance": one}
            first.stop()
            await asyncio.to_thread(first.wait)
            await client.until(lambda: last()["state"] == "offline")
            await asyncio.sleep(0.3)
        assert last() == {"state": "offline", "node": "test", "instance": one}


async def test_the_parts_of_a_node_do_not_meet(broker: Mosquitto, tmp_path: Path) -> None:
    """Each of two processes has its streams, its status, and the answers for its streams."""
    clip = numbered_clip(tmp_path / "clip.mp4", 3)
    whole = settings(broker.url, clip, pairing={"max_wait": 60})
    whole["streams"]["yard"] = whole["streams"]["gate"]
    for name in ("gate", "yard"):
        (tmp_path / name).mkdir()

    async def explained(stream: str) -> str | None:
        asking = Broker(Address("127.0.0.1", broker.port), name="test")
        return await ask(asking, "test", stream, "0")

    with (
        Node(tmp_path / "gate", whole, options=("--only", "gate")) as gate,
        Node(tmp_path / "yard", whole, options=("--only", "yard")) as yard,
    ):
        async with Client(broker.port) as client:
            await client.until_running("gate")
            await client.until_running("yard")
            # Both listen to the same topic.
            await client.publish({"frame_id": 0, "predictions": []})
            for stream in ("gate", "yard"):
                await client.until(lambda name=stream: bool(client.of("metadata", name)))
                assert "; paired by frame_id" in str(await explained(stream))
            gate.process.kill()
            await client.until(lambda: presence(client, "gate/") == ["online", "offline"])
            assert "; paired by frame_id" in str(await explained("yard"))
            assert presence(client, "yard/") == ["online"]
            yard.stop()
            await asyncio.to_thread(yard.wait)
            ledger = json.loads((yard.folder / "ledger.json").read_text())
            assert list(ledger["streams"]) == ["yard"]
            await client.until(lambda: presence(client, "yard/") == ["online", "offline"])
            assert presence(client) == []


def presence(client: Client, part: str = "") -> list[str]:
    """What was said of the node or a part of it, in order."""
    topic = f"streamcrop/node/test/{part}status"
    return [json.loads(m.payload)["state"] for m in client.arrived if m.topic == topic]
