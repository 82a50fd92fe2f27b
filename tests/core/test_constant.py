"""`streamcrop.core.constant`: the distance of two media times, and when it is beyond doubt."""

import pytest

from streamcrop.core.constant import DOUBT, Constant, Verdict

TOLERANCE = 8000
APART = 1_234_567


class Sessions:
    """Pairs 25 times a second, reports on our side each second, all capture times alike."""

    def __init__(self) -> None:
        self.constant = Constant(TOLERANCE)
        self.now, self.gap, self.apart, self.reporting = 100.0, 0, APART, True
        self.reports = 1

    def pair(self) -> Verdict:
        self.now += 0.04
        if self.reporting and round(self.now / 0.04) % 25 == 0:
            self.reports += 1
        self.constant.heed(self.gap, self.now, self.reports)
        return self.constant.judge(self.apart, self.now)

    def run(self, seconds: float) -> list[Verdict]:
        return [self.pair() for _ in range(round(seconds / 0.04))]

    def again(self, since: float, apart: int = APART) -> Verdict:
        return self.constant.again(apart, since, self.now)


def learned() -> Sessions:
    """Beyond the first doubt."""
    sessions = Sessions()
    sessions.run(DOUBT + 1)
    assert sessions.pair() == Verdict.PAIR
    return sessions


def test_it_is_learned_once_both_sides_must_have_heard() -> None:
    """Until then pairs wait, and those that waited are judged by it."""
    sessions = Sessions()
    verdicts = sessions.run(DOUBT + 1)
    waits = verdicts.index(Verdict.PAIR)
    assert DOUBT <= waits * 0.04 <= DOUBT + 0.1
    assert set(verdicts[waits:]) == {Verdict.PAIR}
    assert sessions.constant.is_known
    assert sessions.constant.scatter is None
    assert sessions.again(100.0) == Verdict.PAIR
    assert sessions.again(100.0, APART - 33_000) == Verdict.REFUSE


def test_nothing_is_learned_without_a_report_of_our_own() -> None:
    """Whoever heard nothing knows of no clock that was set."""
    sessions = Sessions()
    sessions.reporting = False
    assert set(sessions.run(3 * DOUBT)) == {Verdict.WAIT}
    sessions.reports += 1
    assert sessions.pair() == Verdict.PAIR


def test_nothing_is_learned_of_few_pairs() -> None:
    """Two are enough where they lie as far apart as the doubt lasts."""
    constant = Constant(TOLERANCE)
    constant.heed(0, 0.0, 1)
    for now in (DOUBT + 1, DOUBT + 2, 2 * DOUBT + 1):
        constant.heed(0, now, 9)
    assert constant.judge(APART, DOUBT + 1) == Verdict.WAIT
    assert constant.judge(APART, DOUBT + 2) == Verdict.WAIT
    assert constant.judge(APART, 2 * DOUBT + 1) == Verdict.PAIR


def test_nothing_is_learned_of_pairs_without_a_constant() -> None:
    """A reader whose media times hop: nobody can say by them which frame is meant."""
    sessions = Sessions()
    for number in range(600):
        sessions.apart = APART + (number % 3) * 20_000
        assert sessions.pair() == Verdict.WAIT
        assert sessions.constant.scatter == (40_000 if number >= 9 else None)


def test_a_clock_that_was_set_begins_the_doubt_anew() -> None:
    """One side alone has heard of it: its mapping moves against the other's."""
    sessions = Sessions()
    sessions.run(DOUBT - 1)
    sessions.gap += TOLERANCE + 1
    sessions.apart -= 33_000
    verdicts = sessions.run(DOUBT)
    assert set(verdicts) == {Verdict.WAIT}
    assert sessions.run(1)[-1] == Verdict.PAIR


def test_a_reader_s_slip_does_not() -> None:
    """A single message that is off."""
    sessions = Sessions()
    sessions.run(DOUBT - 1)
    sessions.gap += 40_000
    sessions.pair()
    sessions.gap -= 40_000
    assert sessions.run(1.2)[-1] == Verdict.PAIR


def test_nothing_is_learned_at_the_very_report_that_shows_a_step() -> None:
    """The message that brings the news is no slip until the next one shows that it was one."""
    constant = Constant(TOLERANCE)
    for number in range(150):
        constant.heed(0, number / 20, 1)
        assert constant.judge(APART, number / 20) == Verdict.WAIT
    constant.heed(33_000, DOUBT, 2)
    assert constant.judge(APART - 33_333, DOUBT) == Verdict.WAIT


def test_a_detector_that_falls_silent_has_not_heard() -> None:
    """Time alone teaches nothing: the last messages must be of a time in which it had."""
    sessions = Sessions()
    sessions.run(2)
    sessions.now += 2 * DOUBT
    assert sessions.again(100.0) == Verdict.WAIT
    assert sessions.pair() == Verdict.PAIR


def test_a_pair_that_contradicts_it_waits_and_is_refused() -> None:
    """As soon as a later pair agrees: the clock was set, and both sides have heard of it."""
    sessions = learned()
    sessions.gap += 40_000
    sessions.apart -= 33_333
    assert set(sessions.run(2)) == {Verdict.WAIT}
    at = sessions.now
    assert sessions.again(at, APART - 33_333) == Verdict.WAIT
    sessions.gap -= 40_000
    sessions.apart += 33_333
    assert set(sessions.run(1)) == {Verdict.PAIR}
    assert sessions.again(at, APART - 33_333) == Verdict.REFUSE


def test_another_session_is_learned() -> None:
    """The detector began anew: pairs wait as at first, and then agree with another constant."""
    sessions = learned()
    sessions.gap -= 5_000_000
    sessions.apart += 5_000_000
    at = sessions.now
    assert set(sessions.run(DOUBT - 0.1)) == {Verdict.WAIT}
    assert sessions.run(1)[-1] == Verdict.PAIR
    assert sessions.again(at, APART + 5_000_000) == Verdict.PAIR


def test_a_few_that_contradict_it_teach_nothing() -> None:
    """As long as others agree."""
    sessions = learned()
    for number in range(1000):
        sessions.apart = APART + (number % 4 > 0) * 16_667
        assert sessions.pair() == (Verdict.WAIT if number % 4 else Verdict.PAIR)


def test_unsettled_it_stays() -> None:
    """A clock that our side saw being set changes no media time."""
    sessions = learned()
    sessions.constant.unsettle()
    sessions.gap = -3_600_000_000
    assert sessions.pair() == Verdict.PAIR


def test_drift_is_followed() -> None:
    """A reader that corrects media time by the crystal, 100 ppm for ten minutes."""
    sessions = learned()
    for _ in range(15_000):
        sessions.apart += 4
        assert sessions.pair() == Verdict.PAIR


def test_it_is_as_wide_as_pairs_are_spread() -> None:
    """1 ms where they agree to the microsecond, up to the tolerance where they do not."""
    sessions = learned()
    sessions.run(10)
    sessions.apart = APART + 1_100
    assert sessions.pair() == Verdict.WAIT
    wide = Sessions()
    verdicts = []
    for number in range(1000):
        wide.apart = APART + (4000 if number % 2 else -4000)
        verdicts.append(wide.pair())
    assert set(verdicts[250:]) == {Verdict.PAIR}
    wide.apart = APART + TOLERANCE + 500
    assert wide.pair() == Verdict.WAIT


@pytest.mark.parametrize(("silence", "expected"), [(1, Verdict.WAIT), (20, Verdict.PAIR)])
def test_it_is_wider_after_a_silence(silence: float, expected: Verdict) -> None:
    """Nothing has confirmed it meanwhile."""
    sessions = learned()
    sessions.run(10)
    sessions.now += silence
    sessions.apart = APART + 4_000
    assert sessions.pair() == expected
