"""What files and cameras share."""

import logging
import re
import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from peers import numbered_clip

from streamcrop.errors import SourceError
from streamcrop.sources.decoding import Decoding
from streamcrop.sources.streams import decoder_of, new_epoch, text_of, video_of, wall_clock


def test_what_decodes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """On demand where packets say where decoding can begin; else, as the log says, as they come."""
    caplog.set_level(logging.INFO)
    for codec, suffix, on_demand in (("libx264", ".mp4", True), ("mpeg4", ".avi", False)):
        with av.open(str(numbered_clip(tmp_path / f"a{suffix}", 3, codec=codec))) as container:
            stream = video_of(container, "a")
            assert stream.codec_context.thread_count == 1
            assert decoder_of(stream, Decoding("eager")) is None
            assert not caplog.text
            for mode in ("lazy", "auto"):
                assert (decoder_of(stream, Decoding(mode)) is not None) == on_demand
    assert "mpeg4 is decoded eagerly" in caplog.text


def test_no_video(tmp_path: Path) -> None:
    """Sound alone is an error that names the file."""
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(sound.encode(frame))
    with av.open(str(path)) as container, pytest.raises(SourceError, match="sound: there is no"):
        video_of(container, "sound")


def test_the_time_beside_a_packet() -> None:
    """The sender's, in microseconds; None where it says none."""

    class Beside(bytes):
        data_type = "prft"

    class Packet:
        def __init__(self, *beside: Any) -> None:
            self.iter_sidedata = lambda: iter(beside)

    other = Beside(b"x")
    other.data_type = "rtcp_sr"
    made: Any = Packet(other, Beside(struct.pack("<qi", 1_700_000_000_000_000, 24)))
    assert wall_clock(made) == 1_700_000_000_000_000
    assert wall_clock(Packet(other)) is None  # type: ignore[arg-type]


def test_names_and_texts() -> None:
    """Epochs never have one name; errors are told without what they were about."""
    names = {new_epoch() for _ in range(100)}
    assert len(names) > 90
    assert all(re.fullmatch(r"[0-9a-f]+", name) for name in names)
    assert text_of(OSError(2, "No such file", "rtsp://user:s3cret@cam")) == "No such file"
    assert text_of(ValueError("s3cret")) == "ValueError"


def test_a_codec_that_ffmpeg_does_not_know(tmp_path: Path) -> None:
    """A camera or file with such a video has an error that says so; `python -m tests.fuzz`."""
    path = numbered_clip(tmp_path / "a.mp4", 3)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"xxxx"))
    wanted = "a: its video is of a codec that FFmpeg does not decode"
    with av.open(str(path)) as container, pytest.raises(SourceError, match=wanted):
        video_of(container, "a")
