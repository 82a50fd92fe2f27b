"""What frame and message agree on, a row a key."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from fakes import frame

from streamcrop.config import SCHEMES
from streamcrop.core.pairing import Exact, Nearest
from streamcrop.core.values import Message
from streamcrop.errors import FormatError
from streamcrop.keys import KEYS

FRAME = replace(
    frame("1a-7"),
    pts=90,
    time_base=Fraction(1, 30),
    captured_at=1_000_001,
    sei="42",
    arrived=2_000_000,
)
MESSAGE = Message(b"", frame_id="1a-7", pts=3, time_base=Fraction(1), captured_at=1_000_001)


@pytest.mark.parametrize(
    ("key", "of_frame", "of_message"),
    [
        ("frame_id", "1a-7", "1a-7"),
        ("sei", "42", "1a-7"),
        ("utc", Fraction(1_000_001, 1_000_000), Fraction(1_000_001, 1_000_000)),
        ("pts", Fraction(3), Fraction(3)),
        ("arrival", Fraction(2), Fraction(1_000_001, 1_000_000)),
    ],
)
def test_keys(key: str, of_frame: Any, of_message: Any) -> None:
    """Each key is read from its own field, on both sides in the same unit."""
    assert KEYS[key].of_frame(FRAME) == of_frame
    assert KEYS[key].of_message(MESSAGE, 5) == of_message


@pytest.mark.parametrize("key", ["frame_id", "sei", "utc", "pts"])
def test_what_is_not_known_is_no_key(key: str) -> None:
    """Nothing is guessed: a frame or message without the field has no key."""
    if key != "frame_id":
        assert KEYS[key].of_frame(frame("1")) is None
    assert KEYS[key].of_message(Message(b""), 5) is None


@pytest.mark.parametrize(
    ("key", "needed"),
    [
        ("frame_id", {"frame_id"}),
        ("sei", {"frame_id"}),
        ("utc", {"captured_at"}),
        ("pts", {"pts", "time_base"}),
        ("arrival", {"captured_at"}),
    ],
)
def test_a_fault_counts_where_it_is_needed(key: str, needed: set[str]) -> None:
    """A key that is wrong is an error, with its reason; what the key does not use is none."""
    for name in ("frame_id", "pts", "time_base", "captured_at", "session"):
        message = replace(MESSAGE, faults={name: f"$.{name} is wrong"})
        if name in needed:
            with pytest.raises(FormatError, match=rf"\$.{name} is wrong") as info:
                KEYS[key].of_message(message, 5)
            assert info.value.kind == f"malformed_{name}"
        else:
            assert KEYS[key].of_message(message, 5) is not None


def test_arrival_without_a_time_is_the_messages_own() -> None:
    """A detector that says no time is taken at the moment at which its message came."""
    assert KEYS["arrival"].of_message(Message(b""), 5_000_000) == 5


@pytest.mark.parametrize(
    ("key", "tolerance", "expected"),
    [
        ("frame_id", None, Exact()),
        ("sei", 0.5, Exact()),
        ("pts", None, Exact()),
        ("utc", None, Nearest(Fraction(8, 1000))),
        ("utc", 0.001, Nearest(Fraction(1, 1000))),
        ("arrival", None, Nearest(Fraction(20, 1000))),
    ],
)
def test_matches(key: str, tolerance: float | None, expected: Exact | Nearest) -> None:
    """Names are compared exactly, clocks within a tolerance."""
    assert KEYS[key].match(tolerance) == expected


def test_every_key_of_a_source_is_a_row() -> None:
    """The configuration offers no key that nothing compares."""
    assert {key for kind in SCHEMES.values() for key in kind.keys} == set(KEYS)
