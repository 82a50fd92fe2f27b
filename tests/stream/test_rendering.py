"""Where pairs are decoded, cut and encoded, and whose their crops are then."""

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from fakes import frame, until

from streamcrop.core.background import CropOptions
from streamcrop.core.pairing import Paired
from streamcrop.core.pixels import ArrayPixels
from streamcrop.core.values import Frame
from streamcrop.formats import inference
from streamcrop.formats.events import Event
from streamcrop.queues import BoundedQueue
from streamcrop.stream import rendering as rendering_module
from streamcrop.stream.outbox import Pair, Waiting
from streamcrop.stream.outcomes import Outcomes
from streamcrop.stream.render import Style
from streamcrop.stream.rendering import Rendering

BOX = b'{"x": 9, "y": 9, "width": 8, "height": 8}'
BOXES = b'{"predictions": [%s, %s]}' % (BOX, BOX)


class Taking:
    """A sink that keeps what it gets; it may wait, or raise."""

    name = "taking"

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.error: Exception | None = None
        self.waits = asyncio.Event()
        self.waits.set()

    def prepare(self, events: Sequence[Event]) -> object:
        return [event.topic for event in events]

    async def put(self, events: Sequence[Event], prepared: object = None) -> None:
        assert prepared == self.prepare(events)
        self.events += events
        await self.waits.wait()
        if self.error:
            raise self.error

    async def drain(self) -> None: ...

    async def abort(self) -> None: ...


class Undecoded(ArrayPixels):
    """Says in which thread it is decoded."""

    threads: list[str] = []  # noqa: RUF012  # of the class

    @property
    def is_decoded(self) -> bool:
        return False

    def decode(self) -> ArrayPixels:
        Undecoded.threads.append(threading.current_thread().name)
        return ArrayPixels(self.array)


def stage(*sinks: Taking) -> tuple[Rendering, BoundedQueue[Pair], Outcomes]:
    """The stage, its input, and what it tells."""
    pairs: BoundedQueue[Pair] = BoundedQueue(max_items=9)
    outcomes = Outcomes("frame_id", 2.0)
    for sink in sinks:
        outcomes.account(sink.name)
    rendering = Rendering(
        pairs,
        style=Style(("edge", "gate"), CropOptions()),
        limited=lambda: True,
        sinks=sinks,
        outcomes=outcomes,
        threads=ThreadPoolExecutor(1, thread_name_prefix="own"),
        encoders=ThreadPoolExecutor(1, thread_name_prefix="encode"),
    )
    return rendering, pairs, outcomes


def pair(of: Frame, outcomes: Outcomes) -> Pair:
    """A frame with two boxes, both counted as received."""
    outcomes.received(of)
    outcomes.ledger.messages.enter()
    message = Waiting("0", 1, inference.decode(BOXES), sender="d")
    return Paired(Waiting("0", 1, of), message, 0.0)


async def test_a_picture_is_decoded_in_the_streams_own_thread() -> None:
    """And encoded in those of all; every sink gets every event."""
    one, other = Taking(), Taking()
    rendering, pairs, outcomes = stage(one, other)
    Undecoded.threads.clear()
    await pairs.put(pair(Frame("0", Undecoded(np.zeros((64, 64, 3), np.uint8))), outcomes))
    pairs.close()
    await rendering.run()
    assert [name.split("_")[0] for name in Undecoded.threads] == ["own"]
    assert [event.is_crop for event in one.events] == [True, True, False]
    assert one.events == other.events


@pytest.mark.parametrize("ends", ["cancelled", "raises"])
async def test_what_was_handed_to_a_sink_is_its_own(ends: str) -> None:
    """Neither an error of the sink nor the stage's end counts these crops a second time."""
    sink = Taking()
    rendering, pairs, outcomes = stage(sink)
    sink.waits.clear()
    sink.error = ZeroDivisionError() if ends == "raises" else None
    await pairs.put(pair(frame(0), outcomes))
    running = asyncio.create_task(rendering.run())
    await until(lambda: sink.events)
    if ends == "cancelled":
        running.cancel()
    else:
        sink.waits.set()
        pairs.close()
    await asyncio.wait({running})
    crops = outcomes.ledger.crops
    assert (crops.entered, dict(crops.dropped)) == (2, {})
    for event in sink.events:
        outcomes._accounts["taking"].ended(event, None)
    assert outcomes.ledger.errors() == []


async def test_a_pair_that_is_not_rendered_is_lost_with_its_message() -> None:
    """Cancelled before its first part, it ends on both sides as `closed`."""
    rendering, pairs, outcomes = stage(Taking())
    blocked = threading.Event()
    rendering._encoders.submit(blocked.wait, 20)
    await pairs.put(pair(frame(0), outcomes))
    running: asyncio.Task[Any] = asyncio.create_task(rendering.run())
    await until(lambda: not pairs)
    running.cancel()
    await asyncio.wait({running})
    blocked.set()
    assert outcomes.ledger.frames.dropped == outcomes.ledger.messages.dropped == {"closed": 1}
    assert outcomes.ledger.errors() == []


async def test_a_stream_whose_parts_take_long_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the second such part on they are made in its own threads, until one is quick again."""
    made: list[str] = []
    works = rendering_module.encode_crops

    def slow(*args: Any, **named: Any) -> Any:
        made.append(threading.current_thread().name.split("_")[0])
        if len(made) < 3:
            end = time.thread_time() + 0.15
            while time.thread_time() < end:
                pass
        yield from works(*args, **named)

    monkeypatch.setattr(rendering_module, "encode_crops", slow)
    rendering, pairs, outcomes = stage(Taking())
    for _ in range(5):
        undecoded = Undecoded(np.zeros((64, 64, 3), np.uint8))
        await pairs.put(pair(Frame("0", undecoded), outcomes))
    pairs.close()
    await rendering.run()
    assert made == ["encode", "own", "own", "encode", "encode"]
