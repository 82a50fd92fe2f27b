"""Pictures as FFmpeg decodes them, against a float reference and FFmpeg itself."""

from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from peers import Image, number_in, numbered, numbered_clip

from streamcrop.core.pixels import LUMA_WEIGHTS, ArrayPixels, YuvPixels
from streamcrop.core.values import Frame
from streamcrop.errors import SourceError
from streamcrop.sources.container import FileSource
from streamcrop.sources.pictures import pixels_of


def frames_of(path: Path, **how: bool) -> list[Frame]:
    """All frames of a file; none is corrupt."""
    frames = list(FileSource(str(path), **how))
    assert all(isinstance(frame, Frame) for frame in frames)
    return [frame for frame in frames if isinstance(frame, Frame)]


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


def test_a_picture_that_cannot_be_converted_is_a_clear_error() -> None:
    """A matrix that FFmpeg does not convert ends the source with its reason."""
    picture = av.VideoFrame(64, 64, "yuv420p")
    picture.colorspace = 8  # YCgCo
    with pytest.raises(SourceError, match=r"matrix 8.*cannot be converted"):
        pixels_of(picture)
