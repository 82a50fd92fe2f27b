"""What frame and message have to agree on, by each pairing key."""

from fractions import Fraction
from typing import Any, get_args

import pytest
from fakes import frame

from streamcrop import config
from streamcrop.core.pairing import Exact, Nearest
from streamcrop.core.values import Message
from streamcrop.keys import KEYS

NOW = 1_700_000_000_000_000


@pytest.mark.parametrize(
    ("key", "of_frame", "of_message", "agreed"),
    [
        ("frame_id", {}, {"frame_id": "7"}, "7"),
        ("sei", {"sei": "ab"}, {"frame_id": "ab"}, "ab"),
        ("utc", {"captured_at": NOW + 1}, {"captured_at": NOW + 1}, Fraction(NOW + 1, 10**6)),
        (
            "pts",
            {"pts": 3600, "time_base": Fraction(1, 90_000)},
            {"pts": 40, "time_base": Fraction(1, 1000)},
            Fraction(1, 25),
        ),
        ("arrival", {"arrived": NOW}, {}, Fraction(NOW, 10**6)),
        ("arrival", {"arrived": NOW - 5}, {"captured_at": NOW - 5}, Fraction(NOW - 5, 10**6)),
    ],
)
def test_both_name_the_frame_alike(
    key: str, of_frame: dict[str, Any], of_message: dict[str, Any], agreed: object
) -> None:
    """A frame and the message that speaks of it have equal keys, in whatever unit they came."""
    assert KEYS[key].of_frame(frame("7", **of_frame)) == agreed
    assert KEYS[key].of_message(Message(b"", **of_message), NOW) == agreed


@pytest.mark.parametrize("key", ["sei", "utc", "pts", "arrival"])
def test_a_frame_may_lack_a_key(key: str) -> None:
    """What a frame does not carry is None, not a guess; a message's likewise."""
    assert KEYS[key].of_frame(frame("7")) is None
    if key != "arrival":
        assert KEYS[key].of_message(Message(b""), NOW) is None


def test_how_keys_are_compared() -> None:
    """Names and media times are equal or not; clock times are near, within the user's tolerance."""
    exact = {name for name, key in KEYS.items() if key.match(0.5) == Exact()}
    assert exact == {"frame_id", "sei", "pts"}
    assert KEYS["utc"].match(None) == Nearest(Fraction(8, 1000))
    assert KEYS["utc"].match(0.005) == Nearest(Fraction(5, 1000))


def test_every_key_of_the_configuration_is_known() -> None:
    """`pairing.key` may say each key of the table, and no other."""
    assert set(get_args(config.Pairing.__annotations__["key"])) == set(KEYS)
