"""What the node shows of itself."""

import pytest
from web.views import node, rows, stream

from streamcrop.web.view import QueueView


def test_a_row() -> None:
    """The success comes first, and only what was lost is a loss."""
    frames = rows(entered=230, succeeded=228, expired=2)["frames"]
    assert (frames.entry, frames.succeeded, frames.dropped) == ("received", 228, {"expired": 2})
    assert frames.outcomes["queue_full"] == 0


@pytest.mark.parametrize(
    ("queue", "fill"),
    [
        (QueueView(0, 0, 32, 100), 0),
        (QueueView(16, 0, 32), 0.5),
        (QueueView(1, 90, 32, 100), 0.9),
        (QueueView(40, 0, 32), 1),
    ],
)
def test_how_full_a_queue_is(queue: QueueView, fill: float) -> None:
    """By items or bytes, whichever is nearer to its bound."""
    assert queue.fill == fill


@pytest.mark.parametrize(
    ("how", "well"),
    [
        ({}, True),
        ({"state": "ended"}, True),
        ({"state": "ended", "failed": True}, False),
        ({"state": "starting"}, False),
        ({"state": "degraded"}, False),
        ({"state": "reconnecting"}, False),
        ({"state": "restarting"}, False),
    ],
)
def test_what_is_ill(how: dict[str, object], well: bool) -> None:
    """A stream that does not run, or that ended for good; and a broker that is gone."""
    shown = stream("yard", reason="why", **how)
    assert shown.is_well == well
    assert node(stream(), shown).ills == ([] if well else [f"yard: {shown.state}: why"])
    assert node(connected=False).ills == ["the broker 127.0.0.1:1883 is not connected"]
