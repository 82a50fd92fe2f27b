"""A node, and all that it lives with: a broker, a camera, a clip, a detector who hears and speaks.

`gate` is a real camera by RTSP, and the detector reads it by itself and names pictures by their
SEI; `yard` is a clip at the pace of a camera, whose tap the detector answers.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import yaml
from accuracy import ffmpeg, pattern
from faults.between import Between
from faults.row import Row
from faults.watch import Watch
from faults.witness import RATE, Witness
from peers import Camera, Mosquitto, wait_until, write_clip

TESTS = Path(__file__).parents[1]
WIDTH, HEIGHT = 640, 480
_CLIP_WIDTH, _CLIP_HEIGHT, _CLIP_SECONDS = 320, 240, 8
# Pictures that may be on their way when something begins or ends, in seconds.
SETTLES = 1.0
_STARTS, _RECOVERS = 40.0, 30.0


@cache
def clip(folder: Path) -> Path:
    """Eight seconds of pictures that carry their number."""

    def picture(number: int) -> Any:
        planes = np.frombuffer(pattern.draw(number, _CLIP_WIDTH, _CLIP_HEIGHT), np.uint8)
        planes = planes.reshape(_CLIP_HEIGHT * 3 // 2, _CLIP_WIDTH)
        return cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)

    shown = (picture(number) for number in range(RATE * _CLIP_SECONDS))
    return write_clip(folder / "clip.mp4", shown, rate=RATE, options={"g": "15", "crf": "20"})


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A tree with another laid over it."""
    both = {**one, **other}
    for name in one.keys() & other.keys():
        if isinstance(one[name], dict) and isinstance(other[name], dict):
            both[name] = merged(one[name], other[name])
    return both


class Scene:
    """One run of a node.

    Args:
        folder: For its files.
        row: What happens; says how node, broker and camera begin.

    Attributes:
        times: When the fault began, and when it ended, each time.
        recoveries: How many seconds the next crop came behind each.
        code: How the node ended.
        ended: How many seconds that took, from SIGTERM on.
        counted: What else was counted, in words.
        kept: What a row's play leaves for its check.
    """

    def __init__(self, folder: Path, row: Row) -> None:
        self.folder, self.row = folder, row
        self.times: list[tuple[float, float]] = []
        self.recoveries: list[float] = []
        self.code: int | None = None
        self.ended = 0.0
        self.counted: list[str] = []
        self.kept: dict[str, Any] = {}
        self.control = folder / "control.json"
        self._control: dict[str, Any] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        folder, row, stack = self.folder, self.row, self._stack
        self.broker = Mosquitto(folder, *(line.format(folder) for line in row.broker))
        stack.callback(self._end_broker)
        size = ("--rate", RATE, "--width", WIDTH, "--height", HEIGHT, *row.camera)
        self.camera = Camera(folder, *map(str, size))
        stack.callback(self._end_camera)
        self.between = Between(self.broker.port)
        stack.callback(self.between.close)
        self.port = self.between.port if row.lies else self.broker.port
        self.witness = Witness(self.broker.port)
        stack.callback(self.witness.close)
        self.settings = merged(self._settings(), row.settings(self))
        self.start_node()
        stack.callback(self._end_node)
        self._detector_stops = threading.Event()
        self._detector = threading.Thread(target=self._detect, daemon=True)
        self._detector.start()
        stack.callback(self._detector_stops.set)
        if not self.until(lambda: min(map(len, self.witness.crops.values())) >= RATE, _STARTS):
            msg = f"no crops: {self.log[-500:]}"
            raise RuntimeError(msg)
        self.wait(2 * SETTLES)
        self.steady = time.monotonic()
        self.before = self.watch.at(self.steady)

    def _settings(self) -> dict[str, Any]:
        output = {"encoding": "jpeg"}
        return {
            "node": "faults",
            "broker": {"url": f"mqtt://127.0.0.1:{self.port}"},
            "shutdown_timeout": 5,
            "streams": {
                "gate": {
                    "source": {"url": self.camera.url},
                    "detections": {"topic": "detections/gate"},
                    "pairing": {"key": "sei", "max_wait": 2},
                    "output": output,
                },
                "yard": {
                    "source": {
                        "url": str(clip(self.folder.parent)),
                        "realtime": True,
                        "loop": True,
                    },
                    "detections": {"topic": "detections/yard"},
                    "tap": {"rate": 5},
                    "pairing": {"max_wait": 2},
                    "output": output,
                },
            },
        }

    # What may be done to it.

    def start_node(self) -> None:
        """Start the node, whose log goes on where it was."""
        config = self.folder / "node.yaml"
        config.write_text(yaml.safe_dump(self.settings))
        self.hurt()
        program = ["faults.driver", str(self.control)] if self.row.driven else ["streamcrop"]
        command = [sys.executable, "-m", *program, "run", str(config)]
        path = os.pathsep.join(map(str, (TESTS, TESTS.parent)))
        with (self.folder / "node.log").open("ab") as log:
            self.node = subprocess.Popen(
                [*command, "--ledger", str(self.folder / "ledger.json")],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": path, **self.row.environment},
            )
        self.watch = Watch(self.node.pid)

    def hurt(self, **how: Any) -> None:
        """Tell the driver what is to go wrong from now on; see `driver`."""
        self._control = {**self._control, **how}
        self.control.write_text(json.dumps(self._control))

    def wait(self, seconds: float) -> None:
        """Let time pass; ends early where the node has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.node.poll() is None:
            time.sleep(0.02)

    def until(self, condition: Any, seconds: float) -> bool:
        """Wait until something is so: false if it never was, or the node has ended."""
        with suppress(TimeoutError):
            wait_until(lambda: condition() or self.node.poll() is not None, seconds)
        return bool(condition())

    @contextmanager
    def fault(self) -> Iterator[None]:
        """Around what goes wrong; then waits until crops of `gate` come again."""
        begin = time.monotonic()
        yield
        end = time.monotonic()
        self.times.append((begin, end))
        came = self.until(lambda: self.witness.first_after(end) < time.monotonic(), _RECOVERS)
        self.recoveries.append(self.witness.first_after(end) - end if came else float("inf"))
        self.wait(SETTLES)

    def stop(self, seconds: float = 30.0) -> None:
        """End the node by SIGTERM, if it still runs; note how it ended and how long that took."""
        since = time.monotonic()
        if self.node.poll() is not None:
            self.code = self.node.returncode
            return
        self.node.send_signal(signal.SIGTERM)
        try:
            self.code = self.node.wait(seconds)
        except subprocess.TimeoutExpired:
            self.node.kill()
            self.node.wait()
        self.ended = time.monotonic() - since

    @property
    def log(self) -> str:
        """All that the node has said."""
        return (self.folder / "node.log").read_text(errors="replace")

    def ledger(self) -> dict[str, Any]:
        """The ledger's streams; empty where it is none."""
        with suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads((self.folder / "ledger.json").read_text())["streams"]
            return found
        return {}

    # Its parts.

    def _detect(self) -> None:
        options = argparse.Namespace(
            url=self.camera.url,
            transport="tcp",
            key="sei",
            media_time=False,
            names=0,
            unnamed=False,
        )
        while not self._detector_stops.is_set():
            for seen in ffmpeg.read(options):
                if seen:
                    self.witness.speak(seen)
                if self._detector_stops.is_set():
                    return
            self._detector_stops.wait(0.1)

    def _end_node(self) -> None:
        self.watch.close()
        if self.node.poll() is None:
            self.node.send_signal(signal.SIGCONT)
            self.node.kill()
            self.node.wait()

    def _end_broker(self) -> None:
        if self.broker.process.poll() is None:
            self.broker.thaw()
            self.broker.kill()

    def _end_camera(self) -> None:
        if self.camera.process.poll() is None:
            self.camera.thaw()
            self.camera.kill()
