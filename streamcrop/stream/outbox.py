"""Where pairs wait to be rendered: in which order they leave, and which must go for the others.

Pairs that were in doubt (`held`) become sure many at once; those that were decided since do not
wait for all of them. Live, what leaves is fresh: where there are more pairs than can be rendered,
the oldest go, as `overload`.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, NamedTuple

from streamcrop.core.pairing import Paired
from streamcrop.core.values import Reason
from streamcrop.queues import BoundedQueue
from streamcrop.stream.outcomes import Outcomes

# Enough to hide the hand-over between two stages, and no more frames in memory than that.
STAGE_FRAMES = 4
# So many pairs that were held go in a row before those that were decided since. Each going back and
# forth has a camera's pictures decoded anew, from a key picture on: in turns, 225 held pairs took
# 10 s, in which crops came 100 to 400 ms late (720p, 2026-11-28).
_IN_A_ROW = 60
# With so many that were decided since, these have their turn.
_ENOUGH = 32
# Live, pairs wait so long at most, in seconds, once there have been more than can be rendered for
# `_PATIENCE`: many at once, or a picture that takes long, are no overload. It is over when nothing
# has had to go for `_OVER`.
_FRESH, _PATIENCE, _OVER = 0.2, 1.0, 2.0
# So many pairs may wait; bytes bound them before.
_MOST = 20_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """A frame or a message under its key, as the pairer holds it.

    Attributes:
        came: When it came, in seconds, monotonic; None for a message that had to wait elsewhere.
        sender: The topic of a message.
        arrived: When a message came, in microseconds since 1970.
    """

    key: Any
    nbytes: int
    value: Any
    came: float | None = 0.0
    sender: str = ""
    arrived: int | None = None


Pair = Paired[Waiting, Waiting]


class _Decided(NamedTuple):
    """A pair, and since when it waits to be rendered."""

    pair: Pair
    since: float


class Outbox:
    """The pairs of one stream on their way to be rendered.

    Args:
        lossless: Whether frames wait for room.
        max_items: How many pairs that were held may wait.
        max_bytes: How many bytes the frames of these, and of the others, may hold.
        outcomes: Is told of each pair that is let go of.
        taken: Is set whenever a pair was taken.

    Attributes:
        pairs: Whoever renders takes them here.
    """

    def __init__(
        self,
        *,
        lossless: bool,
        max_items: int,
        max_bytes: int,
        outcomes: Outcomes,
        taken: asyncio.Event,
    ) -> None:
        self._lossless = lossless
        self._outcomes = outcomes
        # How many pairs that were held have gone in a row, and whether it is the others' turn.
        self._row, self._decided_go = 0, False
        # Since when pairs wait too long; till when there are too many of them.
        self._behind: float | None = None
        self._overloaded_until = 0.0
        self.pairs: BoundedQueue[Pair] = BoundedQueue(
            # What waits here has waited before; a live one is to be fresh.
            max_items=STAGE_FRAMES if lossless else 1,
            on_drop=lambda pair: self._lose(pair, Reason.CLOSED),
            taken=taken,
        )
        self._held: BoundedQueue[Pair] = BoundedQueue(
            max_items=max_items,
            max_bytes=max_bytes,
            size=lambda pair: pair.frame.nbytes,
            overflow="drop_oldest",
            on_drop=lambda pair: self._lose(pair, Reason.QUEUE_FULL),
        )
        self._decided: BoundedQueue[_Decided] = BoundedQueue(
            max_items=_MOST,
            max_bytes=max_bytes,
            size=lambda decided: decided.pair.frame.nbytes,
            overflow="block" if lossless else "drop_oldest",
            on_drop=lambda decided: self._lose(decided.pair, Reason.OVERLOAD),
        )

    def __len__(self) -> int:
        return len(self._held) + len(self._decided)

    @property
    def nbytes(self) -> int:
        """The bytes of all that waits."""
        return self._held.nbytes + self._decided.nbytes

    def put(self, pair: Pair, now: float) -> None:
        """Take a pair, at a time in seconds; one that was held waits apart."""
        if pair.held and not self._held.closed:
            self._held.put_nowait(pair)
        else:
            self._decided.put_nowait(_Decided(pair, now))

    def drop_oldest(self) -> None:
        """Let go of one pair, to make room for something else."""
        (self._held or self._decided).drop_oldest()

    async def hand_on(self, now: float, *, late: bool) -> None:
        """Hand on what has its turn; a file's pairs wait until there is room.

        Args:
            now: In seconds.
            late: Whether many may come at once now: then it is no overload.
        """
        while self:
            if self._lossless:
                await self.pairs.wait_for_room()
                # The last may have made room for another stream meanwhile.
                if not self:
                    break
            elif not self.pairs.has_room():
                break
            self.pairs.put_nowait(self._next())
        if not self._lossless:
            self._stay_fresh(now, late=late or bool(self._held))

    async def end(self) -> None:
        """Hand on all that is left, those that were held behind the others."""
        while self:
            await self.pairs.wait_for_room()
            if not self:
                break
            decided = self._decided.get_nowait().pair if self._decided else None
            self.pairs.put_nowait(decided or self._held.get_nowait())
        self.pairs.close()

    def abort(self) -> None:
        """Let go of everything."""
        for queue in (self.pairs, self._held, self._decided):
            queue.close()
            queue.clear()

    def _next(self) -> Pair:
        """Take the pair whose turn it is: those that were held go many in a row."""
        if not self._held or not self._decided:
            self._decided_go = not self._held
        elif self._row >= _IN_A_ROW or len(self._decided) >= _ENOUGH:
            self._decided_go = True
        if self._decided_go:
            self._row = 0
            return self._decided.get_nowait().pair
        self._row += 1
        return self._held.get_nowait()

    def _stay_fresh(self, now: float, *, late: bool) -> None:
        """Let go of the oldest pairs where there have been more than can be rendered."""
        if late or not self._is_behind(now):
            self._behind = None
            return
        self._behind = now if self._behind is None else self._behind
        if now < self._overloaded_until or now > self._behind + _PATIENCE:
            while len(self._decided) > 1 and self._is_behind(now):
                self._decided.drop_oldest()
            self._overloaded_until = now + _OVER

    def _is_behind(self, now: float) -> bool:
        return bool(self._decided) and now > self._decided.peek().since + _FRESH

    def _lose(self, pair: Pair, reason: Reason) -> None:
        self._outcomes.pair_lost(pair.frame.value, Reason.CLOSED if self.pairs.closed else reason)
