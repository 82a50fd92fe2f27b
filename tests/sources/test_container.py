"""Frames of files, against independent decoders and real FFmpeg-made clips."""

import itertools
import os
import subprocess
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import cv2
import imageio_ffmpeg
import numpy as np
import psutil
import pytest
from patience import FOR_EVER
from peers import Image, number_in, numbered, numbered_clip, write_clip
from PIL import Image as Pillow

from streamcrop.config import Source
from streamcrop.core.values import Frame, Note, Reason
from streamcrop.errors import CorruptError, SourceError
from streamcrop.sources import Item
from streamcrop.sources.container import FileSource
from streamcrop.sources.decoding import EAGER, Decoding

DECODINGS = [EAGER, *(Decoding(mode, 1 << 28) for mode in ("lazy", "auto"))]
each_decoding = pytest.mark.parametrize("decoding", DECODINGS, ids=str)


def frames_of(path: Path, **how: Any) -> list[Frame]:
    """All frames of a file; none is corrupt."""
    frames = list(FileSource(str(path), **how))
    assert all(isinstance(frame, Frame) for frame in frames)
    return [frame for frame in frames if isinstance(frame, Frame)]


def looked_at(item: Item) -> Item:
    """The same, or what it turns out to be."""
    try:
        if isinstance(item, Frame):
            item.pixels.bgr()
    except CorruptError:
        return Reason.CORRUPT
    return item


@pytest.mark.parametrize(
    "name",
    [
        *("cam:1.mp4", "http:a.mp4", "a#b.mp4", "a?b.mp4", "50%20%d.mp4", "a b.mp4", "[1]*.mp4"),
        *("concat:a|b.mp4", "subfile,,start,0,end,9,,:a.mp4", "pipe:0", "file:a.mp4", "-", "é.mp4"),
        *("a\nb.mp4", "c:\\a.mp4", "a\udcff.mp4"),
    ],
)
def test_a_path_has_any_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Relative, absolute or as a URL: no sign in a name is FFmpeg's to explain."""
    path = numbered_clip(tmp_path / "clip.mp4", 3).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    url = "file://" + quote(os.fsencode(path))
    for given in (name, str(path), Source(url=url).path):
        assert [number_in(f.pixels.bgr()) for f in frames_of(Path(given))] == [0, 1, 2]


def test_a_picture_whose_name_is_a_pattern(tmp_path: Path) -> None:
    """One that is there is read; where none is, the pictures of the sequence are."""
    for name, number in (("a%d.png", 5), ("a1.png", 6), ("b1.png", 7), ("b2.png", 8)):
        Pillow.fromarray(numbered(number, 320, 240)[:, :, ::-1]).save(tmp_path / name)
    for name, numbers in (("a%d.png", [5]), ("b%d.png", [7, 8])):
        found = [number_in(f.pixels.bgr()) for f in frames_of(tmp_path / name)]
        assert found == numbers


@each_decoding
@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"bf": "0"}),
        ("mjpeg", {}),
        ("libx264", {"bf": "3", "g": "15", "b-pyramid": "normal"}),
        ("libx264", {"bf": "3", "x264-params": "open-gop=1:keyint=12"}),
        ("libvpx", {"b": "2M"}),
        ("mpeg4", {"bf": "2", "b": "2M"}),
    ],
)
def test_the_index_counts_pictures_in_presentation_order(
    tmp_path: Path, codec: str, options: dict[str, str], decoding: Decoding
) -> None:
    """`frame_id` is the index from 0 in the order of presentation; so is a frame's media time."""
    suffix = {"libvpx": ".webm", "mjpeg": ".avi"}.get(codec, ".mp4")
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = tmp_path / f"clip{suffix}"
    clip = numbered_clip(path, 40, codec=codec, options=options, pix_fmt=pix_fmt)
    frames = frames_of(clip, decoding=decoding)
    found = [(frame.frame_id, number_in(frame.pixels.bgr())) for frame in frames]
    assert found == [(str(n), n) for n in range(40)]
    times = [frame.pts for frame in frames]
    assert times == [frame.pts for frame in frames_of(clip)] == sorted(set(times))


@each_decoding
def test_timestamps_play_no_part_in_the_index(tmp_path: Path, decoding: Decoding) -> None:
    """Variable frame rate and jumps in time do not disturb the index."""
    jumps = [0, 1, 2, 50, 51, 400, 401, 402, 4000, 4001]
    clip = numbered_clip(tmp_path / "clip.mkv", 10, pts=lambda n: jumps[n])
    assert [number_in(frame.pixels.bgr()) for frame in frames_of(clip, decoding=decoding)] == list(
        range(10)
    )


@each_decoding
def test_timestamps_that_go_backwards(tmp_path: Path, decoding: Decoding) -> None:
    """Two recordings glued together, whose second begins at time 0 again, are counted through."""
    parts = [
        write_clip(tmp_path / f"{n}.ts", (numbered(n * 10 + k, 320, 240) for k in range(10)))
        for n in (0, 1)
    ]
    glued = tmp_path / "glued.ts"
    glued.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = [f for f in FileSource(str(glued), decoding=decoding) if isinstance(f, Frame)]
    assert [number_in(frame.pixels.bgr()) for frame in frames] == list(range(20))
    assert [frame.frame_id for frame in frames] == [str(n) for n in range(20)]


@each_decoding
def test_a_loop_counts_on(tmp_path: Path, decoding: Decoding) -> None:
    """With `loop` the file begins again at its end, and the index goes on."""
    clip = numbered_clip(tmp_path / "clip.mp4", 7)
    source = FileSource(str(clip), loop=True, decoding=decoding)
    frames = list(itertools.islice(iter(source), 20))
    assert [f.frame_id for f in frames if isinstance(f, Frame)] == [str(n) for n in range(20)]
    numbers = [number_in(f.pixels.bgr()) for f in frames if isinstance(f, Frame)]
    assert numbers == [n % 7 for n in range(20)]


@each_decoding
def test_what_was_read_is_let_go_of(tmp_path: Path, decoding: Decoding) -> None:
    """Neither packets nor pictures stay in memory."""
    clip = numbered_clip(tmp_path / "clip.avi", 40, codec="rawvideo")
    if decoding.mode != "eager":
        options = {"g": "10", "x264-params": "qp=0"}
        chance = np.random.default_rng(0)
        noise = (chance.integers(0, 256, (240, 320, 3), np.uint8) for _ in range(40))
        clip = write_clip(tmp_path / "clip.mp4", noise, options=options)
    assert clip.stat().st_size > 4_000_000
    process = psutil.Process()
    source = iter(FileSource(str(clip), loop=True, decoding=decoding))
    for _ in itertools.islice(source, 80):
        pass
    before = process.memory_info().rss
    for _ in itertools.islice(source, 400):
        pass
    assert process.memory_info().rss - before < 15_000_000


@each_decoding
def test_realtime_keeps_the_pace(tmp_path: Path, decoding: Decoding) -> None:
    """With `realtime` frames come no faster than their media time."""
    clip = numbered_clip(tmp_path / "clip.mp4", 13)
    since = time.monotonic()
    assert len(frames_of(clip, realtime=True, decoding=decoding)) == 13
    assert time.monotonic() - since >= 0.45


@each_decoding
def test_stop_ends_the_iteration(
    tmp_path: Path, decoding: Decoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`stop` ends the iteration at the next frame, also while it waits for its turn."""
    clip = numbered_clip(tmp_path / "clip.mp4", 3, pts=lambda n: n * 25 * 3600)  # an hour each
    monkeypatch.setattr("streamcrop.sources.container._LARGEST_STEP", FOR_EVER + 1)
    source = FileSource(str(clip), realtime=True, decoding=decoding)
    frames = iter(source)
    next(frames)
    threading.Timer(0.1, source.stop).start()
    assert list(frames) == []


@each_decoding
def test_frames_know_their_media_time(tmp_path: Path, decoding: Decoding) -> None:
    """A frame carries its pts and time base."""
    first, second, *_ = frames_of(numbered_clip(tmp_path / "clip.mp4", 3), decoding=decoding)
    assert first.pts == 0
    assert second.pts is not None
    assert second.time_base is not None
    assert second.pts * second.time_base == Fraction(1, 25)


@each_decoding
def test_damaged_pictures_are_counted_and_never_handed_out(
    tmp_path: Path, decoding: Decoding
) -> None:
    """Damage in the middle of a file yields `corrupt`; every picture handed out is a right one."""
    clip = numbered_clip(tmp_path / "clip.ts", 60, options={"g": "10", "bf": "0"})
    data = bytearray(clip.read_bytes())
    rng = np.random.default_rng(1)
    for at in rng.integers(len(data) // 4, 3 * len(data) // 4, 12):
        data[at : at + 60] = rng.integers(0, 256, 60, np.uint8).tobytes()
    clip.write_bytes(data)
    found = [looked_at(item) for item in FileSource(str(clip), decoding=decoding)]
    assert Reason.CORRUPT in found
    assert sum(isinstance(frame, Frame) for frame in found) > 20


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[int, Image]]]:
    """Clips of moving texture, and what they show by media time."""
    folder = tmp_path_factory.mktemp("moving")
    chance = np.random.default_rng(0)
    texture = cv2.GaussianBlur(chance.integers(0, 256, (400, 600, 3), np.uint8), (0, 0), 2)
    texture = np.clip((texture.astype(int) - 128) * 4 + 128, 0, 255).astype(np.uint8)

    def picture(number: int) -> Image:
        found = texture[2 * number :, 3 * number :][:240, :320].copy()
        found[:32, :192] = numbered(number, 320, 240)[:32, :192]
        return found

    found = {}
    for name, codec, options in (
        ("cabac.mp4", "libx264", {"bf": "0", "g": "12"}),
        ("b-frames.mp4", "libx264", {"bf": "3", "g": "15", "b-pyramid": "normal"}),
        ("cavlc.mp4", "libx264", {"profile": "baseline", "g": "12"}),
        ("lost.ts", "libx264", {"bf": "2", "g": "12"}),
        ("lost5.ts", "libx265", {"x265-params": "keyint=12:log-level=none"}),
    ):
        path = write_clip(folder / name, map(picture, range(48)), codec=codec, options=options)
        shown = {frame.pts or 0: frame.pixels.bgr() for frame in frames_of(path)}
        found[name] = path, shown
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["cabac.mp4", "b-frames.mp4", "cavlc.mp4", "lost.ts", "lost5.ts"])
def test_random_damage(
    moving: dict[str, tuple[Path, dict[int, Image]]], tmp_path: Path, name: str, seed: int
) -> None:
    """Wherever bytes are wrong or packets missing: one verdict, and no picture of anything else."""
    path, truth = moving[name]
    data, chance = bytearray(path.read_bytes()), np.random.default_rng(seed)
    broken = tmp_path / name
    for at in chance.integers(len(data) // 20, len(data) * 19 // 20, 2):
        if path.suffix == ".ts":
            del data[at // 188 * 188 : (at // 188 + 3) * 188]
        else:
            data[at : at + 60] = chance.integers(0, 256, 60, np.uint8).tobytes()
    broken.write_bytes(data)
    verdicts = []
    for decoding in DECODINGS:
        items = [looked_at(item) for item in FileSource(str(broken), decoding=decoding)]
        whole = {item.pts or 0: item.pixels.bgr() for item in items if isinstance(item, Frame)}
        verdicts.append(set(whole))
        # A tenth of what a picture of anything else differs by.
        assert all(np.abs(bgr.astype(int) - truth[pts]).mean() < 6 for pts, bgr in whole.items())
    assert verdicts[0] == verdicts[1] == verdicts[2]
    assert 8 < len(verdicts[0]) < 48


def without_first(path: Path, count: int) -> Path:
    """The same clip, cut as a recorder does that does not wait for a key picture."""
    cut = path.with_stem(f"{path.stem}-cut")
    with av.open(str(path)) as whole, av.open(str(cut), "w") as container:
        stream = container.add_stream_from_template(whole.streams.video[0])
        for packet in [packet for packet in whole.demux(video=0) if packet.size][count:]:
            packet.stream = stream
            container.mux(packet)
    return cut


@each_decoding
def test_a_file_that_begins_without_its_key_picture(tmp_path: Path, decoding: Decoding) -> None:
    """Pictures that FFmpeg decodes onto nothing are `corrupt`, and the index counts them."""
    clip = numbered_clip(
        tmp_path / "clip.avi", 24, codec="mpeg4", options={"g": "8", "bf": "0", "b": "2M"}
    )
    items = list(FileSource(str(without_first(clip, 3)), decoding=decoding))
    assert items[:5] == [Reason.CORRUPT] * 5
    frames = [item for item in items[5:] if isinstance(item, Frame)]
    found = [(frame.frame_id, number_in(frame.pixels.bgr())) for frame in frames]
    assert found == [(str(index), index + 3) for index in range(5, 21)]


def test_an_index_that_readers_do_not_share(tmp_path: Path) -> None:
    """An H.265 file that begins in the middle of a group is told of, once; no other is."""
    options = {"x265-params": "keyint=8:min-keyint=8:open-gop=1:bframes=3:log-level=none"}
    clip = numbered_clip(tmp_path / "clip.mkv", 32, codec="libx265", options=options)
    for skipped in (0, 3, 8):
        items = list(FileSource(str(without_first(clip, skipped))))
        notes = [item for item in items if isinstance(item, Note)]
        assert [note.kind for note in notes] == ["begins_without_key"] * bool(skipped)
        assert not [item for item in items if item is Reason.CORRUPT and not skipped]
        frames = [item for item in items if isinstance(item, Frame)]
        numbers = [number_in(frame.pixels.bgr()) for frame in frames]
        assert numbers == list(range(numbers[0], 32))
    clip = numbered_clip(tmp_path / "clip4.mkv", 32, options={"g": "8"})
    items = list(FileSource(str(without_first(clip, 3))))
    assert not [item for item in items if isinstance(item, Note)]


@each_decoding
def test_what_an_edit_list_hides(tmp_path: Path, decoding: Decoding) -> None:
    """It is decoded, for others refer to it, and is no frame."""
    clip = numbered_clip(tmp_path / "clip.mp4", 24, options={"g": "12", "bf": "2"})
    cut = tmp_path / "cut.mp4"
    command = ["-v", "error", "-ss", "0.30", "-i", str(clip), "-c", "copy", str(cut)]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), *command], check=True)
    with av.open(str(cut)) as container:
        packets = [packet.is_discard for packet in container.demux(video=0) if packet.size]
    assert 0 < sum(packets) < 12
    frames = frames_of(cut, decoding=decoding)
    assert len(frames) == 24 - sum(packets)
    numbers = [number_in(frame.pixels.bgr()) for frame in frames]
    assert numbers == list(range(sum(packets), 24))
    assert [frame.frame_id for frame in frames] == [str(n) for n in range(len(frames))]


@each_decoding
def test_a_truncated_file_gives_what_it_has(tmp_path: Path, decoding: Decoding) -> None:
    """A recording that breaks off gives the pictures before the break."""
    clip = numbered_clip(tmp_path / "clip.ts", 60)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    found = [looked_at(item) for item in FileSource(str(clip), decoding=decoding)]
    numbers = [number_in(f.pixels.bgr()) for f in found if isinstance(f, Frame)]
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


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """A named pipe, for which FFmpeg would wait for ever, is no file."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="is no file"):
        list(FileSource(str(tmp_path / "pipe")))


def test_a_title_that_is_no_text(tmp_path: Path) -> None:
    """It costs nothing; `python -m tests.fuzz file`."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Xyzzy"
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(3):
            picture = av.VideoFrame.from_ndarray(numbered(number, 320, 240), format="bgr24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes().replace(b"Xyzzy", b"X\xd4zzy"))
    with pytest.raises(UnicodeDecodeError):
        av.open(str(path))
    assert len([*FileSource(str(path))]) == 3
