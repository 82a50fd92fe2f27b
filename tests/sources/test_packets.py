"""One packet a picture, whatever FFmpeg's parser makes of it."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from peers import numbered_clip

from streamcrop.formats import nal, sei
from streamcrop.sources.codec import Codec
from streamcrop.sources.packets import Parts, Picture, pictures
from streamcrop.sources.streams import video_of

SETS = {7, 8, 32, 33, 34}
SEI = b"\x06\x05\x12" + b"0123456789abcdef" + b"42" + b"\x80"
SEI_265 = b"\x4e\x01\x05\x12" + b"0123456789abcdef" + b"42" + b"\x80"
FILLER = b"\x0c\xff\xff\x80"
OPTIONS = {"x264-params": "slices=4:keyint=10:bframes=0:threads=1"}
X265 = {"x265-params": "keyint=10:bframes=0:slices=3:open-gop=0:log-level=none"}
Packet = Any


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Clips whose pictures consist of several slices."""
    folder = tmp_path_factory.mktemp("clips")
    return {
        "h264": numbered_clip(folder / "clip.ts", 40, options=OPTIONS),
        "hevc": numbered_clip(folder / "clip5.ts", 40, 320, 240, codec="libx265", options=X265),
    }


def split(data: bytes, codec: str, between: str) -> Iterator[bytes]:
    """The parts that FFmpeg's parser makes where something stands between a picture's slices."""
    row, head, begun = nal._CODECS[codec], b"", False
    units = list(nal.units(data, codec, 0))
    sets = b"".join(b"\0\0\0\1" + unit for kind, unit in units if kind in SETS)
    put = {"sets": sets, "sei": b"\0\0\0\1" + (SEI if codec == "h264" else SEI_265)}[between]
    for kind, unit in units:
        if kind not in row.pictures:
            head += b"\0\0\0\1" + unit
        elif not begun:
            begun, head = True, head + b"\0\0\0\1" + unit
        elif put:
            yield head
            head = put + b"\0\0\0\1" + unit
        else:
            head += b"\0\0\0\1" + unit
    yield head


def parts_of(path: Path, between: str) -> tuple[list[list[Packet]], av.VideoStream]:
    """The parts of each picture."""
    with av.open(str(path)) as container:
        stream = video_of(container, "clip")
        found = []
        for whole in container.demux(stream):
            made = []
            for data in split(bytes(whole), stream.codec_context.name, between):
                packet = av.Packet(data)
                packet.pts, packet.dts, packet.time_base = whole.pts, whole.dts, whole.time_base
                packet.is_keyframe = whole.is_keyframe
                made.append(packet)
            if whole.size:
                found.append(made)
    return found, stream


def delays(
    parts: list[list[Packet]], stream: av.VideoStream, known: Parts
) -> tuple[list[Picture], list[int]]:
    """The pictures, and how many of the next one had come before each was handed out."""
    coming = [(number, packet) for number, made in enumerate(parts) for packet in made]
    latest = [0]

    def feed() -> Iterator[tuple[Packet, bool]]:
        for number, packet in coming:
            latest[0] = number
            yield packet, False

    found, late = [], []
    for at, picture in enumerate(pictures(feed(), stream, known)):
        found.append(picture)
        late.append(latest[0] - at)
    return found, late


@pytest.mark.parametrize("between", ["sets", "sei"])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_parts_become_pictures(clips: dict[str, Path], codec: str, between: str) -> None:
    """All decode, each packet is one picture, and only what has parts comes late."""
    parts, stream = parts_of(clips[codec], between)
    assert max(map(len, parts)) >= 3
    split_ones = {at for at, made in enumerate(parts) if len(made) > 1}
    assert split_ones == set(range(0, 40, 10) if between == "sets" else range(40))
    known = Parts()
    known.connect()
    found, late = delays(parts, stream, known)
    assert len(found) == 40
    # The last one ends with the stream.
    assert late[:-1] == [int(at in split_ones) for at in range(39)]
    for at, picture in enumerate(found):
        assert picture.packet.pts == parts[at][0].pts
        assert picture.packet.time_base == Fraction(1, 90_000)
        assert picture.packet.is_keyframe == (at % 10 == 0)
        assert not picture.lost
    decoder = Codec(stream.codec_context)
    shown = [each for n, coded in enumerate(found) for each in decoder.decode(n, coded)]
    shown += decoder.decode(40, None)
    assert [each.number for each in shown if each.whole] == list(range(40))


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_whole_pictures_are_not_held_back(clips: dict[str, Path], codec: str) -> None:
    """But for those up to the first key picture, once a connection."""
    with av.open(str(clips[codec])) as container:
        stream = video_of(container, "clip")
        parts = [[packet] for packet in container.demux(stream) if packet.size]
    known = Parts()
    known.connect()
    for _ in range(2):
        found, late = delays(parts[5:], stream, known)
        assert found[20].packet is parts[25][0]
        assert late == [1] * 6 + [0] * 29
        known.connect()
    # Without any, not for ever.
    _, late = delays([parts[1]] * 80, stream, known)
    assert late == [1] * 60 + [0] * 20
    _, late = delays(parts, stream, Parts(hurry=False))
    assert late == [1] * 39 + [0]


def test_what_is_seen_late_is_lost(clips: dict[str, Path]) -> None:
    """Parts that come when nobody expects them any more are damage, once."""
    parts, stream = parts_of(clips["h264"], "sets")
    found, _ = delays(parts, stream, known := Parts())
    assert [at for at, picture in enumerate(found) if picture.lost] == [1]
    assert len(found) == 41
    assert known.may_follow(found[0].unit)
    assert not known.may_follow(found[5].unit)


def test_a_lost_beginning_teaches_nothing(clips: dict[str, Path]) -> None:
    """Where the first slice of a picture is lost, no other picture comes later for it."""
    parts, stream = parts_of(clips["h264"], "sets")
    known = Parts()
    known.connect()
    list(pictures(((made[0], False) for made in parts[10:19]), stream, known))
    [*_, last] = parts[10]
    found = list(pictures(iter([(last, True)]), stream, known))
    assert [picture.lost for picture in found] == [True]
    assert not known.may_follow(found[0].unit)


def test_a_connection_that_begins_in_a_picture(clips: dict[str, Path]) -> None:
    """The rest of a picture that began before is damage, and makes no other come later."""
    parts, stream = parts_of(clips["h264"], "sei")
    known = Parts()
    known.connect()
    whole = [[b"".join(map(bytes, made))] for made in parts[10:20]]
    rest = [[parts[10][-1]], *([av.Packet(data)] for [data] in whole)]
    found, late = delays(rest, stream, known)
    assert [picture.lost for picture in found] == [True] + [False] * 10
    assert late[2:] == [0] * 9


def test_what_holds_no_picture_goes_with_the_next(clips: dict[str, Path]) -> None:
    """Parameter sets, SEI and filler of their own packet; an ID is found in it."""
    parts, stream = parts_of(clips["h264"], "sets")
    alone = [av.Packet(b"\0\0\1" + unit) for unit in (FILLER, SEI)]
    parts = [[packet for made in parts[:1] for packet in made], [*alone, *parts[1]], *parts[2:4]]
    found, _ = delays(parts, stream, Parts(hurry=False))
    assert len(found) == 4
    ids = [sei.frame_id(picture.unit.sei) for picture in found]
    assert ids == [None, "42", None, None]
    assert found[1].packet.pts == parts[1][-1].pts is not None
    # Without end it is nothing.
    many = [[av.Packet(b"\0\0\1" + FILLER)] for _ in range(1000)]
    assert 0 < len(delays(many, stream, Parts())[0]) < 5


def test_what_stands_beside_a_part_is_kept(clips: dict[str, Path]) -> None:
    """Times and losses of each part are the picture's."""
    parts, stream = parts_of(clips["h264"], "sets")
    lost = [(packet, at == 2) for at, packet in enumerate(parts[0] + parts[1])]
    [first, second] = pictures(iter(lost), stream, Parts(hurry=False))
    assert first.lost
    assert not second.lost
    assert first.packet.stream is stream
    assert first.unit.configured
