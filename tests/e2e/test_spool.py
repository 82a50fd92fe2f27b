"""Another broker for the crops, and the spool: brokers that come and go, a node that is killed."""

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from peers import Arrived, Client, Mosquitto, Node, box_of, numbered_clip, settings, wait_until

pytestmark = pytest.mark.e2e
BOX = (100, 80, 180, 160)


def chosen(tmp_path: Path, local: Mosquitto, cloud: Mosquitto, **output: Any) -> dict[str, Any]:
    """A file that plays like a camera, whose crops go to another broker."""
    clip = numbered_clip(tmp_path / "clip.mp4", 100)
    return settings(
        local.url,
        clip,
        source={"realtime": True, "loop": True},
        tap={},
        output={"broker": {"url": cloud.url}, "encoding": "jpeg", **output},
    )


def spool(tmp_path: Path, **more: Any) -> dict[str, Any]:
    """The section."""
    return {"path": str(tmp_path / "spool.db"), "rate": 500, **more}


async def answer(client: Client) -> None:
    """A detector that finds one object in each frame."""
    seen = 0
    while True:
        frames = client.of("frames")
        for frame in frames[seen:]:
            message = {"frame_id": frame.properties["subject"], "predictions": [box_of(BOX)]}
            await client.publish(message)
        seen = len(frames)
        await asyncio.sleep(0.01)


def ids(crops: list[Arrived]) -> list[str]:
    """Of crops."""
    return [crop.properties["id"] for crop in crops]


def crops_row(node: Node) -> dict[str, Any]:
    """The crops' row of a node that ended; all rows add up."""
    return dict(node.ledger()["crops"])


async def test_crops_go_elsewhere_and_all_else_stays(broker: Mosquitto, tmp_path: Path) -> None:
    """Detections, tap and status on one broker, crops and metadata on the other."""
    cloud = Mosquitto(tmp_path)
    try:
        async with Client(broker.port) as here, Client(cloud.port) as there:
            answering = asyncio.ensure_future(answer(here))
            with Node(tmp_path, chosen(tmp_path, broker, cloud)) as node:
                await there.until(lambda: len(there.of("crops")) > 20)
                node.stop()
                code, said = await asyncio.to_thread(node.wait)
            answering.cancel()
            assert code == 0, said
            assert there.of("metadata")
            assert not there.of("status") + there.of("frames")
            assert not here.of("crops") + here.of("metadata")
            row = crops_row(node)
            assert row["published"] == row["made"] == len(there.of("crops"))
            assert "spooled" not in row
    finally:
        cloud.kill()


@pytest.mark.parametrize("order", ["oldest", "newest"])
async def test_an_outage_costs_nothing(broker: Mosquitto, tmp_path: Path, order: str) -> None:
    """What was made meanwhile comes afterwards, in its order, once, and says so."""
    cloud = Mosquitto(tmp_path)
    config = chosen(tmp_path, broker, cloud, spool=spool(tmp_path, order=order))
    try:
        async with Client(broker.port) as here:
            answering = asyncio.ensure_future(answer(here))
            with Node(tmp_path, config) as node:
                async with Client(cloud.port) as there:
                    await there.until(lambda: len(there.of("crops")) > 20)
                    before = ids(there.of("crops"))
                cloud.kill()
                await here.until(lambda: _now(here, "spooled") > 60)
                assert "connection" in json.loads(here.of("status")[-1].payload)["sinks"]["mqtt"]
                cloud.start()
                async with Client(cloud.port) as there:
                    await there.until(lambda: len(_spooled(there)) > 60)
                    await here.until(lambda: _now(here, "spooled") == 0)
                    node.stop()
                    code, said = await asyncio.to_thread(node.wait)
                    after = there.of("crops")
            answering.cancel()
        assert code == 0, said
        row = crops_row(node)
        # What the broker took and had handed on to nobody when it was killed, no node can know.
        assert row["made"] == row["published"]
        late = _spooled_of(after)
        numbers = [int(crop.metadata["frame_id"]) for crop in late]
        assert len(set(ids(after))) == len(after)
        # At least once: what it had handed on and not yet acknowledged, 20 at most, comes again.
        assert len(set(ids(after)) & set(before)) <= 20
        steps = [b > a for a, b in pairwise(numbers)]
        share = sum(steps) / len(steps)
        assert share > 0.8 if order == "oldest" else share < 0.2
    finally:
        cloud.kill()


async def test_what_a_killed_node_had_kept(broker: Mosquitto, tmp_path: Path) -> None:
    """The next run inherits it and delivers it, without a frame of its own."""
    cloud = Mosquitto(tmp_path)
    cloud.kill()
    config = chosen(tmp_path, broker, cloud, spool=spool(tmp_path))
    try:
        async with Client(broker.port) as here:
            answering = asyncio.ensure_future(answer(here))
            with Node(tmp_path, config) as node:
                await here.until(lambda: _now(here, "spooled") > 20)
                node.process.kill()
            answering.cancel()
            cloud.start()
            async with Client(cloud.port) as there:
                with Node(tmp_path, config) as node:
                    wait_until(lambda: node.process.poll() is None, 1)
                    await there.until(lambda: len(_spooled(there)) > 20)
                    await here.until(lambda: _now(here, "spooled") == 0)
                    node.stop()
                    code, said = await asyncio.to_thread(node.wait)
                assert code == 0, said
                row = crops_row(node)
                assert row["inherited"] == row["published"] == len(_spooled(there)) > 20
                assert (row["made"], row["spooled"], row["dropped"]) == (0, 0, {})
    finally:
        cloud.kill()


async def test_a_folder_that_fails_harms_no_other(broker: Mosquitto, tmp_path: Path) -> None:
    """Until it is mended: then it gets what comes."""
    blocked = tmp_path / "out"
    blocked.touch()
    clip = numbered_clip(tmp_path / "clip.mp4", 100)
    config = settings(
        broker.url,
        clip,
        source={"realtime": True, "loop": True},
        tap={},
        output={"files": str(blocked), "encoding": "jpeg"},
    )
    async with Client(broker.port) as here:
        answering = asyncio.ensure_future(answer(here))
        with Node(tmp_path, config) as node:
            await here.until(lambda: len(here.of("crops")) > 100)
            await here.until(lambda: "sinks" in json.loads(here.of("status")[-1].payload))
            blocked.unlink()
            await asyncio.to_thread(wait_until, (blocked / "gate/crops.jsonl").exists, 15)
            node.stop()
            code, said = await asyncio.to_thread(node.wait)
        answering.cancel()
    assert code == 0, said
    rows = node.ledger()
    assert rows["crops"]["published"] == rows["crops"]["made"]
    files = rows["sinks"]["files"]
    assert files["dropped"]["failed"] > 0
    written = (blocked / "gate/crops.jsonl").read_text().splitlines()
    assert len(written) == files["delivered"] > 0


def _now(client: Client, what: str) -> int:
    """A figure of the crops' row in the newest status; -1 where there is none."""
    states = client.of("status")
    return int(json.loads(states[-1].payload)["ledger"]["crops"].get(what, -1)) if states else -1


def _spooled(client: Client) -> list[Arrived]:
    return _spooled_of(client.of("crops"))


def _spooled_of(crops: list[Arrived]) -> list[Arrived]:
    return [crop for crop in crops if crop.properties.get("spooled") == "true"]
