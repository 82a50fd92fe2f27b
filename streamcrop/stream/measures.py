"""How long things take in a stream, measured where they end."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from streamcrop.core.values import Frame
from streamcrop.histograms import Histogram

# Frames whose crops are on their way: so many are known; of an older one nothing is measured.
_MAX_PAIRS = 4096
# Of so many seconds the frame counts for the camera's clock that came with the least delay.
_WINDOW = 30.0


class _Pair(NamedTuple):
    """When a frame was captured, or else came, and when it was paired; seconds since 1970."""

    since: float | None
    at: float


class Measures:
    """The times of one stream.

    Args:
        clock: Seconds since 1970, as `time.time`.

    Attributes:
        times: The histograms, by name.
        since: ``capture`` or ``arrival``: where ``capture_to_crop`` begins.
        reconnects: How often the source was lost.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.times = {
            name: Histogram() for name in ("capture_to_crop", "pair_to_publish", "message_delay")
        }
        self.since = "arrival"
        self.reconnects = 0
        self._clock = clock
        self._state = ""
        self._pairs: OrderedDict[str, _Pair] = OrderedDict()
        self._ahead: float | None = None
        self._before: float | None = None
        self._window = float("-inf")

    @property
    def clock_offset(self) -> float | None:
        """The camera's clock minus ours, in seconds, less the way that pictures take; or None."""
        known = [each for each in (self._ahead, self._before) if each is not None]
        return max(known, default=None)

    def received(self, frame: Frame) -> None:
        """A frame came."""
        if frame.captured_at is None or frame.arrived is None:
            return
        now, ahead = frame.arrived / 1e6, (frame.captured_at - frame.arrived) / 1e6
        if not 0 <= now - self._window < _WINDOW:
            self._before, self._ahead, self._window = self._ahead, None, now
        self._ahead = ahead if self._ahead is None else max(ahead, self._ahead)

    def changed(self, state: str) -> None:
        """The source's connection is in another state."""
        self.reconnects += state == "reconnecting" and self._state == "running"
        self._state = state

    def paired(self, frame: Frame, arrived: int | None = None) -> None:
        """A frame's crops are about to leave.

        Args:
            frame: The frame.
            arrived: When its message came, in microseconds since 1970.
        """
        if arrived is not None and frame.arrived is not None:
            self.times["message_delay"].observe((arrived - frame.arrived) / 1e6)
        self.since = "arrival" if frame.captured_at is None else "capture"
        since = frame.arrived if frame.captured_at is None else frame.captured_at
        pair = _Pair(None if since is None else since / 1e6, self._clock())
        self._pairs[frame.frame_id] = pair
        while len(self._pairs) > _MAX_PAIRS:
            self._pairs.popitem(last=False)

    def acknowledged(self, frame_id: str) -> None:
        """A crop of a frame has arrived where it was to go."""
        pair = self._pairs.get(frame_id)
        if pair is None:
            return
        now = self._clock()
        self.times["pair_to_publish"].observe(now - pair.at)
        if pair.since is not None:
            self.times["capture_to_crop"].observe(now - pair.since)
