"""In which order pairs leave, and which must go."""

import asyncio

import pytest
from fakes import frame

from streamcrop.core.pairing import Paired
from streamcrop.core.values import Message
from streamcrop.stream.outbox import Outbox, Pair, Waiting
from streamcrop.stream.outcomes import Outcomes


def outbox(*, lossless: bool = False, max_items: int = 100) -> tuple[Outbox, Outcomes]:
    """An outbox, and what it tells."""
    outcomes = Outcomes("frame_id", 2.0)
    made = Outbox(
        lossless=lossless,
        max_items=max_items,
        max_bytes=1000,
        outcomes=outcomes,
        taken=asyncio.Event(),
    )
    return made, outcomes


def pair(name: object, *, held: bool = False) -> Pair:
    """A pair whose frame holds one byte."""
    return Paired(Waiting(name, 1, frame(name)), Waiting(name, 1, Message(b"")), 0.0, held=held)


async def taken(box: Outbox, now: float) -> list[str]:
    """The names of all that leaves, one after the other."""
    names = []
    while box:
        await box.hand_on(now, late=True)
        while box.pairs:
            names.append(box.pairs.get_nowait().frame.value.frame_id)
    return names


async def test_held_pairs_go_in_rows_and_the_others_between() -> None:
    """Sixty, then all that were decided meanwhile, then the rest."""
    box, _ = outbox()
    for number in range(70):
        box.put(pair(f"held {number}", held=True), 0)
    for number in range(3):
        box.put(pair(f"new {number}"), 0)
    names = await taken(box, 0)
    assert names[:60] == [f"held {number}" for number in range(60)]
    assert names[60:63] == ["new 0", "new 1", "new 2"]
    assert names[63:] == [f"held {number}" for number in range(60, 70)]


async def test_a_short_jam_costs_nothing() -> None:
    """Within a second nobody knows whether it will pass."""
    box, outcomes = outbox()
    for number in range(30):
        box.put(pair(number), number / 30)
        await box.hand_on(number / 30, late=False)
    assert len(box) == 29
    assert not outcomes.ledger.frames.dropped


async def test_a_long_jam_costs_the_oldest() -> None:
    """Then nothing that waits is older than a fifth of a second, and one is left always."""
    box, outcomes = outbox()
    for number in range(60):
        box.put(pair(number), number / 30)
        await box.hand_on(number / 30, late=False)
    assert outcomes.ledger.frames.dropped == {"overload": 59 - len(box)}
    assert len(box) <= 8
    await box.hand_on(100, late=False)
    assert len(box) == 1


async def test_a_file_waits_and_loses_nothing() -> None:
    """Whoever hands on is held up until there is room."""
    box, outcomes = outbox(lossless=True)
    for number in range(10):
        box.put(pair(number), 0)
    handing = asyncio.create_task(box.hand_on(100, late=False))
    await asyncio.sleep(0.02)
    assert not handing.done()
    for number in range(10):
        await asyncio.sleep(0)
        assert box.pairs.get_nowait().frame.value.frame_id == str(number)
        await asyncio.sleep(0.001)
    await handing
    assert not outcomes.ledger.frames.dropped


@pytest.mark.parametrize("held", [False, True])
async def test_what_is_given_up_is_closed(*, held: bool) -> None:
    """Pairs that wait, and those that come afterwards."""
    box, outcomes = outbox()
    box.put(pair(1, held=held), 0)
    box.abort()
    box.put(pair(2, held=held), 0)
    assert outcomes.ledger.frames.dropped == outcomes.ledger.messages.dropped == {"closed": 2}
    assert not box


async def test_more_in_doubt_than_may_wait() -> None:
    """The oldest make room as `queue_full`."""
    box, outcomes = outbox(max_items=2)
    for number in range(4):
        box.put(pair(number, held=True), 0)
    assert outcomes.ledger.frames.dropped == {"queue_full": 2}
    assert box.nbytes == 2
    box.drop_oldest()
    assert box.nbytes == 1


async def test_at_the_end_all_leave() -> None:
    """Those in doubt behind the others."""
    box, _ = outbox()
    box.put(pair(1, held=True), 0)
    box.put(pair(2), 0)
    ending = asyncio.create_task(box.end())
    names = [each.frame.value.frame_id async for each in box.pairs]
    await ending
    assert names == ["2", "1"]


async def test_room_that_is_made_meanwhile_is_no_error() -> None:
    """The last pair went for another stream while it waited to leave."""
    box, outcomes = outbox(lossless=True)
    for number in range(5):
        box.put(pair(number), 0)
    handing = asyncio.create_task(box.hand_on(0, late=False))
    await asyncio.sleep(0.01)
    assert len(box) == 1
    box.drop_oldest()
    box.pairs.get_nowait()
    await asyncio.wait_for(handing, 5)
    box.put(pair(9), 0)
    box.put(pair(10), 0)
    ending = asyncio.create_task(box.end())
    await asyncio.sleep(0.01)
    box.drop_oldest()
    box.pairs.get_nowait()
    await asyncio.wait_for(ending, 5)
    assert outcomes.ledger.frames.dropped["overload"] == 2
