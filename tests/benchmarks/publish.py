"""What publishing a crop costs, and how soon it is done: ``python -m tests.benchmarks publish``.

CPU is that of this process, for an event of 8 kB with all properties, ten at a time as a frame has
them, from the event's attributes to the broker's acknowledgement; beside it what paho's own client
and thread need for the same in the same run. Latency is that of a whole node in this process: a
clip of 30 frames a second, and a detector in another process that answers each frame with ten
boxes. Both with a real mosquitto.
"""

import asyncio
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from benchmarks.report import Row
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from streamcrop import config
from streamcrop.demo.brokers import embedded_broker, running
from streamcrop.formats.events import CROP_TYPE, Event, attributes, topic_of
from streamcrop.mqtt.broker import Address, Broker
from streamcrop.node import Node
from streamcrop.sinks.mqtt import Envelope, MqttSink

CLIP = Path(__file__).parents[2] / "streamcrop/demo/clip.mp4"
_DETECTOR = Path(__file__).with_name("detector.py")
CROPS, RATE, PICTURE = 10, 30, bytes(range(256)) * 32
METADATA = json.dumps(
    {
        "stream": "gate",
        "frame_id": "18c2f0a91d3-1234",
        "pts": 11106000,
        "time_base": "1/90000",
        "captured_at": "2026-11-22T10:00:00.123456Z",
        "paired_by": "frame_id",
        "residual": 0.0,
        "id": "gate/18c2f0a91d3-1234/ea76c960-cc5a-5f90-87a4-710e4ea3410b",
        "detection_id": "ea76c960-cc5a-5f90-87a4-710e4ea3410b",
        "origin": [634, 87],
        "transform": [[1, 0, -634], [0, 1, -87]],
        "lineage": [
            {"id": "gate/18c2f0a91d3-1234", "width": 1768, "height": 994},
            {"id": "ea76c960", "origin": [634, 87], "width": 32, "height": 40},
        ],
        "image": {"width": 32, "height": 40},
        "predictions": [{"x": 16.12, "y": 19.7, "width": 32.46, "height": 40.19, "class": "face"}],
    }
).encode()


def crop_event(number: int) -> Event:
    """What `render` makes of a crop."""
    names = {"stream": "gate", "frame_id": str(number), "detection_id": "ea76c960-cc5a"}
    described = attributes(
        kind=CROP_TYPE,
        node="edge",
        stream="gate",
        event_id="/".join(names.values()),
        subject="ea76c960-cc5a",
        time=1_790_000_000_000_000 + number,
    )
    topic = topic_of("streamcrop/{stream}/crops", **names, row={})
    return Event(topic, PICTURE, "image/jpeg", described, METADATA, is_crop=True)


def with_paho(port: int, qos: int, frames: int) -> float:
    """CPU seconds of paho's own client, whose properties are made anew for each message."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.max_inflight_messages_set(64)
    client.connect("127.0.0.1", port)
    client.loop_start()
    while not client.is_connected():
        time.sleep(0.01)
    since = time.process_time()
    for number in range(frames):
        for _ in range(CROPS):
            event = crop_event(number)
            properties = Properties(PacketTypes.PUBLISH)
            properties.ContentType = event.content_type
            properties.UserProperty = [
                *event.attributes.items(),
                ("metadata", event.metadata.decode()),
            ]
            last = client.publish(event.topic, event.data, qos, properties=properties)
        last.wait_for_publish()
    spent = time.process_time() - since
    client.disconnect()
    client.loop_stop()
    return spent


async def with_node(port: int, qos: int, frames: int) -> float:
    """CPU seconds of the node's own way from an event to its end."""
    ends: list[Any] = []
    broker = Broker(Address("127.0.0.1", port), name="benchmark")
    async with broker.opened():
        sink = MqttSink(
            broker,
            envelope=Envelope(broker, "auto"),
            qos=qos,
            max_inflight=64,
            on_end=lambda _, reason: ends.append(reason),
            say=lambda *_: None,
        )
        since = time.process_time()
        for number in range(frames):
            events = [crop_event(number) for _ in range(CROPS)]
            await sink.put(events, sink.prepare(events))
            await sink.drain()
        spent = time.process_time() - since
    assert ends == [None] * (frames * CROPS)
    return spent


async def cpu(port: int, rounds: int, frames: int) -> list[Row]:
    """CPU microseconds a message."""
    rows = []
    for qos, target in enumerate((60, 80)):
        found: dict[str, list[float]] = {"node": [], "paho": []}
        for _ in range(rounds):
            found["node"].append(await with_node(port, qos, frames))
            found["paho"].append(await asyncio.to_thread(with_paho, port, qos, frames))
        spent = {k: 1e6 * statistics.median(v) / frames / CROPS for k, v in found.items()}
        rows += [
            Row("publish", f"QoS {qos}: CPU of a crop's event", spent["node"], "us", target),
            Row("publish", f"QoS {qos}: the same by paho's own client", spent["paho"], "us"),
        ]
    return rows


async def latency(port: int, qos: int, seconds: int, *, load: bool) -> list[Row]:
    """How long a pair takes to be published, and how late the loop is."""
    frames = seconds * RATE
    settings = {
        "node": "benchmark",
        "broker": {"url": f"mqtt://127.0.0.1:{port}"},
        "streams": {
            "gate": {
                "source": {"url": str(CLIP), "realtime": True, "loop": True},
                "detections": {"topic": "detections/gate"},
                "output": {"qos": qos},
            }
        },
    }
    node = Node(config.parse(json.dumps(settings)))
    pipeline = node.streams["gate"]
    paired: dict[str, float] = {}
    published: dict[str, float] = {}
    clocks: list[tuple[float, float]] = []

    def noted(work: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
        def noting(*args: Any) -> Any:
            note(*args)
            return work(*args)

        return noting

    def on_pair(pair: Any) -> None:
        paired[pair.frame.value.frame_id] = time.monotonic()

    def on_end(event: Event, _: object) -> None:
        clocks.append((time.process_time(), time.thread_time()))
        if event.is_crop:
            published[event.name[0]] = time.monotonic()

    pairs = pipeline._pipeline._pairing.pairs
    pairs.put_nowait = noted(pairs.put_nowait, on_pair)
    sink = pipeline.sinks[-1]
    sink._on_end = noted(sink._on_end, on_end)
    idle = await lags(asyncio.sleep(min(2, seconds)))
    pauses = collections()

    async def play() -> None:
        arguments = (str(_DETECTOR), str(port), str(frames))
        pipe = asyncio.subprocess.PIPE
        async with running(sys.executable, *arguments, stdout=pipe) as detector:
            assert detector.stdout
            await detector.stdout.readline()
            playing = asyncio.create_task(node.run())
            await detector.wait()
            node.stop()
            await playing

    late = await lags(play())
    spent = [1e3 * (end - begin) for begin, end in zip(clocks[0], clocks[-1], strict=True)]
    gc.callbacks.pop()
    assert not node.problems, node.problems
    times = sorted(1e3 * (published[name] - paired[name]) for name in published)
    said = f"QoS {qos}{', both cores busy' if load else ''}"
    aims = (None, None) if load else (15, 2)
    return [
        Row("publish", f"{said}: pair to published, median", _at(times, 0.5), "ms"),
        Row("publish", f"{said}: pair to published, p99", _at(times, 0.99), "ms", aims[0]),
        Row("publish", f"{said}: the loop's lag, p99", _at(late, 0.99), "ms", aims[1]),
        Row("publish", f"{said}: lag of an idle loop, p99", _at(idle, 0.99), "ms"),
        Row("publish", f"{said}: longest collection of garbage", max(pauses, default=0), "ms"),
        Row("publish", f"{said}: CPU", spent[0] / len(times), "ms/frame"),
    ]


async def lags(work: Coroutine[Any, Any, None]) -> list[float]:
    """By how many ms the loop was late, each 5 ms while something is done."""
    loop, found = asyncio.get_running_loop(), []
    task = asyncio.create_task(work)
    while not task.done():
        due = loop.time() + 0.005
        await asyncio.sleep(0.005)
        found.append(1e3 * (loop.time() - due))
    await task
    return sorted(found)


def collections() -> list[float]:
    """The collector's pauses from now on, ms."""
    pauses: list[float] = []
    begun = 0.0

    def note(phase: str, _: object) -> None:
        nonlocal begun
        if phase == "start":
            begun = time.perf_counter()
        else:
            pauses.append(1e3 * (time.perf_counter() - begun))

    gc.callbacks.append(note)
    return pauses


def _at(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


async def _measure(*, quick: bool) -> list[Row]:
    async with embedded_broker("mosquitto") as (url, _):
        port = urlsplit(url).port or 0
        rows = await cpu(port, *((2, 20) if quick else (15, 100)))
        for qos in (0, 1):
            rows += await latency(port, qos, 2 if quick else 20, load=False)
        # In one go with a load, which nobody may take for the node's own time.
        burn = (sys.executable, "-c", "while True: pass")
        async with AsyncExitStack() as stack:
            for _ in range(os.cpu_count() or 1):
                await stack.enter_async_context(running(*burn))
            return rows + await latency(port, 0, 2 if quick else 20, load=True)


def measure(_: Path, *, quick: bool) -> list[Row]:
    """CPU, then latency, without and with others on the machine's cores."""
    return asyncio.run(_measure(quick=quick))
