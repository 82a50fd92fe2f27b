"""Each thing ends once, for the reason that counts."""

import asyncio
from collections import Counter

import pytest
from fakes import frame

from streamcrop.core.values import Reason
from streamcrop.errors import SinkError, SourceError
from streamcrop.formats.events import Event
from streamcrop.outcomes import Outcomes
from streamcrop.render import Rendered


def test_a_pair_and_its_crops() -> None:
    """A pair that is rendered adds up, and its story says what came of it."""
    outcomes = Outcomes("utc", 2.0)
    paired = frame("a-1")
    outcomes.received(paired)
    outcomes.ledger.messages.enter()
    part = Rendered([], 3, 2, Counter({Reason.OUTSIDE_FRAME: 1}), encoding_failed=1)
    outcomes.paired(paired, part)
    outcomes.rendered(part)
    outcomes.crop_ended(Event("t", b"", "", {}, is_crop=True), None)
    outcomes.crop_ended(Event("t", b"", "", {}), Reason.TOO_LARGE)
    assert outcomes.ledger.errors() == []
    assert outcomes.ledger.as_json()["crops"] == {
        "made": 2,
        "published": 1,
        "dropped": {"encoding_failed": 1},
    }
    story = outcomes.history.explain("a-1")
    assert story.endswith("paired by utc, 3 predictions: 2 crops made, 1 outside_frame")


@pytest.mark.parametrize(
    ("ending", "failure", "reason", "expected"),
    [
        (False, None, Reason.QUEUE_FULL, Reason.QUEUE_FULL),
        (True, None, Reason.QUEUE_FULL, Reason.CLOSED),
        (True, None, Reason.NOT_TAPPED, Reason.CLOSED),
        (True, None, Reason.EXPIRED, Reason.EXPIRED),
        (True, SinkError("full"), Reason.CLOSED, Reason.FAILED),
        (True, SourceError("gone"), Reason.CLOSED, Reason.CLOSED),
    ],
)
def test_what_is_lost_at_the_end_is_lost_because_of_it(
    *, ending: bool, failure: SinkError | SourceError | None, reason: Reason, expected: Reason
) -> None:
    """While a stream ends full queues are no news; a sink that failed is the reason for all."""
    outcomes = Outcomes("utc", 2.0)
    outcomes.failure = failure
    if ending:
        outcomes.ending.set()
    outcomes.frame_lost(frame("1"), reason)
    assert outcomes.ledger.frames.dropped == {expected: 1}


def test_the_story_of_an_expired_frame_says_how_long() -> None:
    """What can be cured by waiting longer says how long it waited."""
    outcomes = Outcomes("utc", 2.5)
    outcomes.frame_lost(frame("1"), Reason.EXPIRED)
    assert outcomes.history.explain("1") == "expired after 2.5 s"


def test_waiting_ends_with_the_stream() -> None:
    """What may never come is given up when the stream ends; its errors are not swallowed."""

    async def main() -> None:
        outcomes = Outcomes("utc", 2.0)
        never = asyncio.ensure_future(asyncio.Event().wait())
        asyncio.get_running_loop().call_later(0.05, outcomes.ending.set)
        await outcomes.unless_ending(never)
        await asyncio.sleep(0)
        assert never.cancelled()

        async def fail() -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await Outcomes("utc", 2.0).unless_ending(fail())

    asyncio.run(main())
