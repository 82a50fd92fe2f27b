"""Frames of files, against independent decoders and real FFmpeg-made clips."""

import itertools
import os
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from peers import Image, number_in, numbered, numbered_clip, write_clip

from streamcrop.core.pixels import LUMA_WEIGHTS, ArrayPixels, YuvPixels
from streamcrop.core.values import Frame, Reason
from streamcrop.errors import SourceError
from streamcrop.sources.container import FileSource
from streamcrop.sources.pictures import pixels_of


def frames_of(path: Path, **how: bool) -> list[Frame]:
    """All frames of a file; none is corrupt."""
    frames = list(FileSource(str(path), **how))
    assert all(isinstance(frame, Frame) for frame in frames)
    return [frame for frame in frames if isinstance(frame, Frame)]


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"bf": "0"}),
        ("libx264", {"bf": "3", "g": "15", "b-pyramid": "normal"}),
        ("libx264", {"bf": "3", "x264-params": "open-gop=1:keyint=12"}),
        ("libvpx", {"b": "2M"}),
        ("mpeg4", {"bf": "2", "b": "2M"}),
    ],
)
def test_the_index_counts_pictures_in_presentation_order(
    tmp_path: Path, codec: str, options: dict[str, str]
) -> None:
    """`frame_id` is the index from 0 in the order in which the decoder hands pictures out."""
    suffix = ".webm" if codec == "libvpx" else ".mp4"
    clip = numbered_clip(tmp_path / f"clip{suffix}", 40, codec=codec, options=options)
    found = [(frame.frame_id, number_in(frame.pixels.bgr())) for frame in frames_of(clip)]
    assert found == [(str(n), n) for n in range(40)]


def test_timestamps_play_no_part_in_the_index(tmp_path: Path) -> None:
    """Variable frame rate and jumps in time do not disturb the index."""
    jumps = [0, 1, 2, 50, 51, 400, 401, 402, 4000, 4001]
    clip = numbered_clip(tmp_path / "clip.mkv", 10, pts=lambda n: jumps[n])
    assert [number_in(frame.pixels.bgr()) for frame in frames_of(clip)] == list(range(10))


def test_timestamps_that_go_backwards(tmp_path: Path) -> None:
    """Two recordings glued together, whose second begins at time 0 again, are counted through."""
    parts = [
        write_clip(tmp_path / f"{n}.ts", (numbered(n * 10 + k, 320, 240) for k in range(10)))
        for n in (0, 1)
    ]
    glued = tmp_path / "glued.ts"
    glued.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = [f for f in FileSource(str(glued)) if isinstance(f, Frame)]
    assert [number_in(frame.pixels.bgr()) for frame in frames] == list(range(20))
    assert [frame.frame_id for frame in frames] == [str(n) for n in range(20)]


def _chart() -> tuple[Image, Image, Image]:
    """Planes of a colour chart: many combinations of luma and chroma values."""
    values = np.array([16, 40, 81, 128, 170, 210, 235, 250, 3], np.uint8)
    luma, chroma = np.resize(values, 72), np.resize(values.repeat(4), 36)
    return np.tile(luma, (72, 1)), np.tile(chroma, (36, 1)), np.tile(chroma[:, None], (1, 36))


def _float_reference(
    planes: tuple[Image, ...],
    matrix: str,
    full: bool,  # noqa: FBT001
) -> npt.NDArray[np.float64]:
    """ITU-T H.273 in floating point, chroma repeated."""
    y, u, v = (plane.astype(np.float64) for plane in planes)
    height, width = y.shape
    u, v = (p.repeat(2, 0).repeat(2, 1)[:height, :width] - 128 for p in (u, v))
    if not full:
        y, u, v = (y - 16) * 255 / 219, u * 255 / 224, v * 255 / 224
    red, blue = LUMA_WEIGHTS[matrix]
    green = 1 - red - blue
    b = y + 2 * (1 - blue) * u
    r = y + 2 * (1 - red) * v
    g = (y - red * r - blue * b) / green
    return np.clip(np.stack([b, g, r], -1), 0, 255)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("tag", "matrix"), [(1, "bt709"), (5, "bt601"), (6, "bt601"), (2, "bt601"), (9, "bt2020")]
)
@pytest.mark.parametrize("layout", ["yuv420p", "nv12"])
def test_colours_follow_the_tags(tag: int, matrix: str, layout: str, full: bool) -> None:  # noqa: FBT001
    """Matrix and range are those of the stream; untagged is BT.601, limited."""
    y, u, v = _chart()
    picture = av.VideoFrame(72, 72, "yuv420p")
    for plane, data in zip(picture.planes, (y, u, v), strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[: data.shape[0], : data.shape[1]] = data
        plane.update(rows.tobytes())
    if layout != "yuv420p":
        picture = picture.reformat(format=layout)
    picture.colorspace, picture.color_range = tag, 2 if full else 1
    pixels = pixels_of(picture)
    assert isinstance(pixels, YuvPixels)
    expected = _float_reference((y, u, v), matrix, full)
    assert np.abs(pixels.bgr() - expected).max() <= 1
    odd = pixels.region((3, 5, 40, 28)).bgr()
    assert np.abs(odd - expected[5:28, 3:40]).max() <= 1
    assert np.array_equal(odd, pixels.bgr()[5:28, 3:40])


def test_other_formats_are_converted_once() -> None:
    """4:4:4, 10 bit and RGB are converted by FFmpeg in the source, within its own rounding."""
    for name in ("yuv444p", "yuv422p", "yuv420p10le", "gray", "rgb24"):
        picture = av.VideoFrame.from_ndarray(numbered(5, 320, 240), format="bgr24")
        pixels = pixels_of(picture.reformat(format=name))
        assert isinstance(pixels, ArrayPixels)
        assert number_in(pixels.bgr()) == 5


def test_the_same_as_ffmpeg_within_three_levels(tmp_path: Path) -> None:
    """A decoded clip's colours are within 3 levels of FFmpeg's own conversion."""
    clip = numbered_clip(tmp_path / "clip.mp4", 3, 322, 242)
    with av.open(str(clip)) as container:
        theirs = [
            picture.to_ndarray(format="bgr24").astype(int) for picture in container.decode(video=0)
        ]
    for frame, reference in zip(frames_of(clip), theirs, strict=True):
        assert np.abs(frame.pixels.bgr() - reference).max() <= 3


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("size", [(320, 240), (322, 246)])
def test_phone_clips_come_upright(tmp_path: Path, turn: int, size: tuple[int, int]) -> None:
    """A display matrix is applied, as OpenCV does and so as detectors see the picture."""
    plain = numbered_clip(tmp_path / "plain.mp4", 2, *size)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(_with_matrix(plain.read_bytes(), turn))
    capture = cv2.VideoCapture(str(turned))
    assert capture.read()[0]
    theirs = np.asarray(capture.read()[1])
    capture.release()
    frame = frames_of(turned)[1]
    ours = frame.pixels.bgr()
    assert frame.pixels.resolution_wh == (theirs.shape[1], theirs.shape[0])
    assert np.abs(ours.astype(int) - theirs).max() <= 3


def _with_matrix(mp4: bytes, turn: int) -> bytes:
    """Write a rotation into the track header of an MP4 (ISO/IEC 14496-12, 8.3.2)."""
    one = 1 << 16
    a, b, c, d = {
        0: (one, 0, 0, one),
        90: (0, one, -one, 0),
        180: (-one, 0, 0, -one),
        270: (0, -one, one, 0),
    }[turn]
    matrix = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
    at = mp4.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    return mp4[:at] + matrix + mp4[at + 36 :]


def test_a_loop_counts_on(tmp_path: Path) -> None:
    """With `loop` the file begins again at its end, and the index goes on."""
    clip = numbered_clip(tmp_path / "clip.mp4", 7)
    source = FileSource(str(clip), loop=True)
    frames = list(itertools.islice(iter(source), 20))
    assert [f.frame_id for f in frames if isinstance(f, Frame)] == [str(n) for n in range(20)]
    numbers = [number_in(f.pixels.bgr()) for f in frames if isinstance(f, Frame)]
    assert numbers == [n % 7 for n in range(20)]


def test_realtime_keeps_the_pace(tmp_path: Path) -> None:
    """With `realtime` frames come no faster than their media time."""
    clip = numbered_clip(tmp_path / "clip.mp4", 13)
    since = time.monotonic()
    assert len(frames_of(clip, realtime=True)) == 13
    assert time.monotonic() - since >= 0.45


def test_stop_ends_the_iteration(tmp_path: Path) -> None:
    """`stop` ends the iteration at the next frame, also while it waits for its turn."""
    clip = numbered_clip(tmp_path / "clip.mp4", 10, pts=lambda n: n * 200)
    source = FileSource(str(clip), realtime=True)
    frames = iter(source)
    next(frames)
    source.stop()
    since = time.monotonic()
    assert list(frames) == []
    assert time.monotonic() - since < 2


def test_frames_know_their_media_time(tmp_path: Path) -> None:
    """A frame carries its pts and time base."""
    first, second, *_ = frames_of(numbered_clip(tmp_path / "clip.mp4", 3))
    assert first.pts == 0
    assert second.pts is not None
    assert second.time_base is not None
    assert second.pts * second.time_base == Fraction(1, 25)


def test_damaged_pictures_are_counted_and_never_handed_out(tmp_path: Path) -> None:
    """Damage in the middle of a file yields `corrupt`; every picture handed out is a right one."""
    clip = numbered_clip(tmp_path / "clip.ts", 60, options={"g": "10", "bf": "0"})
    data = bytearray(clip.read_bytes())
    rng = np.random.default_rng(1)
    for at in rng.integers(len(data) // 4, 3 * len(data) // 4, 12):
        data[at : at + 60] = rng.integers(0, 256, 60, np.uint8).tobytes()
    clip.write_bytes(data)
    found = list(FileSource(str(clip)))
    assert Reason.CORRUPT in found
    assert sum(isinstance(frame, Frame) for frame in found) > 20


def test_a_truncated_file_gives_what_it_has(tmp_path: Path) -> None:
    """A recording that breaks off gives the pictures before the break."""
    clip = numbered_clip(tmp_path / "clip.ts", 60)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    numbers = [number_in(f.pixels.bgr()) for f in FileSource(str(clip)) if isinstance(f, Frame)]
    assert numbers[:20] == list(range(20))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.mp4", None),
        ("empty.mp4", b""),
        ("text.mp4", b"no video\n" * 1000),
        ("cut.mp4", "cut"),
        ("sound.wav", "sound"),
    ],
)
def test_what_is_no_video_is_a_clear_error(
    tmp_path: Path, name: str, content: bytes | str | None
) -> None:
    """A file that cannot be played is a `SourceError` that names it."""
    path = tmp_path / name
    if content == "cut":
        whole = numbered_clip(tmp_path / "whole.mp4", 10).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif content == "sound":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("pcm_s16le", rate=8000)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
            sound.rate = 8000
            container.mux(stream.encode(sound))
            container.mux(stream.encode())
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(SourceError, match=name):
        list(FileSource(str(path)))


def test_a_picture_that_cannot_be_converted_is_a_clear_error() -> None:
    """A matrix that FFmpeg does not convert ends the source with its reason."""
    picture = av.VideoFrame(64, 64, "yuv420p")
    picture.colorspace = 8  # YCgCo
    with pytest.raises(SourceError, match=r"matrix 8.*cannot be converted"):
        pixels_of(picture)


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """A named pipe, for which FFmpeg would wait for ever, is no file."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="is no file"):
        list(FileSource(str(tmp_path / "pipe")))
