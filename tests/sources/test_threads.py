"""A blocking source in a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fakes import ListSource, frame, until
from patience import FOR_EVER, PATIENCE

from streamcrop.core.values import Frame
from streamcrop.errors import SourceError
from streamcrop.sources.decoding import LazyPixels
from streamcrop.sources.threads import Threaded


class Hanging:
    """Hands out a frame, and then hangs in a call that nobody can interrupt."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.stopped = False

    def __iter__(self) -> Iterator[Frame]:
        yield frame(0)
        self.released.wait(FOR_EVER)

    def stop(self) -> None:
        self.stopped = True


async def test_all_items_in_order_then_the_end() -> None:
    """Everything is handed over in order; the end and an error come behind it."""
    frames = [item async for item in Threaded(ListSource(map(frame, range(50)))).frames()]
    assert [item.frame_id for item in frames if isinstance(item, Frame)] == [
        str(n) for n in range(50)
    ]
    broken = Threaded(ListSource([frame(0)], SourceError("breaks off"))).frames()
    await anext(broken)
    with pytest.raises(SourceError, match="breaks off"):
        await anext(broken)


async def test_a_consumer_that_waits_holds_the_source() -> None:
    """No more than a few frames are read ahead of the consumer."""
    read = []

    class Counting(ListSource):
        def __iter__(self) -> Iterator[Frame]:
            for number in range(100):
                read.append(number)
                yield frame(number)

    source = Threaded(Counting([]))
    frames = source.frames()
    await anext(frames)
    await asyncio.sleep(0.2)
    assert len(read) < 6
    await frames.aclose()


async def test_a_hanging_source_holds_up_nobody() -> None:
    """`stop` ends the frames although the thread still hangs, and the process could end."""
    hanging = Hanging()
    others = set(threading.enumerate())
    source = Threaded(hanging)

    async def read() -> int:
        return len([item async for item in source.frames()])

    task = asyncio.create_task(read())
    await asyncio.sleep(0.1)
    source.stop()
    assert await asyncio.wait_for(task, PATIENCE) == 1
    assert hanging.stopped
    [thread] = [thread for thread in set(threading.enumerate()) - others if thread.name == "source"]
    assert thread.daemon
    hanging.released.set()
    await until(lambda: not thread.is_alive())


async def test_stopped_before_it_began() -> None:
    """A source that is stopped first hands out nothing."""
    source = Threaded(ListSource([frame(0)]))
    source.stop()
    assert [item async for item in source.frames()] == []


class _Decoder:
    """Knows whether anybody looks at its pictures."""

    is_idle = True


def undecoded(number: int, decoder: _Decoder) -> Frame:
    """A frame whose picture nobody has decoded."""
    pixels = LazyPixels(decoder, None, number, 1)
    return replace(frame(number), pixels=pixels)


async def test_pictures_that_nobody_looks_at_come_several_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While a stream is idle the loop is not woken for each; once it is not, it is."""
    decoder, come = _Decoder(), threading.Semaphore(0)

    class Camera(ListSource):
        def __iter__(self) -> Iterator[Frame]:
            for number in range(40):
                assert come.acquire(timeout=PATIENCE)
                yield undecoded(number, decoder)

    monkeypatch.setattr("streamcrop.sources.threads._POLL", FOR_EVER)
    frames = Threaded(Camera([])).frames()
    come.release()
    await anext(frames)
    waiting = asyncio.ensure_future(anext(frames))
    for _ in range(10):
        await asyncio.sleep(0)  # it sees that nobody looks
    come.release(5)
    await asyncio.sleep(0.2)
    assert not waiting.done()
    decoder.is_idle = False
    come.release()
    async with asyncio.timeout(PATIENCE):
        await waiting
        for _ in range(5):
            await anext(frames)
    await frames.aclose()
    come.release(40)


async def test_many_undecoded_pictures_wait_where_few_decoded_ones_do() -> None:
    """A consumer that is busy holds a camera's packets up later than pictures in memory."""
    decoder, read = _Decoder(), []

    class Camera(ListSource):
        def __iter__(self) -> Iterator[Frame]:
            for number in range(200):
                read.append(number)
                yield undecoded(number, decoder)

    frames = Threaded(Camera([])).frames()
    await anext(frames)
    await asyncio.sleep(0.2)
    assert 20 < len(read) < 40
    await frames.aclose()


async def test_an_idle_stream_that_is_fast_is_not_slowed_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When there is no more room for pictures that nobody looks at, they are fetched at once."""
    monkeypatch.setattr("streamcrop.sources.threads._POLL", FOR_EVER)
    source = Threaded(ListSource(undecoded(number, _Decoder()) for number in range(400)))
    async with asyncio.timeout(PATIENCE):
        assert len([item async for item in source.frames()]) == 400


async def test_somebody_speaks_of_a_picture_that_was_not_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then what waits is fetched at once, and each picture behind it as it comes."""
    monkeypatch.setattr("streamcrop.sources.threads._POLL", FOR_EVER)
    come = threading.Semaphore(0)
    read = 0

    class Camera(ListSource):
        def __iter__(self) -> Iterator[Frame]:
            nonlocal read
            for number in range(9):
                assert come.acquire(timeout=PATIENCE)
                read += 1
                yield undecoded(number, _Decoder())

    source = Threaded(Camera([]))
    frames = source.frames()
    come.release()
    await anext(frames)
    waiting = asyncio.ensure_future(anext(frames))
    for _ in range(10):
        await asyncio.sleep(0)  # before that it is told of each
    come.release(3)
    await until(lambda: read == 4)
    await asyncio.sleep(0.05)
    assert not waiting.done()
    source.attend()
    async with asyncio.timeout(PATIENCE):
        await waiting
        for _ in range(2):
            await anext(frames)
        for _ in range(5):
            waiting = asyncio.ensure_future(anext(frames))
            await asyncio.sleep(0.01)
            come.release()
            await waiting
    await frames.aclose()
