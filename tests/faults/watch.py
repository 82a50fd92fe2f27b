"""What a process takes of the machine, sampled from outside."""

import threading
import time
from contextlib import suppress
from typing import NamedTuple

import psutil

_EVERY = 0.2
MIB = 1 << 20


class Sample(NamedTuple):
    """At a time in seconds on the monotonic clock: MiB, counts, and seconds of CPU so far."""

    at: float
    rss: float
    threads: int
    descriptors: int
    cpu: float


class Watch:
    """Samples a process until it ends.

    Args:
        pid: Of the process.
        every: In seconds.
    """

    def __init__(self, pid: int, every: float = _EVERY) -> None:
        self.samples: list[Sample] = []
        self._process = psutil.Process(pid)
        self._every = every
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Sample no more."""
        self._stopped.set()
        self._thread.join()

    def at(self, moment: float) -> Sample:
        """The sample nearest to a moment."""
        return min(self.samples, key=lambda sample: abs(sample.at - moment))

    def peak(self, begin: float) -> float:
        """The most memory since a moment, in MiB."""
        return max((each.rss for each in self.samples if each.at >= begin), default=0.0)

    def _sample(self) -> None:
        with suppress(psutil.Error):
            while not self._stopped.wait(self._every):
                process = self._process
                with process.oneshot():
                    cpu = process.cpu_times()
                    self.samples.append(
                        Sample(
                            time.monotonic(),
                            process.memory_info().rss / MIB,
                            process.num_threads(),
                            process.num_fds(),
                            cpu.user + cpu.system,
                        )
                    )
