"""To try again: how long to wait before it, and how a stop cuts a wait short."""

import asyncio
import random
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Backoff:
    """Delays that double from try to try, each shortened by chance: many must not fall in step.

    Args:
        first: The first delay, in seconds.
        longest: No delay is longer, but for one that is asked for.

    Example:
        >>> backoff = Backoff(1.0, 3.0)
        >>> delays = [backoff.delay() for _ in range(4)]
        >>> [0.5 * most <= delay <= most for delay, most in zip(delays, (1.0, 2.0, 3.0, 3.0))]
        [True, True, True, True]
        >>> backoff.reset()
        >>> backoff.delay() <= 1.0
        True
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = self._next = first
        self._longest = longest

    def reset(self) -> None:
        """Begin anew with the first delay: it went well."""
        self._next = self._first

    def delay(self, least: float = 0.0) -> float:
        """How long to wait before the next try, in seconds.

        Args:
            least: What the other side asked for, or what spares it; 0: nothing.
        """
        delay = self._next * random.uniform(0.5, 1)  # noqa: S311  # no secret
        self._next = min(2 * self._next, self._longest)
        return max(delay, least)


async def unless(stopped: asyncio.Event, work: Awaitable[T]) -> T | None:
    """Await something that may never come, until it is stopped: then it is cancelled.

    Returns:
        Its result; None if it was stopped before.
    """
    task, stop = asyncio.ensure_future(work), asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        stop.cancel()
        await asyncio.gather(task, stop, return_exceptions=True)
