"""`streamcrop run` with cameras, in a process of its own."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accuracy import pattern
from patience import FOR_EVER
from peers import Camera, Client, Mosquitto, Node, box_of, numbered_clip, settings

pytestmark = pytest.mark.e2e


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[Camera]:
    """A real RTSP server."""
    found = Camera(tmp_path)
    yield found
    with contextlib.suppress(ProcessLookupError):
        found.thaw()
    found.kill()


async def test_a_camera_that_hangs_holds_up_neither_the_end_nor_another_stream(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """A node ends at once although a camera accepts and never answers; the file is done before."""
    clip = numbered_clip(tmp_path / "clip.mp4", 20)
    with socket.socket() as hanging:
        hanging.bind(("127.0.0.1", 0))
        hanging.listen(8)
        chosen = settings(broker.url, clip)
        chosen["streams"]["yard"] = {
            "source": {
                "url": f"rtsp://user:s3cret@127.0.0.1:{hanging.getsockname()[1]}/main",
                "connect_timeout": FOR_EVER,
            },
            "detections": {"topic": "detections/yard"},
            "pairing": {"key": "utc"},
        }
        async with Client(broker.port) as client:
            with Node(tmp_path, chosen) as node:
                await client.until_running()
                for number in range(20):
                    await client.publish({"frame_id": number, "predictions": []})
                await client.until_ended()
                node.stop()
                code, said = await asyncio.to_thread(node.wait)
            assert code == 0, said
            assert node.ledger()["frames"] == {"received": 20, "paired": 20, "dropped": {}}
            assert node.ledger("yard")["frames"]["received"] == 0
            assert "s3cret" not in said + str(client.arrived)


@pytest.mark.parametrize("decode", ["auto", "eager", "lazy"])
async def test_the_tap_of_a_camera(
    broker: Mosquitto, camera: Camera, tmp_path: Path, decode: str
) -> None:
    """A detector that echoes the tap gets crops of the very frames; the rest is `not_tapped`.

    Killed and started again, the camera is a new epoch, and the status says so.
    """
    chosen = settings(
        broker.url,
        "",
        source={"url": camera.url, "decode": decode},
        tap={"rate": 10, "longest_side": 320},
        pairing={"max_wait": 3},
    )

    async def answer(client: Client, seen: dict[str, int | None]) -> None:
        done = 0
        while True:
            taps = client.of("frames")
            for tap in taps[done:]:
                size = tap.metadata["image"]
                left, top, right, bottom = pattern.box(size["width"])
                seen[tap.metadata["frame_id"]] = pattern.read(tap.image[top:bottom, left:right])
                box = box_of((left, top, right, bottom))
                answer = {"frame_id": tap.metadata["frame_id"], "image": size}
                await client.publish({**answer, "predictions": [box]})
            done = len(taps)
            await asyncio.sleep(0.02)

    seen: dict[str, int | None] = {}
    async with Client(broker.port) as client:
        with Node(tmp_path, chosen) as node:
            task = asyncio.create_task(answer(client, seen))
            await client.until(lambda: len(client.of("crops")) > 15)
            camera.kill()
            await client.until(lambda: "reconnecting" in client.states())
            before = len(client.of("crops"))
            await asyncio.to_thread(camera.start)
            await client.until(lambda: len(client.of("crops")) > before + 15)
            node.stop()
            code, said = await asyncio.to_thread(node.wait)
            task.cancel()
    assert code == 0, said
    epochs: dict[str, None] = {}
    for crop in client.of("crops"):
        metadata: dict[str, Any] = crop.metadata
        assert pattern.read(crop.image) == seen[metadata["frame_id"]] is not None
        assert metadata["frame_id"].startswith(metadata["epoch"] + "-")
        assert (metadata["paired_by"], metadata["residual"]) == ("frame_id", 0.0)
        epochs[metadata["epoch"]] = None
    assert len(epochs) == 2
    dropped = node.ledger()["frames"]["dropped"]
    assert dropped["not_tapped"] > len(client.of("frames"))
    reasons = [json.loads(m.payload)["reason"] for m in client.of("status")]
    assert "connected" in reasons
    assert any("camera" in reason for reason in reasons)


async def test_a_dead_camera_is_said_and_waited_for(broker: Mosquitto, tmp_path: Path) -> None:
    """A node whose camera is not there goes on trying, says why, and starts when it comes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"rtsp://user:s3cret@127.0.0.1:{probe.getsockname()[1]}/main"
    chosen = settings(broker.url, "", source={"url": url}, pairing={"key": "utc"})
    async with Client(broker.port) as client:
        with Node(tmp_path, chosen) as node:
            await client.until(lambda: "reconnecting" in client.states())
            status = json.loads(client.of("status")[-1].payload)
            assert "no connection to the camera: Connection refused" in status["reason"]
            assert "running" not in client.states()
            node.stop()
            code, said = await asyncio.to_thread(node.wait)
    assert code == 0, said
    assert "s3cret" not in said + str(client.arrived)
