"""Crops that are shaped and chosen, from a real node through a real broker."""

import asyncio
from pathlib import Path

import cv2
import numpy as np
import pytest
from peers import NUMBER_BOX, Client, Mosquitto, Node, box_of, number_in, numbered_clip, settings

pytestmark = pytest.mark.e2e
COUNT = 40


async def test_a_crop_in_twice_the_size_still_shows_its_frame(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """Halved again it carries the number; `transform` and the prediction say how it was made."""
    clip = numbered_clip(tmp_path / "clip.mp4", COUNT)
    left, top, right, bottom = NUMBER_BOX
    size = [2 * (right - left), 2 * (bottom - top)]
    async with Client(broker.port) as client:
        with Node(tmp_path, settings(broker.url, clip, crop={"size": size})) as node:
            await client.until_running()
            for frame_id in range(COUNT):
                joint = {"x": right, "y": top, "class": "corner"}
                row = box_of(NUMBER_BOX, keypoints=[joint])
                await client.publish({"frame_id": frame_id, "predictions": [row]})
            await client.until_ended()
            code, said = await asyncio.to_thread(node.wait)
        assert code == 0, said
        crops = client.of("crops")
        assert len(crops) == COUNT
        for crop in crops:
            assert list(crop.image.shape[1::-1]) == size
            half = cv2.resize(crop.image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            metadata = crop.metadata
            assert number_in(np.asarray(half, np.uint8)) == int(metadata["frame_id"])
            assert metadata["transform"] == [[2, 0, -2 * left], [0, 2, -2 * top]]
            [found] = metadata["predictions"]
            assert [found["keypoints"][0][axis] for axis in "xy"] == [size[0], 0]


async def test_one_crop_a_track_and_the_ledger_adds_up(broker: Mosquitto, tmp_path: Path) -> None:
    """Of the frame with the best score; what is of no interest is counted as that."""
    clip = numbered_clip(tmp_path / "clip.mp4", COUNT)
    select = {"classes": ["number"], "per_track": "best_at_end", "lost_after": 0.3}
    async with Client(broker.port) as client:
        with Node(tmp_path, settings(broker.url, clip, select=select)) as node:
            await client.until_running()
            for frame_id in range(COUNT):
                # Two tracks, the second from the middle on; each is best at its tenth frame.
                track = frame_id // (COUNT // 2)
                sure = 1 - abs(frame_id % (COUNT // 2) - 10) / 20
                row = box_of(NUMBER_BOX, tracker_id=track, confidence=sure)
                other = {**box_of(NUMBER_BOX), "class": "other"}
                said = {"frame_id": frame_id, "predictions": [{**row, "class": "number"}, other]}
                await client.publish(said)
            await client.until_ended()
            code, said = await asyncio.to_thread(node.wait)
        assert code == 0, said
        rows = node.ledger()
        assert rows["predictions"] == {
            "received": 2 * COUNT,
            "cropped": 2,
            "dropped": {"filtered": COUNT, "not_chosen": COUNT - 2},
        }
        assert rows["crops"] == {"made": 2, "published": 2, "dropped": {}}
        crops = client.of("crops")
        assert [crop.metadata["predictions"][0]["tracker_id"] for crop in crops] == [0, 1]
        for crop in crops:
            metadata = crop.metadata
            assert number_in(crop.image) == int(metadata["frame_id"])
            parts = metadata["predictions"][0]["score_parts"]
            assert parts["confidence"] > 0.9
