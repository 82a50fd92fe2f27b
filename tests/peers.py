"""Real peers for the tests: a broker, a client, a node in a process of its own, and clips."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import aiomqtt
import av
import cv2
import numpy as np
import numpy.typing as npt
import yaml
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from patience import PATIENCE

Image = npt.NDArray[np.uint8]
BITS = 12
_CELL = 16


def free_port() -> int:
    """A port of the loopback interface that nobody uses.

    Below those that the system hands out, to connections too: else another process may have it
    before who asked.
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


class Mosquitto:
    """A real broker, which can be killed, frozen and started again on its port."""

    def __init__(self, folder: Path, *lines: str, port: int | None = None) -> None:
        path = f"{os.environ.get('PATH', '')}:/usr/sbin"
        program = shutil.which("mosquitto", path=path)
        assert program, "the tests need mosquitto: apt-get install mosquitto"
        self.port = port or free_port()
        self._config = folder / f"mosquitto-{self.port}.conf"
        anonymous = (
            () if any("allow_anonymous" in line for line in lines) else ("allow_anonymous true",)
        )
        text = "\n".join(
            (
                f"listener {self.port} 127.0.0.1",
                *anonymous,
                "persistence false",
                "set_tcp_nodelay true",
                "max_queued_messages 100000",
                # As root it would become a user who cannot read this folder.
                *(("user root",) if os.geteuid() == 0 else ()),
                *lines,
                "",
            )
        )
        self._config.write_text(text)
        self._command = [program, "-c", str(self._config)]
        self.start()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self._answers)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until something is so; for fewer seconds where it may never be.

    Raises:
        TimeoutError: If it never was.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(condition)
        time.sleep(0.02)


@dataclass
class Node:
    """``streamcrop run`` in a process of its own."""

    folder: Path
    settings: dict[str, Any]
    program: Sequence[str] = ("-m", "streamcrop")
    options: Sequence[str] = ()
    process: subprocess.Popen[str] = field(init=False)

    def __enter__(self) -> Self:
        path = self.folder / "node.yaml"
        path.write_text(yaml.safe_dump(self.settings))
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-X",
                "dev",
                *self.program,
                "run",
                str(path),
                "--ledger",
                str(self.folder / "ledger.json"),
                *self.options,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def stop(self) -> None:
        """Ask it to end."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> tuple[int, str]:
        """Its exit code and what it said."""
        said, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, said

    def ledger(self, stream: str = "gate") -> dict[str, Any]:
        """The ledger it wrote, checked to add up."""
        rows = json.loads((self.folder / "ledger.json").read_text())["streams"][stream]
        for row in [rows[name] for name in rows.keys() - {"sinks"}] + [*rows["sinks"].values()]:
            assert adds_up(row), rows
        return rows


def settings(url: str, video: object, **sections: Any) -> dict[str, Any]:
    """A configuration with one stream, ``gate``."""
    stream: dict[str, Any] = {
        "source": {"url": str(video)},
        "detections": {"topic": "detections/gate"},
        "output": {"encoding": "png"},
    }
    for name, section in sections.items():
        stream[name] = {**stream.get(name, {}), **section}
    return {
        "node": "test",
        "broker": {"url": url},
        "shutdown_timeout": 5,
        # Two nodes at once would want the same port.
        "http": False,
        "streams": {"gate": stream},
    }


@dataclass(frozen=True)
class Arrived:
    """A message as a subscriber gets it."""

    topic: str
    payload: bytes
    properties: dict[str, str]
    content_type: str | None

    @property
    def metadata(self) -> dict[str, Any]:
        if "metadata" in self.properties:
            return json.loads(self.properties["metadata"])
        return json.loads(json.loads(self.payload)["metadata"])

    @property
    def image(self) -> Image:
        image = cv2.imdecode(np.frombuffer(self.payload, np.uint8), cv2.IMREAD_COLOR)
        return np.asarray(image, np.uint8)


class Client:
    """A detector and a subscriber, on a connection of its own."""

    def __init__(
        self, port: int, version: aiomqtt.ProtocolVersion = aiomqtt.ProtocolVersion.V5
    ) -> None:
        self._client = aiomqtt.Client("127.0.0.1", port, protocol=version)
        self.arrived: list[Arrived] = []
        self._more = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        await self._client.subscribe("streamcrop/#", 1)
        self._task = asyncio.create_task(self._receive())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._client.__aexit__(None, None, None)

    async def _receive(self) -> None:
        async for message in self._client.messages:
            properties = message.properties
            self.arrived.append(
                Arrived(
                    str(message.topic),
                    bytes(message.payload),
                    dict(getattr(properties, "UserProperty", ())),
                    getattr(properties, "ContentType", None),
                )
            )
            self._more.set()

    async def publish(
        self,
        payload: object,
        topic: str = "detections/gate",
        said: dict[str, str] | None = None,
        *,
        retain: bool = False,
    ) -> None:
        """Publish bytes, a text or JSON, with user properties where something is ``said``."""
        data = payload if isinstance(payload, bytes | str) else json.dumps(payload)
        properties = None
        if said:
            properties = Properties(PacketTypes.PUBLISH)
            properties.UserProperty = list(said.items())
        await self._client.publish(topic, data, 1, retain, properties=properties, timeout=PATIENCE)

    def of(self, topic: str, stream: str = "gate") -> list[Arrived]:
        """What came on ``streamcrop/{stream}/{topic}``."""
        return [m for m in self.arrived if m.topic == f"streamcrop/{stream}/{topic}"]

    def states(self, stream: str = "gate") -> list[str]:
        """The states that the stream was in."""
        return [json.loads(message.payload)["state"] for message in self.of("status", stream)]

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait until something is so of what has arrived."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._more.clear()
                await self._more.wait()

    async def until_running(self, stream: str = "gate") -> None:
        await self.until(lambda: "running" in self.states(stream))

    async def until_ended(self, stream: str = "gate") -> None:
        await self.until(lambda: "ended" in self.states(stream))


def numbered(number: int, width: int, height: int) -> Image:
    """A picture that carries its number in cells of black and white, over a gradient."""
    ramp = np.linspace(60, 180, width, dtype=np.uint8)
    image = np.repeat(np.tile(ramp, (height, 1))[:, :, None], 3, axis=2)
    for bit in range(BITS):
        value = 235 if number >> bit & 1 else 20
        image[: 2 * _CELL, bit * _CELL : (bit + 1) * _CELL] = value
    return image


def number_in(image: Image) -> int:
    """The number that `numbered` drew into the top left corner."""
    found = 0
    for bit in range(BITS):
        cell = image[6 : 2 * _CELL - 6, bit * _CELL + 4 : (bit + 1) * _CELL - 4]
        found |= int(cell.mean() > 128) << bit
    return found


NUMBER_BOX = (0, 0, BITS * _CELL, 2 * _CELL)


def write_clip(
    path: Path,
    pictures: Sequence[Image] | Iterator[Image],
    *,
    codec: str = "libx264",
    pts: Callable[[int], int] = lambda index: index,
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    rate: int = 25,
) -> Path:
    """Encode pictures into a file."""
    with av.open(str(path), "w") as container:
        stream = None
        for index, picture in enumerate(pictures):
            if stream is None:
                stream = container.add_stream(codec, rate=rate, options=options or {})
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = pix_fmt
                stream.time_base = stream.codec_context.time_base = Fraction(1, rate)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = pts(index), Fraction(1, rate)
            container.mux(stream.encode(frame))
        assert stream is not None
        container.mux(stream.encode())
    return path


def numbered_clip(path: Path, count: int, width: int = 320, height: int = 240, **how: Any) -> Path:
    """A clip whose pictures carry their index."""
    return write_clip(path, (numbered(n, width, height) for n in range(count)), **how)


def box_of(xyxy: Sequence[float], **more: Any) -> dict[str, Any]:
    """A prediction with these corners."""
    left, top, right, bottom = xyxy
    return {
        "x": (left + right) / 2,
        "y": (top + bottom) / 2,
        "width": right - left,
        "height": bottom - top,
        "confidence": 0.9,
        "class": "thing",
        "class_id": 0,
        **more,
    }


class Camera:
    """A real RTSP server, GStreamer's, whose pictures carry their number (`accuracy.pattern`)."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        scheme = "rtsps" if "--certificate" in options else "rtsp"
        self.url = f"{scheme}://127.0.0.1:{self.port}/main"
        self._log = folder / f"camera-{self.port}.log"
        self._options = options
        self._first = 1
        self.start()

    def start(self, *more: str) -> None:
        """Begin to serve, with more options; the numbers of a second start are others."""
        tests = Path(__file__).parent
        arguments = ["--port", str(self.port), "--first", str(self._first), *self._options, *more]
        self._first += 1_000_000
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                ["/usr/bin/python3", "-m", "accuracy.server", *arguments],
                cwd=tests,
                env={**os.environ, "PYTHONPATH": str(tests)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._is_ready)

    def _is_ready(self) -> bool:
        said = self._log.read_text()
        assert self.process.poll() is None, f"the tests need GStreamer, see .ci/test:\n{said}"
        return "ready" in said

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


def adds_up(row: dict[str, Any]) -> bool:
    """Whether what entered a row of a ledger, or was inherited, is what ended, or is spooled."""
    said = dict(row)
    kept = said.pop("inherited", 0) - said.pop("spooled", 0)
    dropped = sum(said.pop("dropped").values())
    entered, succeeded = said.values()
    return bool(entered + kept == succeeded + dropped)
