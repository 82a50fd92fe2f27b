"""A decoder of what others send, as both kinds of fuzzing know it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Seconds of CPU that no input may cost; what it decodes by itself is a few kilobytes.
LONGEST = 2.0


class TooSlowError(Exception):
    """An input costs more than its size is worth."""


@dataclass(frozen=True, slots=True)
class Target:
    """One decoder, or all that a message meets on its way.

    Attributes:
        run: Decodes; raises where the decoder broke a promise, for it deals itself with the errors
            that the decoder documents.
        seeds: Inputs that are right, from which others are made.
        shape: How inputs are changed: as ``bytes``, as ``json`` as well, or ``framed``: a line of
            JSON, and bytes behind it.
        share: Of the runs that are asked for, since some decoders cost a thousand times others.
    """

    run: Callable[[bytes], None]
    seeds: Sequence[bytes]
    shape: str = "bytes"
    share: float = 1.0

    def __call__(self, data: bytes) -> None:
        """Decode an input.

        Raises:
            TooSlowError: If it takes too long.
        """
        since = time.process_time()
        self.run(data)
        if (spent := time.process_time() - since) > LONGEST:
            msg = f"{spent:.1f} s of CPU for {len(data)} bytes"
            raise TooSlowError(msg)
