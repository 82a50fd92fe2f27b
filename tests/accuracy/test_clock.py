"""The camera's clock is what the rows say, or they prove nothing."""

import random
import struct
from itertools import pairwise

import pytest
from accuracy.clock import NTP_TO_UNIX, CameraClock, Pace, Reports

_NOW = 1_800_000_000.0


def _report(seconds: float) -> bytes:
    """A sender report of that time, and an empty list of sources behind it."""
    ntp = round((seconds + NTP_TO_UNIX) * 2**32)
    return struct.pack("!BBHIQIII", 0x80, 200, 6, 1, ntp, 2, 3, 4) + struct.pack(
        "!BBH", 128, 202, 0
    )


def _time_in(packet: bytes) -> float:
    return struct.unpack_from("!Q", packet, 8)[0] / 2**32 - NTP_TO_UNIX


def test_a_report_tells_the_clock_of_its_own_time() -> None:
    """Steps and slews alike."""
    clock = CameraClock()
    clock.change(_NOW + 5, 0.04)
    clock.change(_NOW + 20, -0.02, over=10)
    reports = Reports(clock, Pace(), random.Random(1))
    for at, offset in ((0, 0), (5, 0.04), (25, 0.03), (60, 0.02)):
        told = reports.carry(_report(_NOW + at), now=at)
        assert _time_in(told) == pytest.approx(_NOW + at + offset, abs=1e-6)
        assert told[28:] == _report(0)[28:]


def test_a_session_has_a_report_now_and_then() -> None:
    """Three to six seconds apart, at random, and the first one sooner."""
    reports = Reports(CameraClock(), Pace(3, 6), random.Random(1))
    passed = [at / 5 for at in range(500) if reports.carry(_report(_NOW), now=at / 5)]
    assert 1.5 <= passed[0] <= 3.2
    gaps = [after - before for before, after in pairwise(passed)]
    assert min(gaps) >= 3
    assert max(gaps) <= 6.2
    assert max(gaps) - min(gaps) > 1


def test_a_farewell_always_passes() -> None:
    """Else a client would wait for a camera that is gone."""
    reports = Reports(CameraClock(), Pace(100, 100), random.Random(1))
    farewell = _report(_NOW) + struct.pack("!BBHI", 0x81, 203, 1, 1)
    assert reports.carry(_report(_NOW), now=0) == b""
    assert reports.carry(farewell, now=0) == farewell
