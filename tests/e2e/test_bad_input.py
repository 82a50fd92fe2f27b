"""The whole list of bad input against one running node, which goes on in bounded memory."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from peers import NUMBER_BOX, Client, Mosquitto, Node, box_of, number_in, numbered_clip, settings

pytestmark = pytest.mark.e2e
MIB = 1 << 20
GOOD = box_of(NUMBER_BOX)


@contextmanager
def peak_above_idle(pid: int) -> Iterator[list[float]]:
    """Sample a process's resident memory; the list gets its peak above the start, in MiB."""
    process, found, end = psutil.Process(pid), [0.0], threading.Event()
    idle = process.memory_info().rss

    def sample() -> None:
        while not end.is_set():
            found[0] = max(found[0], (process.memory_info().rss - idle) / MIB)
            time.sleep(0.005)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield found
    finally:
        end.set()
        thread.join()


def _hostile() -> list[tuple[str, bytes]]:
    """Messages by what is wrong with them; `%d` is the frame they speak of."""

    def message(*predictions: object, **more: object) -> bytes:
        fields = {"frame_id": "FRAME", "predictions": [*predictions, GOOD], **more}
        return json.dumps(fields).replace('"FRAME"', "%d").encode()

    big_rle = {"size": [31623, 31623], "counts": [31623**2]}
    return [
        ("broken JSON", b'{"frame_id": %d, "predictions": [{'),
        ("no JSON", b"\x00\xff\xfe" * 100),
        ("nothing", b""),
        ("deep nesting", b"[" * 200_000),
        ("deep nesting in a row", b'{"frame_id":%d,"predictions":[' + b"[" * 100_000),
        ("a list", b"[1, 2, 3]"),
        (
            "wrong types",
            message({"x": "a", "y": [], "width": {}, "height": None}, 7, None, "x", []),
        ),
        ("huge numbers", message({**GOOD, "x": 10**400}, {**GOOD, "width": 1e308})),
        ("NaN", message({**GOOD, "x": float("nan")}, {**GOOD, "y": float("inf")})),
        ("boxes outside", message(box_of((-500, -500, -400, -400)), box_of((9e6, 0, 9.1e6, 5)))),
        ("a mask of the wrong size", message({**GOOD, "rle": {"size": [9, 9], "counts": [81]}})),
        ("an RLE of 10^9 pixels", message({**GOOD, "rle": big_rle})),
        ("an RLE of nonsense", message({**GOOD, "rle": {"size": [240, 320], "counts": "~~~"}})),
        ("a polygon far out", message({**GOOD, "points": [{"x": 1e9, "y": -1e9}] * 50})),
        ("a huge class", message({**GOOD, "class": "x" * 200_000})),
        ("a huge image", message(image={"width": 10**9, "height": 10**9})),
        ("10^5 predictions", message(*[{"x": 4, "y": 4, "width": 8, "height": 8}] * 100_000)),
        ("8 MiB of numbers", b'{"frame_id":%d,"predictions":[' + b"0," * (4 * MIB - 50) + b"0]}"),
        (
            "8 MiB of objects",
            b'{"frame_id":%d,"predictions":[' + b"{}," * (MIB * 8 // 3 - 50) + b"{}]}",
        ),
        (
            "NaN in 8 MiB",
            b'{"frame_id":%d,"predictions":[NaN,' + b"{}," * (MIB * 8 // 3 - 50) + b"{}]}",
        ),
        ("the year 10000", message(captured_at="9999-12-31T23:59:59-23:59", pts=0.5)),
        ("half of a pair", message({**GOOD, "class": "\ud800"}, {**GOOD, "\udfff": 1})),
        ("unseen joints", message({**GOOD, "keypoints": [{"x": None}, None, [float("nan"), 1]]})),
        ("an ID of 10 KB", json.dumps({"frame_id": "x" * 10_000, "predictions": []}).encode()),
        ("20 MB", b'{"frame_id":%d,"predictions":[]' + b" " * 20_000_000 + b"}"),
    ]


async def test_the_list_of_bad_input(broker: Mosquitto, tmp_path: Path) -> None:
    """Each gets its reason, neighbours of a bad prediction survive, memory stays under 300 MiB."""
    hostile = _hostile()
    count = len(hostile) + 2
    clip = numbered_clip(tmp_path / "clip.mp4", count)
    chosen = settings(broker.url, clip, crop={"mask_opacity": 1}, pairing={"max_wait": 20})
    async with Client(broker.port) as client:
        with Node(tmp_path, chosen) as node:
            await client.until_running()
            await client.publish({"frame_id": 0, "predictions": [GOOD]})
            await client.until(lambda: len(client.of("metadata")) == 1)
            with peak_above_idle(node.process.pid) as peak:
                for frame_id, (_, text) in enumerate(hostile, 1):
                    await client.publish(text.replace(b"%d", str(frame_id).encode()))
                await client.publish({"frame_id": count - 1, "predictions": [GOOD]})
                await client.until(
                    lambda: (
                        client.of("metadata")
                        and json.loads(client.of("metadata")[-1].payload)["frame_id"]
                        == str(count - 1)
                    )
                )
            node.stop()
            code, said = await asyncio.to_thread(node.wait)
        assert code == 0, said
        rows = node.ledger()
        assert peak[0] < 300, f"{peak[0]:.0f} MiB above idle"
        assert rows["messages"]["dropped"]["too_large"] == 6
        assert rows["messages"]["dropped"]["malformed"] == 6
        assert set(rows["predictions"]["dropped"]) == {
            "malformed",
            "not_finite",
            "outside_frame",
            "bad_mask",
            "over_limit",
        }
        survivors = {
            crop.metadata["frame_id"]
            for crop in client.of("crops")
            if crop.metadata["image"]["width"] == NUMBER_BOX[2]
            and number_in(crop.image) == int(crop.metadata["frame_id"])
        }
        names = {str(n): name for n, (name, _) in enumerate(hostile, 1)}
        assert {names[n] for n in survivors if n in names} >= {
            "wrong types",
            "huge numbers",
            "NaN",
            "boxes outside",
            "a mask of the wrong size",
            "an RLE of 10^9 pixels",
            "an RLE of nonsense",
            "a huge class",
            "the year 10000",
            "half of a pair",
            "unseen joints",
        }


async def test_a_message_of_100_mb(broker: Mosquitto, tmp_path: Path) -> None:
    """The broker, which was told what is taken, drops it; what is a little too large is counted."""
    clip = numbered_clip(tmp_path / "clip.mp4", 2)
    chosen = settings(broker.url, clip, pairing={"max_wait": 60})
    async with Client(broker.port) as client:
        with Node(tmp_path, chosen) as node:
            await client.until_running()
            await client.publish({"frame_id": 0, "predictions": [GOOD]})
            await client.until(lambda: len(client.of("crops")) == 1)
            with peak_above_idle(node.process.pid) as peak:
                await client.publish(b"x" * 100_000_000)
                await client.publish(b"x" * 10_000_000)
                await client.publish({"frame_id": 1, "predictions": [GOOD]})
                await client.until_ended()
            code, said = await asyncio.to_thread(node.wait)
        assert code == 0, said
        assert node.ledger()["messages"]["dropped"] == {"too_large": 1}
        assert peak[0] < 64, f"{peak[0]:.0f} MiB above idle"
