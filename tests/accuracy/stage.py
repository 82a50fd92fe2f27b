"""One run: a broker, a camera, a node, a detector and a judge, each of them real."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml
from accuracy.judge import EPOCH, Judge, Verdict
from accuracy.proxy import Faults, Proxy
from peers import Mosquitto, free_port, settings

ROOT = Path(__file__).parents[2]
_NO_CAMERA = (
    "no camera; where GStreamer is missing: apt-get install gstreamer1.0-plugins-base "
    "gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly gir1.2-gst-rtsp-server-1.0 "
    "gir1.2-gst-plugins-base-1.0 python3-gi"
)
# The keys that promise the right frame.
PROMISING = ("frame_id", "sei", "utc")
_SYSTEM_PYTHON = "/usr/bin/python3"
_MAX_WAIT = 2.0
# The node's own for capture times; at high rates it has to stay below half an interval.
_TOLERANCE = 0.008


@dataclass(frozen=True)
class Scenario:
    """What happens in a run.

    Attributes:
        keys: The pairing keys with which it makes sense.
        complete: Whether every picture that both sides keyed has to give a crop.
        promised: The keys of which no crop may be wrong.
        mount: What the detector reads; the node reads ``main``.
        faults: Of the network between the camera and its clients; not None: through a proxy.
        camera: More of its arguments.
        detector: The same.
        late: Who joins five seconds after the other, ``node`` or ``detector``.
        event: What happens while it runs.
    """

    keys: tuple[str, ...]
    complete: bool = True
    promised: tuple[str, ...] = PROMISING
    transport: str = "tcp"
    mount: str = "main"
    faults: Faults | None = None
    camera: tuple[str, ...] = ()
    detector: tuple[str, ...] = ()
    late: str = ""
    event: "Callable[[Stage], Awaitable[None]] | None" = None


@dataclass(frozen=True)
class Size:
    """How long a run is, how fast, and how large its pictures are."""

    frames: int = 300
    rate: int = 30
    width: int = 640


@dataclass
class Result:
    """What a run came to."""

    verdict: Verdict
    ledger: dict[str, Any]
    scenario: Scenario
    key: str
    asked: int
    exit_code: int

    @property
    def missing(self) -> int:
        """Pictures that both sides keyed and that gave no right crop."""
        return len(self.verdict.keyed - self.verdict.right)

    @property
    def problems(self) -> list[str]:
        """The bars it missed; of those on frames, the other keys miss none."""
        published = self.ledger["crops"]["published"]
        arrived = self.verdict.crops.total()
        found = [f"the node ended with {self.exit_code}"] if self.exit_code else []
        if len(self.verdict.published) < self.asked:
            found.append(f"in time, {len(self.verdict.published)} of {self.asked} were spoken of")
        if arrived != published:
            found.append(f"{published} crops published, {arrived} arrived")
        if self.verdict.paired_by - {self.key}:
            found.append(f"paired by {self.verdict.paired_by}")
        if self.key not in self.scenario.promised:
            return found
        found += [f"wrong: {example}" for example in self.verdict.examples]
        if not self.verdict.right:
            found.append("no crop at all is right")
        if repeated := self.verdict.crops["right"] - len(self.verdict.right):
            found.append(f"{repeated} crops came twice")
        if self.scenario.complete and self.missing * 1000 > len(self.verdict.keyed):
            found.append(f"{self.missing} of {len(self.verdict.keyed)} keyed frames gave no crop")
        return found


class Stage:
    """Starts everybody, lets something happen, and asks the judge.

    Args:
        folder: For logs and configurations.
        progress: Called several times a second.
    """

    def __init__(
        self,
        folder: Path,
        scenario: Scenario,
        key: str,
        size: Size,
        progress: Callable[[Verdict], None] = lambda _: None,
    ) -> None:
        self._folder, self._scenario, self._key, self._size = folder, scenario, key, size
        self._progress = progress
        self._port = free_port()
        self._epoch = 0
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        folder, scenario = self._folder, self._scenario
        self._broker = Mosquitto(folder)
        self._stack.callback(self._broker.kill)
        faults = scenario.faults
        self.proxies = {}
        for name in ("node", "detector") if faults else ():
            self.proxies[name] = await self._stack.enter_async_context(Proxy(self._port, faults))
        self.judge = await self._stack.enter_async_context(Judge(self._broker.port))
        self._stack.callback(self._kill_all)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def run(self) -> Result:
        """The whole play."""
        scenario, size = self._scenario, self._size
        await self.start_server()
        first, second = self._start_node, self.start_detector
        if scenario.late == "node":
            first, second = second, first
        first()
        if scenario.late:
            await asyncio.sleep(5)
        second()
        limit = time.monotonic() + 90 + 3 * size.frames / size.rate
        event = asyncio.create_task(scenario.event(self) if scenario.event else asyncio.sleep(0))
        while not (event.done() and len(self._verdict.published) >= size.frames):
            if event.done():
                event.result()
            if time.monotonic() > limit:
                event.cancel()
                break
            await self._tick()
        await self._stop("detector")
        until = time.monotonic() + _MAX_WAIT + 1
        while time.monotonic() < until:
            await self._tick()
        code = await self._stop("node")
        ledger = json.loads((self._folder / "ledger.json").read_text())["streams"]["gate"]
        return Result(self._verdict, ledger, scenario, self._key, size.frames, code)

    # What may happen.

    async def spoken(self, share: float) -> None:
        """Wait until the detector has spoken of a share of the run's frames."""
        while len(self._verdict.published) < share * self._size.frames:  # noqa: ASYNC110  # as _tick
            await asyncio.sleep(0.1)

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
        scenario, frame_id = self._scenario, self._key == "frame_id"
        url = "streamcrop/gate/frames" if frame_id else self._url("detector", scenario.mount)
        topic = "detections/gate" if name == "detector" else f"detections/{name}"
        command = [sys.executable, "-m", "accuracy.detector", url, "--key", self._key]
        command += ["--transport", scenario.transport, "--topic", topic]
        self._start(name, [*command, "--broker", str(self._broker.port), *scenario.detector])

    def burn(self, name: str) -> None:
        """Keep a core busy until `kill`."""
        self._start(name, [sys.executable, "-c", "while True: pass"])

    # What that is made of.

    @property
    def _verdict(self) -> Verdict:
        return self.judge.verdict

    def _url(self, client: str, mount: str) -> str:
        port = self.proxies[client].port if self.proxies else self._port
        return f"rtsp://127.0.0.1:{port}/{mount}"

    def _start_node(self) -> None:
        source = {"url": self._url("node", "main"), "transport": self._scenario.transport}
        pairing = {"key": self._key, "max_wait": _MAX_WAIT}
        if self._key == "utc":
            pairing["tolerance"] = min(_TOLERANCE, 0.4 / self._size.rate)
        sections: dict[str, Any] = {"pairing": pairing}
        if self._key == "frame_id":
            sections["tap"] = {"longest_side": self._size.width // 2}
        tree = settings(self._broker.url, "", source=source, **sections)
        path = self._folder / "node.yaml"
        path.write_text(yaml.safe_dump(tree))
        command = [sys.executable, "-m", "streamcrop", "run", str(path)]
        self._start("node", [*command, "--ledger", str(self._folder / "ledger.json")])

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
