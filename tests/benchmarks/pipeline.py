"""What a stream costs without a network: no message is sent, nothing waits.

One thread, one process, CPU time, each way over the same clip in turns, ten crops a frame. The
floor is what nobody can save: each picture decoded, and the same crops compressed from planes that
are ready. The naive way is that of `naive`.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import simplejpeg
from benchmarks import naive
from benchmarks.material import KINDS, Kind, clip, message
from benchmarks.report import Row

from streamcrop.core.background import CropOptions
from streamcrop.core.values import Frame
from streamcrop.formats import inference
from streamcrop.sources.container import FileSource
from streamcrop.stream.cutting import cut_frame
from streamcrop.stream.render import Style, render

_QUALITY = 90
# CPU behind the decoder, of the naive way's.
_TARGETS = {"boxes 1080p": 1 / 2.2, "polygons 1080p": 1 / 7, "rle 1080p": 1 / 3.5}
_TARGETS["boxes 4K"] = 1 / 2.8


class Ways:
    """The ways to work through a clip; each is to be called once a round."""

    def __init__(self, path: Path, kind: Kind, count: int) -> None:
        self._path = str(path)
        self._messages = [message(number, kind) for number in range(count)]
        options = CropOptions(mask_opacity=kind.opacity)
        self._style = Style(("benchmark", "gate"), options, quality=_QUALITY)
        self._planes = [
            [
                crop.jfif()
                for crop in cut_frame(frame, inference.decode(text), 0.0, self._style).crops
            ]
            for frame, text in zip(FileSource(self._path), self._messages, strict=False)
            if isinstance(frame, Frame)
        ]

    def decode(self) -> None:
        """Only that."""
        with av.open(self._path) as container:
            container.streams.video[0].thread_type = "NONE"
            for _, _ in zip(container.decode(video=0), self._messages, strict=False):
                pass

    def jpeg(self) -> None:
        """The crops of all frames, one after the other, as they come."""
        for frame in self._planes:
            for planes in frame:
                assert planes
                simplejpeg.encode_jpeg_yuv_planes(*planes, _QUALITY)

    def streamcrop(self) -> None:
        """The node's own stages, from the file to the events."""
        for frame, text in zip(FileSource(self._path), self._messages, strict=False):
            assert isinstance(frame, Frame)
            for _ in render(frame, inference.decode(text), 0.0, self._style):
                pass

    def naive(self) -> None:
        """What most would write."""
        with av.open(self._path) as container:
            frames = container.decode(video=0)
            for number, (frame, text) in enumerate(zip(frames, self._messages, strict=False)):
                for _ in naive.crops_of(frame.to_ndarray(format="bgr24"), text, number):
                    pass


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """All kinds of messages."""
    cv2.setNumThreads(1)
    rows = []
    for kind in KINDS:
        count, rounds = (20, 1) if quick else (120 if kind.size[0] < 3000 else 60, 9)
        path = clip(folder, kind.size, quick=quick)
        ways = Ways(path, kind, count)
        found = taken([ways.decode, ways.jpeg, ways.streamcrop, ways.naive], rounds)
        decode, jpeg, ours, others = (1e3 * statistics.median(each) / count for each in found)
        name = f"{kind.name} {'4K' if kind.size[0] > 3000 else '1080p'}"
        after = (ours - decode) / (others - decode)
        floor = 1.08 if name == "boxes 1080p" else None
        rows += [
            Row("pipeline", f"{name}: CPU of decode + JPEG", ours / (decode + jpeg), target=floor),
            Row("pipeline", f"{name}: CPU after decode, of naive", after, target=_TARGETS[name]),
            Row("pipeline", f"{name}: decode", decode, "ms/frame"),
            Row("pipeline", f"{name}: JPEG", jpeg, "ms/frame"),
            Row("pipeline", f"{name}: streamcrop", ours, "ms/frame"),
            Row("pipeline", f"{name}: naive", others, "ms/frame"),
        ]
    return rows


def taken(works: list[Callable[[], None]], rounds: int) -> list[list[float]]:
    """CPU seconds of each, in turns."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, found in zip(works, taken, strict=True):
            since = time.process_time()
            work()
            found.append(time.process_time() - since)
    return taken
