"""More than a node can do: clips at a camera's pace, and a detector who speaks of each frame."""

import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.material import KINDS, RATE, clip, message
from faults.scene import Scene

# Behind its frame, as a model takes.
_LAG = 0.1
_KNOWN = 120


def settings(folder: Path, streams: int) -> dict[str, Any]:
    """The configuration's part: so many streams of 1080p at 30 a second, ten PNG crops a frame."""
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


class Load:
    """Speaks of the frames of the streams, from when they run, until it is closed.

    Args:
        scene: With the streams.
        streams: How many.

    Attributes:
        asked: How many crops were asked for.
    """

    def __init__(self, scene: Scene, streams: int) -> None:
        self.asked = 0
        self._scene = scene
        self._names = [f"load{number}" for number in range(streams)]
        said = (message(number, KINDS[0]).partition(b",") for number in range(_KNOWN))
        self._rests = [rest for _, _, rest in said]
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
            for name in self._names:
                if name not in began:
                    running = [
                        s.at
                        for s in self._scene.witness.states.get(name, ())
                        if s.state == "running"
                    ]
                    if not running:
                        continue
                    began[name] = running[0]
                for number in range(spoken[name], int((now - began[name] - _LAG) * RATE)):
                    rest = self._rests[number % _KNOWN]
                    payload = b'{"frame_id": %d,%b' % (number, rest)
                    self._scene.witness.client.publish(f"detections/{name}", payload, 0)
                    spoken[name] = number + 1
                    self.asked += 10
