"""What an error that nobody expected costs, and how the stream begins again."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fakes import FakeBroker, ListSource, frame, until
from patience import PATIENCE
from stream.test_pipeline import BOX, message, running, stream

from streamcrop.build.streams import Shared, stream_of
from streamcrop.core.values import Frame, Reason
from streamcrop.sources.threads import Threaded
from streamcrop.stream import supervision
from streamcrop.stream.pairing import Pairing
from streamcrop.stream.rendering import Rendering
from streamcrop.stream.tap import Showing


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "_FIRST", 0.05)


class Fragile(ListSource):
    """Raises after so many items, once."""

    def __init__(self, count: int, at: int) -> None:
        super().__init__(frame(n) for n in range(count))
        self._at = at

    def __iter__(self) -> Iterator[Frame | Reason]:
        for number, item in enumerate(super().__iter__()):
            if number == self._at:
                raise ZeroDivisionError
            yield item


async def test_a_file_goes_on_behind_its_last_frame() -> None:
    """What was in hand has failed; the frames behind it come, each once; the state says so."""
    async with running(Fragile(6, 3), stream(pairing={"max_wait": 30})) as run:
        run.broker.send(message(0, BOX))
        await until(lambda: run.pipeline.outcomes.restarts == 1)
        for number in range(6):
            run.broker.send(message(number, BOX))
        rows = await run.end()
    failed = rows["frames"]["dropped"].get("failed", 0)
    assert rows["frames"]["received"] == 6
    assert rows["frames"]["paired"] == 6 - failed >= 3
    assert rows["crops"]["published"] == rows["frames"]["paired"]
    assert run.pipeline.outcomes.failure is None
    assert run.pipeline.outcomes.restarts == 1
    [change] = run.changes
    assert change.state == "restarting"
    assert "ZeroDivisionError" in change.reason


STAGES = {
    "pair": (Pairing, "_take_frame", {}),
    "render": (Rendering, "_begin", {}),
    "show": (Showing, "_show", {"tap": {}}),
}


@pytest.mark.parametrize("stage", STAGES)
async def test_each_stage_may_fail(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the midst of a stage costs what the stream had in hand, counted as `failed`."""
    kind, name, sections = STAGES[stage]
    works, left = getattr(kind, name), [1]

    def breaks(*args: object) -> object:
        if left:
            left.clear()
            raise KeyError(stage)
        return works(*args)

    source = ListSource(frame(n) for n in range(4))
    source.gate = threading.Semaphore(1)
    async with running(source, stream(**sections, pairing={"max_wait": 0.3})) as run:
        run.broker.send(message(0, BOX))
        monkeypatch.setattr(kind, name, breaks)
        await until(lambda: not left)
        source.gate.release(9)
        await until(lambda: run.rows["frames"]["received"] >= 3)
        rows = await run.end()
    lost = sum(rows[name]["dropped"].get("failed", 0) for name in ("frames", "messages"))
    assert lost >= 1
    assert run.pipeline.outcomes.failure is None


async def test_one_that_fails_for_ever_waits_longer_and_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is tried again ever more seldom, and ends at once when it is told to."""
    slept: list[float] = []
    sleeps = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await sleeps(0)

    monkeypatch.setattr(supervision, "_FIRST", 1.0)
    monkeypatch.setattr("streamcrop.stream.supervision.asyncio.sleep", sleep)

    class Broken(ListSource):
        def __iter__(self) -> Iterator[Frame | Reason]:
            raise LookupError

        def again(self, _: Frame | None) -> "Broken":
            return self

    async with running(Broken([]), stream()) as run:
        await until(lambda: run.pipeline.outcomes.restarts >= 7)
        run.pipeline.stop()
        await run.end()
    waits = [each for each in slept if each >= 0.5]
    for wait, most in zip(waits, [1, 2, 4, 8, 16, 30, 30], strict=False):
        assert most / 2 <= wait <= most


async def test_messages_that_come_meanwhile_wait() -> None:
    """A message for a frame that is read after the restart finds it."""
    async with running(Fragile(2, 1), stream(pairing={"max_wait": 30})) as run:
        await until(lambda: run.pipeline.outcomes.restarts == 1)
        run.broker.send(message(1, BOX))
        rows = await run.end()
    assert rows["frames"]["paired"] == 1
    assert rows["messages"] == {"received": 1, "paired": 1, "dropped": {}}


async def test_crops_on_their_way_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker gets what was handed to the sink before the error."""
    source = ListSource(frame(n) for n in range(2))
    source.gate = threading.Semaphore(1)
    async with running(source, stream(pairing={"max_wait": 0.3})) as run:
        run.broker.flowing.clear()
        run.broker.send(message(0, BOX))
        await until(lambda: run.rows["crops"]["made"] == 1)
        with monkeypatch.context() as patched:
            patched.setattr(Pairing, "_take_message", lambda _: 1 // 0)
            run.broker.send(message(1))
            await until(lambda: run.pipeline.outcomes.restarts == 1)
        run.broker.flowing.set()
        source.gate.release(9)
        await run.end()
        assert run.rows["crops"] == {"made": 1, "published": 1, "dropped": {}}


async def test_a_stream_that_never_began_gives_back_its_messages() -> None:
    """Told to end before it runs, it counts what came as `closed`."""
    broker = FakeBroker()
    shared = Shared(node="node", broker=broker, encoders=ThreadPoolExecutor(1))
    source = Threaded(ListSource([frame(0)]))
    made = stream_of("gate", stream(), shared, lambda _: None, source)
    broker.send(message(0))
    made.stop()
    async with asyncio.timeout(PATIENCE):
        await made.run(lambda: asyncio.sleep(9))
    assert made.outcomes.ledger.messages.dropped == {"closed": 1}
    assert made.outcomes.ledger.errors() == []
