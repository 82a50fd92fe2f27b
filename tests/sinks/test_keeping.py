"""A spool in a thread of its own: shared commits, and one sink's part of it."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streamcrop.core.values import Reason
from streamcrop.errors import SinkError
from streamcrop.formats.events import Event
from streamcrop.sinks.keeping import Keeping, WaitingRoom
from streamcrop.sinks.spool import Key, Spool

GATE, YARD = Key("gate", "mqtt"), Key("yard", "mqtt")


def crop(name: object) -> Event:
    """A crop's event."""
    return Event("t", b"x", "image/jpeg", {"id": str(name)}, b"{}", is_crop=True)


class Watched(Spool):
    """A spool that says what each commit held, and can be held up or fail."""

    commits: list[int]
    gate: threading.Event
    error: Exception | None = None

    def put(self, events: Sequence[tuple[Key, Event]]) -> list[bool]:
        self.commits.append(len(events))
        assert self.gate.wait(10)
        if self.error:
            raise self.error
        return super().put(events)


@asynccontextmanager
async def kept(path: Path, **how: object) -> AsyncIterator[tuple[Watched, Keeping]]:
    """A spool and its thread."""
    bounds = {"max_bytes": 1 << 24, "max_age": 100.0, "order": "oldest", **how}
    spool = Watched(path, **bounds)
    spool.commits, spool.gate = [], threading.Event()
    spool.gate.set()
    keeping = Keeping(spool)
    try:
        yield spool, keeping
    finally:
        spool.gate.set()
        await keeping.close()


async def test_commits_are_shared(tmp_path: Path) -> None:
    """What comes while one commit runs goes with the next, and each is told of its own."""
    async with kept(tmp_path / "db") as (spool, keeping):
        spool.gate.clear()
        first = keeping.put(GATE, [crop(1)])
        await asyncio.sleep(0.02)
        others = [keeping.put(key, [crop(n), crop(n)]) for n, key in enumerate((GATE, YARD, GATE))]
        spool.gate.set()
        assert await first == [True]
        assert [await other for other in others] == [[True, True]] * 3
        assert spool.commits == [1, 6]
        assert (spool.count(GATE), spool.count(YARD)) == (5, 2)


async def test_a_commit_that_fails_is_told_to_all(tmp_path: Path) -> None:
    """And the next one is not its business."""
    async with kept(tmp_path / "db") as (spool, keeping):
        spool.error = SinkError("the disk is gone")
        puts = [keeping.put(GATE, [crop(n)]) for n in range(2)]
        for put in puts:
            with pytest.raises(SinkError):
                await put
        spool.error = None
        assert await keeping.put(GATE, [crop(3)]) == [True]


async def test_at_the_end_everything_is_committed(tmp_path: Path) -> None:
    """Also what nobody waited for."""
    async with kept(tmp_path / "db") as (_, keeping):
        for n in range(10):
            keeping.put(GATE, [crop(n)])
    async with kept(tmp_path / "db") as (spool, keeping):
        assert spool.count(GATE) == 10
        first, second = await keeping.some(GATE, (), 2)
        assert await asyncio.gather(keeping.remove(first.number), keeping.remove(second.number))
        assert not await keeping.remove(first.number)


class Counts:
    """An account."""

    def __init__(self) -> None:
        self.kept = 0
        self.reasons: Counter[Reason] = Counter()

    def ended(self, _: Event, reason: Reason | None) -> None:
        assert reason
        self.reasons[reason] += 1

    def spooled(self, count: int) -> None:
        self.kept += count

    def lost(self, reason: Reason, count: int) -> None:
        self.reasons[reason] += count


def room(keeping: Keeping, rate: float = 1000) -> tuple[WaitingRoom, Counts, list[str]]:
    """One sink's part, its account, and what it says."""
    counts, said = Counts(), []
    waiting = WaitingRoom(
        keeping, GATE, rate=rate, account=counts, say=lambda _, text: said.append(text)
    )
    return waiting, counts, said


async def test_whoever_puts_may_be_cancelled(tmp_path: Path) -> None:
    """What is committed counts all the same, once it has settled."""
    async with kept(tmp_path / "db") as (spool, keeping):
        waiting, counts, _ = room(keeping)
        spool.gate.clear()
        putting = asyncio.ensure_future(waiting.put([crop(1), crop(2)]))
        await asyncio.sleep(0.02)
        putting.cancel()
        await asyncio.wait({putting})
        assert counts.kept == 0
        spool.gate.set()
        await waiting.settle()
        assert counts.kept == 2


async def test_a_spool_that_fails(tmp_path: Path) -> None:
    """It costs what was to be kept; what nobody expected of it, too. Both are said."""
    for error in (SinkError("the disk is gone"), ZeroDivisionError()):
        async with kept(tmp_path / "db") as (spool, keeping):
            waiting, counts, said = room(keeping)
            spool.error = error
            await waiting.put([crop(1)])
            assert counts.reasons == {Reason.FAILED: 1}
            assert len(said) == 1


async def test_a_spool_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, left alone for a while, and nothing of it counts as gone."""

    def fail(*_: object) -> None:
        raise SinkError("the disk is gone")

    async with kept(tmp_path / "db") as (_, keeping):
        waiting, counts, said = room(keeping)
        await waiting.put([crop(1)])
        with monkeypatch.context() as patch:
            patch.setattr(Spool, "some", fail)
            patch.setattr(Spool, "remove", fail)
            patch.setattr(Spool, "losses", fail)
            assert await waiting.next((), 0.0) is None
            assert waiting.next_at > 0
            assert not await waiting.remove(1, crop(1))
            assert len(said) == 3
        assert (counts.kept, waiting.has_some) == (1, True)
        found = await waiting.next((), waiting.next_at)
        assert found
        assert await waiting.remove(found.number, found.event)
        assert counts.kept == 0


async def test_the_rate(tmp_path: Path) -> None:
    """One leaves each hundredth of a second, however often it is asked."""
    async with kept(tmp_path / "db") as (_, keeping):
        waiting, _, _ = room(keeping, rate=100)
        await waiting.put([crop(n) for n in range(5)])
        numbers: list[int] = []
        taken = []
        for now in range(100, 200):
            if found := await waiting.next(numbers, now / 1000):
                numbers.append(found.number)
                taken.append(now)
        assert taken == [100, 110, 120, 130, 140]
        assert waiting.has_some
        assert await waiting.next((), 10.0) is not None


async def test_nothing_is_known_to_wait(tmp_path: Path) -> None:
    """Until something is put."""
    async with kept(tmp_path / "db") as (_, keeping):
        waiting, _, _ = room(keeping)
        assert waiting.has_some
        assert await waiting.next((), 1.0) is None
        assert not waiting.has_some
        await waiting.put([])
        assert not waiting.has_some
        await waiting.put([crop(1)])
        assert waiting.has_some
