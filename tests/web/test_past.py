"""The last ten minutes of each stream."""

import pytest
from web.views import node, rows, stream

from streamcrop.web.past import STEP, Past
from streamcrop.web.view import StreamView, TimesView


def at(second: float, **dropped: int) -> StreamView:
    """A stream with 25 frames a second, of which all but some are paired and published."""
    count = round(25 * second)
    times = {"capture_to_crop": TimesView((0, 0, 0, 0, count, *[0] * 8), 0.0)}
    return stream(rows=rows(count, count - sum(dropped.values()), **dropped), times=times)


def test_rates_are_of_the_last_seconds() -> None:
    """A stream that stops is seen to stop, whatever it did before."""
    past = Past()
    for step in range(30):
        past.add(node(at(step * STEP)), step * STEP)
    assert past.figures(at(300), 300).frames == 25
    assert past.figures(at(305), 305).crops == 25
    for step in range(30, 40):
        past.add(node(at(290)), step * STEP)
    assert past.figures(at(290), 400).frames == 0


def test_a_stream_that_has_just_begun() -> None:
    """What it did is of the time that there was."""
    past = Past()
    assert past.figures(at(0), 0).health is None
    past.add(node(at(0)), 100)
    found = past.figures(at(4), 104)
    assert (found.frames, found.crops, found.health) == (25, 25, 100)


def test_health_losses_and_times_are_of_the_last_minute() -> None:
    """Those of the hour before do not spoil them, nor hide what is wrong now."""
    past = Past()
    for step in range(7):
        past.add(node(at(1000 + step * STEP, expired=500)), 1000 + step * STEP)
    good = past.figures(at(1060, expired=500), 1060)
    assert (good.health, good.lost) == (100, {})
    bad = past.figures(at(1060, expired=500 + 375), 1060)
    assert bad.health == pytest.approx(75)
    assert bad.lost == {"frames expired": 375, "messages expired": 375}
    took = good.took["capture_to_crop"]
    assert 0.05 <= took.p50 <= took.p99 <= 0.1
    idle = Past()
    for step in range(7):
        idle.add(node(at(1000)), step * STEP)
    assert idle.figures(at(1000), 60).took["capture_to_crop"].p50 is None


def test_ten_minutes_of_losses() -> None:
    """Each step's own, oldest first, and no more than ten minutes."""
    past = Past()
    for step in range(200):
        past.add(node(at(step, expired=step // 100)), step * STEP)
    losses = past.losses("gate")
    assert len(losses) == 60
    assert losses[-1][0] - losses[0][0] == 590
    past = Past()
    for step, lost in enumerate((0, 0, 3, 3, 5)):
        past.add(node(at(100, expired=lost)), step * STEP)
    lost = [each.get("frames expired", 0) for _, each in past.losses("gate")]
    assert lost == [0, 3, 0, 2]
    assert past.losses("nobody") == []
