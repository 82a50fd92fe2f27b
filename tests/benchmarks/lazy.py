"""What decoding on demand costs: ``python -m tests.benchmarks lazy``.

A clip as a camera sends it (1080p30, 4 Mb/s, a key picture every 2 s) is read by the node's own
source as fast as it goes, each frame waits for 2 s of video, and pictures are looked at 0.5 s of
video after they came. What counts is the CPU time relative to eager decoding of the same clip in
the same run, medians of interleaved rounds.
"""

import random
import statistics
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from benchmarks.material import GROUP, RATE, clip
from benchmarks.report import Row

from streamcrop.core.values import Frame
from streamcrop.sources.container import FileSource
from streamcrop.sources.decoding import Decoding

Mode = Literal["auto", "eager", "lazy"]
MODES: tuple[Mode, ...] = ("eager", "lazy", "auto")
TARGETS = {"idle": 1.5, "a burst of 20 %": 33}
# Frames wait so long for their detections, which come so long after them.
WINDOW, ANSWERED = 2 * RATE, RATE // 2
BOX = (100, 100, 250, 400)


def patterns(count: int) -> dict[str, Sequence[int]]:
    """Which pictures are looked at."""
    return {
        "idle": (),
        "a burst of 20 %": range(count // 3, count // 3 + count // 5),
        "3 scattered": (count // 7, count // 2, count - 40),
        "random 10 %": random.Random(1).sample(range(count - ANSWERED), count // 10),  # no secret
        "each 6th": range(0, count, 6),
        "each": range(count),
    }


def run(path: Path, count: int, mode: Mode, wanted: Iterable[int]) -> tuple[float, float, int]:
    """CPU seconds; the longest that somebody waited for a picture; what waiting frames held."""
    chosen, waiting = set(wanted), deque[Frame](maxlen=WINDOW)
    latest, held = 0.0, 0
    since = time.process_time()
    source = FileSource(str(path), decoding=Decoding(mode, 1 << 28))
    for number, frame in zip(range(count), source, strict=False):
        assert isinstance(frame, Frame)
        waiting.append(frame)
        if number - ANSWERED in chosen:
            asked = time.perf_counter()
            waiting[-1 - ANSWERED].pixels.region(BOX)
            latest = max(latest, time.perf_counter() - asked)
        if number == WINDOW:
            held = sum(frame.pixels.nbytes for frame in waiting)
    return time.process_time() - since, latest, held


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """CPU of both modes relative to eager decoding, and what waits meanwhile."""
    count, rounds = (4 * GROUP, 1) if quick else (10 * GROUP, 3)
    path = clip(folder, quick=quick)
    rows, cpu, held = [], {}, {}
    for name, wanted in patterns(count).items():
        found: dict[Mode, list[tuple[float, float, int]]] = {m: [] for m in MODES}
        for _ in range(rounds):
            for mode in MODES:
                found[mode].append(run(path, count, mode, wanted))
        cpu, wait, held = (
            {mode: statistics.median(row[at] for row in found[mode]) for mode in MODES}
            for at in range(3)
        )
        for mode in MODES[1:]:
            target = TARGETS.get(name) if mode == "auto" else None
            share = 100 * cpu[mode] / cpu["eager"]
            rows += [
                Row("lazy", f"{name}, {mode}: CPU of eager", share, "%", target),
                Row("lazy", f"{name}, {mode}: longest wait for a picture", 1e3 * wait[mode], "ms"),
            ]
    return [
        *rows,
        Row("lazy", "eager: CPU", 1e3 * cpu["eager"] / count, "ms/frame"),
        Row("lazy", "a window of 2 s, lazy: held", held["auto"] / 1e6, "MB", 3),
        Row("lazy", "a window of 2 s, eager: held", held["eager"] / 1e6, "MB"),
    ]
