"""One run: a broker, a camera, a node, a detector and a judge, each of them real."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import yaml
from accuracy.clock import CameraClock, Pace
from accuracy.judge import Judge, Verdict
from accuracy.pattern import EPOCH
from accuracy.proxy import Faults, Proxy
from accuracy.scenario import WAYS, Result, Scenario, Size
from peers import Mosquitto, free_port, settings

ROOT = Path(__file__).parents[2]
_NO_CAMERA = (
    "no camera; where GStreamer is missing: apt-get install gstreamer1.0-plugins-base "
    "gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly gstreamer1.0-plugins-bad "
    "gstreamer1.0-libav gir1.2-gst-rtsp-server-1.0 gir1.2-gst-plugins-base-1.0 python3-gi"
)
_SYSTEM_PYTHON = "/usr/bin/python3"
_MAX_WAIT = 2.0
# The node's own for capture times; at high rates it has to stay below half an interval.
_TOLERANCE = 0.008
_PICTURES = "pictures/gate"
_LATE = 5.0
# An event may take so long beyond the pictures' own time.
_LONGEST = 240.0


class Stage:
    """Starts everybody, lets something happen, and asks the judge.

    Args:
        folder: For logs and configurations.
        scenario: What happens.
        way: One of `WAYS`.
        size: Of the run; the scenario may change it.
        reader: Of the detector where it may choose, ``gstreamer`` or ``ffmpeg``.
        seed: For what is left to chance.
        progress: Called several times a second.
    """

    def __init__(
        self,
        folder: Path,
        scenario: Scenario,
        way: str,
        size: Size,
        *,
        reader: str = "ffmpeg",
        seed: int = 1,
        progress: Callable[[Verdict], None] = lambda _: None,
    ) -> None:
        self._folder, self._scenario = folder, scenario
        self._name, self._way = way, WAYS[way]
        frames = round(size.frames * scenario.span)
        self._size = replace(size, frames=frames, rate=scenario.rate or size.rate)
        reads = self._way.key == "utc" and not scenario.resilient
        self._reader = reader if reads else "ffmpeg"
        self._seed, self._progress = seed, progress
        self._clock = CameraClock()
        self._offset: float | None = None
        self._port = free_port()
        self._epoch = 0
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        folder, scenario = self._folder, self._scenario
        self._broker = Mosquitto(folder)
        self._stack.callback(self._broker.kill)
        self.proxies = {}
        through = scenario.faults or scenario.paces
        for at, name in enumerate(("node", "detector") if through else ()):
            pace = scenario.paces.get(name, Pace())
            faults = scenario.faults or Faults()
            proxy = Proxy(self._port, faults, self._clock, pace, 2 * self._seed + at)
            self.proxies[name] = await self._stack.enter_async_context(proxy)
        self.judge = await self._stack.enter_async_context(Judge(self._broker.port))
        self._verdict.reordered = scenario.reordered
        self._stack.callback(self._kill_all)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def run(self) -> Result:
        """The whole play."""
        scenario, size = self._scenario, self._size
        await self._begin()
        limit = time.monotonic() + _LONGEST + 3 * size.frames / size.rate
        event = asyncio.create_task(scenario.event(self) if scenario.event else asyncio.sleep(0))
        while not (event.done() and len(self._verdict.published) >= size.frames):
            if event.done():
                event.result()
            if time.monotonic() > limit:
                event.cancel()
                break
            await self._tick()
        await self._stop("detector")
        # Some pairs wait for the node's next report.
        confirm = scenario.longest if "confirm" in self._way.pairing else 0
        until = time.monotonic() + _MAX_WAIT + 1 + confirm
        while time.monotonic() < until:
            await self._tick()
        code = await self._stop("node")
        ledger = json.loads((self._folder / "ledger.json").read_text())["streams"]["gate"]
        return Result(self._verdict, ledger, scenario, self._name, size, code)

    # What may happen.

    async def spoken(self, share: float) -> None:
        """Wait until the detector has spoken of a share of the run's frames."""
        while len(self._verdict.published) < share * self._size.frames:  # noqa: ASYNC110  # as _tick
            await asyncio.sleep(0.1)

    async def cropped(self, count: int) -> None:
        """Wait until so many crops are right."""
        while len(self._verdict.right) < count:  # noqa: ASYNC110  # as _tick
            await asyncio.sleep(0.1)

    def set_clock(self, seconds: float, over: float = 0.0) -> None:
        """Set the camera's clock; its clients learn of it by their next reports."""
        self._clock.change(time.time(), seconds, over)
        self._verdict.turns.append((seconds, max(self._verdict.published)))

    async def start_server(self) -> None:
        """Let the camera begin; a second one counts from the next epoch on."""
        size = self._size
        arguments = {
            "--port": self._port,
            "--first": self._epoch * EPOCH + 1,
            "--rate": size.rate,
            "--width": size.width,
            "--height": size.width * 3 // 4,
        }
        flat = [str(part) for pair in arguments.items() for part in pair]
        self._epoch += 1
        command = [_SYSTEM_PYTHON, "-m", "accuracy.server", *flat, *self._scenario.camera]
        try:
            server = self._start("server", command)
        except FileNotFoundError:
            raise RuntimeError(_NO_CAMERA) from None
        while b"ready" not in (self._folder / "server.log").read_bytes():
            if server.poll() is not None:
                raise RuntimeError(f"{_NO_CAMERA}\n{self._said('server', server.returncode)}")
            await asyncio.sleep(0.05)

    def kill(self, name: str) -> None:
        """End a process at once."""
        child = self._children.pop(name)
        child.kill()
        child.wait()

    def start_detector(self, name: str = "detector") -> None:
        """Let a detector join; one by another name speaks to nobody."""
        scenario, key = self._scenario, self._way.key
        url = self._url("detector", scenario.mount)
        if key == "frame_id":
            url = _PICTURES if scenario.pictures else "streamcrop/gate/frames"
        topic = "detections/gate" if name == "detector" else f"detections/{name}"
        command = [sys.executable, "-m", "accuracy.detector", url, "--key", key]
        command += ["--transport", scenario.transport, "--topic", topic, "--reader", self._reader]
        command += [] if self._way.media_time else ["--no-media-time"]
        self._start(name, [*command, "--broker", str(self._broker.port), *scenario.detector])

    def burn(self, name: str) -> None:
        """Keep a core busy until `kill`."""
        self._start(name, [sys.executable, "-c", "while True: pass"])

    # What that is made of.

    async def _begin(self) -> None:
        """Start everybody, in order."""
        scenario = self._scenario
        order = [self._start_node, self.start_detector]
        if scenario.late == "node":
            order.reverse()
        if scenario.pictures:
            order.insert(2 if scenario.late == "camera" else 0, self._start_pictures)
        else:
            await self.start_server()
        if scenario.measured:
            await self._measure()
        for start in order[:-1]:
            start()
        await asyncio.sleep(_LATE if scenario.late else 0)
        order[-1]()

    @property
    def _verdict(self) -> Verdict:
        return self.judge.verdict

    def _url(self, client: str, mount: str) -> str:
        port = self.proxies[client].port if self.proxies else self._port
        return f"rtsp://127.0.0.1:{port}/{mount}"

    def _start_pictures(self) -> None:
        size = {
            "--broker": self._broker.port,
            "--rate": self._size.rate,
            "--width": self._size.width,
        }
        flat = [str(part) for pair in size.items() for part in pair]
        command = [sys.executable, "-m", "accuracy.snapshots", _PICTURES, *flat]
        self._start("server", [*command, *self._scenario.camera])

    async def _measure(self) -> None:
        """Learn the offset of the capture times, and keep both media alive."""
        scenario = self._scenario
        urls = [f"rtsp://127.0.0.1:{self._port}/{path}" for path in ("main", scenario.mount)]
        self._start("offset", [sys.executable, "-m", "accuracy.offset", *urls])
        said = await self._until_said("offset", r"^(\S+) ")
        if scenario.measured == "calibrate":
            path = self._write_settings()
            command = [sys.executable, "-m", "streamcrop", "calibrate", str(path)]
            command += ["--stream", "gate", "--detector-url", urls[1], "--seconds", "15"]
            self._start("calibrate", command)
            said = await self._until_said("calibrate", r"^  offset: (\S+)")
            await self._stop("calibrate")
        self._offset = float(said)

    async def _until_said(self, name: str, pattern: str) -> str:
        """Wait for a line in a log."""
        limit = time.monotonic() + _LONGEST / 4
        while not (
            found := re.search(pattern, (self._folder / f"{name}.log").read_text(), re.MULTILINE)
        ):
            await asyncio.sleep(0.1)
            if time.monotonic() > limit:
                raise RuntimeError(self._said(name, 0))
        return found[1]

    def _start_node(self) -> None:
        path = self._write_settings()
        command = [sys.executable, "-m", "streamcrop", "run", str(path)]
        self._start("node", [*command, "--ledger", str(self._folder / "ledger.json")])

    def _write_settings(self) -> Path:
        scenario, way = self._scenario, self._way
        source = {"url": self._url("node", "main"), "transport": scenario.transport}
        pairing = {"key": way.key, "max_wait": _MAX_WAIT, **way.pairing, **scenario.pairing}
        if way.key == "utc":
            pairing["tolerance"] = min(_TOLERANCE, 0.4 / self._size.rate)
        if self._offset is not None:
            pairing["offset"] = self._offset
        if scenario.pictures:
            source = {"url": f"mqtt:{_PICTURES}"}
        sections: dict[str, Any] = {"pairing": pairing, "source": source}
        if way.key == "frame_id" and not scenario.pictures:
            sections["tap"] = {"longest_side": self._size.width // 2}
        tree = settings(self._broker.url, "", **sections)
        path = self._folder / "node.yaml"
        path.write_text(yaml.safe_dump(tree))
        return path

    def _start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("wb") as log:
            child = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT / "tests"), "PYTHONFAULTHANDLER": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._children[name] = child
        return child

    async def _tick(self) -> None:
        """Let time pass, and see that everybody lives."""
        await asyncio.sleep(0.1)
        self.judge.check()
        self._progress(self._verdict)
        for name, child in self._children.items():
            if child.poll() is not None:
                raise RuntimeError(self._said(name, child.returncode))

    def _said(self, name: str, code: int) -> str:
        said = (self._folder / f"{name}.log").read_text()[-2000:]
        return f"the {name} ended with {code}:\n{said}"

    async def _stop(self, name: str) -> int:
        child = self._children.pop(name)
        child.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(child.wait, 30)

    def _kill_all(self) -> None:
        for name in list(self._children):
            self.kill(name)
