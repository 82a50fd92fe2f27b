"""A camera's wall clock, which is set now and then, and the reports that tell clients of it."""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

_SENDER_REPORT, _BYE = 200, 203
# Between the beginnings of the NTP's time and of Unix', in seconds.
NTP_TO_UNIX = 2_208_988_800


@dataclass(frozen=True)
class _Change:
    at: float
    seconds: float
    over: float


class CameraClock:
    """How far a camera's clock is off, as a function of time.

    Example:
        >>> clock = CameraClock()
        >>> clock.change(1000.0, 0.04)
        >>> clock.change(2000.0, -0.02, over=10.0)
        >>> [round(clock.offset(at), 3) for at in (1000, 2005, 2020)]
        [0.04, 0.03, 0.02]
    """

    def __init__(self) -> None:
        self._changes: list[_Change] = []

    def change(self, at: float, seconds: float, over: float = 0.0) -> None:
        """Let it be set at a time, or slewed over so many seconds from then on."""
        self._changes.append(_Change(at, seconds, over))

    def offset(self, at: float) -> float:
        """By how many seconds it is fast; ``at`` in seconds since 1970 UTC."""
        return sum(
            change.seconds * (min((at - change.at) / change.over, 1) if change.over else 1)
            for change in self._changes
            if at >= change.at
        )


def stepped(packet: bytes, offset: Callable[[float], float]) -> bytes:
    """A compound RTCP packet whose sender reports go by another clock (RFC 3550, 6.4.1).

    Args:
        packet: As the camera sent it.
        offset: By how many seconds that is fast at a time, in seconds since 1970 UTC.
    """
    data = bytearray(packet)
    at = 0
    while at + 4 <= len(data):
        words = struct.unpack_from("!H", data, at + 2)[0]
        if data[at + 1] == _SENDER_REPORT:
            ntp = struct.unpack_from("!Q", data, at + 8)[0]
            seconds = offset(ntp / 2**32 - NTP_TO_UNIX)
            struct.pack_into("!Q", data, at + 8, ntp + round(seconds * 2**32))
        at += 4 * (words + 1)
    return bytes(data)


def _types(packet: bytes) -> set[int]:
    """The kinds of packets in a compound one."""
    found, at = set(), 0
    while at + 4 <= len(packet):
        found.add(packet[at + 1])
        at += 4 * (struct.unpack_from("!H", packet, at + 2)[0] + 1)
    return found


@dataclass(frozen=True)
class Pace:
    """How often a session has a report: after so many seconds at least, and at most, at random."""

    least: float = 0.0
    most: float = 0.0


class Reports:
    """What a session gets to know of the camera's clock: fewer reports than the camera makes.

    Args:
        clock: The camera's.
        pace: Of the reports that pass; the first one passes after half an interval.
        chance: For the intervals.
    """

    def __init__(self, clock: CameraClock, pace: Pace, chance: random.Random) -> None:
        self._clock, self._pace, self._chance = clock, pace, chance
        self._due: float | None = None

    def carry(self, packet: bytes, now: float) -> bytes:
        """A compound RTCP packet as it arrives; empty if it does not.

        Args:
            packet: As the camera sent it.
            now: In seconds, on any monotonic clock.
        """
        types = _types(packet)
        if _SENDER_REPORT not in types or _BYE in types:
            return packet
        if self._due is None:
            self._due = now + self._interval() / 2
        if now < self._due:
            return b""
        self._due = now + self._interval()
        return stepped(packet, self._clock.offset)

    def _interval(self) -> float:
        return self._chance.uniform(self._pace.least, self._pace.most)
