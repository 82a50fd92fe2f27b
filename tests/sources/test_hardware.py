"""Hardware that is not there."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest
from peers import Camera, numbered_clip

from streamcrop.core.pixels import YuvPixels
from streamcrop.core.values import Change, Frame
from streamcrop.sources import Item, hardware
from streamcrop.sources.container import FileSource
from streamcrop.sources.decoding import Decoding, LazyPixels
from streamcrop.sources.live import LiveSource

# An index and a path that no machine has, and kinds that H.264 is decoded on nowhere.
ABSENT = ["cuda:99", "vaapi:/nowhere", "qsv", "drm"]
DECODINGS = [Decoding("eager"), Decoding("lazy", 1 << 28)]
each_decoding = pytest.mark.parametrize("decoding", DECODINGS, ids=str)


def planes_of(source: Iterable[Item], count: int) -> list[YuvPixels]:
    """The pictures of the first frames, each in its planes; none is corrupt."""
    found = []
    for frame in itertools.islice(source, count):
        assert isinstance(frame, Frame)
        frame.pixels.bgr()
        pixels = frame.pixels
        pixels = pixels.decoded if isinstance(pixels, LazyPixels) else pixels
        assert isinstance(pixels, YuvPixels)
        found.append(pixels)
    return found


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was warned of."""
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def are_equal(some: list[YuvPixels], others: list[YuvPixels]) -> bool:
    """Whether they are, bit for bit."""
    pairs = zip(some, others, strict=True)
    return all(
        np.array_equal(ours, theirs)
        for a, b in pairs
        for ours, theirs in zip((a.y, a.u, a.v), (b.y, b.u, b.v), strict=True)
    )


@each_decoding
@pytest.mark.parametrize("hwaccel", ABSENT)
def test_what_is_not_there(
    tmp_path: Path, hwaccel: str, decoding: Decoding, caplog: pytest.LogCaptureFixture
) -> None:
    """Every picture comes, bit-equal to software's, and one warning for all rounds says why."""
    clip = str(numbered_clip(tmp_path / "clip.mp4", 20, options={"bf": "2"}))
    decoding = decoding._replace(hwaccel=hwaccel)
    found = planes_of(FileSource(clip, loop=True, decoding=decoding), 60)
    assert are_equal(found, planes_of(FileSource(clip, loop=True), 60))
    [warning] = warnings_in(caplog)
    assert warning.startswith(f"source.hwaccel: {hwaccel}: decoding in software: ")


def test_a_pyav_that_mixes_pictures_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyAV loses what a picture is when it comes from a device, software decodes."""
    monkeypatch.setattr(av, "__version__", "17.1.0")
    why = hardware.lacking("cuda")
    assert why is not None
    assert "PyAV 17.1.0" in why


@pytest.mark.e2e
@each_decoding
def test_a_camera(tmp_path: Path, decoding: Decoding, caplog: pytest.LogCaptureFixture) -> None:
    """No picture of a camera is lost where software decodes in hardware's place."""
    camera = Camera(tmp_path)
    try:
        source = iter(LiveSource(camera.url, decoding=decoding._replace(hwaccel="cuda:99")))
        assert isinstance(next(source), Change)
        planes_of(source, 40)
    finally:
        camera.kill()
    assert len(warnings_in(caplog)) == 1
