"""Devices, by the stand-in that FFmpeg has for one: `lavfi`, a device of its device library."""

import threading
from itertools import islice

import numpy as np
import pytest
from patience import PATIENCE

from streamcrop.core.values import Change, Frame
from streamcrop.sources.live import LiveSource

PATTERN = "testsrc=size=64x48:rate=50"


@pytest.fixture
def source() -> LiveSource:
    """A device that gives 50 pictures a second."""
    return LiveSource(f"{PATTERN},realtime", container="lavfi")


def test_a_device_is_read(source: LiveSource) -> None:
    """Frames have IDs that count within their epoch, arrival times, and the device's pixels."""
    change, *frames = islice(source, 6)
    source.stop()
    assert change == Change("running", "connected")
    assert all(isinstance(frame, Frame) for frame in frames)
    assert [frame.frame_id for frame in frames] == [f"{frames[0].epoch}-{n}" for n in range(5)]
    arrived = [frame.arrived for frame in frames]
    assert arrived == sorted(arrived)
    first, second = (frame.pixels.bgr() for frame in frames[:2])
    assert first.shape == (48, 64, 3)
    assert len(np.unique(first.reshape(-1, 3), axis=0)) > 4
    assert not np.array_equal(first, second)


def test_a_device_that_ends_is_opened_again() -> None:
    """One that is unplugged is looked for until it is back; its epoch is another then."""
    source = LiveSource(f"{PATTERN}:duration=0.04", container="lavfi")
    found = list(islice(source, 8))
    source.stop()
    states = [item.state for item in found if isinstance(item, Change)]
    assert states == ["running", "reconnecting", "running", "reconnecting"]
    assert len({frame.epoch for frame in found if isinstance(frame, Frame)}) == 2


@pytest.mark.parametrize("device", ["/dev/video99", "/dev/null"])
def test_a_device_that_is_missing(device: str) -> None:
    """The reason names it, again and again, and `stop` ends it."""
    source = LiveSource(device, container="v4l2")
    first, second = islice(source, 2)
    assert first == second
    assert first.state == "reconnecting"
    assert first.reason.startswith(f"no connection to {device}: ")
    ended = threading.Thread(target=lambda: list(source))
    ended.start()
    source.stop()
    ended.join(PATIENCE)
    assert not ended.is_alive()
