"""What a node says of its streams, and of a broker that will not let it hear or speak."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes import until
from lying_broker import LyingBroker
from patience import PATIENCE
from peers import NUMBER_BOX, Client, Mosquitto, box_of, numbered_clip, settings
from peers import Node as Process

from streamcrop import config
from streamcrop.node import Node

DETECTIONS, EXPLAIN = "detections/gate", "streamcrop/node/test/explain"


@asynccontextmanager
async def running(peer: LyingBroker, clip: Path, **sections: Any) -> AsyncIterator[Node]:
    """A node on this broker, which is stopped at the end."""
    tree = settings(f"mqtt://127.0.0.1:{peer.port}", clip, **sections)
    node = Node(config.parse(json.dumps(tree)))
    task = asyncio.create_task(node.run())
    try:
        async with asyncio.timeout(PATIENCE):
            yield node
            node.stop()
            await task
    finally:
        task.cancel()
        await asyncio.wait({task})


def statuses(peer: LyingBroker) -> list[dict[str, Any]]:
    """What was said of the stream, in order."""
    return [json.loads(said) for topic, said in peer.payloads if topic == "streamcrop/gate/status"]


def states(peer: LyingBroker) -> list[str]:
    """The states that the stream was in, in order, each once."""
    found = [said["state"] for said in statuses(peer)]
    return [state for n, state in enumerate(found) if found[n - 1 : n] != [state]]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Three pictures."""
    return numbered_clip(tmp_path / "clip.mp4", 3)


async def test_who_hears_nothing_does_not_run(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream whose detections are refused is degraded, says why, waits, and runs when granted."""
    monkeypatch.setattr("streamcrop.mqtt.subscriptions.AGAIN", 0.5)
    codes = iter([0x87, 0x87])
    peer = LyingBroker(suback=lambda topic: next(codes, 1) if topic == DETECTIONS else 1)
    async with peer, running(peer, clip, pairing={"max_wait": 0.2}) as node:
        await until(lambda: "ended" in states(peer))
        assert node.streams["gate"].outcomes.ledger.frames.entered == 3
    assert states(peer) == ["degraded", "running", "ended"]
    degraded = [said for said in statuses(peer) if said["state"] == "degraded"]
    why = f"the broker refuses {DETECTIONS}: Not authorized; asked again each minute"
    assert {said["reason"] for said in degraded} == {why}
    # A file waits for who is to answer.
    assert {said["ledger"]["frames"]["received"] for said in degraded} == {0}
    assert degraded[-1]["notes"] == [{"kind": "subscription", "text": why, "count": 1}]


async def test_a_camera_goes_on_meanwhile(clip: Path) -> None:
    """What has a pace of its own is read, and its state is degraded all the same."""
    peer = LyingBroker(suback=lambda topic: 0x87 if topic == DETECTIONS else 1)
    source = {"realtime": True, "loop": True}
    async with peer, running(peer, clip, source=source) as node:
        await until(lambda: node.streams["gate"].outcomes.ledger.frames.entered > 3)
        await until(lambda: states(peer)[-1:] == ["degraded"])
    assert "running" not in states(peer)
    assert statuses(peer)[-1]["reason"] == "the node was stopped"


async def test_pictures_that_are_refused() -> None:
    """A topic of pictures is needed as well."""
    peer = LyingBroker(suback=lambda topic: 0x87 if topic == "cams/+" else 1)
    async with peer, running(peer, Path("mqtt:cams/+")):
        await until(lambda: states(peer)[-1:] == ["degraded"])
    reasons = [said["reason"] for said in statuses(peer) if said["state"] == "degraded"]
    assert all("the broker refuses cams/+: Not authorized" in each for each in reasons)


async def test_a_control_topic_that_is_refused_is_a_warning(
    clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The stream runs without."""
    caplog.set_level(logging.INFO)
    peer = LyingBroker(suback=lambda topic: 0x87 if topic == EXPLAIN else 1)
    async with peer, running(peer, clip, pairing={"max_wait": 60}):
        await until(lambda: "running" in states(peer))
    assert "degraded" not in states(peer)
    assert f"the broker refuses {EXPLAIN}: Not authorized; asked again each minute" in caplog.text


async def test_a_status_that_is_refused_is_said_once(
    clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log, since the status cannot say it."""
    peer = LyingBroker(puback=lambda topic: (0x87, b"") if "gate" in topic else (0, b""))
    async with peer, running(peer, clip, pairing={"max_wait": 60}):
        await until(lambda: len(statuses(peer)) > 1)
    assert caplog.text.count("the broker refuses the status: Not authorized") == 1


async def test_what_the_broker_refuses_is_said(tmp_path: Path) -> None:
    """Crops and metadata that it does not take: with its reason, once of each kind."""
    rules = tmp_path / "acl"
    rules.write_text(
        "topic readwrite detections/#\ntopic read streamcrop/#\n"
        "topic readwrite streamcrop/+/status\ntopic readwrite streamcrop/node/#\n"
    )
    peer = Mosquitto(tmp_path, f"acl_file {rules}")
    clip = numbered_clip(tmp_path / "clip.mp4", 3)
    try:
        async with Client(peer.port) as client:
            with Process(tmp_path, settings(peer.url, clip, pairing={"max_wait": 60})) as node:
                await client.until_running()
                for number in range(3):
                    message = {"frame_id": number, "predictions": [box_of(NUMBER_BOX)]}
                    await client.publish(message)
                await client.until_ended()
                _, said = await asyncio.to_thread(node.wait)
                assert node.ledger()["crops"]["dropped"] == {"not_acknowledged": 3}
            last = json.loads(client.of("status")[-1].payload)
            notes = sorted((note["kind"], note["count"]) for note in last["notes"])
            assert notes == [("refused_crops", 3), ("refused_metadata", 3)]
    finally:
        peer.kill()
    assert said.count("the broker refuses streamcrop/gate/crops: Not authorized") == 1
    assert said.count("the broker refuses streamcrop/gate/metadata: Not authorized") == 1


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_an_answer_from_an_earlier_run_makes_no_crop(
    broker: Mosquitto, tmp_path: Path, protocol: str
) -> None:
    """A retained message speaks of another run's frame: it is stale, and one note says so."""
    clip = numbered_clip(tmp_path / "clip.mp4", 3)
    chosen = settings(broker.url, clip, pairing={"max_wait": 0.5})
    chosen["broker"]["protocol"] = protocol
    async with Client(broker.port) as client:
        answer = {"frame_id": 1, "predictions": [box_of(NUMBER_BOX)]}
        await client.publish(answer, retain=True)
        with Process(tmp_path, chosen) as node:
            await client.until_ended()
            await asyncio.to_thread(node.wait)
            assert node.ledger()["messages"]["dropped"] == {"stale": 1}
        last = json.loads(client.of("status")[-1].payload)
        assert [note["kind"] for note in last["notes"]] == ["stale"]
        assert not client.of("crops")


async def test_a_broker_that_will_not_have_us_any_more(clip: Path) -> None:
    """The streams end for that reason, not for their source's."""
    async with LyingBroker([(0, b"")]) as peer:
        tree = settings(f"mqtt://127.0.0.1:{peer.port}", clip, pairing={"max_wait": 60})
        node = Node(config.parse(json.dumps(tree)))
        task = asyncio.create_task(node.run())
        await until(lambda: "running" in states(peer))
        peer.connacks = [(0x8A, b"")]
        peer.hang_up()
        await asyncio.wait_for(task, PATIENCE)
        assert "refuses: Banned" in str(node.refused)
        assert json.loads(node._status.message("gate").payload)["reason"] == str(node.refused)


async def test_an_error_that_nobody_thought_of_makes_nobody_mute(
    clip: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The status is said again, once it can be."""
    async with LyingBroker() as peer, running(peer, clip, pairing={"max_wait": 60}) as node:
        await until(lambda: "running" in states(peer))
        with monkeypatch.context() as patched:
            patched.setattr(node._status, "message", lambda _: 1 // 0)
            node._status.set("gate", "running", "one")
            await until(lambda: "could not be said" in caplog.text)
        node._status.set("gate", "running", "two")
        await until(lambda: statuses(peer)[-1]["reason"] == "two")
