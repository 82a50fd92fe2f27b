"""Where frames come from: thin adapters, one a kind.

A source hands out what has become of the stream, in order: a `Frame`; a `Reason` for a frame that
was lost before it was one; a `Change` when a live source's connection begins or ends; a `Note` for
people.
"""

from collections.abc import AsyncGenerator
from typing import Protocol

from streamcrop.core.values import Change, Frame, Note, Reason

Item = Frame | Reason | Change | Note


class FrameSource(Protocol):
    """The source of a stream. It raises `SourceError` when there will be no more frames."""

    def frames(self) -> AsyncGenerator[Item]:
        """All that comes, until the source ends or `stop` is called."""
        ...

    def attend(self) -> None:
        """Hand frames out at once for a while: somebody speaks of them."""
        ...

    def stop(self) -> None:
        """End `frames` soon; frames that are already there may be lost."""
        ...
