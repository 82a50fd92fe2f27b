"""`streamcrop.core.room`: what waits, and what is held; how both are used is in `test_pairing`."""

from dataclasses import dataclass
from typing import Any

from streamcrop.core.match import Entry, Side
from streamcrop.core.room import Held, HeldPairs, WaitingRoom


@dataclass(frozen=True)
class Thing:
    key: Any
    nbytes: int = 1


@dataclass(frozen=True)
class Pair:
    frame: Thing


def entry(number: int, side: Side = "frames", nbytes: int = 1) -> Entry:
    """An entry that came as this number."""
    return Entry(Thing(number, nbytes), side, number, 0.0)


def test_the_first_that_came_is_the_first_to_go() -> None:
    """On each side, and only what is there is taken out."""
    room = WaitingRoom(2, 10)
    frames, message = [entry(number) for number in (1, 2, 3)], entry(4, "messages")
    for one in (*frames[:2], message):
        room.add(one)
    assert (room.first("frames"), list(room.firsts())) == (frames[0], [frames[0], message])
    assert room.all() == [*frames[:2], message]
    room.remove(frames[2])
    room.remove(frames[0])
    assert list(room.firsts()) == [frames[1], message]
    assert room.nbytes == {"frames": 1, "messages": 1}


def test_bounds_of_what_waits() -> None:
    """In items and in bytes, each side its own."""
    room = WaitingRoom(2, 10)
    for number in (1, 2):
        room.add(entry(number, nbytes=5))
        assert not room.overflows("frames")
    room.add(entry(3, nbytes=0))
    assert room.overflows("frames")
    assert not room.overflows("messages")
    room.add(entry(4, "messages", nbytes=11))
    assert room.overflows("messages")


def test_room_for_a_frame() -> None:
    """Those that a later pair has overtaken make room; an empty one takes any."""
    room = WaitingRoom(2, 10)
    assert room.has_room(10, -1)
    assert room.has_room(11, -1)
    for number in (1, 2):
        room.add(entry(number, nbytes=5))
    assert not room.has_room(1, 0)
    assert room.has_room(5, 1)
    assert not room.has_room(6, 1)
    assert room.has_room(99, 2)


def test_pairs_that_are_held() -> None:
    """In order, and bounded."""
    pairs = HeldPairs(2, 10)
    assert not pairs
    held = [Held(entry(number), Pair(Thing(number, 5)), number) for number in (1, 2, 3)]
    for one in held[:2]:
        pairs.add(one)
        assert not pairs.overflow
    pairs.add(held[2])
    assert pairs.overflow
    assert (pairs.first, list(pairs), len(pairs), pairs.nbytes) == (held[0], held, 3, 15)
    assert pairs.pop() is held[0]
    assert not pairs.overflow
    assert pairs.nbytes == 10
    pairs.add(Held(entry(4), Pair(Thing(4, 1)), 4))
    assert pairs.overflow
