"""A decoder's verdicts, on real streams that are damaged, begun late, or refreshed by pieces."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from peers import number_in, numbered_clip

from streamcrop.formats import nal
from streamcrop.sources.codec import Codec, tells_loss
from streamcrop.sources.packets import Parts, pictures
from streamcrop.sources.streams import video_of

REFRESHED = {"x264-params": "intra-refresh=1:keyint=20:bframes=0:scenecut=0:ref=1:threads=1"}
REFRESHED_265 = {"x265-params": "intra-refresh=1:keyint=20:bframes=0:log-level=none"}


def verdicts(
    path: Path, lost: Iterable[int] = (), *, told: bool = True, without: bytes = b""
) -> tuple[set[int], dict[int, np.ndarray[Any, Any]]]:
    """Which packets' pictures are whole, and all that come out."""
    gone = set(lost)
    with av.open(str(path)) as container:
        stream = video_of(container, path.name)
        packets = [packet for packet in container.demux(stream) if packet.size]
        kept = [packet for at, packet in enumerate(packets) if at not in gone]
        if without:
            kept = [_without(packet, stream.codec_context.name, without) for packet in kept]
        missing = {id(packets[at + 1]) for at in gone if at + 1 not in gone} if told else set()
        raw = ((packet, id(packet) in missing) for packet in kept)
        codec, whole, seen = Codec(stream.codec_context), set(), {}
        coded = dict(
            zip(
                sorted(set(range(len(packets))) - gone),
                pictures(raw, stream, Parts(hurry=False)),
                strict=True,
            )
        )
        for number, picture in [*coded.items(), (len(packets), None)]:
            for shown in codec.decode(number, picture):
                if shown.picture is not None:
                    seen[shown.number] = shown.picture.to_ndarray(format="bgr24")
                    whole |= {shown.number} if shown.whole else set()
    return whole, seen


def _without(packet: Any, codec: str, start: bytes) -> Any:
    units = (unit for _, unit in nal.units(bytes(packet), codec, 0))
    data = b"".join(b"\0\0\0\1" + unit for unit in units if not unit.startswith(start))
    made = av.Packet(data)
    made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
    made.is_keyframe = packet.is_keyframe
    return made


def test_intra_refresh_begun_late(tmp_path: Path) -> None:
    """The recovery point at 20 counts 18 pictures; from there on all is bit-equal."""
    clip = numbered_clip(tmp_path / "clip.ts", 80, options=REFRESHED)
    everything, expected = verdicts(clip)
    assert everything == set(range(80))
    whole, seen = verdicts(clip, range(7))
    assert whole == set(range(38, 80))
    assert all(np.array_equal(seen[at], expected[at]) for at in whole)
    # Without the points there is no telling, though FFmpeg may show pictures.
    assert verdicts(clip, range(7), without=b"\x06\x06")[0] == set()


def test_intra_refresh_after_a_loss(tmp_path: Path) -> None:
    """Damaged up to the end of the next refresh that begins behind the loss."""
    clip = numbered_clip(tmp_path / "clip.ts", 120, options=REFRESHED)
    _, expected = verdicts(clip)
    for lost in ((25,), (41, 42)):
        whole, seen = verdicts(clip, lost)
        end = (max(lost) // 20 + 1) * 20 + 18
        assert whole == {*range(min(lost)), *range(end, 120)}
        assert all(np.array_equal(seen[at], expected[at]) for at in whole)


def test_intra_refresh_in_h265(tmp_path: Path) -> None:
    """Whole as long as nothing is lost; FFmpeg goes on behind no loss without a key picture."""
    clip = numbered_clip(tmp_path / "clip.ts", 60, codec="libx265", options=REFRESHED_265)
    assert verdicts(clip)[0] == set(range(60))
    assert verdicts(clip, [25])[0] == set(range(25))


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"x264-params": "open-gop=1:keyint=12:bframes=3:threads=1"}),
        ("libx265", {"x265-params": "keyint=12:open-gop=1:bframes=3:log-level=none"}),
    ],
)
def test_open_groups_begun_late(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    """From the first key picture on, in the order of presentation, all is whole and bit-equal."""
    clip = numbered_clip(tmp_path / "clip.ts", 60, codec=codec, options=options)
    everything, expected = verdicts(clip)
    assert everything == set(range(60))
    whole, seen = verdicts(clip, range(7))
    numbers = sorted(number_in(seen[at]) for at in whole)
    assert 10 < numbers[0] < 14
    assert numbers == list(range(numbers[0], 60))
    assert all(np.array_equal(seen[at], expected[at]) for at in whole)


def test_what_the_log_says() -> None:
    """Errors and losses count, notices do not, nor what FFmpeg wrongly calls an error."""
    for level, line, lost in (
        (16, "error while decoding MB 3 3", True),
        (32, "concealing 12 DC, 12 AC, 12 MV errors in P frame", True),
        (24, "warning: first frame is no keyframe", True),
        (24, "RTP: missed 3 packets", True),
        (24, "deprecated pixel format used", False),
        (16, "Invalid qtable length 64", False),
    ):
        log = [(level, "h264", line)]
        assert tells_loss(log) == lost
        assert log == []
