"""How many cameras fit on a box: ``python -m tests.benchmarks sizing``.

One node with several streams of 1080p at 30 frames a second, played at that pace, and a detector
that speaks of some of their frames, half a second after each. CPU and memory are the operating
system's figures of the node.
"""

import json
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import paho.mqtt.client as paho
import psutil
from benchmarks.material import KINDS, RATE, clip, message
from benchmarks.node import configured, started
from benchmarks.report import Row
from peers import Mosquitto

_LATER = 0.5
_BEGUN = 4.0


@dataclass(frozen=True)
class Load:
    """What a detector has to say.

    Attributes:
        every: Of so many frames one is spoken of; 0: of none.
        objects: In each of those.
        decode: When pictures are decoded.
    """

    name: str
    every: int = 0
    objects: int = 0
    decode: str = "auto"


LOADS = [
    Load("nobody asks"),
    Load("nobody asks, decoded all the same", decode="eager"),
    Load("2 objects, 5 frames a second", 6, 2),
    Load("5 objects, 15 frames a second", 2, 5),
    Load("10 objects, 30 frames a second", 1, 10),
]


class Answers:
    """A detector of all streams, at their pace from when they run on."""

    def __init__(
        self, port: int, names: Sequence[str], answers: Sequence[bytes], every: int
    ) -> None:
        self._names, self._answers, self._every = names, answers, every
        self._running: dict[str, float] = {}
        self._ended = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_message = self._arrived
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("streamcrop/+/status", 1)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._speak)
        self._thread.start()

    def close(self) -> None:
        """Say no more."""
        self._ended.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    def _arrived(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        if json.loads(message.payload)["state"] == "running":
            self._running.setdefault(message.topic.split("/")[1], time.monotonic())

    def _speak(self) -> None:
        while len(self._running) < len(self._names) and not self._ended.wait(0.01):
            pass
        since = max(self._running.values(), default=0) + _LATER
        for number in range(0, len(self._answers), self._every):
            if self._ended.wait(max(0, since + number / RATE - time.monotonic())):
                return
            for name in self._names:
                self._client.publish(f"detections/{name}", self._answers[number], 0)


def answers_of(path: Path, count: int, objects: int) -> list[bytes]:
    """For each frame of a clip what is in it, by its media time."""
    with av.open(str(path)) as container:
        times = sorted(packet.pts for packet in container.demux(video=0) if packet.pts is not None)
        base = str(container.streams.video[0].time_base)
    found = []
    for number, pts in enumerate(times[:count]):
        said = json.loads(message(number, KINDS[0]))
        rows = said["predictions"][:objects]
        found.append(json.dumps({**said, "predictions": rows, "pts": pts, "time_base": base}))
    return [text.encode() for text in found]


@dataclass
class Found:
    """What a node with so many streams takes: % of a core, MB now and at most."""

    cpu: float
    held: float
    peak: float


def play(folder: Path, path: Path, load: Load, streams: int, seconds: float) -> Found:
    """Let a node play some streams."""
    broker = Mosquitto(folder)
    names = [f"gate{number}" for number in range(streams)]
    source = {"url": str(path), "realtime": True, "loop": True, "decode": load.decode}
    camera: dict[str, Any] = {
        "source": source,
        "pairing": {"key": "pts"},
        "output": {"qos": 0, "max_inflight": 256},
    }
    answers = answers_of(path, 600, load.objects) if load.every else []
    detector = Answers(broker.port, names, answers, load.every or 1)
    try:
        with started(configured(folder, broker.port, dict.fromkeys(names, camera))) as process:
            time.sleep(_BEGUN)
            before, since = process.cpu_times(), time.monotonic()
            time.sleep(seconds)
            after, taken = process.cpu_times(), time.monotonic() - since
            spent = after.user + after.system - before.user - before.system
            return Found(100 * spent / taken, process.memory_info().rss / 1e6, _peak(process))
    finally:
        detector.close()
        broker.kill()


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """CPU and memory of a camera, by what is asked of it."""
    path = clip(folder, quick=quick)
    seconds, rounds = (3, 1) if quick else (10, 2)
    rows = []
    shares: dict[str, float] = {}
    for load in LOADS[::2] if quick else LOADS:
        counts = (1, 2) if load.every or quick else (1, 4)
        found = {n: [play(folder, path, load, n, seconds) for _ in range(rounds)] for n in counts}
        most = counts[-1]
        cpu = {n: statistics.median(each.cpu for each in v) for n, v in found.items()}
        held = {n: statistics.median(each.held for each in v) for n, v in found.items()}
        peak = max(each.peak for each in found[1])
        more = (held[most] - held[1]) / (most - 1)
        shares[load.name] = cpu[1]
        idle = load == LOADS[0]
        rows += [
            Row("sizing", f"{load.name}: CPU, one camera", cpu[1], "% a core"),
            Row("sizing", f"{load.name}: CPU, each of {most}", cpu[most] / most, "% a core"),
            Row("sizing", f"{load.name}: memory, one", held[1], "MB", 200 if idle else None),
            Row("sizing", f"{load.name}: peak, one", peak, "MB"),
            Row("sizing", f"{load.name}: memory, each more", more, "MB", 15 if idle else None),
        ]
    if quick:
        return rows
    idle_share = 100 * shares[LOADS[0].name] / shares[LOADS[1].name]
    return [*rows, Row("sizing", "an idle node, of one that decodes: CPU", idle_share, "%")]


def many(folder: Path, *, quick: bool) -> list[Row]:
    """Idle cameras, up to sixteen."""
    path = clip(folder, quick=quick)
    rows = []
    for streams in (2,) if quick else (1, 2, 4, 8, 16):
        found = play(folder, path, LOADS[0], streams, 3 if quick else 10)
        rows += [
            Row("many", f"{streams} idle cameras: CPU", found.cpu, "% a core"),
            Row("many", f"{streams} idle cameras: memory", found.held, "MB"),
        ]
    return rows


def _peak(process: psutil.Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3
