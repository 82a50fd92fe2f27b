"""What decoding on demand costs: ``python tests/benchmarks/lazy.py``.

A clip as a camera sends it (1080p30, 4 Mb/s, a key picture every 2 s) is read by the node's own
source as fast as it goes, each frame waits for 2 s of video, and pictures are looked at 0.5 s of
video after they came. What counts is the CPU time relative to eager decoding of the same clip in
the same run, medians of interleaved rounds.
"""

import argparse
import platform
import random
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import av
import numpy as np

from streamcrop.core.values import Frame
from streamcrop.sources.container import FileSource
from streamcrop.sources.decoding import Decoding

Mode = Literal["auto", "eager", "lazy"]
MODES: tuple[Mode, ...] = ("eager", "lazy", "auto")
RATE, GROUP, SIZE = 30, 60, (1920, 1080)
# Frames wait so long for their detections, which come so long after them.
WINDOW, ANSWERED = 2 * RATE, RATE // 2
BOX = (100, 100, 250, 400)


def clip(path: Path, count: int) -> Path:
    """A scene under a moving camera, with noise."""
    rng = np.random.default_rng(0)
    width, height = SIZE
    scene = rng.integers(60, 200, (height // 8 + 40, width // 8 + 40, 3), np.uint8)
    scene = scene.repeat(8, axis=0).repeat(8, axis=1)
    rate = {"b": "4M", "maxrate": "4M", "bufsize": "4M"}
    group = {"bf": "0", "g": str(GROUP), "sc_threshold": "0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=RATE, options={"preset": "veryfast", **rate, **group}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(count):
            left, top = number % 300, number // 2 % 300
            picture = scene[top : top + height, left : left + width].copy()
            grain = picture[::4, ::4]
            grain += rng.integers(0, 24, grain.shape, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())
    return path


def patterns(count: int) -> dict[str, Sequence[int]]:
    """Which pictures are looked at."""
    return {
        "idle": (),
        "a burst of 20 %": range(count // 3, count // 3 + count // 5),
        "3 scattered": (count // 7, count // 2, count - 40),
        "random 10 %": random.Random(1).sample(range(count - ANSWERED), count // 10),  # noqa: S311  # no secret
        "each 6th": range(0, count, 6),
        "each": range(count),
    }


def run(path: Path, mode: Mode, wanted: Iterable[int]) -> tuple[float, float, int]:
    """CPU seconds; the longest that somebody waited for a picture; what waiting frames held."""
    chosen, waiting = set(wanted), deque[Frame](maxlen=WINDOW)
    latest, held = 0.0, 0
    since = time.process_time()
    for number, frame in enumerate(FileSource(str(path), decoding=Decoding(mode, 1 << 28))):
        assert isinstance(frame, Frame)
        waiting.append(frame)
        if number - ANSWERED in chosen:
            asked = time.perf_counter()
            waiting[-1 - ANSWERED].pixels.region(BOX)
            latest = max(latest, time.perf_counter() - asked)
        if number == WINDOW:
            held = sum(frame.pixels.nbytes for frame in waiting)
    return time.process_time() - since, latest, held


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, to see it work")
    quick = parser.parse_args().quick
    count, rounds = (4 * GROUP, 1) if quick else (10 * GROUP, 3)
    with tempfile.TemporaryDirectory() as folder:
        path = clip(Path(folder, "clip.mp4"), count)
        rate = path.stat().st_size * 8 / (count / RATE) / 1e6
        print(
            f"{platform.machine()}, PyAV {av.__version__}; {count} pictures, 1080p{RATE}, a group "
            f"of {GROUP}, {rate:.1f} Mb/s; medians of {rounds}"
        )
        print(f"{'CPU in % of eager':<18}{'lazy':>8}{'auto':>8}{'longest wait, ms':>24}{'MB':>8}")
        for name, wanted in patterns(count).items():
            found: dict[Mode, list[tuple[float, float, int]]] = {m: [] for m in MODES}
            for _ in range(rounds):
                for mode in MODES:
                    found[mode].append(run(path, mode, wanted))
            cpu, wait, held = (
                {mode: statistics.median(row[at] for row in found[mode]) for mode in MODES}
                for at in range(3)
            )
            shares = "".join(f"{100 * cpu[mode] / cpu['eager']:>8.1f}" for mode in MODES[1:])
            waits = "".join(f"{1000 * wait[mode]:>12.0f}" for mode in MODES[1:])
            print(f"{name:<18}{shares}{waits}{held['auto'] / 1e6:>8.1f}")
        print(
            f"eager: {1000 * cpu['eager'] / count:.2f} ms a picture, {held['eager'] / 1e6:.0f} MB"
        )


if __name__ == "__main__":
    main()
