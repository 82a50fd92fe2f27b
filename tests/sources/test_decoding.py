"""Decoding on demand, against decoding everything in turn."""

import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import PATIENCE
from peers import number_in, numbered, numbered_clip, write_clip

from streamcrop.core.pixels import YuvPixels
from streamcrop.core.values import Bgr, Pixels
from streamcrop.errors import CorruptError
from streamcrop.formats import nal
from streamcrop.formats.nal import units
from streamcrop.sources import decoding
from streamcrop.sources.decoding import Decoder, LazyPixels
from streamcrop.sources.packets import Parts, Picture, pictures
from streamcrop.sources.pictures import pixels_of
from streamcrop.sources.streams import video_of

COUNT = 48
ENDLESS = {"x264-params": "keyint=infinite:min-keyint=1000:scenecut=0:bframes=0"}
CLIPS: dict[str, tuple[str, str, dict[str, str]]] = {
    "camera": (".ts", "libx264", {"bf": "0", "g": "12"}),
    "b-frames": (".mp4", "libx264", {"bf": "3", "g": "15", "b-pyramid": "normal"}),
    "b-frames in ts": (".ts", "libx264", {"bf": "2", "g": "10"}),
    "open groups": (".mp4", "libx264", {"bf": "3", "x264-params": "open-gop=1:keyint=12"}),
    "one group": (".mkv", "libx264", ENDLESS),
    "h265, open groups": (".mp4", "libx265", {"x265-params": "keyint=12:log-level=none"}),
    "h265": (".ts", "libx265", {"x265-params": "keyint=9:open-gop=0:log-level=none"}),
    "mjpeg": (".avi", "mjpeg", {}),
}


class Counting:
    """A codec context that counts the packets that it decodes."""

    def __init__(self, context: av.VideoCodecContext) -> None:
        self._context = context
        self.packets = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def decode(self, packet: "av.Packet[av.VideoStream] | None") -> list[av.VideoFrame]:
        self.packets += packet is not None
        return self._context.decode(packet)


class Stream:
    """A clip's packets, and a decoder that has not seen them."""

    def __init__(self, path: Path, **how: Any) -> None:
        with av.open(str(path)) as container:
            stream = video_of(container, path.name)
            stream.codec_context.thread_count = 1
            packets = ((packet, False) for packet in container.demux(stream) if packet.size)
            self.packets = list(pictures(packets, stream, Parts()))
        self.decoder = Decoder(stream, **{"max_bytes": 1 << 30, "ahead": False, **how})
        self.counting = Counting(stream.codec_context)
        self.decoder._codec.context = cast("av.VideoCodecContext", self.counting)

    def replace(self, at: int, data: bytes) -> None:
        """Have a packet hold other bytes."""
        old = self.packets[at]
        packet = cast("av.Packet[av.VideoStream]", av.Packet(data))
        packet.pts, packet.dts, packet.time_base = (
            old.packet.pts,
            old.packet.dts,
            old.packet.time_base,
        )
        unit = nal.look(data, self.counting.name, 0)
        self.packets[at] = Picture(packet, unit, lost=False, came=0)

    def add_all(self) -> list[LazyPixels]:
        return [self.decoder.add(packet) for packet in self.packets]

    @property
    def held(self) -> int:
        """How many packets it has."""
        return sum(len(group.packets) for group in self.decoder._groups)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A clip of each kind."""
    folder = tmp_path_factory.mktemp("clips")
    found = {}
    for at, (name, (suffix, codec, options)) in enumerate(CLIPS.items()):
        pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        path = folder / f"{at}{suffix}"
        found[name] = numbered_clip(path, COUNT, codec=codec, options=options, pix_fmt=pix_fmt)
    parts = [
        write_clip(
            folder / f"part{part}.ts",
            (numbered(n, width, 240) for n in range(12 * part, 12 * part + 12)),
            options={"g": "6"},
        )
        for part, width in enumerate([320, 400, 320, 256])
    ]
    found["new sizes"] = folder / "sizes.ts"
    found["new sizes"].write_bytes(b"".join(part.read_bytes() for part in parts))
    return found


def eager(path: Path, skipped: int = 0) -> dict[int, Pixels]:
    """All that a decoder shows that gets one packet after the other, by packet.

    As a live source has it: nothing from something that is missing to the next key picture.
    """
    found: dict[int, Pixels] = {}
    key = broken = -1
    with av.open(str(path)) as container:
        stream = video_of(container, path.name)
        stream.codec_context.thread_count = 1
        for number, packet in enumerate(container.demux(stream), -skipped):
            if number < 0:
                continue
            packet.opaque = (number,)
            try:
                pictures = packet.decode()
            except av.FFmpegError:
                broken = number
                continue
            for picture in pictures:
                (at,) = cast("tuple[int]", picture.opaque)
                if picture.is_corrupt:
                    broken = max(broken, at)
                elif picture.key_frame:
                    key = at
                if key > broken:
                    found[at] = pixels_of(picture)
    return found


def decoded(pixels: LazyPixels) -> Pixels | None:
    """What is seen of a picture; None where it is damaged."""
    try:
        return pixels.region((0, 0, *pixels.resolution_wh))
    except CorruptError:
        return None


def planes(pixels: Pixels | None) -> list[Any] | None:
    """A picture as it was decoded."""
    if pixels is None:
        return None
    assert isinstance(pixels, YuvPixels)
    return [plane.tobytes() for plane in (pixels.y, pixels.u, pixels.v)]


@pytest.mark.parametrize("name", [*CLIPS, "new sizes"])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_bit_equal_in_every_pattern_of_access(
    clips: dict[str, Path], name: str, data: st.DataObject
) -> None:
    """Whoever asks for whatever picture at whatever time sees what eager decoding shows.

    Packets may be missing at the start, pictures nobody waits for any more may be gone, memory may
    be short, and the decoder may go ahead.
    """
    skipped = data.draw(st.sampled_from([0, 0, 1, 5, 14]), "missing at the start")
    ahead = data.draw(st.booleans(), "ahead")
    room = data.draw(st.sampled_from([1, 400_000, 1 << 30]), "max_bytes")
    expected = eager(clips[name], skipped)
    stream = Stream(clips[name], ahead=ahead, max_bytes=room)
    waiting: dict[int, LazyPixels] = {}
    coming = enumerate(stream.packets[skipped:])
    steps = st.tuples(st.sampled_from(["look", "look", "let go", "read"]), st.integers(0, COUNT))
    for step, number in data.draw(st.lists(steps, min_size=1, max_size=40), "steps"):
        if step == "read" or not waiting:
            waiting |= {at: stream.decoder.add(packet) for at, packet in islice(coming, number + 1)}
        elif step == "let go":
            waiting = {at: pixels for at, pixels in waiting.items() if at % (number + 2)}
        else:
            at = sorted(waiting)[number % len(waiting)]
            assert planes(decoded(waiting[at])) == planes(expected.get(at))


@pytest.mark.parametrize("name", ["camera", "b-frames", "h265"])
def test_nobody_looks_nothing_is_decoded(clips: dict[str, Path], name: str) -> None:
    """A stream that nobody looks at costs no decoding and holds no packet but the last group's."""
    stream = Stream(clips[name], ahead=True)
    for packet in stream.packets:
        stream.decoder.add(packet)
    assert stream.counting.packets == 0
    assert 0 < stream.held <= 15


def test_only_what_is_needed_is_decoded(clips: dict[str, Path]) -> None:
    """A picture costs the packets of its group up to it; the next one only those between them."""
    stream = Stream(clips["camera"])
    pictures = stream.add_all()
    assert number_in(pictures[30].bgr()) == 30
    assert stream.counting.packets == 7
    assert number_in(pictures[33].resized((320, 240)).bgr()) == 33
    assert stream.counting.packets == 10
    assert pictures[33].jfif()
    # Decoded on the way, and still waited for.
    assert number_in(pictures[28].bgr()) == 28
    assert stream.counting.packets == 10


def test_what_nothing_refers_to_is_skipped(clips: dict[str, Path]) -> None:
    """Packets to which no other refers and for which nobody waits are not decoded on the way."""
    stream = Stream(clips["b-frames"])
    pictures = stream.add_all()
    last = pictures[14]
    unused = len(last.group.unused - {14})
    assert unused > 4
    del pictures
    assert decoded(last)
    assert stream.counting.packets == 15 - unused


def test_an_mjpeg_picture_needs_no_other(clips: dict[str, Path]) -> None:
    """Where pictures refer to nothing, each of them costs one packet."""
    stream = Stream(clips["mjpeg"])
    pictures = stream.add_all()
    for at in (40, 3, 20):
        assert number_in(pictures[at].bgr()) == at
    assert stream.counting.packets == 3


def test_a_picture_that_is_decoded_is_there_while_another_one_is_being_decoded(
    clips: dict[str, Path],
) -> None:
    """Who looks at it does not wait, and is noted."""
    stream = Stream(clips["camera"])
    [first, *_] = stream.add_all()
    assert not first.is_decoded
    before = first.bgr()
    assert first.is_decoded
    stream.decoder._looked_at = 0
    found: list[Bgr] = []
    with stream.decoder._lock:
        looking = threading.Thread(target=lambda: found.append(first.bgr()), daemon=True)
        looking.start()
        looking.join(PATIENCE)
    assert np.array_equal(found[0], before)
    assert not first.is_idle


def test_memory_is_what_packets_hold(clips: dict[str, Path]) -> None:
    """Undecoded, a picture counts as its packet; what is let go of leaves whole groups behind."""
    stream = Stream(clips["camera"])
    pictures = stream.add_all()
    assert [p.nbytes for p in pictures] == [coded.packet.size for coded in stream.packets]
    assert stream.held == COUNT
    del pictures[:30]
    stream.decoder.add(stream.packets[0])
    assert stream.held == COUNT - 24 + 1


def test_the_first_of_a_burst_pays(clips: dict[str, Path]) -> None:
    """While somebody looks, the next pictures are decoded as packets come; a few, and no more."""
    stream = Stream(clips["camera"], ahead=True)
    pictures = [stream.decoder.add(packet) for packet in stream.packets[:16]]
    assert stream.counting.packets == 0
    costs = []
    for at, packet in enumerate(stream.packets[16:32]):
        before = stream.counting.packets
        assert number_in(pictures[at + 6].bgr()) == at + 6
        costs.append(stream.counting.packets - before)
        pictures.append(stream.decoder.add(packet))
    assert costs == [7, *[0] * 15]
    pictures += [stream.decoder.add(packet) for packet in stream.packets[32:]]
    assert stream.counting.packets == 21 + 8 + 1


def test_going_ahead_is_bounded(clips: dict[str, Path]) -> None:
    """It ends where pictures that nobody asked for hold `max_bytes`; all are right nonetheless."""
    size = 320 * 240 * 3 // 2
    stream = Stream(clips["camera"], ahead=True, max_bytes=5 * size)
    pictures = [stream.decoder.add(packet) for packet in stream.packets[:4]]
    assert decoded(pictures[0])
    pictures += [stream.decoder.add(packet) for packet in stream.packets[4:]]
    assert sum(bool(picture.decoded) for picture in pictures) == stream.counting.packets == 5
    for at, picture in enumerate(pictures):
        assert number_in(picture.bgr()) == at
        assert sum(bool(other.decoded) for other in pictures) <= 6


def test_few_decoded_pictures_are_kept_until_one_more_is_asked_for(clips: dict[str, Path]) -> None:
    """What is passed on the way is let go of; a detector that keeps no order has more kept."""
    stream = Stream(clips["one group"])
    pictures = [stream.decoder.add(packet) for packet in stream.packets]
    for wanted, kept in ((30, 16), (29, 16), (3, 32), *((at, 32) for at in range(4, 31))):
        assert number_in(pictures[wanted].bgr()) == wanted
        assert sum(bool(picture.decoded) for picture in pictures) <= kept + 1
    packets = stream.counting.packets
    assert all(number_in(pictures[at].bgr()) == at for at in range(30, 3, -1))
    assert stream.counting.packets == packets


def test_a_group_that_does_not_end(clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A group too long to hold is decoded as it comes, and its packets are let go of."""
    monkeypatch.setattr(decoding, "_MAX_PACKETS", 16)
    size = 320 * 240 * 3 // 2
    stream = Stream(clips["one group"], max_bytes=10 * size)
    pictures: list[LazyPixels] = []
    for at, packet in enumerate(stream.packets):
        pictures.append(stream.decoder.add(packet))
        assert stream.held <= 17
        if at % 5 == 0:
            assert number_in(pictures[-1].bgr()) == at
    found = [decoded(picture) for picture in pictures]
    numbers = [(at, number_in(pixels.bgr())) for at, pixels in enumerate(found) if pixels]
    assert all(at == number for at, number in numbers)
    # What found no room is damaged, not another picture.
    assert 5 < len(numbers) < COUNT


def test_damage_never_becomes_a_picture(tmp_path: Path) -> None:
    """From a broken packet to the next group nothing is shown, whoever asks first."""
    clip = numbered_clip(tmp_path / "clip.ts", COUNT, options={"g": "12", "bf": "0"})
    for order in (range(COUNT), reversed(range(COUNT)), [20, 5, 45, *range(COUNT)]):
        stream = Stream(clip)
        for at in (17, 40):
            packet = stream.packets[at].packet
            stream.replace(at, bytes(packet)[: packet.size // 2] + bytes(packet.size // 2))
        pictures = stream.add_all()
        shown = {at: decoded(pictures[at]) for at in order}
        assert [at for at in range(COUNT) if shown[at] is None] == [*range(17, 24), *range(40, 48)]
        assert all(number_in(p.bgr()) == at for at, p in shown.items() if p)
        with pytest.raises(CorruptError, match="without damage"):
            pictures[17].bgr()


def test_colours_that_cannot_be_converted_say_so(
    clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a picture is damaged to us, and who asks for it hears why."""

    def of_another_matrix(picture: av.VideoFrame, _: object) -> Pixels:
        picture.colorspace = 8  # YCgCo
        return pixels_of(picture)

    monkeypatch.setattr("streamcrop.sources.codec.pixels_of", of_another_matrix)
    [first, *_] = Stream(clips["camera"]).add_all()
    for _ in range(2):
        with pytest.raises(CorruptError, match=r"matrix 8.*cannot be converted"):
            first.bgr()


def test_parameter_sets_that_come_once(clips: dict[str, Path]) -> None:
    """Where groups do not repeat their parameter sets, decoding begins at the first of them."""
    expected = eager(clips["camera"])
    stream = Stream(clips["camera"])
    for at, coded in enumerate(stream.packets[1:], 1):
        stream.replace(at, b"".join(_without_parameters(bytes(coded.packet))))
    pictures = stream.add_all()
    assert len(stream.decoder._groups) == 1
    for at in (40, 3, 13):
        assert planes(decoded(pictures[at])) == planes(expected[at])


def test_what_cannot_be_decoded_again_is_kept(clips: dict[str, Path]) -> None:
    """Parameter sets that stand anywhere: decoding cannot begin again, whoever looks twice."""
    expected = eager(clips["camera"])
    stream = Stream(clips["camera"])
    first, second = (bytes(coded.packet) for coded in stream.packets[:2])
    bare = b"".join(_without_parameters(first))
    sets = (b"\0\0\1" + unit for kind, unit in units(first, "h264", 0) if kind in {7, 8})
    stream.replace(0, bare)
    stream.replace(1, b"".join(sets) + second)
    pictures = stream.add_all()
    assert len(stream.decoder._groups) == 1
    for _ in range(2):
        for at, picture in enumerate(pictures):
            assert planes(decoded(picture)) == planes(expected.get(at)), at


def _without_parameters(data: bytes) -> Iterator[bytes]:
    return (b"\0\0\1" + unit for kind, unit in units(data, "h264", 0) if kind not in {7, 8})


def test_the_size_is_known_undecoded(clips: dict[str, Path]) -> None:
    """Who asks for a size alone costs no decoding once a picture of that kind was seen."""
    stream = Stream(clips["camera"])
    pictures = stream.add_all()
    assert pictures[3].resolution_wh == (320, 240)
    assert stream.counting.packets == 4
    assert {picture.resolution_wh for picture in pictures} == {(320, 240)}
    assert stream.counting.packets == 4
    other = Stream(clips["new sizes"])
    sizes = [picture.resolution_wh for picture in other.add_all()]
    assert sizes == [(width, 240) for width in (320, 400, 320, 256) for _ in range(12)]


def test_another_size_than_was_said_is_damage(clips: dict[str, Path]) -> None:
    """A picture that differs from the size that was told of it is not shown."""
    stream = Stream(clips["mjpeg"])
    [first, second, *_] = stream.add_all()
    assert decoded(first)
    stream.decoder._sizes = {(): (100, 100)}
    assert second.resolution_wh == (100, 100)
    with pytest.raises(CorruptError, match="another size"):
        second.bgr()


def test_many_threads(clips: dict[str, Path]) -> None:
    """Pictures may be asked for from any thread while packets come."""
    stream = Stream(clips["b-frames in ts"], ahead=True, max_bytes=600_000)
    expected = eager(clips["b-frames in ts"])
    pictures: dict[int, LazyPixels] = {}
    wrong: list[int] = []

    def look(numbers: Iterable[int]) -> None:
        for at in numbers:
            while at not in pictures:
                time.sleep(0.001)
            if planes(decoded(pictures[at])) != planes(expected[at]):
                wrong.append(at)

    orders = np.random.default_rng(1).permuted(np.tile(np.arange(COUNT), (3, 1)), axis=1)
    threads = [threading.Thread(target=look, args=(order.tolist(),)) for order in orders]
    for thread in threads:
        thread.start()
    for at, packet in enumerate(stream.packets):
        pictures[at] = stream.decoder.add(packet)
        time.sleep(0.002)
    for thread in threads:
        thread.join(PATIENCE)
    assert wrong == []
