"""One stream, from its source to its sinks.

```
source ──► read ─► [show] ─► frames ──┐
                                      ├─► pair ──► pairs ──► render ──► sinks: broker, files
broker ──► arrive ─────► messages ────┘
```

Each word in the picture is a task or a queue: read is here, the others are stages of their own in
`tap`, `pairing` and `rendering`. Live inputs drop the oldest, counted; everything behind the two
inputs waits, so that a slow sink pushes back until the loss happens where it is counted. A file's
frames wait, too: it loses nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from streamcrop.core.values import Change, Frame, Note
from streamcrop.errors import SourceError
from streamcrop.sources import FrameSource
from streamcrop.stream.outcomes import Outcomes
from streamcrop.stream.pairing import Pairing
from streamcrop.stream.rendering import Rendering
from streamcrop.stream.tap import Showing


class Pipeline:
    """One run of a stream.

    Args:
        name: The stream's name.
        source: Where its frames come from.
        showing: The stage of the frame tap, if there is one.
        pairing: The stage at which frames and messages become pairs.
        rendering: The stage at which pairs become events.
        outcomes: Is told what became of everything.
        on_change: Is told what becomes of a live source's connection.
    """

    def __init__(
        self,
        name: str,
        *,
        source: FrameSource,
        showing: Showing | None,
        pairing: Pairing,
        rendering: Rendering,
        outcomes: Outcomes,
        on_change: Callable[[Change], None],
    ) -> None:
        self._name = name
        self._source = source
        self._showing = showing
        self._pairing = pairing
        self._rendering = rendering
        self._outcomes = outcomes
        self._on_change = on_change

    def arrive(self, payload: bytes, topic: str) -> None:
        """Take a detection message, with the topic by which it came."""
        self._pairing.arrive(payload, topic)
        # Its frame may have been read and not fetched yet.
        self._source.attend()

    @property
    def nbytes(self) -> int:
        """The bytes of all that waits in it."""
        return self._pairing.nbytes

    def shed(self, nbytes: int) -> None:
        """Let go of the oldest inputs, until so many bytes are free."""
        self._pairing.shed(nbytes)

    def fills(self) -> dict[str, tuple[int, int, int, int | None]]:
        """How full each queue is, as `BoundedQueue.fill`."""
        return self._pairing.fills()

    async def run(self) -> None:
        """Run until the source has ended and all that it gave has gone to the sinks.

        Raises:
            ExceptionGroup: Of whatever ended a stage; `abort` then.
        """
        async with asyncio.TaskGroup() as tasks:
            for name, stage in self._stages().items():
                tasks.create_task(self._run(stage), name=f"{self._name} {name}")

    def stop(self) -> None:
        """Close the inputs: what waits ends, pairs in hand still go to the sinks."""
        if self._showing:
            self._showing.stop()
        self._pairing.stop()

    def abort(self) -> None:
        """Let go of everything."""
        self.stop()
        self._pairing.abort()

    def _stages(self) -> dict[str, Callable[[], Awaitable[None]]]:
        show = {"show": self._showing.run} if self._showing else {}
        return {
            "read": self._read,
            **show,
            "pair": self._pairing.run,
            "render": self._rendering.run,
        }

    async def _run(self, stage: Callable[[], Awaitable[None]]) -> None:
        try:
            await stage()
        except Exception:
            # Before the others are cancelled, and let go of what they hold.
            self._outcomes.failing = True
            raise

    async def _read(self) -> None:
        frames = self._showing or self._pairing.frames
        try:
            async with aclosing(self._source.frames()) as items:
                async for item in items:
                    if isinstance(item, Change):
                        self._outcomes.measures.changed(item.state)
                        self._on_change(item)
                    elif isinstance(item, Note):
                        self._outcomes.notes.say(item.kind, item.text)
                    else:
                        self._outcomes.received(item)
                        if isinstance(item, Frame):
                            await frames.put(item)
        except SourceError as error:
            self._outcomes.failure = error
        finally:
            frames.close()
