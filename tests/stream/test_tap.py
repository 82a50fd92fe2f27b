"""Which frames a detector is shown, and what becomes of them."""

import itertools
from dataclasses import replace
from fractions import Fraction

import pytest
from fakes import FakeBroker, frame

from streamcrop import config
from streamcrop.formats.events import read
from streamcrop.sinks.mqtt import Envelope
from streamcrop.stream.tap import Tap


def tap(
    settings: config.Tap,
    broker: FakeBroker | None = None,
    notes: list[tuple[str, str]] | None = None,
) -> Tap:
    """A tap of a stream ``gate``."""
    said: list[tuple[str, str]] = [] if notes is None else notes
    broker = broker or FakeBroker()
    return Tap(
        ("node", "gate"),
        rate=settings.rate,
        longest_side=settings.longest_side,
        quality=settings.quality,
        broker=broker,
        envelope=Envelope(broker, "auto"),
        qos=0,
        say=lambda *note: said.append(note),
    )


@pytest.mark.parametrize(
    ("rate", "expected"), [(None, 30), (30.0, 30), (15.0, 15), (10.0, 10), (5.0, 5), (1.0, 1)]
)
def test_the_rate_is_that_of_the_video(rate: float | None, expected: int) -> None:
    """So many of 30 frames of a second of media time are due, evenly."""
    shown = tap(config.Tap(rate=rate))
    frames = [frame(n, pts=n, time_base=Fraction(1, 30)) for n in range(30)]
    due = [n for n, each in enumerate(frames) if shown.is_due(each)]
    assert len(due) == expected
    assert {b - a for a, b in itertools.pairwise(due)} <= {30 // expected}


def test_time_that_goes_back_shows_the_next_frame() -> None:
    """A media time that begins anew does not keep the tap closed."""
    shown = tap(config.Tap(rate=1))
    base = Fraction(1, 30)
    assert shown.is_due(frame(0, pts=9000, time_base=base))
    assert shown.is_due(frame(1, pts=0, time_base=base))
    assert not shown.is_due(frame(2, pts=1, time_base=base))


def test_without_media_time_it_is_the_clock() -> None:
    """Frames that know no time are shown at the pace of the clock."""
    shown = tap(config.Tap(rate=0.01))
    assert [shown.is_due(frame(n)) for n in range(3)] == [True, False, False]


async def test_what_is_shown() -> None:
    """The event holds the shrunk picture, its size and the frame's ID; the count says so."""
    broker = FakeBroker()
    notes: list[tuple[str, str]] = []
    shown = tap(config.Tap(longest_side=16), broker, notes)
    assert await shown.publish(shown.render(replace(frame("a-1"), epoch="a")))
    broker.max_packet = 10
    assert not await shown.publish(shown.render(frame("a-2")))
    broker.refusal = "Not authorized"
    assert not await shown.publish(shown.render(frame("a-3")))
    [message] = broker.published
    assert (message.topic, message.qos) == ("streamcrop/gate/frames", 0)
    event = read(message.payload, dict(message.user_properties))
    assert event.metadata == {
        "stream": "gate",
        "frame_id": "a-1",
        "epoch": "a",
        "image": {"width": 16, "height": 16},
    }
    assert shown.counts == {"published": 1, "too_large": 1, "refused": 1}
    assert [kind for kind, _ in notes] == ["refused_frames"] * 2
    assert notes[1][1] == "the broker refuses streamcrop/gate/frames: Not authorized"
