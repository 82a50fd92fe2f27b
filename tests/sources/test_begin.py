"""Notes of a stream that begins badly; with real streams in test_container and test_live."""

from typing import Any

import av
import pytest

from streamcrop.core.damage import Damage
from streamcrop.formats import nal
from streamcrop.sources import begin
from streamcrop.sources.begin import Begin, Patience
from streamcrop.sources.codec import Shown
from streamcrop.sources.packets import Picture


class _Tag:
    def __init__(self, pts: int | None) -> None:
        self.pts = pts


def coded(*, key: bool) -> Picture:
    """A packet."""
    packet: Any = av.Packet(b"x")
    packet.is_keyframe = key
    return Picture(packet, nal.look(b"", "h264", 0), lost=False, came=0)


def told(codec: str, packets: list[int | None], shown: list[int | None]) -> list[int]:
    """After how many of the pictures that come out something is said; all packets came before."""
    found = Begin(codec)
    for pts in packets:
        found.came(pts)
    picture: Any = object()
    said = []
    for at, pts in enumerate(shown, 1):
        made = None if pts == -1 else picture
        tag = _Tag(pts)
        said += [at for _ in found.notes(Shown(at, tag, made, whole=True))]
    return said


def test_a_file_that_leaves_out_its_first_pictures() -> None:
    """It is told of once, for H.265 alone, and only where the first ones are left out."""
    assert told("hevc", [8, 4, 5, 6, 9], [8, 9, 10]) == [1]
    assert told("h264", [8, 4, 5, 6, 9], [8, 9, 10]) == []
    assert told("hevc", [0, 3, 1, 2], [0, 1, 2, 3]) == []
    # A packet that cannot be decoded is no picture; where there are no times nothing is known.
    assert told("hevc", [4, 5], [-1, 5]) == [2]
    assert told("hevc", [None, None], [None, None]) == []
    # Far behind the begin time may begin again.
    assert told("hevc", [*range(100, 140), *range(20)], [*range(100, 140)]) == []


def test_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A note after each ten seconds in which nothing mends the damage; none while all is whole."""
    now = [0.0]
    monkeypatch.setattr(begin.time, "monotonic", lambda: now[0])
    damage = Damage()
    patience = Patience(damage)

    def kinds(seconds: int, *, key_at: int = -1) -> list[str]:
        found = []
        for second in range(seconds):
            now[0] += 1
            found += [note.kind for note in patience.notes(coded(key=second == key_at))]
        return found

    assert kinds(25) == ["no_key_pictures"] * 2
    assert kinds(12, key_at=3) == []
    damage.shown(0, key=True)
    assert kinds(60) == []
    damage.hurt(1)
    assert kinds(12) == ["no_key_pictures"]
