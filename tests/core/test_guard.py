"""`streamcrop.core.guard`: no crop of another frame, however a camera's clock is set.

The scenes are those of `clocks`: two readers of one camera, each with its own reports, the pairer
between them, and pictures by number, so that right and wrong can be counted.
"""

import random
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from clocks import BASE, MICRO, Item, Reader, Scene, at_random, every, play
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcrop.core.constant import DOUBT, Verdict
from streamcrop.core.guard import OPEN, CaptureTimes, Epochs, media_time
from streamcrop.core.values import Frame, Message

STEPS = [0.001, 0.009, 0.016, 0.017, 0.033, 0.04, 0.066, 0.08, 0.24, 0.5, 2.0]


def detector_first(**known: Any) -> Scene:
    """The detector hears each half second, the node each five."""
    return Scene(
        node=Reader(0.0, every(5.0, 100, 3.0)), detectors=[Reader(-50.0, every(0.5, 100))], **known
    )


def stepped(at: float, by: float) -> Any:
    """A clock that is set once."""
    return lambda time: by if time >= at else 0.0


# --- media time ----------------------------------------------------------------------------------


def test_an_undisturbed_clock() -> None:
    """Nothing is lost; the first pairs come late, for until then nothing is sure."""
    counts = play(Scene())
    assert counts["wrong"] == 0
    # One frame before the first mapping, and those before the detector's first report.
    assert counts["right"] == 1800 - counts["frames no_key"] - counts["frames expired"] >= 1780


@pytest.mark.parametrize(
    ("by", "fps"),
    [(sign * step, 60.0 if at % 2 else 25.0) for sign in (1, -1) for at, step in enumerate(STEPS)],
)
def test_a_clock_that_is_set(by: float, fps: float) -> None:
    """No pair of the time between the two reports is wrong, and afterwards all are right."""
    counts = play(detector_first(clock=stepped(30.0, by), fps=fps))
    assert counts["wrong"] == 0
    # All but the seconds until the node's next report, and what was named twice.
    assert counts["right"] >= fps * (60 - 3 - 3.1 - 2 * abs(by) - 0.5)


def test_the_node_hears_first() -> None:
    """It goes on as soon as the detector has heard, too."""
    scene = Scene(
        clock=stepped(30.0, 0.04),
        fps=25.0,
        node=Reader(0.0, every(0.5, 100)),
        detectors=[Reader(-50.0, every(5.0, 100, 3.0))],
    )
    counts = play(scene)
    assert counts["wrong"] == 0
    assert counts["right"] >= 25 * (60 - 3 - 3.2)


@pytest.mark.parametrize("ppm", [50, 500, 1000])
def test_clocks_that_run_apart(ppm: int) -> None:
    """The camera's crystal against its clock, reports each five seconds."""
    counts = play(
        Scene(
            clock=lambda time: time * ppm / 1e6,
            node=Reader(0.0, every(5.0, 100, 3.0)),
            detectors=[Reader(-50.0, every(5.0, 100, 1.0))],
        )
    )
    assert counts["wrong"] == counts["frames ambiguous"] == 0
    assert counts["right"] >= 30 * (60 - 3.2)


def test_a_detector_that_begins_anew() -> None:
    """Its media time is another; its pairs wait until they are sure, and none is lost."""
    counts = play(Scene(restarts={30.0: 30.2}))
    assert counts["wrong"] == counts["frames ambiguous"] == counts["messages ambiguous"] == 0
    assert counts["right"] >= 1800 - 40


def test_two_detectors_of_one_camera() -> None:
    """Each has a constant of its own; the second message for a frame is the loser, never wrong."""
    readers = [Reader(-50.0, every(1.0, 100, 0.5)), Reader(-30.0, every(1.0, 100, 0.2))]
    counts = play(Scene(detectors=readers))
    assert counts["wrong"] == 0
    assert counts["right"] >= 1790


def test_media_time_that_keeps_no_constant() -> None:
    """Such a detector is not guessed at: nothing is paired, and the reason is said."""
    hopping = [Reader(-50.0, every(1.0, 100), hop=0.02)]
    counts = play(Scene(detectors=hopping, seconds=40.0))
    assert counts["right"] == counts["wrong"] == 0
    assert counts["note media_time"] > 0


def test_a_media_time_that_begins_again() -> None:
    """32 bits of 90 kHz pass their end, in a detector that hands them on as they come."""
    base = Fraction(1, 90_000)
    guard = CaptureTimes(8000)
    verdicts = []
    for number in range(600):
        now, captured = number / 30, BASE + number * 33_333
        frame = Frame(
            "f",
            None,
            number * 33_333,
            MICRO,
            captured,
            "e",
            connection="c",
            reports=int(now) + 1,  # type: ignore[arg-type]  # no pixels
        )
        key = Fraction(captured, 1_000_000)
        guard.frame(Item(key, frame, number), now)
        pts = (2**32 - 1_200_000 + number * 3_000) % 2**32
        message = Message(b"", pts=pts, time_base=base, captured_at=captured)
        item = Item(key, message, number, now)
        guard.message(item, now)
        verdicts.append(guard.judge(Item(key, frame, number), item, now))
    assert set(verdicts[:200]) == {Verdict.WAIT}
    assert set(verdicts[240:]) == {Verdict.PAIR}


def random_scene(seed: int, *, confirm: bool) -> Scene:
    """Any rates, reports and steps; with ``confirm`` none without a report between two."""
    chance = random.Random(seed)

    def reports() -> list[float]:
        return chance.choice(
            [
                at_random(chance, 80),
                every(0.5, 80, chance.random() / 2),
                every(5.0, 80, 5 * chance.random()),
                every(1.0, 80, chance.random()),
            ]
        )

    fps = chance.choice([12.5, 25.0, 30.0, 50.0, 60.0])
    steps: list[tuple[float, float, float]] = []
    at = chance.uniform(20 if confirm else 0, 30)
    while at < 60:
        frames = chance.choice([1, 2, 3, -1, -2, 0.5, 7, -7]) * chance.choice([1, 1, 0.9, 1.1])
        by = chance.choice([frames / fps, chance.choice([1, -1]) * chance.choice(STEPS)])
        steps.append((at, by, 0.0 if confirm else chance.choice([0.0, 0.0, 1.0, 20.0])))
        at += chance.uniform(8, 28) if confirm else chance.choice([chance.uniform(0.3, 5), 20.0])

    def clock(time: float) -> float:
        """Set at once, or slewed over some seconds."""
        return sum(
            by * (1.0 if not slew else min(1.0, (time - at) / slew))
            for at, by, slew in steps
            if time >= at
        )

    def jitter_of(chance: random.Random) -> float:
        return chance.choice([0.0, 0.0005, 0.003])

    slow, jitter = chance.choice([0.02, 0.1, 0.4]), chance.choice([0.001, 0.02, 0.3])
    again = chance.uniform(10, 50)
    return Scene(
        clock=clock,
        fps=fps,
        node=Reader(chance.uniform(-50, 5), reports()),
        detectors=[
            Reader(chance.uniform(-50, 5), reports(), jitter=0.0 if confirm else jitter_of(chance))
        ],
        delay=lambda luck: slow + jitter * luck.random(),
        media=not confirm,
        confirm=confirm,
        restarts=chance.choice([{}, {again: again + chance.choice([0.2, 1.0, 3.0])}]),
        seed=seed,
    )


@settings(max_examples=10)
@given(st.integers(0, 10**9))
def test_no_schedule_of_steps_and_reports_makes_a_wrong_crop(seed: int) -> None:
    """With media time in the messages; 2,000 such scenes ran on 2026-11-28."""
    assert play(random_scene(seed, confirm=False))["wrong"] == 0


# --- without media time --------------------------------------------------------------------------


@settings(max_examples=10)
@given(st.integers(0, 10**9))
def test_confirmed_pairs_are_right(seed: int) -> None:
    """Where the clock is set at most once between two reports of the node, and seldom.

    The very first seconds of two sessions are left out: few messages tell no delay.
    """
    assert play(random_scene(seed, confirm=True))["wrong"] == 0


def test_confirming_loses_nothing() -> None:
    """A pair waits for the node's next report, longer than frames and messages wait."""
    counts = play(detector_first(media=False, confirm=True))
    # Those before the first report, and those behind the last one.
    assert counts["wrong"] == counts["messages ambiguous"] == 0
    assert counts["right"] >= 30 * (60 - 3 - 5 - 0.5)


def test_a_clock_that_was_set_just_before_our_first_report() -> None:
    """The detector goes by the old one until its next report, and its delays show it."""
    scene = Scene(
        clock=stepped(10.0, 0.04),
        fps=25.0,
        node=Reader(9.0, every(1.0, 100, 10.5)),
        detectors=[Reader(-50.0, every(5.0, 100, 3.0))],
        media=False,
        confirm=True,
    )
    counts = play(scene)
    assert counts["wrong"] == 0
    assert counts["right"] >= 25 * (60 - 10.5 - DOUBT - 4)


def test_pairs_that_nothing_confirms_are_refused() -> None:
    """A camera that reports twice and then never again."""
    scene = Scene(media=False, confirm=True, node=Reader(0.0, [1.0, 9.0]), seconds=50.0)
    counts = play(scene)
    # What came before the second report.
    assert counts["right"] <= 30 * 8
    assert counts["frames ambiguous"] >= 400


@pytest.mark.parametrize("by", [0.0333, 0.0667, 0.24, 0.5, -0.04, -0.24, -2.0])
def test_what_is_left_without_media_time(by: float) -> None:
    """At most what one interval of reports holds; far less where the detector keeps its pace."""
    counts = play(detector_first(clock=stepped(30.0, by), media=False))
    assert counts["wrong"] <= 5


def test_a_jump_between_two_connections() -> None:
    """The clock went back or on meanwhile: the detector need not have heard of it."""
    guard = CaptureTimes(8000)

    def verdict(now: float, captured: float, connection: str) -> Verdict:
        time = BASE + round(captured * 1e6)
        frame = Frame("f", None, 0, MICRO, time, connection, connection=connection)  # type: ignore[arg-type]  # no pixels
        message = Message(b"", captured_at=time)
        item = Item(Fraction(time, 1_000_000), message, 0, now)
        guard.frame(replace(item, value=frame), now)
        guard.message(item, now)
        return guard.judge(replace(item, value=frame), item, now)

    assert verdict(0.0, 0.0, "a") == verdict(1.0, 1.0, "a") == Verdict.PAIR
    assert verdict(4.0, 4.5, "b") == Verdict.PAIR
    assert verdict(8.0, 4.5, "c") == verdict(9.0, 5.5, "c") == Verdict.REFUSE
    assert guard.note is not None
    assert "was set" in guard.note.text
    assert verdict(8.0 + DOUBT, 4.5 + DOUBT, "c") == Verdict.PAIR


# --- the parts -----------------------------------------------------------------------------------


def test_nothing_is_doubted_without_a_guard() -> None:
    """And nothing that never waited is judged again."""
    assert OPEN.judge(None, None, 0.0) == Verdict.PAIR
    assert not OPEN.frame(None, 0.0)
    OPEN.message(None, 0.0)
    with pytest.raises(NotImplementedError):
        OPEN.again(None, None, 0.0, 0.0)


def test_a_step_as_long_as_a_wrap_of_other_ticks() -> None:
    """In nanoseconds 32 bits are 4.3 s: a clock that is set by as much is no counter's wrap."""
    nano = Fraction(1, 1_000_000_000)
    step = -(2**32) // 1000
    guard = CaptureTimes(8000)
    for number in range(600):
        now, captured = number / 30, BASE + number * 33_333
        frame = Frame(
            "f", None, number * 33_333, MICRO, captured, "e", connection="c", reports=int(now) + 1
        )  # type: ignore[arg-type]  # no pixels
        guard.frame(Item(Fraction(captured, 1_000_000), frame, number), now)
        said = captured + (step if number >= 400 else 0)
        message = Message(b"", pts=number * 33_333_000, time_base=nano, captured_at=said)
        item = Item(Fraction(said, 1_000_000), message, number, now)
        guard.message(item, now)
        shown = replace(frame, pts=(number + (step // 33_333 if number >= 400 else 0)) * 33_333)
        verdict = guard.judge(Item(item.key, shown, number), item, now)
        assert verdict == (Verdict.PAIR if 240 < number < 400 else Verdict.WAIT) or number <= 240


def test_pictures_that_bring_their_times_are_not_doubted() -> None:
    """Over MQTT no report is heard by one and not by the other: a detector may become faster."""
    guard = CaptureTimes(8000)
    for number in range(300):
        captured = BASE + number * 100_000
        key = Fraction(captured, 1_000_000)
        frame = Frame("f", None, captured_at=captured)  # type: ignore[arg-type]  # no pixels
        now = number / 10 + (0.3 if number < 200 else 0.1)
        guard.frame(Item(key, frame, number), now)
        item = Item(key, Message(b"", captured_at=captured), number, now)
        guard.message(item, now)
        assert guard.judge(Item(key, frame, number), item, now) == Verdict.PAIR


def test_why_pairs_end_before_anything_is_sure() -> None:
    """The camera went away in its first seconds: nobody says that its clock was set."""
    counts = play(Scene(seconds=3.0))
    assert counts["note clock"] == counts["note began"] == 0


def test_an_epoch_begins() -> None:
    """What waits is let go of then, and again at its first time."""
    guard = Epochs()

    def forgets(epoch: str, key: int | None) -> bool:
        frame = Frame("f", None, epoch=epoch)  # type: ignore[arg-type]  # nobody looks
        return guard.frame(Item(key, frame, 0), 0.0)

    assert [forgets("a", None), forgets("a", 1), forgets("a", 2)] == [False] * 3
    assert [forgets("b", None), forgets("b", None), forgets("b", 1)] == [True, False, True]
    assert [forgets("b", 2), forgets("c", 1), forgets("c", 2)] == [False, True, True]
    assert not forgets("c", 3)


def test_few_detectors_are_remembered() -> None:
    """Sessions without end are no memory without end."""
    guard = CaptureTimes(8000)
    for number in range(300):
        message = Message(b"", captured_at=BASE, session=str(number))
        guard.message(Item(Fraction(BASE, 1_000_000), message, number), 0.0)
    assert len(guard._senders) == 256


def test_media_time() -> None:
    """In whole microseconds; none where a part of it is missing."""
    assert media_time(Message(b"", pts=1, time_base=Fraction(1, 3))) == 333_333
    assert media_time(Message(b"", pts=1)) is None
    assert media_time(Message(b"", time_base=Fraction(1, 3))) is None


def test_a_message_that_had_to_wait_elsewhere_teaches_nothing() -> None:
    """Its delay is not its detector's: neither is it doubted by it, nor are those behind it."""
    guard = CaptureTimes(8000)
    for number in range(200):
        at = number * 40_000
        key = Fraction(at, MICRO)
        came = None if 100 <= number < 150 else at / MICRO + 0.1
        frame = Item(key, Frame("1", Any, captured_at=at, connection="a", epoch="a"), number)
        told = Item(key, Message(b"", captured_at=at), number, came=came)
        guard.frame(frame, 10.0 + at / MICRO)
        guard.message(told, 10.1 + at / MICRO)
        assert guard.judge(frame, told, 10.1 + at / MICRO) == Verdict.PAIR
