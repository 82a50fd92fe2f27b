"""Twice what a node can do: clips at a camera's pace, and a detector who answers each frame's tap.

How much that is, the node shows: so many objects are spoken of in each frame that what is asked
for is `TIMES` what it publishes.
"""

import json
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from benchmarks.material import KINDS, clip, message
from faults.scene import Scene
from paho.mqtt.enums import CallbackAPIVersion

TIMES = 2.0
# Messages that differ, objects in one, and seconds after which their number is looked at again.
_KNOWN, _MOST, _LOOKS = 60, 20, 10.0
_NEAR = 0.2


def settings(folder: Path, streams: int) -> dict[str, Any]:
    """The configuration's part: so many streams of 1080p at 30 a second, their crops as PNG."""
    source = {"url": str(clip(folder, quick=True)), "realtime": True, "loop": True}
    return {
        f"load{number}": {
            "source": source,
            "detections": {"topic": f"detections/load{number}"},
            "tap": {"longest_side": 64},
            "pairing": {"max_wait": 2},
            "output": {"encoding": "png"},
        }
        for number in range(streams)
    }


def _objects(number: int) -> list[Any]:
    """Twenty, of which a message holds the first few."""
    rows = []
    for seed in (number, number + _KNOWN):
        rows += json.loads(message(seed, KINDS[0]))["predictions"]
    return [{**row, "detection_id": str(at)} for at, row in enumerate(rows)]


class Load:
    """Speaks of each frame that the streams show, until it is closed.

    Args:
        scene: With the streams.
        streams: How many.

    Attributes:
        asked: How many crops were asked for.
        done: When how many were published.
    """

    def __init__(self, scene: Scene, streams: int) -> None:
        self.asked = 0
        self.done: list[tuple[float, int]] = [(time.monotonic(), 0)]
        self._ledgers = scene.witness.ledgers
        self._names = [f"load{number}" for number in range(streams)]
        self._rows = [_objects(number) for number in range(_KNOWN)]
        self._objects = _MOST // 2
        self._looked = (time.monotonic(), 0, 0)
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.reconnect_delay_set(1, 1)
        client.on_connect = self._connected
        client.on_message = self._shown
        self._client = client
        client.connect_async("127.0.0.1", scene.broker.port, keepalive=10)
        client.loop_start()

    def close(self) -> None:
        """Say no more."""
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, *_: object) -> None:
        self._client.subscribe([(f"streamcrop/{name}/frames", 0) for name in self._names])

    def _shown(self, _: object, __: object, message: mqtt.MQTTMessage) -> None:
        self._look(time.monotonic())
        name = message.topic.split("/")[1]
        frame_id = dict(message.properties.UserProperty)["subject"]
        rows = self._rows[hash(frame_id) % _KNOWN][: self._objects]
        # The tapped picture is a small one of these pixels.
        image = {"width": 1920, "height": 1080}
        said = {"frame_id": frame_id, "image": image, "predictions": rows}
        self._client.publish(f"detections/{name}", json.dumps(said), 0)
        self.asked += len(rows)

    def _look(self, now: float) -> None:
        """Note what was published, and ask for more or less where it is far from `TIMES` that."""
        published = (self._ledgers[name]["crops"]["published"] for name in self._names)
        if not {*self._names} <= {*self._ledgers}:
            return
        done = sum(published)
        if done != self.done[-1][1]:
            self.done.append((now, done))
        since, asked, before = self._looked
        if now - since < _LOOKS:
            return
        self._looked = now, self.asked, done
        if done == before:
            return
        times = (self.asked - asked) / (done - before)
        more = (times < TIMES - _NEAR) - (times > TIMES + _NEAR)
        self._objects = min(max(self._objects + more, 1), _MOST)
