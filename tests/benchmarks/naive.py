"""A node as a competent user would write it, with the packages' own functions: the yardstick.

It decodes in a thread, does the rest on the loop, and awaits each message it publishes. It knows
nothing of lost frames, bounds or reconnections.
"""

import argparse
import asyncio
import json
from collections.abc import Iterator
from typing import Any

import aiomqtt
import av
import cv2
import numpy as np
import numpy.typing as npt
import supervision as sv
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

Image = npt.NDArray[np.uint8]


def detections_of(message: dict[str, Any]) -> sv.Detections:
    """What a message says, as `supervision` holds it."""
    rows = message["predictions"]
    centres = np.array([(row["x"], row["y"]) for row in rows])
    sizes = np.array([(row["width"], row["height"]) for row in rows])
    shape = message["image"]["height"], message["image"]["width"]
    masks = [mask for row in rows if (mask := _mask(row, shape)) is not None]
    return sv.Detections(
        xyxy=np.hstack([centres - sizes / 2, centres + sizes / 2]),
        mask=np.array(masks) if masks else None,
        confidence=np.array([row["confidence"] for row in rows]),
        class_id=np.array([row["class_id"] for row in rows]),
        data={"class_name": np.array([row["class"] for row in rows])},
    )


def _mask(row: dict[str, Any], shape: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
    if "points" in row:
        outline = np.array([(point["x"], point["y"]) for point in row["points"]], np.int32)
        return sv.polygon_to_mask(outline, shape[::-1]).astype(bool)
    if "rle_mask" in row:
        return sv.rle_to_mask(row["rle_mask"]["counts"], shape[::-1])
    return None


def crops_of(image: Image, message: bytes, number: int) -> Iterator[tuple[bytes, str]]:
    """The JPEG of each object, and what belongs to it as JSON."""
    said = json.loads(message)
    detections = detections_of(said)
    for at in range(len(detections)):
        detection = detections[at]
        left, top, right, bottom = detection.xyxy[0].round().astype(int).tolist()
        crop = sv.crop_image(image, detection.xyxy[0].round().astype(int))
        if detection.mask is not None:
            crop = crop.copy()
            crop[~detection.mask[0][top:bottom, left:right]] = 0
        jpeg = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        row = {**said["predictions"][at]}
        row["x"], row["y"] = row["x"] - left, row["y"] - top
        if "points" in row:
            row["points"] = [{"x": p["x"] - left, "y": p["y"] - top} for p in row["points"]]
        row.pop("rle_mask", None)
        size = {"width": right - left, "height": bottom - top}
        yield jpeg, json.dumps({"frame_id": number, "image": size, "predictions": [row]})


async def stream(client: aiomqtt.Client, name: str, path: str, inbox: "asyncio.Queue[Any]") -> None:
    """Answer each frame of a file as its message comes."""
    loop = asyncio.get_running_loop()
    with av.open(path) as container:
        frames = container.decode(video=0)
        number = 0
        while (frame := await loop.run_in_executor(None, next, frames, None)) is not None:
            image = frame.to_ndarray(format="bgr24")
            for jpeg, metadata in crops_of(image, await inbox.get(), number):
                properties = Properties(PacketTypes.PUBLISH)
                properties.ContentType = "image/jpeg"
                properties.UserProperty = [("metadata", metadata)]
                await client.publish(f"streamcrop/{name}/crops", jpeg, properties=properties)
            await client.publish(f"streamcrop/{name}/metadata", json.dumps({"frame_id": number}))
            number += 1


async def main() -> None:
    """Run until the files end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("broker", type=int, help="its port")
    parser.add_argument("streams", nargs="+", help="name=path")
    options = parser.parse_args()
    paths = dict(each.split("=", 1) for each in options.streams)
    inboxes: dict[str, asyncio.Queue[Any]] = {name: asyncio.Queue() for name in paths}
    version = aiomqtt.ProtocolVersion.V5
    async with aiomqtt.Client("127.0.0.1", options.broker, protocol=version) as client:
        for name in paths:
            await client.subscribe(f"detections/{name}", 1)
            await client.publish(f"streamcrop/{name}/status", '{"state": "running"}', retain=True)
        delivering = asyncio.create_task(_deliver(client, inboxes))
        await asyncio.gather(*(stream(client, *each, inboxes[each[0]]) for each in paths.items()))
        delivering.cancel()


async def _deliver(client: aiomqtt.Client, inboxes: "dict[str, asyncio.Queue[Any]]") -> None:
    async for message in client.messages:
        inboxes[message.topic.value.rpartition("/")[2]].put_nowait(message.payload)


if __name__ == "__main__":
    asyncio.run(main())
