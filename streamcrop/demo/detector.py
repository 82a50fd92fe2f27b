"""A detector of what moves: ``python -m streamcrop.demo.detector STREAM auto|5|3.1.1``.

The broker's URL is in the environment, ``BROKER_URL``. It knows nothing of the node but its frame
tap, so it is a pattern for a detector of your own: take a frame from
``streamcrop/{stream}/frames``, and answer with its ``frame_id`` and its size.
"""

import asyncio
import os
import sys
from typing import Any, cast

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from streamcrop import config
from streamcrop.build import address_of
from streamcrop.formats.events import Received, read
from streamcrop.mqtt.broker import Broker
from streamcrop.mqtt.messages import Outgoing
from streamcrop.queues import BoundedQueue

# In pixels of the tapped picture: a third of the 20 px that a moving thing must have in a 4K clip.
MIN_SIDE = 6
_WARM_UP = 5
_HISTORY = 200
_MOVING = 255
# When more than this part of the picture changes at once, the light may have changed.
_FLASH = 0.06
_FLASH_PICTURES = 8


class MotionDetector:
    """Boxes and outlines of what moves before a static camera (Zivkovic's MOG2)."""

    def __init__(self) -> None:
        self._model = cv2.createBackgroundSubtractorMOG2(
            history=_HISTORY, varThreshold=20, detectShadows=True
        )
        self._seen = 0
        self._usual = 0.0
        self._flash = 0
        self._close = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))

    def detect(self, image: npt.NDArray[np.uint8]) -> list[dict[str, Any]]:
        """The predictions for the next picture, in its pixels.

        Args:
            image: ``(h, w, 3)`` uint8 BGR. Not modified.
        """
        self._seen += 1
        smooth = cv2.GaussianBlur(image, (3, 3), 0)
        # The first pictures count more, so that what stands in them is soon background; and so do
        # those after a change of light.
        rate = max(1 / (2 * self._seen), 1 / _HISTORY, 0.15 * (self._flash > 0))
        moving = self._model.apply(smooth, learningRate=rate)
        mask = np.where(moving == _MOVING, np.uint8(255), np.uint8(0))
        if self._seen <= _WARM_UP or self._is_flash(np.count_nonzero(mask) / mask.size):
            return []
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, self._close)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        polygons = [outline for outline in outlines if len(outline) > 2]
        large = [p for p in polygons if min(cv2.boundingRect(p)[2:]) >= MIN_SIDE]
        return [_prediction(polygon) for polygon in large]

    def _is_flash(self, changed: float) -> bool:
        """True if much more of the picture has changed than just before.

        That is the light, for a few pictures; what stays so large after them does move.
        """
        if self._flash == 0 and changed > max(_FLASH, 3 * self._usual):
            self._flash = _FLASH_PICTURES
        elif self._flash:
            self._flash -= 1
        if not self._flash:
            self._usual = changed
        return self._flash > 0


def _prediction(outline: npt.NDArray[Any]) -> dict[str, Any]:
    left, top, width, height = cv2.boundingRect(outline)
    return {
        "x": left + width / 2,
        "y": top + height / 2,
        "width": width,
        "height": height,
        "confidence": round(cv2.contourArea(outline) / (width * height), 3),
        "class": "moving",
        "class_id": 0,
        "points": [{"x": int(x), "y": int(y)} for x, y in outline[:, 0]],
    }


async def serve(url: str, stream: str, protocol: config.Protocol) -> None:
    """Answer every tapped frame until the process ends."""
    settings = config.Config(broker=config.Broker(url=url, protocol=protocol), streams={})
    broker = Broker(address_of(settings), name="detector")
    taps: BoundedQueue[Received] = BoundedQueue(max_items=64, overflow="drop_oldest")
    topic = f"streamcrop/{stream}/frames"
    broker.subscribe(topic, lambda *message: taps.put_nowait(read(*message)))
    detector = MotionDetector()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(broker.run(), name="broker")
        await broker.wait_until_up()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        async for frame in taps:
            encoded = np.frombuffer(frame.data, np.uint8)
            image = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
            answer = {
                "frame_id": frame.metadata["frame_id"],
                "image": frame.metadata["image"],
                "predictions": await asyncio.to_thread(detector.detect, image),
            }
            await broker.publish(Outgoing(f"detections/{stream}", msgspec.json.encode(answer)))


if __name__ == "__main__":
    version = cast("config.Protocol", sys.argv[2])
    asyncio.run(serve(os.environ["BROKER_URL"], sys.argv[1], version))
