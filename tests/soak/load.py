"""Twice what a node can do: clips at a camera's pace, and a detector who speaks of each frame.

How much that is, the node shows: so many objects are spoken of in each frame that what is asked
for is `TIMES` what it publishes.
"""

import json
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.material import KINDS, RATE, clip, message
from faults.scene import Scene

TIMES = 2.0
# Behind its frame, as a model takes.
_LAG = 0.1
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
    """Speaks of the frames of the streams, from when they run, until it is closed.

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
        self._scene = scene
        self._names = [f"load{number}" for number in range(streams)]
        self._rows = [_objects(number) for number in range(_KNOWN)]
        self._objects = _MOST // 2
        self._looked = (time.monotonic(), 0, 0)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Say no more."""
        self._stopped.set()
        self._thread.join()

    def _speak(self) -> None:
        began: dict[str, float] = {}
        spoken = dict.fromkeys(self._names, 0)
        while not self._stopped.wait(1 / RATE):
            now = time.monotonic()
            self._look(now)
            for name in self._names:
                states = self._scene.witness.states.get(name, [])
                running = next((each.at for each in states if each.state == "running"), None)
                began.setdefault(name, running or now)
                if running is None:
                    began.pop(name)
                    continue
                due = int((now - began[name] - _LAG) * RATE)
                for number in range(spoken[name], due):
                    self._say(name, number)
                spoken[name] = max(due, spoken[name])

    def _say(self, name: str, number: int) -> None:
        rows = self._rows[number % _KNOWN][: self._objects]
        said = {"frame_id": number, "image": {"width": 1920, "height": 1080}, "predictions": rows}
        self._scene.witness.client.publish(f"detections/{name}", json.dumps(said), 0)
        self.asked += len(rows)

    def _look(self, now: float) -> None:
        """Note what was published, and ask for more or less where it is far from `TIMES` that."""
        ledgers = self._scene.witness.ledgers
        done = sum(ledgers[name]["crops"]["published"] for name in self._names if name in ledgers)
        if done != self.done[-1][1]:
            self.done.append((now, done))
        since, asked, published = self._looked
        if now - since < _LOOKS:
            return
        self._looked = now, self.asked, done
        if done == published:
            return
        times = (self.asked - asked) / (done - published)
        more = (times < TIMES - _NEAR) - (times > TIMES + _NEAR)
        self._objects = min(max(self._objects + more, 1), _MOST)
