"""Hardware that is not there, that refuses, and a driver's stand-in that decodes."""

import ctypes
import itertools
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest
from peers import Camera, numbered_clip

from streamcrop.core.pixels import YuvPixels
from streamcrop.core.values import Change, Frame
from streamcrop.sources import Item
from streamcrop.sources.container import FileSource
from streamcrop.sources.decoding import Decoding, LazyPixels
from streamcrop.sources.live import LiveSource

# An index and a path that no machine has, and kinds that H.264 is decoded on nowhere.
ABSENT = ["cuda:99", "vaapi:/nowhere", "qsv", "drm"]
DECODINGS = [Decoding("eager"), Decoding("lazy", 1 << 28)]
each_decoding = pytest.mark.parametrize("decoding", DECODINGS, ids=str)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> None:
    """FFmpeg finds NVIDIA's libraries by their names: these are loaded already."""
    folder = tmp_path_factory.mktemp("driver")
    wanted = set()
    for library in Path(av.__file__).parent.with_name("av.libs").glob("libav*"):
        wanted |= set(re.findall(rb"\0(cu(?:vid)?[A-Z]\w+)(?=\0)", library.read_bytes()))
    rest = folder / "rest.c"
    stub = "__attribute__((weak)) int {}(void) {{ return 0; }}\n"
    rest.write_text("".join(stub.format(name.decode()) for name in sorted(wanted)))
    source = Path(__file__).parents[1] / "driver.c"
    for name in ("libcuda.so.1", "libnvcuvid.so.1"):
        command = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", folder / name]
        done = subprocess.run([*command, source, rest], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"the tests need ffnvcodec, see .ci/test:\n{done.stderr}"
        ctypes.CDLL(str(folder / name))


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


@pytest.mark.usefixtures("driver")
def test_a_pyav_that_mixes_pictures_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where PyAV loses what a picture is when it comes from a device, software decodes."""
    monkeypatch.setattr(av, "__version__", "17.1.0")
    clip = str(numbered_clip(tmp_path / "clip.mp4", 20))
    found = planes_of(FileSource(clip, decoding=Decoding(hwaccel="cuda")), 20)
    assert are_equal(found, planes_of(FileSource(clip), 20))
    [warning] = warnings_in(caplog)
    assert "PyAV 17.1.0" in warning


@pytest.mark.usefixtures("driver")
@each_decoding
@pytest.mark.parametrize("b_frames", ["0", "3"])
def test_pictures_of_hardware_are_those_of_their_packets(
    tmp_path: Path, decoding: Decoding, b_frames: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Downloaded pictures have their frame's place and size, and planes that are exactly theirs."""
    clip = numbered_clip(tmp_path / "clip.mp4", 40, 322, 246, options={"bf": b_frames, "g": "99"})
    decoding = decoding._replace(hwaccel="cuda")
    found = planes_of(FileSource(str(clip), decoding=decoding), 40)
    first = int(found[0].y[0, 0])
    for place, pixels in enumerate(found):
        assert pixels.resolution_wh == (322, 246)
        assert np.array_equal(pixels.y, np.full((246, 322), (first + place) % 256))
        assert np.array_equal(pixels.u, np.repeat(np.arange(123)[:, None], 161, 1))
        assert np.array_equal(pixels.v, np.tile(255 - np.arange(161), (123, 1)))
    assert not warnings_in(caplog)


@pytest.mark.usefixtures("driver")
@each_decoding
def test_a_device_that_refuses_the_stream(
    tmp_path: Path, decoding: Decoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a device is there and does not take this stream, software decodes it."""
    clip = str(numbered_clip(tmp_path / "clip.mp4", 20))
    monkeypatch.setenv("DRIVER_REFUSES", "1")
    decoding = decoding._replace(hwaccel="cuda:0")
    found = planes_of(FileSource(clip, decoding=decoding), 20)
    assert are_equal(found, planes_of(FileSource(clip), 20))


@pytest.mark.usefixtures("driver")
def test_a_codec_without_hardware(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where a device is there and its kind decodes no such codec, one warning says so."""
    clip = str(numbered_clip(tmp_path / "clip.mkv", 20, codec="ffv1"))
    found = planes_of(FileSource(clip, loop=True, decoding=Decoding(hwaccel="cuda")), 50)
    assert are_equal(found, planes_of(FileSource(clip, loop=True), 50))
    [warning] = warnings_in(caplog)
    assert warning == "source.hwaccel: decoding in software: no hardware for ffv1"


@pytest.mark.e2e
@pytest.mark.usefixtures("driver")
@each_decoding
@pytest.mark.parametrize(("hwaccel", "warnings"), [("cuda:99", 1), ("cuda", 0)])
def test_a_camera(
    tmp_path: Path,
    hwaccel: str,
    warnings: int,
    decoding: Decoding,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No picture of a camera is lost, whether hardware decodes it or software does instead."""
    camera = Camera(tmp_path)
    try:
        decoding = decoding._replace(hwaccel=hwaccel)
        source = iter(LiveSource(camera.url, decoding=decoding))
        assert isinstance(next(source), Change)
        for pixels in planes_of(source, 40):
            # The driver's pictures are of one shade.
            assert (np.ptp(pixels.y) == 0) == (hwaccel == "cuda")
    finally:
        camera.kill()
    assert len(warnings_in(caplog)) == warnings
