"""How long things take in a stream."""

from dataclasses import replace

import pytest
from fakes import frame

from streamcrop.histograms import BOUNDS, Histogram
from streamcrop.stream.measures import Measures

START = 1_795_341_600.0


class Clock:
    """A clock that a test sets."""

    now = START

    def __call__(self) -> float:
        return self.now


def came(name: object, ago: float = 0.0, **how: object) -> object:
    """A frame that arrived before the start."""
    return replace(frame(name, size=2), arrived=round((START - ago) * 1e6), **how)


def slot(seconds: float) -> list[int]:
    """The counts of a single time."""
    taken = Histogram()
    taken.observe(seconds)
    return taken.counts


@pytest.mark.parametrize(
    ("captured", "since", "expected"), [(None, "arrival", 0.4), (1.3, "capture", 1.7)]
)
def test_from_capture_or_arrival_to_the_crop(
    captured: float | None, since: str, expected: float
) -> None:
    """Capture where it is known, and it is said which."""
    clock = Clock()
    measures = Measures(clock)
    captured_at = None if captured is None else round((START - captured) * 1e6)
    measures.paired(came("a", 0.0, captured_at=captured_at))
    clock.now += 0.4
    measures.acknowledged("a")
    assert measures.since == since
    assert measures.times["capture_to_crop"].counts == slot(expected)
    assert measures.times["capture_to_crop"].total == pytest.approx(expected, abs=1e-5)
    assert measures.times["pair_to_publish"].counts == slot(0.4)


def test_each_crop_of_a_frame_counts() -> None:
    """They leave one after the other; a frame that nobody knows is not measured."""
    clock = Clock()
    measures = Measures(clock)
    measures.paired(frame("file", size=2))
    for _ in range(3):
        measures.acknowledged("file")
    measures.acknowledged("other")
    assert sum(measures.times["pair_to_publish"].counts) == 3
    # A file's frames come from no time of day.
    assert sum(measures.times["capture_to_crop"].counts) == 0


def test_memory_is_bounded() -> None:
    """The oldest frames are forgotten."""
    measures = Measures(Clock())
    for number in range(10_000):
        measures.paired(frame(number, size=2))
    measures.acknowledged("0")
    measures.acknowledged("9999")
    assert len(measures._pairs) == 4096
    assert sum(measures.times["pair_to_publish"].counts) == 1


def test_how_late_the_detector_is() -> None:
    """From the frame's arrival to its message's; a file's frames arrive at no time."""
    measures = Measures(Clock())
    measures.paired(came("a", 2.0), round((START - 0.5) * 1e6))
    measures.paired(came("b", 2.0))
    measures.paired(frame("c", size=2), round(START * 1e6))
    assert measures.times["message_delay"].counts == slot(1.5)
    assert len(BOUNDS) + 1 == len(measures.times["message_delay"].counts)


def test_reconnects_are_counted_when_something_was_lost() -> None:
    """A camera that is not there at first is not lost again with each try."""
    measures = Measures()
    states = "reconnecting reconnecting running reconnecting reconnecting running running"
    for state in states.split():
        measures.changed(state)
    assert measures.reconnects == 1


def test_the_camera_s_clock() -> None:
    """By the frames that came with the least delay; what was a minute ago does not count."""
    measures = Measures()
    assert measures.clock_offset is None

    def show(second: float, ahead: float) -> None:
        arrived = round((START + second) * 1e6)
        captured_at = round((START + second + ahead) * 1e6)
        measures.received(replace(frame("a", size=2), arrived=arrived, captured_at=captured_at))

    measures.received(frame("a", size=2))
    assert measures.clock_offset is None
    for second in range(25):
        show(second, -0.1 if second == 7 else -0.4)
    assert measures.clock_offset == pytest.approx(-0.1)
    for second in range(25, 120):
        show(second, 5.0 if second < 20 else 4.8)
    assert measures.clock_offset == pytest.approx(4.8)
    for second in range(120, 200):
        show(second, -3.0)
    assert measures.clock_offset == pytest.approx(-3.0)
