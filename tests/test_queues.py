"""A queue that is bounded in items and bytes, and says what it lets go of."""

import asyncio
from typing import Any

import pytest

from streamcrop.queues import BoundedQueue, Overflow


def queue_of(lost: list[str], **options: Any) -> BoundedQueue[str]:
    """A queue of texts whose size is their length."""
    return BoundedQueue(**{"max_items": 2, "size": len, "on_drop": lost.append, **options})


async def settled(task: "asyncio.Task[Any]") -> bool:
    """Whether a task ends without anything else happening."""
    for _ in range(5):
        await asyncio.sleep(0)
    return task.done()


def test_empty() -> None:
    """A new queue is empty and open, and nothing can be taken."""
    queue = queue_of([])
    assert (len(queue), queue.closed, queue.ended) == (0, False, False)
    with pytest.raises(IndexError):
        queue.get_nowait()
    with pytest.raises(IndexError):
        queue.peek()


def test_first_in_first_out() -> None:
    """Items leave in the order in which they came; a peek takes nothing."""
    queue = queue_of([], max_items=3)
    for item in "abc":
        queue.put_nowait(item)
    assert queue.peek() == "a"
    assert queue.fill == (3, 3, 3, None)
    assert [queue.get_nowait() for _ in range(3)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("overflow", "kept", "dropped"),
    [("drop_oldest", "bc", "a"), ("drop_newest", "ab", "c"), ("block", "abc", "")],
)
def test_overflow_in_items(overflow: Overflow, kept: str, dropped: str) -> None:
    """Beyond its items a queue lets go of the oldest, the newest, or nothing."""
    lost: list[str] = []
    queue = queue_of(lost, overflow=overflow)
    for item in "abc":
        queue.put_nowait(item)
    assert "".join(queue.get_nowait() for _ in range(len(queue))) == kept
    assert "".join(lost) == dropped


@pytest.mark.parametrize(
    ("overflow", "kept", "dropped"),
    [
        ("drop_oldest", ["cccc"], ["aa", "bb"]),
        ("drop_newest", ["aa", "bb"], ["cccc"]),
        ("block", ["aa", "bb", "cccc"], []),
    ],
)
def test_overflow_in_bytes(overflow: Overflow, kept: list[str], dropped: list[str]) -> None:
    """Bytes bound a queue as items do, and as many go as are needed."""
    lost: list[str] = []
    queue = queue_of(lost, max_items=9, max_bytes=4, overflow=overflow)
    for item in ("aa", "bb", "cccc"):
        queue.put_nowait(item)
    assert [queue.get_nowait() for _ in range(len(queue))] == kept
    assert lost == dropped


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "block"])
async def test_one_item_is_always_let_in(overflow: Overflow) -> None:
    """An item larger than all the room passes an empty queue, or it would never pass."""
    queue = queue_of([], max_bytes=4, overflow=overflow)
    await queue.put("longer than four")
    found = queue.get_nowait()
    assert found == "longer than four"


def test_bytes_are_given_back() -> None:
    """What was taken leaves its bytes to others."""
    lost: list[str] = []
    queue = queue_of(lost, max_items=9, max_bytes=4, overflow="drop_newest")
    for _ in range(10):
        queue.put_nowait("aa")
        queue.put_nowait("bb")
        assert [queue.get_nowait(), queue.get_nowait()] == ["aa", "bb"]
    assert not lost


async def test_put_waits_for_room() -> None:
    """A blocking put waits until something is taken, and loses nothing."""
    lost: list[str] = []
    queue = queue_of(lost)
    await queue.put("a")
    await queue.put("b")
    put = asyncio.create_task(queue.put("c"))
    assert not await settled(put)
    assert queue.get_nowait() == "a"
    await put
    assert [queue.get_nowait(), queue.get_nowait(), lost] == ["b", "c", []]


async def test_put_waits_for_bytes() -> None:
    """A put that needs more bytes than one take gives back goes on waiting."""
    queue = queue_of([], max_items=9, max_bytes=4)
    await queue.put("aa")
    await queue.put("bb")
    put = asyncio.create_task(queue.put("cccc"))
    queue.get_nowait()
    assert not await settled(put)
    queue.get_nowait()
    await put
    assert queue.get_nowait() == "cccc"


async def test_many_puts_share_the_room() -> None:
    """Of several that wait, as many go on as fit, and none is forgotten."""
    queue = queue_of([], max_items=1)
    puts = [asyncio.create_task(queue.put(item)) for item in "abcde"]
    found = []
    while len(found) < 5:
        await asyncio.sleep(0)
        assert len(queue) <= 1
        while len(queue):
            found.append(queue.get_nowait())
    await asyncio.gather(*puts)
    assert found == list("abcde")


async def test_cancelled_put_tells() -> None:
    """An item whose put is cancelled while it waits is not lost without a word."""
    lost: list[str] = []
    queue = queue_of(lost, max_items=1)
    await queue.put("a")
    put = asyncio.create_task(queue.put("b"))
    assert not await settled(put)
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    assert lost == ["b"]
    assert len(queue) == 1


async def test_close_ends_waiting_puts() -> None:
    """A put into a closed queue, or one that waited when it closed, lets its item go."""
    lost: list[str] = []
    queue = queue_of(lost, max_items=1)
    await queue.put("a")
    put = asyncio.create_task(queue.put("b"))
    assert not await settled(put)
    queue.close()
    await put
    await queue.put("c")
    queue.put_nowait("d")
    assert lost == ["b", "c", "d"]
    assert (queue.closed, queue.ended) == (True, False)
    assert queue.get_nowait() == "a"
    assert queue.ended


async def test_iteration_ends_with_the_queue() -> None:
    """A loop over a queue waits for items and ends once it is closed and empty."""
    queue = queue_of([])
    found: list[str] = []

    async def consume() -> None:
        found.extend([item async for item in queue])

    task = asyncio.create_task(consume())
    assert not await settled(task)
    for item in "abc":
        await queue.put(item)
    assert not await settled(task)
    queue.put_nowait("d")
    queue.close()
    await task
    assert found == list("abcd")


def test_clear_tells() -> None:
    """What is cleared is let go of item by item."""
    lost: list[str] = []
    queue = queue_of(lost, max_bytes=4)
    queue.put_nowait("aa")
    queue.put_nowait("bb")
    queue.clear()
    queue.clear()
    assert (len(queue), lost) == (0, ["aa", "bb"])


async def test_wait_for_room() -> None:
    """A producer can wait for a free place before it makes the item; a close ends the wait."""
    queue = queue_of([], max_items=1)
    await queue.wait_for_room()
    await queue.put("a")
    for end in (queue.get_nowait, queue.close):
        waiting = asyncio.create_task(queue.wait_for_room())
        assert not await settled(waiting)
        end()
        await waiting
        queue.put_nowait("b")


async def test_one_event_for_several_queues() -> None:
    """Queues that share an event wake one waiter at a put and at a close of any."""
    changed = asyncio.Event()
    one, two = queue_of([], changed=changed), queue_of([], changed=changed)
    assert one.changed is two.changed is changed
    for change in (lambda: one.put_nowait("a"), lambda: two.put_nowait("b"), two.close):
        changed.clear()
        waiting = asyncio.create_task(changed.wait())
        assert not await settled(waiting)
        change()
        assert await waiting


def test_own_events_are_apart() -> None:
    """Without a shared event each queue has its own."""
    one, two = queue_of([]), queue_of([])
    one.put_nowait("a")
    assert (one.changed.is_set(), two.changed.is_set()) == (True, False)


def test_who_takes_an_item_wakes_those_who_wait_for_room() -> None:
    """By an event that others may set, too."""
    taken = asyncio.Event()
    queue: BoundedQueue[int] = BoundedQueue(max_items=1, taken=taken)
    assert queue.has_room()
    queue.put_nowait(1)
    assert not queue.has_room()
    assert not taken.is_set()
    queue.get_nowait()
    assert taken.is_set()
    queue.put_nowait(2)
    queue.close()
    assert queue.has_room()
