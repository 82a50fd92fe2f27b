"""Bad pictures, bursts and missing devices against a node whose other streams go on."""

import asyncio
import json
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import pytest
from peers import (
    NUMBER_BOX,
    Client,
    Mosquitto,
    Node,
    box_of,
    number_in,
    numbered,
    numbered_clip,
    settings,
)

pytestmark = pytest.mark.e2e
COUNT = 40
BURST = 1000
BOX = box_of(NUMBER_BOX)


def picture(number: int, suffix: str = ".jpg") -> bytes:
    """A picture that carries its number."""
    return bytes(cv2.imencode(suffix, numbered(number, 320, 240))[1])


def claiming_200_megapixels(suffix: str) -> bytes:
    """A small file whose header says 20,000 x 10,000."""
    data = bytearray(picture(0, suffix))
    if suffix == ".png":
        data[16:24] = struct.pack(">II", 20_000, 10_000)
    else:
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", 10_000, 20_000)
    return bytes(data)


def crop_of(lineage: object) -> dict[str, str]:
    """The properties of a crop whose past is this."""
    return {
        "specversion": "1.0",
        "type": "streamcrop.crop.v1",
        "source": "/streamcrop/n/s",
        "id": "s/1/d",
        "metadata": json.dumps({"id": "s/1/d", "lineage": lineage}),
    }


NAMED = {"frame_id": "bad"}
ROOT = {"id": "s/1", "width": 640, "height": 480}
SIZE = {"id": "d", "width": 320, "height": 240}
BAD: list[tuple[str, bytes, dict[str, str]]] = [
    ("corrupt", claiming_200_megapixels(".png"), NAMED),
    ("corrupt", claiming_200_megapixels(".jpg"), NAMED),
    ("corrupt", picture(0)[:-3000], NAMED),
    ("corrupt", b"hello", NAMED),
    ("corrupt", b"", NAMED),
    ("corrupt", b"{", NAMED),
    ("corrupt", picture(0), crop_of("none")),
    ("corrupt", picture(0), crop_of([ROOT, {**SIZE, "origin": [700, 0]}])),
    ("corrupt", picture(0), crop_of([ROOT, {**SIZE, "width": 9, "origin": [0, 0]}])),
    ("no_key", picture(0), {}),
    ("no_key", picture(0), {"frame_id": "\u200e"}),
]


def configuration(url: str, clip: Path) -> dict[str, Any]:
    """A file, pictures over MQTT, and a device that is not there."""
    chosen = settings(url, clip, pairing={"max_wait": 60})
    chosen["streams"]["pictures"] = {
        "source": {"url": "mqtt:cams/+/jpg"},
        "detections": {"topic": "detections/pictures"},
        "pairing": {"max_wait": 60, "max_items": 20},
        "output": {"encoding": "png"},
    }
    chosen["streams"]["device"] = {
        "source": {"url": "device:/dev/video99"},
        "detections": {"topic": "detections/device"},
        "pairing": {"key": "arrival"},
    }
    return chosen


async def test_bad_pictures_and_a_burst(broker: Mosquitto, tmp_path: Path) -> None:
    """All are counted with their reason, the last picture is cropped, the file loses nothing."""
    clip = numbered_clip(tmp_path / "clip.mp4", COUNT)
    async with Client(broker.port) as client:
        with Node(tmp_path, configuration(broker.url, clip)) as node:
            await client.until_running("pictures")
            await client.until_running()
            for _, payload, said in BAD:
                await client.publish(payload, "cams/a/jpg", said)
            burst = [picture(n) for n in range(BURST)]
            await asyncio.gather(
                *(
                    client.publish(data, "cams/a/jpg", {"frame_id": str(n)})
                    for n, data in enumerate(burst)
                ),
                *(client.publish({"frame_id": n, "predictions": [BOX]}) for n in range(COUNT)),
            )
            last = {"frame_id": str(BURST - 1), "predictions": [BOX]}
            await client.publish(last, "detections/pictures")
            await client.until(lambda: len(client.of("crops", "pictures")) == 1)
            await client.until_ended()
            assert "reconnecting" in client.states("device")
            assert "ended" not in client.states("device")
            node.stop()
            code, said = await asyncio.to_thread(node.wait)
        assert code == 0, said
        [crop] = client.of("crops", "pictures")
        assert number_in(crop.image) == BURST - 1
        frames = node.ledger("pictures")["frames"]
        assert frames["received"] == len(BAD) + BURST
        reasons = [reason for reason, _, _ in BAD]
        bad = {reason: frames["dropped"].pop(reason) for reason in set(reasons)}
        assert bad == Counter(reasons)
        # Where the burst finds no room depends on how fast the machine decodes.
        assert set(frames["dropped"]) <= {"queue_full", "pairing_full", "closed"}
        assert sum(frames["dropped"].values()) == BURST - 1
        gate = node.ledger("gate")
        assert gate["frames"] == {"received": COUNT, "paired": COUNT, "dropped": {}}
        assert gate["crops"] == {"made": COUNT, "published": COUNT, "dropped": {}}
        [reason] = {
            status["reason"]
            for status in (json.loads(m.payload) for m in client.of("status", "device"))
            if status["state"] == "reconnecting"
        }
        assert reason == "no connection to /dev/video99: No such file or directory"
