"""A stream's life: its pipeline, begun again where something fails that nobody expected."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor

from streamcrop.backoff import Backoff, unless
from streamcrop.core.values import Change
from streamcrop.sinks import Sink
from streamcrop.sources import FrameSource
from streamcrop.stream.outcomes import Outcomes
from streamcrop.stream.pipeline import Pipeline
from streamcrop.stream.tap import Tap

# A pipeline is begun again after so many seconds, at first and at most; one that ran for a minute
# did well.
_FIRST, _LONGEST, _WELL = 1.0, 30.0, 60.0


class Stream:
    """One stream of a node.

    Args:
        name: Its name.
        source: Where its frames come from; its `frames` may be read again after an error.
        sinks: Where its events go. They outlive a pipeline: what was handed to them arrives.
        tap: Shows frames, if there is one.
        outcomes: Is told what became of everything.
        begin: Makes a pipeline of these.
        threads: The stream's own.
        on_change: Is told what becomes of the stream.

    Attributes:
        outcomes: What became of everything.
        tap: What was shown to detectors.
        sinks: Where its events go.
    """

    def __init__(
        self,
        name: str,
        *,
        source: FrameSource,
        sinks: Sequence[Sink],
        tap: Tap | None,
        outcomes: Outcomes,
        begin: Callable[[], Pipeline],
        threads: Executor,
        on_change: Callable[[Change], None],
    ) -> None:
        self.name = name
        self.source = source
        self.tap = tap
        self.outcomes = outcomes
        self.sinks = sinks
        self._begin = begin
        self._threads = threads
        self._on_change = on_change
        self._pipeline = begin()

    def arrive(self, payload: bytes, said: Mapping[str, str]) -> None:
        """Take a detection message."""
        self._pipeline.arrive(payload, said.get("topic", ""))

    @property
    def nbytes(self) -> int:
        """The bytes of all that waits in it."""
        return self._pipeline.nbytes

    def shed(self, nbytes: int) -> None:
        """Let go of the oldest inputs, until so many bytes are free; counted, and said."""
        said = f"{nbytes:,} bytes of what waits make room for other streams (limits.memory)"
        self.outcomes.notes.say("memory", said)
        self._pipeline.shed(nbytes)

    def fills(self) -> dict[str, tuple[int, int, int, int | None]]:
        """How full each queue is, as `BoundedQueue.fill`."""
        return self._pipeline.fills()

    async def run(self, started: Callable[[], Awaitable[None]]) -> None:
        """Run until the source has ended and everything is delivered; cancel it to give up.

        Args:
            started: Is awaited before the first frame is read, and before it is read again:
                detectors must not miss it.
        """
        backoff = Backoff(_FIRST, _LONGEST)
        try:
            for sink in self.sinks:
                # What an earlier run could not deliver.
                await sink.put(())
            while True:
                await unless(self.outcomes.ending, started())
                began = time.monotonic()
                if await self._ran() or self.outcomes.ending.is_set():
                    break
                if time.monotonic() - began > _WELL:
                    backoff.reset()
                await unless(self.outcomes.ending, asyncio.sleep(backoff.delay()))
            await asyncio.gather(*(sink.drain() for sink in self.sinks))
        finally:
            self.stop()
            self._pipeline.abort()
            await asyncio.gather(*(sink.abort() for sink in self.sinks))
            self.outcomes.settle()
            self._threads.shutdown(wait=False, cancel_futures=True)

    def finish(self) -> None:
        """Let the source end here, as a file does at its end."""
        self.source.stop()

    def stop(self) -> None:
        """Close the inputs: what waits ends as `closed`, pairs in hand are still delivered."""
        self.outcomes.ending.set()
        self.source.stop()
        self._pipeline.stop()

    async def _ran(self) -> bool:
        """Run the pipeline; false if it failed, and another stands in its place."""
        try:
            await self._pipeline.run()
        except ExceptionGroup as group:
            for error in group.exceptions:
                self.outcomes.unexpected("running the stream", error)
            self._renew(type(group.exceptions[0]).__name__)
            return False
        return True

    def _renew(self, why: str) -> None:
        """Let go of all that the pipeline had in hand, and put another in its place.

        Messages may come for it before it runs.
        """
        self._pipeline.abort()
        self.outcomes.restarted()
        self._pipeline = self._begin()
        said = f"an error that nobody expected ({why}); its traceback is in the log"
        self._on_change(Change("restarting", said))
