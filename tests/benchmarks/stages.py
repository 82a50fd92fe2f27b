"""Where a frame's time goes: ``python -m tests.benchmarks stages``.

From the file to the events, in one thread and without a network. The stages are functions of the
node with a clock around them; what is spent in an inner one does not count for the outer one.
"""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import simplejpeg
from benchmarks.material import KINDS, clip
from benchmarks.pipeline import Ways
from benchmarks.report import Row

from streamcrop.core.crop import Crop
from streamcrop.formats import inference
from streamcrop.stream import cutting, render

# What each function does, where it is, and its name there.
_STAGES: list[tuple[str, Any, str]] = [
    ("read the message's head", inference, "decode"),
    ("read its rows", cutting, "read_frame"),
    ("boxes to crops", cutting, "cut"),
    ("map the planes, remove the background", Crop, "jfif"),
    ("JPEG", simplejpeg, "encode_jpeg_yuv_planes"),
    ("a crop's metadata", render, "crop_metadata"),
    ("a crop's attributes and topic", render, "_crop_event"),
    ("the frame's metadata", render, "frame_metadata"),
]
_REST = "decode, and what is left"


class Clock:
    """Adds up what stages take, each without those inside it; seconds."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._inner = [0.0]

    def around(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """A function that does the same, with the clock running."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            since = time.perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                taken = time.perf_counter() - since
                self.spent[stage] += taken - self._inner.pop()
                self._inner[-1] += taken

        return timed


@contextmanager
def timed() -> Iterator[Clock]:
    """Have all stages timed in the block."""
    clock = Clock()
    with ExitStack() as stack:
        for stage, place, name in _STAGES:
            work = clock.around(stage, getattr(place, name))
            stack.enter_context(patch.object(place, name, work))
        yield clock


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """All kinds of messages on 1080p."""
    cv2.setNumThreads(1)
    rows = []
    for kind in KINDS[:3]:
        count, rounds = (20, 1) if quick else (120, 5)
        ways = Ways(clip(folder, kind.size, quick=quick), kind, count)
        found: list[Counter[str]] = []
        for _ in range(rounds):
            with timed() as clock:
                clock.around(_REST, ways.streamcrop)()
            found.append(clock.spent)
        for stage in (_REST, *(stage for stage, _, _ in _STAGES)):
            spent = statistics.median(each[stage] for each in found)
            rows.append(Row("stages", f"{kind.name}: {stage}", 1e3 * spent / count, "ms/frame"))
    return rows
