"""`streamcrop calibrate` with GStreamer's RTSP server as it comes: the truth is in the pixels."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
import two_mounts
import yaml
from patience import PATIENCE
from peers import free_port, settings, wait_until

from streamcrop.core.capture import CaptureClock
from streamcrop.core.pixels import YuvPixels
from streamcrop.core.values import Frame
from streamcrop.sources.live import LiveSource

pytestmark = pytest.mark.e2e

X264 = "x264enc speed-preset=ultrafast key-int-max=50"
FAST = f"{X264} tune=zerolatency"
WIDE, ANAMORPHIC = "1024x576", "512x384"


class Server:
    """Two mounts in a process of their own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._log = folder / "server.log"
        command = ["/usr/bin/python3", two_mounts.__file__, "--port", str(self.port), *options]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        wait_until(self._is_ready)

    def _is_ready(self) -> bool:
        said = self._log.read_text()
        assert self.process.poll() is None, f"the tests need GStreamer, see .ci/test:\n{said}"
        return "ready" in said

    def url(self, mount: str) -> str:
        return f"rtsp://127.0.0.1:{self.port}/{mount}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Reader:
    """Reads numbers and capture times beside `calibrate`, in a thread."""

    def __init__(self, url: str) -> None:
        self.times: dict[int, float] = {}
        self._source = LiveSource(url, clock=CaptureClock(8000))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for item in self._source:
            if not isinstance(item, Frame) or item.captured_at is None:
                continue
            assert isinstance(item.pixels, YuvPixels)
            number = two_mounts.read_picture(item.pixels.y)
            if number is not None:
                self.times[number] = item.captured_at / 1e6

    def stop(self) -> dict[int, float]:
        self._source.stop()
        self._thread.join(PATIENCE)
        return self.times


@pytest.fixture
def serve() -> Iterator[list[Server]]:
    """Whoever is put in is killed at the end."""
    servers: list[Server] = []
    yield servers
    for server in servers:
        server.kill()


def begin(server: Server, folder: Path, mount: str = "sub") -> "subprocess.Popen[str]":
    """Start `calibrate` for its main mount and this one."""
    path = folder / "node.yaml"
    chosen = settings("mqtt://127.0.0.1:1", server.url("main"), pairing={"key": "utc"})
    path.write_text(yaml.safe_dump(chosen))
    command = [sys.executable, "-m", "streamcrop", "calibrate", str(path), "--stream", "gate"]
    command += ["--detector-url", server.url(mount), "--seconds", "20"]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize(
    "options",
    [
        ("--main", WIDE, f"{X264} bframes=2 b-adapt=false", "--sub", ANAMORPHIC, FAST),
        ("--main", WIDE, X264, "--sub", "384x216", FAST, "--every", "3"),
        ("--main", "512x288", FAST, "--sub", WIDE, X264, "--every", "1"),
    ],
    ids=["b-frames and anamorphic", "8 a second", "the other way round"],
)
def test_the_offset_of_a_servers_defaults(
    serve: list[Server], tmp_path: Path, options: tuple[str, ...]
) -> None:
    """What is printed is what the numbers in the pixels say, within half a main interval.

    One walker is all that moves; the numbers cannot be seen where a picture is made small.
    """
    server = Server(tmp_path, *options)
    serve.append(server)
    readers = [Reader(server.url(mount)) for mount in ("main", "sub")]
    calibrate = begin(server, tmp_path)
    out, err = calibrate.communicate(timeout=PATIENCE)
    main, sub = (reader.stop() for reader in readers)
    common = main.keys() & sub.keys()
    assert len(common) > 50, err
    truth = median(main[number] - sub[number] for number in common)
    assert abs(truth) > 0.03
    assert calibrate.returncode == 0, out + err
    found = re.search(r"^pairing:\n  offset: (\S+)$", out, re.MULTILINE)
    assert found, out
    # Half an interval is 0.02; this is what the tolerance of 8 ms needs.
    assert float(found[1]) == pytest.approx(truth, abs=0.004)


@pytest.mark.parametrize(
    ("mount", "options", "why"),
    [
        ("other", (), "cannot tell: the two do not show the same motion"),
        ("sub", ("--still",), "cannot tell: too little moves"),
    ],
)
def test_what_cannot_be_told_is_1(
    serve: list[Server], tmp_path: Path, mount: str, options: tuple[str, ...], why: str
) -> None:
    """Two cameras, and a room in which nobody moves."""
    serve.append(Server(tmp_path, *options))
    calibrate = begin(serve[0], tmp_path, mount)
    out, err = calibrate.communicate(timeout=PATIENCE)
    assert calibrate.returncode == 1, out + err
    assert why in out
    assert "pairing:" not in out


def test_a_stream_that_ends_is_1(serve: list[Server], tmp_path: Path) -> None:
    """A camera that goes away in mid-run is named, and no offset is guessed."""
    serve.append(Server(tmp_path))
    calibrate = begin(serve[0], tmp_path)
    assert calibrate.stderr is not None
    assert "with capture times" in calibrate.stderr.readline()
    serve[0].process.send_signal(signal.SIGKILL)
    out, err = calibrate.communicate(timeout=PATIENCE)
    assert calibrate.returncode == 1
    assert "stream ended after" in err
    assert not out
