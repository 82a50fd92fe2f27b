"""`streamcrop.core.damage`: which pictures are whole, against rules and a model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.core.damage import Damage, Recovery


def whole(damage: Damage, count: int, keys: frozenset[int] = frozenset(), first: int = 0) -> str:
    """A stream in which each picture refers to the one before: ``+`` whole, ``-`` damaged."""
    found = ""
    for number in range(first, first + count):
        damage.taken(number, point=number in keys)
        found += "+" if damage.shown(number, key=number in keys) else "-"
    return found


def test_nothing_is_whole_before_the_first_key_picture() -> None:
    """Unless the decoder says itself what it cannot show."""
    assert whole(Damage(), 6, frozenset({3})) == "---+++"
    assert whole(Damage(whole=True), 6, frozenset({3})) == "++++++"


def test_damage_goes_on_to_the_next_key_picture() -> None:
    """The damaged picture and all behind it are damaged; a damaged key picture mends nothing."""
    damage, keys = Damage(), frozenset({0, 6, 9})
    assert whole(damage, 2, keys) == "++"
    assert not damage.goes_on
    damage.hurt(4)
    assert whole(damage, 3, keys, 2) == "++-"
    assert damage.goes_on
    damage.hurt(6)
    assert whole(damage, 6, keys, 5) == "----++"
    assert not damage.goes_on
    # What is told of too late, of before the last key picture, is mended already.
    damage.hurt(8)
    assert not damage.goes_on


def test_damage_is_counted_in_packets() -> None:
    """A picture that refers to a damaged one may be shown before it."""
    damage = Damage()
    for number in range(3):
        damage.taken(number, point=number == 0)
    assert damage.shown(0, key=True)
    damage.hurt(1)
    # Two refers to one, and is shown first.
    assert not damage.shown(2, key=False)
    assert not damage.shown(1, key=False)


def test_leading_pictures() -> None:
    """Shown before a key picture that they come after, they refer to what was before it."""
    damage = Damage(whole=True)
    damage.hurt(0)
    for number in (1, 2, 3):
        damage.taken(number, point=number == 1)
    damage.hurt(2, leading=True)
    assert not damage.shown(2, key=False)
    assert damage.shown(1, key=True)
    assert damage.shown(3, key=False)
    # One that is shown behind its key picture nevertheless is like any other.
    damage.hurt(4, leading=True)
    assert whole(damage, 2, first=4) == "--"


def test_a_recovery_point_counts_references() -> None:
    """In H.264 by frame_num, which only grows behind a picture that others refer to."""
    damage = Damage()
    damage.taken(0, recovery=Recovery(2, by_shown=False))
    found = [damage.shown(0, key=False)]
    for number in range(1, 6):
        damage.taken(number, reference=number % 2 == 0)
        found.append(damage.shown(number, key=False))
    assert found == [False, False, False, False, True, True]


def test_a_recovery_point_counts_what_is_shown() -> None:
    """In H.265 by picture order."""
    damage = Damage()
    for number in range(5):
        damage.taken(number, recovery=Recovery(2, by_shown=True) if number == 1 else None)
    assert [damage.shown(n, key=False) for n in (0, 2, 1, 4, 3)] == [False] * 4 + [True]


@pytest.mark.parametrize("by_shown", [False, True])
def test_a_recovery_point_without_a_count(by_shown: bool) -> None:
    """Its own picture is whole: a key picture of open groups."""
    damage = Damage()
    damage.taken(0, recovery=Recovery(0, by_shown=by_shown))
    assert damage.shown(0, key=False)


def test_damage_while_pictures_are_refreshed() -> None:
    """What breaks behind a recovery point is not mended by it."""
    damage = Damage()
    found = ""
    for number in range(20):
        recovery = Recovery(4, by_shown=False) if number in {1, 10} else None
        damage.taken(number, recovery=recovery)
        if number == 3:
            damage.hurt(3)
        found += "+" if damage.shown(number, key=False) else "-"
    assert found == "--------------++++++"


@pytest.mark.parametrize("by_shown", [False, True])
def test_points_without_end(by_shown: bool) -> None:
    """A point in each picture mends as one does; those that never end are let go of."""
    damage = Damage()
    for number in range(1000):
        damage.taken(number, recovery=Recovery(1 << 30, by_shown=by_shown))
    assert len(damage._refreshes) <= 16
    damage = Damage()
    found = ""
    for number in range(40):
        damage.taken(number, recovery=Recovery(30, by_shown=by_shown))
        found += "+" if damage.shown(number, key=False) else "-"
    assert found == "-" * 30 + "+" * 10
    # Those whose picture never came out make room.
    damage = Damage()
    for number in range(100):
        damage.taken(number, recovery=Recovery(0, by_shown=by_shown))
    damage.taken(200, recovery=Recovery(0, by_shown=by_shown))
    assert damage.shown(200, key=False)


def test_damage_without_end_is_remembered_in_brief() -> None:
    """Memory has a bound, and what is forgotten makes nothing whole."""
    damage = Damage()
    for number in range(10_000):
        damage.hurt(number)
        damage.hurt(number)
        assert not damage.shown(number, key=False)
    assert len(damage._hurt) <= 64
    assert damage.shown(10_000, key=True)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=300), st.integers(0, 16))
def test_a_model(pictures: list[tuple[bool, bool]], delay: int) -> None:
    """A decoder that hands out late: whole is what has a whole key picture and no damage since."""
    damage = Damage()
    found = []
    for number in range(len(pictures) + delay):
        if number < len(pictures):
            damage.taken(number)
            if pictures[number][1]:
                damage.hurt(number)
        if number >= delay:
            found.append(damage.shown(number - delay, key=pictures[number - delay][0]))
    expected, mended = [], False
    for key, hurt in pictures:
        mended = not hurt and (mended or key)
        expected.append(mended)
    assert found == expected
