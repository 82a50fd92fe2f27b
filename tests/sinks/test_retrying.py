"""A sink that fails alone: its retries, its queue, its spool, and one end for each event."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fakes import until
from patience import PATIENCE

from streamcrop.core.values import Reason
from streamcrop.errors import RejectedError, SinkError
from streamcrop.formats.events import Event
from streamcrop.sinks import retrying
from streamcrop.sinks.keeping import Keeping, WaitingRoom
from streamcrop.sinks.retrying import Retrying
from streamcrop.sinks.spool import Key, Spool

GATE = Key("gate", "test")


def crop(name: object, size: int = 10) -> Event:
    """A crop's event."""
    return Event("t", bytes(size), "image/jpeg", {"id": str(name)}, b"{}", is_crop=True)


def crops(*names: object) -> list[Event]:
    """Crops' events."""
    return [crop(name) for name in names]


class Target:
    """Where events go: can fail, hang, and reject."""

    def __init__(self, batch: int = 1) -> None:
        self.batch = batch
        self.crops_alone = False
        self.got: list[str] = []
        self.spooled: list[str] = []
        self.tries = 0
        self.flying = self.most = 0
        self.error: Exception | None = None
        self.rejects: set[str] = set()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.closed = False
        self.takes = 1000

    def take(self, event: Event) -> Event | None:
        return event if event.is_crop or not self.crops_alone else None

    async def deliver(self, events: Sequence[Event], *, again: bool) -> int:
        self.tries += 1
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            await asyncio.sleep(0)
            await self.flowing.wait()
        finally:
            self.flying -= 1
        if self.error:
            raise self.error
        names = [event.attributes["id"] for event in events]
        if names[0] in self.rejects:
            raise RejectedError("no such thing here", reason="too_large")
        names = names[: self.takes]
        self.got += names
        assert again == ("spooled" in events[0].attributes)
        self.spooled += names if again else []
        return len(names)

    async def close(self) -> None:
        self.closed = True


class Counts:
    """An account that checks that nothing ends twice."""

    def __init__(self) -> None:
        self.ends: dict[str, Reason | None] = {}
        self.kept = 0
        self.reasons: Counter[Reason] = Counter()
        self.delivered = 0

    def ended(self, event: Event, reason: Reason | None) -> None:
        name = event.attributes["id"]
        assert name not in self.ends
        self.ends[name] = reason
        if reason:
            self.reasons[reason] += 1
        else:
            self.delivered += 1

    def spooled(self, count: int) -> None:
        self.kept += count
        assert self.kept >= 0

    def lost(self, reason: Reason, count: int) -> None:
        self.reasons[reason] += count

    @property
    def total(self) -> int:
        return self.delivered + self.kept + self.reasons.total()


class Kit:
    """A sink, its target and its account."""

    def __init__(self, target: Target, counts: Counts, sink: Retrying, said: list[str]) -> None:
        self.target, self.counts, self.sink, self.said = target, counts, sink, said


@asynccontextmanager
async def made(
    path: Path | None = None,
    *,
    max_inflight: int = 4,
    batch: int = 1,
    rate: float = 1000,
    end_within: float = 0.3,
    spills: bool = False,
    **how: object,
) -> AsyncIterator[Kit]:
    """A sink; with a path one with a spool. It is aborted at the end."""
    target, counts, said = Target(batch), Counts(), []
    keeping = waiting = None
    if path:
        bounds = {"max_bytes": 8 << 20, "max_age": 100, "order": "oldest", **how}
        spool = Spool(path, **bounds)
        counts.kept = spool.count(GATE)
        keeping = Keeping(spool)
        waiting = WaitingRoom(
            keeping, GATE, rate=rate, account=counts, say=lambda kind, _: said.append(kind)
        )
    sink = Retrying(
        "test",
        target,
        max_inflight=max_inflight,
        max_waiting=max_inflight,
        account=counts,
        say=lambda kind, _: said.append(kind),
        end_within=end_within,
        waiting=waiting,
        spills=spills,
    )
    try:
        yield Kit(target, counts, sink, said)
    finally:
        await sink.abort()
        assert target.closed
        if keeping:
            await keeping.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short delays."""
    monkeypatch.setattr(retrying, "FIRST_DELAY", 0.02)
    monkeypatch.setattr(retrying, "LONGEST_DELAY", 0.05)
    monkeypatch.setattr(retrying, "PATIENCE", 0.2)
    monkeypatch.setattr(retrying, "_LOOK_EVERY", 0.05)


@pytest.fixture(params=[False, True], ids=["no spool", "spool"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Where the spool is."""
    return tmp_path / "spool.db" if request.param else None


async def test_what_works(place: Path | None) -> None:
    """All arrive, many at once and no more than said, in their order where one is taken at once."""
    async with made(place, max_inflight=3) as kit:
        await kit.sink.put(crops(*range(20)))
        await kit.sink.drain()
        assert sorted(kit.target.got, key=int) == [str(n) for n in range(20)]
        assert kit.target.most == 3
        assert (kit.counts.delivered, kit.counts.total, kit.said) == (20, 20, [])
    async with made(place, max_inflight=1) as kit:
        await kit.sink.put(crops(*range(5)))
        await kit.sink.drain()
        assert kit.target.got == [*"01234"]


async def test_batches() -> None:
    """What waits goes together, as far as it is taken; what was not taken goes again."""
    async with made(batch=4, max_inflight=8) as kit:
        kit.target.takes = 3
        await kit.sink.put(crops(*range(8)))
        await kit.sink.drain()
        assert sorted(kit.target.got) == [*"01234567"]
        assert kit.counts.delivered == 8


async def test_crops_alone(place: Path | None) -> None:
    """What wants no other events gets none, nor does its spool."""
    frame = Event("t", b"{}", "application/json", {"id": "frame"})
    async with made(place) as kit:
        kit.target.crops_alone = True
        await kit.sink.put([*crops(1), frame])
        await kit.sink.drain()
        kit.target.error = SinkError("away")
        await kit.sink.put([*crops(2), frame])
        await kit.sink.drain()
        kit.target.error = None
        await kit.sink.put([*crops(3), frame])
        await kit.sink.drain()
        assert "frame" not in {*kit.target.got, *kit.counts.ends}
        assert kit.counts.total == 3


async def test_a_sink_that_says_when_to_come_again(place: Path | None) -> None:
    """It is left alone until then."""
    async with made(place) as kit:
        kit.target.error = SinkError("busy", later=0.5)
        await kit.sink.put(crops(1))
        await asyncio.sleep(0.3)
        assert kit.target.tries == 1
        kit.target.error = None
        await until(lambda: kit.target.got)


async def test_a_sink_that_is_slow_is_waited_for(place: Path | None) -> None:
    """Nothing is lost to it: whoever puts waits, and in the end all is there."""
    async with made(place, max_inflight=2) as kit:
        kit.target.flowing.clear()
        putting = asyncio.ensure_future(kit.sink.put(crops(*range(8))))
        await asyncio.sleep(0.1)
        assert not putting.done()
        kit.target.flowing.set()
        await putting
        await kit.sink.drain()
        assert kit.counts.delivered == 8
        assert kit.said == []


async def test_a_sink_that_is_slow_spills_into_its_spool(tmp_path: Path) -> None:
    """Nobody waits for it where that was asked for, and all arrive."""
    async with made(tmp_path / "db", max_inflight=2, spills=True, end_within=5) as kit:
        kit.target.flowing.clear()
        for number in range(0, 30, 3):
            async with asyncio.timeout(2):
                await kit.sink.put(crops(number, number + 1, number + 2))
        assert kit.counts.kept >= 24
        kit.target.flowing.set()
        await kit.sink.drain()
        assert (kit.counts.delivered, kit.counts.kept, kit.said) == (30, 0, [])


async def test_a_sink_that_fails_keeps_nobody_waiting(place: Path | None) -> None:
    """It is tried again with growing delays; without a spool the oldest go, with one nothing."""
    async with made(place, max_inflight=4) as kit:
        kit.target.error = SinkError("the disk is full")
        for number in range(50):
            async with asyncio.timeout(2):
                await kit.sink.put(crops(number))
            await asyncio.sleep(0.004)
        assert kit.target.tries < 25
        assert set(kit.said) == {"test"}
        kit.target.error = None
        await until(lambda: len(kit.target.got) == (50 if place else 4))
        await kit.sink.drain()
        assert kit.counts.total == 50
        if place:
            assert sorted(kit.target.got, key=int) == [str(n) for n in range(50)]
            assert kit.target.spooled
        else:
            assert sorted(kit.target.got, key=int) == ["46", "47", "48", "49"]
            assert kit.counts.reasons == {Reason.FAILED: 46}


async def test_a_sink_that_hangs_is_one_that_fails(place: Path | None) -> None:
    """Nobody waits for it for longer than its patience; when it answers, all is well again."""
    async with made(place, max_inflight=2) as kit:
        kit.target.flowing.clear()
        async with asyncio.timeout(PATIENCE):
            await kit.sink.put(crops(*range(20)))
        kit.target.flowing.set()
        await kit.sink.drain()
        await kit.sink.put(crops("last"))
        await kit.sink.drain()
        assert kit.counts.ends["last"] is None
        assert kit.counts.total == 21
        assert kit.counts.delivered == (21 if place else 5)


async def test_what_is_rejected_is_not_tried_again(place: Path | None) -> None:
    """It ends by its reason, and costs no other."""
    async with made(place) as kit:
        kit.target.rejects = {"1", "3"}
        await kit.sink.put(crops(*range(5)))
        await kit.sink.drain()
        assert kit.counts.reasons == {Reason.TOO_LARGE: 2}
        assert (kit.counts.ends["1"], kit.counts.delivered, kit.target.tries) == ("too_large", 3, 5)
        assert set(kit.said) == {"test_refuses"}


async def test_an_error_that_nobody_expected(place: Path | None) -> None:
    """It costs the event in hand."""
    async with made(place) as kit:
        kit.target.error = ZeroDivisionError()
        await kit.sink.put(crops(1, 2))
        await kit.sink.drain()
        kit.target.error = None
        await kit.sink.put(crops(3))
        await kit.sink.drain()
        assert kit.counts.ends == {"1": "failed", "2": "failed", "3": None}


async def test_what_a_later_run_finds(tmp_path: Path) -> None:
    """What was not delivered at the end is kept, and goes out with the next run, also of itself."""
    async with made(tmp_path / "db") as kit:
        kit.target.error = SinkError("away")
        await kit.sink.put(crops(*range(10)))
        await kit.sink.drain()
        assert kit.counts.kept == 10
    async with made(tmp_path / "db") as kit:
        await kit.sink.put(())
        await until(lambda: len(kit.target.spooled) == 10)
        assert sorted(kit.target.spooled) == [*"0123456789"]
        await kit.sink.drain()
        assert (kit.counts.kept, kit.counts.delivered) == (0, 10)


async def test_what_is_on_its_way_at_the_end(place: Path | None) -> None:
    """Aborted in the middle, each event has one end; with a spool the next run has them all."""
    async with made(place, max_inflight=2) as kit:
        kit.target.flowing.clear()
        putting = asyncio.ensure_future(kit.sink.put(crops(*range(6))))
        await until(lambda: kit.target.flying == 2)
        putting.cancel()
        await asyncio.wait({putting})
        await kit.sink.abort()
        assert kit.counts.total == 6
        assert kit.counts.delivered == 0
        # Two on their way, two in the queue, and two that were never let in.
        assert kit.counts.reasons == ({Reason.CLOSED: 2} if place else {Reason.CLOSED: 6})
    if place:
        async with made(place) as kit:
            await kit.sink.drain()
            assert sorted(kit.target.got) == [*"0123"]


async def test_the_rate_and_the_live_ones(tmp_path: Path) -> None:
    """What was spooled leaves at its rate, and live events pass it."""
    async with made(tmp_path / "db", rate=50, end_within=5) as kit:
        kit.target.error = SinkError("away")
        await kit.sink.put(crops("probe"))
        await until(lambda: kit.said)
        await kit.sink.put(crops(*range(20)))
        kit.target.error = None
        await until(lambda: kit.target.got)
        began = asyncio.get_running_loop().time()
        await kit.sink.put(crops("live"))
        await kit.sink.drain()
        assert asyncio.get_running_loop().time() - began > 15 / 50
        assert kit.target.got.index("live") < 10
        assert "live" not in kit.target.spooled
        assert kit.counts.delivered == 22


async def test_a_full_spool(tmp_path: Path) -> None:
    """What finds no room ends as such; the sums hold."""
    async with made(tmp_path / "db", max_bytes=1 << 20) as kit:
        kit.target.error = SinkError("away")
        await kit.sink.put([crop(n, 100_000) for n in range(30)])
        assert kit.counts.total == 30
        assert 20 <= kit.counts.reasons[Reason.SPOOL_FULL] <= 24


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_what_is_given_up(tmp_path: Path, order: str) -> None:
    """Room and age: what the spool let go of is counted once, and the rest arrives."""
    now = 0.0

    def clock() -> float:
        return now

    how = {"order": order, "max_bytes": 1 << 20, "clock": clock, "end_within": 5}
    async with made(tmp_path / "db", **how) as kit:
        kit.target.error = SinkError("away")
        await kit.sink.put([crop(n, 100_000) for n in range(12)])
        now = 101.0
        await kit.sink.put([crop(n, 100_000) for n in range(12, 16)])
        await until(lambda: kit.counts.reasons[Reason.SPOOL_EXPIRED])
        kit.target.error = None
        await kit.sink.put([crop(n, 1000) for n in range(16, 20)])
        await kit.sink.drain()
        assert kit.counts.total == 20
        assert kit.counts.kept == 0
        assert kit.counts.delivered + kit.counts.reasons.total() == 20
        assert set(kit.counts.reasons) == {Reason.SPOOL_EXPIRED, Reason.SPOOL_FULL}
        assert {"16", "17", "18", "19"} <= set(kit.target.got)


async def test_a_spool_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs what was to be kept, says so, and the live ones go on."""

    def fail(*_: object) -> None:
        raise SinkError("spool.db: cannot be used")

    async with made(tmp_path / "db") as kit:
        monkeypatch.setattr(Spool, "put", fail)
        kit.target.error = SinkError("away")
        await kit.sink.put(crops(1, 2))
        await until(lambda: kit.counts.reasons == {Reason.FAILED: 2})
        assert "spool" in kit.said
        kit.target.error = None
        await kit.sink.put(crops(3))
        await until(lambda: kit.counts.total == 3)
        monkeypatch.undo()


@pytest.mark.parametrize("when", [0, 0.005, 0.02, 0.05, 0.1])
async def test_the_sums_hold_whenever_it_is_aborted(tmp_path: Path, when: float) -> None:
    """In the middle of flights, commits and removals; nothing that is kept or lost twice."""
    async with made(tmp_path / "db", max_inflight=8, batch=2) as kit:

        async def flap() -> None:
            for number in range(1000):
                kit.target.error = SinkError("away") if number % 3 else None
                await asyncio.sleep(0.007)

        async def fill() -> None:
            for number in range(0, 400, 5):
                await kit.sink.put(crops(*range(number, number + 5)))
                await asyncio.sleep(0.001)

        tasks = [asyncio.ensure_future(work()) for work in (flap, fill)]
        await asyncio.sleep(when)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await kit.sink.abort()
        put = kit.counts.total
        delivered = set(kit.target.got)
        kept = kit.counts.kept
    async with made(tmp_path / "db", end_within=10) as kit:
        assert kit.counts.kept == kept
        await kit.sink.drain()
        assert kit.counts.kept == 0
        assert kit.counts.delivered == kept
        assert len(delivered | set(kit.target.got)) >= put - 5
