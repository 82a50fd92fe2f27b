"""Sizes that a broker hangs up on."""

from streamcrop.mqtt import sizes
from streamcrop.mqtt.sizes import Sizes


def test_a_size_is_remembered_when_it_was_refused_twice() -> None:
    """From then on it and all that is larger is too large, on its topic."""
    learned = Sizes()
    assert not learned.hung_up("t", 900, strikes=1, taken=100)
    assert learned.check("t", 900, 10_000) is None
    assert not learned
    assert learned.hung_up("t", 900, strikes=2, taken=100)
    assert learned
    assert str(learned.check("t", 950, 10_000)) == "it hung up on 900 bytes; this has 950"
    assert learned.check("t", 899, 10_000) is None
    assert learned.check("other", 950, 10_000) is None
    learned.hung_up("t", 2000, strikes=2, taken=100)
    assert learned.check("t", 900, 10_000)
    learned.hung_up("t", 800, strikes=2, taken=100)
    assert learned.check("t", 800, 10_000)


def test_what_the_broker_took_before_is_not_too_large() -> None:
    """Something else is wrong with that message: its topic may be closed to us."""
    learned = Sizes()
    assert not learned.hung_up("t", 900, strikes=9, taken=900)
    assert learned.check("t", 900, 10_000) is None


def test_what_it_announced_counts() -> None:
    """Before all that was learned."""
    assert str(Sizes().check("t", 11, 10)) == "it takes 10 bytes, not 11"
    assert Sizes().check("t", 10, 10) is None


def test_topics_without_end() -> None:
    """The oldest are forgotten."""
    learned = Sizes()
    for number in range(sizes._MOST_TOPICS + 1):
        learned.hung_up(str(number), 900, strikes=2, taken=0)
    assert learned.bound("0") is None
    assert learned.bound("1") == 900
    assert len(learned._bounds) == sizes._MOST_TOPICS
