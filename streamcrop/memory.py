"""One bound for all that waits in a node: the oldest inputs of the fullest stream go first."""

import asyncio
from collections.abc import Iterable
from math import ceil
from typing import Protocol

EVERY = 0.1


class Waits(Protocol):
    """A stream, as far as its memory is concerned."""

    @property
    def nbytes(self) -> int:
        """The bytes of all that waits in it."""
        ...

    def shed(self, nbytes: int) -> None:
        """Let go of the oldest inputs, until so many bytes are free; counted."""
        ...


async def keep(streams: Iterable[Waits], most: int) -> None:
    """Look every tenth of a second, until cancelled.

    Args:
        streams: All that hold something.
        most: How many bytes may wait in all of them together.
    """
    streams = tuple(streams)
    while True:
        await asyncio.sleep(EVERY)
        trim(streams, most)


def trim(streams: Iterable[Waits], most: int) -> None:
    """Have streams let go of what is too much, the one that holds most first.

    Args:
        streams: All that hold something.
        most: How many bytes may wait in all of them together.

    Example:
        >>> class Holds:
        ...     def __init__(self, nbytes): self.nbytes = nbytes
        ...     def shed(self, nbytes): self.nbytes -= nbytes
        >>> streams = [Holds(70), Holds(20), Holds(60)]
        >>> trim(streams, 90)
        >>> [stream.nbytes for stream in streams]
        [35, 20, 35]
    """
    waiting = sorted(((each.nbytes, each) for each in streams), key=lambda each: -each[0])
    over = sum(nbytes for nbytes, _ in waiting) - most
    if over <= 0:
        return
    # The level to which the fullest are lowered.
    fullest = 0
    level = 0.0
    for count in range(1, len(waiting) + 1):
        fullest += waiting[count - 1][0]
        level = (fullest - over) / count
        if count == len(waiting) or waiting[count][0] <= level:
            break
    for nbytes, stream in waiting:
        if nbytes > level:
            stream.shed(ceil(nbytes - max(0.0, level)))
