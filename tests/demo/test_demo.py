"""The demo, as a newcomer runs it."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from patience import PATIENCE
from peers import Image, wait_until, write_clip

from streamcrop.demo.detector import MotionDetector
from streamcrop.demo.sheet import contact_sheet

pytestmark = pytest.mark.e2e


def _demo(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "streamcrop", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _moving_square(number: int) -> Image:
    """A square of 20 px that crosses a textured wall."""
    rng = np.random.default_rng(7)
    wall = cv2.GaussianBlur(rng.integers(40, 120, (360, 640, 3), np.uint8), (5, 5), 0)
    left = 20 + 8 * (number % 70)
    wall[150:170, left : left + 20] = (40, 200, 240)
    return np.asarray(wall, np.uint8)


@pytest.mark.parametrize("embedded", ["mosquitto", "amqtt"])
def test_the_demo_leaves_crops_and_a_contact_sheet(tmp_path: Path, embedded: str) -> None:
    """It ends by itself, its crops come over MQTT, and each is in the folder with its metadata."""
    process = _demo("--duration", "6", "--output", str(tmp_path / "out"), "--embedded", embedded)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert "ledger of demo" in said
    lines = (tmp_path / "out/demo/crops.jsonl").read_text().splitlines()
    assert len(lines) > 50, said
    for line in lines[:: len(lines) // 20]:
        metadata = json.loads(line)
        image = cv2.imread(str(tmp_path / "out" / metadata["file"]))
        assert image is not None
        assert image.shape[:2] == (metadata["image"]["height"], metadata["image"]["width"])
    sheet = cv2.imread(str(tmp_path / "out/contact-sheet.jpg"))
    assert sheet is not None
    assert sheet.shape[1] == 1400


def test_what_moves_and_is_20_px_large_is_found(tmp_path: Path) -> None:
    """The detector answers for a square of 20 px in a clip of the user's own, where it is."""
    clip = write_clip(tmp_path / "clip.mp4", (_moving_square(n) for n in range(70)))
    process = _demo("--duration", "6", "--output", str(tmp_path / "out"), "--video", str(clip))
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    right = 0
    for line in (tmp_path / "out/demo/crops.jsonl").read_text().splitlines():
        metadata = json.loads(line)
        number = int(metadata["frame_id"]) % 70
        left = 20 + 8 * number
        x, y = metadata["origin"]
        right += abs(x - left) <= 6 and abs(y - 150) <= 6
    frames = int(metadata["frame_id"])
    assert right > 0.8 * (frames - 10), said


def test_without_its_detector_no_crops_come(tmp_path: Path) -> None:
    """Nothing is canned: kill the detector, and the frames go unanswered, counted."""
    process = _demo("--duration", "9", "--output", str(tmp_path / "out"))
    node = psutil.Process(process.pid)

    def detectors() -> list[psutil.Process]:
        return [p for p in node.children() if "streamcrop.demo.detector" in " ".join(p.cmdline())]

    wait_until(lambda: len(detectors()) > 0)
    wait_until((tmp_path / "out/demo/crops.jsonl").exists)
    os.kill(detectors()[0].pid, signal.SIGKILL)
    before = len((tmp_path / "out/demo/crops.jsonl").read_text().splitlines())
    said, _ = process.communicate(timeout=PATIENCE)
    after = len((tmp_path / "out/demo/crops.jsonl").read_text().splitlines())
    assert process.returncode == 0, said
    assert after - before < 400, said
    assert "expired" in said


def test_no_broker_tells_how_to_get_one(tmp_path: Path) -> None:
    """A wrong broker is a clear error, with nothing left running."""
    process = _demo("--broker", "http://nowhere", "--output", str(tmp_path / "out"))
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "mqtt://" in said


def test_the_detector_rides_out_a_change_of_light() -> None:
    """When the whole picture changes at once, nothing is said to move."""
    detector = MotionDetector()
    dark = np.full((120, 160, 3), 60, np.uint8)
    for _ in range(20):
        assert detector.detect(dark) == []
    assert detector.detect(dark + np.uint8(120)) == []


def test_an_empty_run_makes_no_sheet(tmp_path: Path) -> None:
    """Without crops there is no contact sheet."""
    assert not contact_sheet([], tmp_path / "sheet.jpg", "#000000")
    assert not (tmp_path / "sheet.jpg").exists()


def test_the_page_is_up_while_the_demo_runs(tmp_path: Path) -> None:
    """Its address is printed; with `--keep` it is there until Ctrl-C."""
    process = _demo("--keep", "--duration", "0.1", "--output", str(tmp_path / "out"))
    lines: list[str] = []

    def said(text: str) -> bool:
        assert process.stdout
        lines.append(process.stdout.readline())
        assert lines[-1], "".join(lines)
        return text in lines[-1]

    wait_until(lambda: said("http"), PATIENCE)
    if "another program listens" not in lines[-1]:
        address = lines[-1].rpartition("see it: ")[2].strip()
        wait_until(lambda: said("crops gathered"), PATIENCE)
        with urllib.request.urlopen(f"{address}/", timeout=10) as reply:  # noqa: S310  # our own
            assert b"demo" in reply.read()
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, rest
    assert "ledger of demo" in rest
