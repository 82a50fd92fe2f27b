"""What waits in the whole node has one bound."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fakes import FakeBroker, ListSource, frame, until
from hypothesis import given
from hypothesis import strategies as st
from stream.test_pipeline import stream

from streamcrop import memory
from streamcrop.build.streams import Shared, stream_of
from streamcrop.sources.threads import Threaded


class Holds:
    """A stream that lets go of what it is told to."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes

    def shed(self, nbytes: int) -> None:
        assert 0 < nbytes <= self.nbytes
        self.nbytes -= nbytes


@given(st.lists(st.integers(0, 1000), max_size=9), st.integers(1, 5000))
def test_the_fullest_give_way(held: list[int], most: int) -> None:
    """Afterwards the bound holds, nobody gave more than needed, and nobody who holds less."""
    streams = [Holds(nbytes) for nbytes in held]
    memory.trim(streams, most)
    left = [each.nbytes for each in streams]
    assert sum(left) <= max(most, 0) + len(held)
    if sum(held) <= most:
        assert left == held
    else:
        assert sum(left) >= most - len(held)
        fullest = max(left)
        for before, after in zip(held, left, strict=True):
            assert after == before or after >= fullest - 1


async def test_streams_let_go_of_what_waited_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames and messages that wait for each other are counted as `pairing_full`, and said."""
    monkeypatch.setattr(memory, "EVERY", 0.01)
    broker = FakeBroker()
    shared = Shared(node="node", broker=broker, encoders=ThreadPoolExecutor(1))
    settings = stream(live=True, pairing={"max_wait": 60})
    source = ListSource(frame(n) for n in range(20))
    made = stream_of("gate", settings, shared, lambda _: None, Threaded(source))
    running = asyncio.create_task(made.run(lambda: asyncio.sleep(0)))
    await until(lambda: made.outcomes.ledger.frames.entered == 20)
    for n in range(100, 110):
        broker.send(json.dumps({"frame_id": n, "predictions": [], "x": "x" * 2000}).encode())
    size = frame(0).pixels.nbytes
    await until(lambda: made.nbytes > 20 * size)
    keeping = asyncio.create_task(memory.keep([made], 5 * size))
    await until(lambda: made.nbytes <= 5 * size)
    keeping.cancel()
    rows: dict[str, Any] = made.outcomes.ledger.as_json()
    assert rows["frames"]["dropped"]["pairing_full"] >= 14
    [note] = [each for each in made.outcomes.notes.as_json() if each["kind"] == "memory"]
    assert "limits.memory" in note["text"]
    made.stop()
    await running
    assert made.outcomes.ledger.errors() == []
