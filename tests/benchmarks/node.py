"""What whole nodes cost, seen from outside: ``python -m tests.benchmarks node``.

A node is a process; CPU and memory are the operating system's figures of it. A real mosquitto and
a detector, which sends a message ahead of each frame and learns from the frame's metadata that it
was worked on, run on the same cores. The naive node is `naive`.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psutil
from benchmarks.material import HD, KINDS, Kind, clip, message
from benchmarks.pipeline import Ways, taken
from benchmarks.report import Row
from peers import Mosquitto

_NAIVE = Path(__file__).with_name("naive.py")
# So many messages wait in the node before their frames come.
_AHEAD = 40
# Frames until everything is warm.
_WARM = 30


@dataclass(frozen=True)
class Subject:
    """A node to be measured.

    Attributes:
        naive: Whether it is the naive one.
        qos: Of its crops.
    """

    naive: bool = False
    qos: int = 0

    def command(
        self, folder: Path, port: int, clips: dict[str, Path], kind: Kind, *, loop: bool = False
    ) -> list[str]:
        """How it is started; ``loop``: whether its clips begin again at their ends."""
        if self.naive:
            streams = (f"{name}={path}" for name, path in clips.items())
            return [sys.executable, str(_NAIVE), str(port), *streams]
        streams = {
            name: {"source": {"url": str(path), "loop": loop}} for name, path in clips.items()
        }
        crop = {"mask_opacity": kind.opacity}
        # Of many streams on one core, one may stand still for longer than a detector would wait.
        more = {"output": {"qos": self.qos}, "pairing": {"max_wait": 60}}
        return configured(folder, port, streams, crop=crop, **more)


def configured(
    folder: Path, port: int, streams: dict[str, dict[str, Any]], **sections: Any
) -> list[str]:
    """The command of our node with these streams."""
    tree = {
        "node": "benchmark",
        "broker": {"url": f"mqtt://127.0.0.1:{port}"},
        "streams": {
            name: {"detections": {"topic": f"detections/{name}"}, **sections, **stream}
            for name, stream in streams.items()
        },
    }
    path = folder / "node.json"
    path.write_text(json.dumps(tree))
    return [sys.executable, "-m", "streamcrop", "run", str(path)]


@contextmanager
def started(command: Sequence[str], cores: int = 0) -> Iterator[psutil.Process]:
    """A process, on the first few cores where a number is given."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        process = psutil.Process(child.pid)
        if cores:
            process.cpu_affinity(list(range(cores)))
        try:
            yield process
        finally:
            child.kill()


@dataclass
class Found:
    """What a node spent on a frame: CPU, that of its event loop alone, and wall time; ms."""

    cpu: float
    loop: float
    wall: float


@dataclass
class _Mark:
    """How far a node was: seconds of CPU, of its loop's CPU, on the clock, and frames."""

    cpu: float
    loop: float
    wall: float
    frames: int


class Detector:
    """Speaks of all frames of all streams, a little ahead of the node.

    Args:
        port: The broker's.
        names: Of the streams.
        messages: For each frame.
        loop: Whether they go on from the first when all are sent.
    """

    def __init__(
        self, port: int, names: Sequence[str], messages: Sequence[bytes], *, loop: bool = False
    ) -> None:
        self._messages = messages
        self._loop = loop
        self._sent = dict.fromkeys(names, 0)
        self.done = dict.fromkeys(names, 0)
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_message = self._arrived
        self._client.connect("127.0.0.1", port)
        self._client.subscribe([("streamcrop/+/metadata", 0), ("streamcrop/+/status", 1)])
        self._client.loop_start()

    def close(self) -> None:
        """Say no more."""
        self._client.disconnect()
        self._client.loop_stop()

    def _arrived(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        _, name, what = message.topic.split("/")
        if what == "metadata":
            self.done[name] += 1
        elif json.loads(message.payload)["state"] != "running":
            return
        wanted = self.done[name] + _AHEAD
        if not self._loop:
            wanted = min(wanted, len(self._messages))
        for number in range(self._sent[name], wanted):
            _, _, what = self._messages[number % len(self._messages)].partition(b",")
            self._client.publish(f"detections/{name}", b'{"frame_id": %d,%b' % (number, what), 0)
        self._sent[name] = max(wanted, self._sent[name])


def work(
    folder: Path,
    subject: Subject,
    clips: dict[str, Path],
    messages: list[bytes],
    kind: Kind,
    cores: int = 0,
    *,
    loop: bool = False,
) -> Found:
    """Let a node work through clips as fast as it can; ``loop``: until there were enough frames.

    Else, of many streams, those that are through would still decode what nobody speaks of.
    """
    count = len(messages)
    broker = Mosquitto(folder)
    detector = Detector(broker.port, list(clips), messages, loop=loop)
    command = subject.command(folder, broker.port, clips, kind, loop=loop)
    try:
        with started(command, cores) as process:
            begin = _mark(process, detector, _WARM)
            enough = begin.frames + count * len(clips) if loop else 0
            end = _mark(process, detector, _WARM if loop else count, enough)
    finally:
        detector.close()
        broker.kill()
    frames = end.frames - begin.frames
    return Found(
        1e3 * (end.cpu - begin.cpu) / frames,
        1e3 * (end.loop - begin.loop) / frames,
        1e3 * (end.wall - begin.wall) / frames,
    )


def _mark(process: psutil.Process, detector: Detector, count: int, total: int = 0) -> _Mark:
    """Where it is when each stream has come so far, and all together."""
    limit = time.monotonic() + 120
    while min(detector.done.values()) < count or sum(detector.done.values()) < total:
        if time.monotonic() > limit or not process.is_running():
            raise RuntimeError(f"the node stopped at {detector.done}")
        time.sleep(0.002)
    spent = process.cpu_times()
    # The loop is in the process's first thread.
    [loop] = (t.user_time + t.system_time for t in process.threads() if t.id == process.pid)
    frames = sum(detector.done.values())
    return _Mark(spent.user + spent.system, loop, time.monotonic(), frames)


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """CPU and throughput, beside the naive node and beside the floor."""
    rounds = 1 if quick else 3
    rows = []
    subjects = {"QoS 0": Subject(), "QoS 1": Subject(qos=1), "naive": Subject(naive=True)}
    for kind in KINDS[:1] if quick else KINDS:
        path = clip(folder, kind.size, quick=quick)
        count = 60 if quick else (600 if kind.size == HD else 120)
        ways, messages = Ways(path, kind, 60), [message(n, kind) for n in range(count)]
        name = f"{kind.name} {'1080p' if kind.size == HD else '4K'}"
        main = kind is KINDS[0]
        for streams in (1, 2) if main else (1,):
            found: dict[str, list[Found]] = {label: [] for label in subjects}
            clips = {f"gate{n}": path for n in range(streams)}
            floors: list[list[float]] = [[], []]
            for _ in range(rounds):
                # In turn with the nodes: the machine's speed wavers.
                for each, spent in zip(floors, taken([ways.decode, ways.jpeg], 1), strict=True):
                    each.extend(spent)
                for label, subject in subjects.items():
                    found[label].append(work(folder, subject, clips, messages, kind))
            decode, jpeg = (1e3 * statistics.median(each) / 60 for each in floors)
            floor = decode + jpeg
            cpu = {k: statistics.median(each.cpu for each in v) for k, v in found.items()}
            wall = {k: statistics.median(each.wall for each in v) for k, v in found.items()}
            loop = {k: statistics.median(each.loop for each in v) for k, v in found.items()}
            said = f"{name}, {streams} stream{'s' * (streams > 1)}"
            target = 1.18 if main and streams == 1 else None
            faster = {1: 2.8, 2: 3.5}[streams] if main else None
            rows += [
                Row("node", f"{said}: CPU of decode + JPEG", cpu["QoS 0"] / floor, target=target),
                Row("node", f"{said}: the same, QoS 1", cpu["QoS 1"] / floor),
                Row(
                    "node", f"{said}: CPU after decode, of naive",
                    (cpu["QoS 0"] - decode) / (cpu["naive"] - decode),
                ),
                Row(
                    "node", f"{said}: throughput, of naive",
                    wall["naive"] / wall["QoS 0"], target=faster, more=True,
                ),
                Row("node", f"{said}: frames a second", 1e3 / wall["QoS 0"], "1/s", more=True),
                Row("node", f"{said}: CPU", cpu["QoS 0"], "ms/frame"),
                Row("node", f"{said}: CPU of its loop", loop["QoS 0"], "ms/frame"),
                Row("node", f"{said}: CPU of its loop, QoS 1", loop["QoS 1"], "ms/frame"),
                Row("node", f"{said}: CPU of the naive node", cpu["naive"], "ms/frame"),
            ]  # fmt: skip
    return rows


def scaling(folder: Path, *, quick: bool) -> list[Row]:
    """From one core to two, by the number of streams."""
    path, kind = clip(folder, quick=quick), KINDS[0]
    rows = []
    for streams in (1,) if quick else (1, 2, 4, 8, 16):
        count = (120 if quick else 960) // streams
        messages = [message(n, kind) for n in range(count)]
        clips = {f"gate{n}": path for n in range(streams)}
        found: dict[int, list[Found]] = {1: [], os.cpu_count() or 1: []}
        for _ in range(1 if quick else 3):
            for cores, each in found.items():
                each.append(work(folder, Subject(), clips, messages, kind, cores, loop=True))
        wall = {k: statistics.median(each.wall for each in v) for k, v in found.items()}
        cpu = {k: statistics.median(each.cpu for each in v) for k, v in found.items()}
        (one, two), (_, all_cores) = wall.values(), wall
        rows += [
            Row("scaling", f"{streams} streams: {all_cores} cores, of one", one / two, more=True),
            Row("scaling", f"{streams} streams: frames a second", 1e3 / two, "1/s", more=True),
            Row("scaling", f"{streams} streams: CPU", cpu[all_cores], "ms/frame"),
        ]
    return rows
