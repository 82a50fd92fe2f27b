"""How late a crop is, live: ``python -m tests.benchmarks latency``.

A camera of 720p at 30 frames a second (GStreamer's RTSP server), a real mosquitto, a node in a
process of its own and a detector in another that needs no time. Measured is from its message to the
crop at a subscriber, where the frame is there first; and where the message is, from the node's
demuxer to that crop. Beside it in the same run what nobody can save: a bare round trip through the
broker with as many bytes, and decoding, cutting and compressing in one process without a broker.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import av
import av.bitstream
import cv2
import numpy as np
import paho.mqtt.client as paho
import simplejpeg
from benchmarks.material import RATE, SMALL, clip
from benchmarks.node import configured
from benchmarks.oracle import at_once
from benchmarks.report import Row
from peers import Mosquitto, free_port

TESTS = Path(__file__).parents[1]
# As the detector's: left, top, right, bottom.
_BOX = 324, 210, 476, 510
_QUALITY = 90
_PAIRING = {"tap": "frame_id", "ahead": "utc"}
_SYSTEM_PYTHON = "/usr/bin/python3"


@contextmanager
def child(*command: str, **how: int) -> "Iterator[subprocess.Popen[bytes]]":
    """A process that ends with the context, in its own way if it can."""
    environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
    with subprocess.Popen(command, env=environment, **how) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def units(path: Path, folder: Path) -> Path:
    """A clip's access units as the camera reads them: each behind its length."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        filtered = av.bitstream.BitStreamFilterContext("h264_mp4toannexb", stream)
        packets = [
            bytes(each) for packet in container.demux(stream) for each in filtered.filter(packet)
        ]
    found = folder / "units"
    found.write_bytes(b"".join(len(each).to_bytes(4, "big") + each for each in packets if each))
    return found


@contextmanager
def camera(folder: Path, path: Path) -> Iterator[str]:
    """A camera; yields its URL."""
    port = str(free_port())
    command = (_SYSTEM_PYTHON, "-m", "benchmarks.camera", port, str(units(path, folder)), str(RATE))
    with child(*command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError("no camera: see .ci/peers for what it needs")
        yield f"rtsp://127.0.0.1:{port}/main"


def demuxed_to_jpeg(url: str, count: int) -> tuple[list[float], int]:
    """The floor behind the demuxer, in ms, of each picture; and the bytes of the last crop."""
    options = {"rtsp_transport": "tcp", "allowed_media_types": "video", "fpsprobesize": "0"}
    left, top, right, bottom = _BOX
    taken = []
    with av.open(url, options=options) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for packet in container.demux(stream):
            since = time.perf_counter()
            for picture in packet.decode():
                planes = [
                    np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[
                        top // by : -(-bottom // by), left // by : -(-right // by)
                    ]
                    for plane, by in zip(picture.planes, (1, 2, 2), strict=True)
                ]
                crop = simplejpeg.encode_jpeg_yuv_planes(*planes, _QUALITY)
                taken.append(1e3 * (time.perf_counter() - since))
            if len(taken) >= count:
                break
    return taken, len(crop)


def round_trip(port: int, nbytes: int, count: int) -> list[float]:
    """The floor of a message and its answer of so many bytes, in ms."""
    taken, answered = [], threading.Event()
    with child(
        sys.executable, "-m", "benchmarks.latency", str(port), str(nbytes), stdout=subprocess.PIPE
    ) as echo:
        assert echo.stdout
        echo.stdout.readline()
        client = connected(port, "answer", lambda _: answered.set())
        client.loop_start()
        for _ in range(count):
            time.sleep(1 / RATE)
            since = time.perf_counter()
            client.publish("question", b"x" * 200, 1)
            assert answered.wait(10)
            taken.append(1e3 * (time.perf_counter() - since))
            answered.clear()
        client.disconnect()
        client.loop_stop()
    return taken


def connected(port: int, topic: str, heed: Callable[[paho.MQTTMessage], object]) -> paho.Client:
    """A client that heeds what comes on a topic."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_socket_open = at_once
    client.on_message = lambda _, __, message: heed(message)
    client.connect("127.0.0.1", port)
    client.subscribe(topic, 1)
    return client


def answer(port: int, nbytes: int) -> None:
    """Answer each question with so many bytes."""
    client = connected(port, "question", lambda _: client.publish("answer", bytes(nbytes), 1))
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.loop_forever()


def node(folder: Path, port: int, url: str, way: str, count: int) -> list[float]:
    """What the node takes, in ms, of each crop: from the message, or ``ahead``, from the packet."""
    stream = {"source": {"url": url}, "pairing": {"key": _PAIRING.get(way, way)}}
    if way == "sei":
        stream["pairing"]["sei_uuid"] = "62656e63-686d-6172-6b2d-6e756d626572"
    if way == "tap":
        stream["tap"] = {"longest_side": 640}
    *_, path = configured(folder, port, {"gate": stream})
    noted = folder / "came.json"
    with ExitStack() as stack:
        command = (sys.executable, "-m", "benchmarks.watched", str(noted), "run", path)
        stack.enter_context(child(*command, stdout=subprocess.DEVNULL))
        command = (sys.executable, "-m", "benchmarks.oracle", way, str(port), url)
        oracle = stack.enter_context(child(*command, str(count), stdout=subprocess.PIPE))
        said, _ = oracle.communicate()
    answered = json.loads(said)
    if len(answered) < count:
        raise RuntimeError(f"{way}: of {count} crops {len(answered)} came")
    came = json.loads(noted.read_text())
    return [(end - (came[name] if way == "ahead" else sent)) / 1e3 for name, sent, end in answered]


def rows_of(times: Sequence[float], name: str, p50: float | None, p99: float | None) -> list[Row]:
    """Median and 99th percentile."""
    found = sorted(times)
    return [
        Row("latency", f"{name}, median", statistics.median(found), "ms", p50),
        Row("latency", f"{name}, p99", found[int(0.99 * len(found))], "ms", p99),
    ]


_NAMES = {
    "trip": ("floor: round trip with the crop's bytes", None, None),
    "floor": ("floor: demuxed to JPEG", None, None),
    "sei": ("sei: message to crop", 4, 15),
    "tap": ("tap: message to crop", 4, 15),
    "utc": ("utc: message to crop", 4, 15),
    "ahead": ("utc, message first: demuxed to crop", 8, None),
}


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """All ways, in turns with the floors."""
    cv2.setNumThreads(1)
    rounds, warm, count = (1, 15, 15) if quick else (2, 60, 240)
    ways = ("sei", "tap") if quick else tuple(_NAMES)[2:]
    path = clip(folder, SMALL, quick=quick)
    found: dict[str, list[float]] = {}
    broker = Mosquitto(folder)
    try:
        with camera(folder, path) as url:
            for _ in range(rounds):
                taken, nbytes = demuxed_to_jpeg(url, warm + count)
                rest = {way: node(folder, broker.port, url, way, count) for way in ways}
                trip = round_trip(broker.port, nbytes, warm + count)
                for name, times in {"trip": trip[warm:], "floor": taken[warm:], **rest}.items():
                    found.setdefault(name, []).extend(times)
    finally:
        broker.kill()
    return [row for name, times in found.items() for row in rows_of(times, *_NAMES[name])]


if __name__ == "__main__":
    answer(int(sys.argv[1]), int(sys.argv[2]))
