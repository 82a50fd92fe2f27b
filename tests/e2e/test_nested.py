"""Crops of crops: nodes in a row over a real broker, each with a detector of its own."""

import asyncio
import json
from base64 import b64decode
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peers import Arrived, Client, Image, Mosquitto, Node, box_of, write_clip

pytestmark = pytest.mark.e2e
FRAMES, BOXES = 4, 3
WIDTH, HEIGHT = 320, 240
STREAMS = ("gate", "inner", "innermost")
# Of a box's sides, for the one in it; no binary fraction, so that nothing is exact by chance.
SHRINK = 0.3


def noise(count: int) -> list[Image]:
    """Pictures of which no two regions are alike."""
    return list(np.random.default_rng(11).integers(0, 256, (count, HEIGHT, WIDTH, 3), np.uint8))


def drawn(frame: int) -> list[tuple[float, float, float, float]]:
    """The boxes of a frame; the first begins outside of it."""
    return [
        (-7.3 + 60.1 * n, 10.7 + frame, 100.9 + 60.1 * n, 150.2 + 9.99 * n) for n in range(BOXES)
    ]


def inside(xyxy: tuple[float, ...]) -> tuple[float, float, float, float]:
    """A smaller box with the same lower right corner."""
    left, top, right, bottom = xyxy
    return right - (right - left) * SHRINK, bottom - (bottom - top) * SHRINK, right, bottom


def configuration(url: str, level: int, clip: Path, **output: Any) -> dict[str, Any]:
    """A node with one stream: a file, or the crops of the stream before."""
    name = STREAMS[level]
    source = f"mqtt:streamcrop/{STREAMS[level - 1]}/crops" if level else str(clip)
    stream = {
        "source": {"url": source},
        "detections": {"topic": f"detections/{name}"},
        "pairing": {"max_wait": 30},
        "output": {"encoding": "png", **output},
    }
    return {
        "node": f"node-{name}",
        "broker": {"url": url},
        "shutdown_timeout": 5,
        "streams": {name: stream},
    }


def _ids(crop: Arrived) -> dict[str, Any]:
    return {key: crop.metadata[key] for key in ("id", "lineage")}


def _all(crop: Arrived) -> dict[str, Any]:
    return crop.metadata


def _event_id(crop: Arrived) -> dict[str, Any]:
    return {"frame_id": crop.metadata["id"]}


def root_origin(crop: Arrived) -> tuple[int, int]:
    """The crop's top left pixel in the frame."""
    steps = [entry["origin"] for entry in crop.metadata["lineage"][1:]]
    return sum(x for x, _ in steps), sum(y for _, y in steps)


def box_in_root(crop: Arrived) -> tuple[float, ...]:
    """The box of a crop's prediction, in coordinates of the frame."""
    [row] = crop.metadata["predictions"]
    x, y = root_origin(crop)
    left, top = row["x"] - row["width"] / 2 + x, row["y"] - row["height"] / 2 + y
    return left, top, left + row["width"], top + row["height"]


def _decoded(crop: Arrived) -> Arrived:
    """The picture as payload, also of a structured event."""
    if "metadata" in crop.properties:
        return crop
    event = json.loads(crop.payload)
    return Arrived(crop.topic, b64decode(event["data_base64"]), {}, None)


@pytest.mark.parametrize(
    ("answer", "levels", "envelope"),
    [(_ids, 2, "auto"), (_event_id, 2, "auto"), (_all, 3, "auto"), (_all, 2, "json")],
    ids=["id and lineage", "event id as frame_id", "three levels", "structured"],
)
async def test_crops_of_crops(
    broker: Mosquitto,
    tmp_path: Path,
    answer: Callable[[Arrived], dict[str, Any]],
    levels: int,
    envelope: str,
) -> None:
    """Each level keeps the whole chain; places come back within 1e-9 px, pixels bit by bit."""
    frames = noise(FRAMES)
    clip = write_clip(tmp_path / "clip.mov", frames, codec="png", pix_fmt="rgb24")
    async with Client(broker.port) as client:
        with ExitStack() as stack:
            nodes = []
            # The last one first: nobody is to miss a crop.
            for level in reversed(range(levels)):
                folder = tmp_path / STREAMS[level]
                folder.mkdir()
                chosen = configuration(
                    broker.url, level, clip, envelope=envelope, files=str(folder / "out")
                )
                nodes.insert(0, stack.enter_context(Node(folder, chosen)))
                await client.until_running(STREAMS[level])
            for frame in range(FRAMES):
                boxes = [
                    box_of(box, detection_id=f"{frame}.{n}") for n, box in enumerate(drawn(frame))
                ]
                await client.publish({"frame_id": frame, "predictions": boxes})
            for before, name in pairwise(STREAMS[:levels]):
                await _detect(client, before, name, answer)
            name = STREAMS[levels - 1]
            await client.until(lambda: len(client.of("crops", name)) == FRAMES * BOXES)
            await client.until_ended("gate")
            for node in nodes[1:]:
                node.stop()
            for level, node in enumerate(nodes):
                code, said = await asyncio.to_thread(node.wait)
                assert code == 0, said
                rows = node.ledger(STREAMS[level])
                assert rows["crops"] == {
                    "made": FRAMES * BOXES,
                    "published": FRAMES * BOXES,
                    "dropped": {},
                }
        for crop in client.of("crops", name):
            _check(crop, levels, frames)
        _check_files(tmp_path / name / "out", name)


async def _detect(
    client: Client, before: str, name: str, answer: Callable[[Arrived], dict[str, Any]]
) -> None:
    """Answer each crop of a stream with a smaller box in its coordinates."""
    await client.until(lambda: len(client.of("crops", before)) == FRAMES * BOXES)
    for crop in client.of("crops", before):
        [row] = crop.metadata["predictions"]
        left, top = row["x"] - row["width"] / 2, row["y"] - row["height"] / 2
        box = box_of(inside((left, top, left + row["width"], top + row["height"])))
        said = {**answer(crop), "predictions": [{**box, "detection_id": f"in {name}"}]}
        await client.publish(said, f"detections/{name}")


def _check(crop: Arrived, levels: int, frames: list[Image]) -> None:
    """One innermost crop against the frame that it comes from."""
    metadata = crop.metadata
    root, outer, *inner = metadata["lineage"]
    frame, number = (int(part) for part in outer["id"].split("."))
    assert root == {"id": f"gate/{frame}", "width": WIDTH, "height": HEIGHT}
    assert [entry["id"] for entry in inner] == [f"in {stream}" for stream in STREAMS[1:levels]]
    names = [f"gate/{frame}/{outer['id']}"]
    for stream in STREAMS[1:levels]:
        names.append(f"{stream}/{names[-1]}/in {stream}")
    assert (metadata["frame_id"], metadata["id"]) == tuple(names[-2:])
    expected: tuple[float, ...] = drawn(frame)[number]
    for _ in inner:
        expected = inside(expected)
    assert np.abs(np.subtract(box_in_root(crop), expected)).max() < 1e-9
    (x, y), last = root_origin(crop), inner[-1]
    region = frames[frame][y : y + last["height"], x : x + last["width"]]
    assert np.array_equal(_decoded(crop).image, region)


def _check_files(folder: Path, name: str) -> None:
    """Each crop lies in the folder under a name of its own, whatever its IDs hold."""
    lines = (folder / name / "crops.jsonl").read_text().splitlines()
    files = {folder / json.loads(line)["file"] for line in lines}
    assert len(files) == FRAMES * BOXES
    assert all(file.is_file() and file.parents[1] == folder / name / "crops" for file in files)


async def test_streams_of_one_node_and_a_topic_for_each_crop(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """A stream may read its own node's crops; a slash in an ID makes no level of a topic."""
    clip = write_clip(tmp_path / "clip.mov", noise(1), codec="png", pix_fmt="rgb24")
    chosen = configuration(broker.url, 0, clip)
    template = "streamcrop/{stream}/crops/{frame_id}/{detection_id}"
    chosen["streams"] |= configuration(broker.url, 1, clip, topic=template)["streams"]
    topic = "streamcrop/inner/crops/gate%2F0%2Fa%2Fb/c%2Fd"
    async with Client(broker.port) as client:
        with Node(tmp_path, chosen) as node:
            await client.until_running("inner")
            await client.until_running("gate")
            box = box_of((10, 20, 90, 80), detection_id="a/b")
            await client.publish({"frame_id": 0, "predictions": [box]})
            await client.until(lambda: len(client.of("crops")) == 1)
            inner = box_of((5, 6, 50, 40), detection_id="c/d")
            answer = {"frame_id": "gate/0/a/b", "predictions": [inner]}
            await client.publish(answer, "detections/inner")
            await client.until(lambda: any(m.topic == topic for m in client.arrived))
            node.stop()
            code, said = await asyncio.to_thread(node.wait)
        assert code == 0, said
        [crop] = [m for m in client.arrived if m.topic == topic]
        assert crop.properties["id"] == "inner/gate/0/a/b/c/d"
        assert root_origin(crop) == (15, 26)
