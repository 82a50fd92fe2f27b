"""`streamcrop.core.capture`: which capture times are believed, rule by rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.core.capture import CaptureClock

# A wall clock far from 0, and the interval of 25 pictures a second, in microseconds.
T = 1_795_341_600_000_000
STEP = 40_000
TOLERANCE, QUIET = 8_000, 2.0


class Camera:
    """Pictures in real time, 25 a second, of a camera whose clock may be set."""

    def __init__(self, *, quiet: float = QUIET, pace: float | None = 1.0) -> None:
        self.clock = CaptureClock(TOLERANCE, quiet)
        self.now, self.media, self.offset = 100.0, 0, T
        if pace:
            self.clock.report(self.now - pace)
            self.clock.report(self.now)

    def picture(self, *, wall: int = 0) -> int | None:
        """The capture time of the next picture; ``wall`` says how wrong the stream says it."""
        self.now += STEP / 1e6
        self.media += STEP
        return self.clock.time_of(self.media, self.offset + self.media + wall, self.now)

    def pictures(self, count: int) -> list[int | None]:
        return [self.picture() for _ in range(count)]

    def running(self) -> "Camera":
        """Past the first pictures, with every time believed."""
        self.pictures(5)
        assert self.picture() == self.offset + self.media
        return self

    def until_believed(self) -> float:
        """How many seconds go by until a picture has a time again, which is then the right one."""
        since = self.now
        while (found := self.picture()) is None:
            assert self.now < since + 100
        assert found == self.offset + self.media
        return self.now - since

    def reconnect(self, *, after: float, media: int = 5_000_000) -> None:
        """Come back with another media time, the camera's clock going on as it did."""
        wall = self.offset + self.media
        self.now += after
        self.media = media
        self.offset = wall + round(after * 1e6) - media
        self.clock.connect()


def test_the_first_packet_is_not_believed() -> None:
    """The first one carries the next picture's time; the second begins a mapping, not trusted."""
    camera = Camera()
    assert camera.picture(wall=STEP) is None
    assert camera.picture() is None
    assert camera.picture() == T + 3 * STEP
    assert not camera.clock.stepped


def test_two_that_agree_are_enough() -> None:
    """Where the first one is right, the second one counts."""
    assert Camera().pictures(3) == [None, T + 2 * STEP, T + 3 * STEP]


@pytest.mark.parametrize("sign", [1, -1])
def test_drift_is_followed(sign: int) -> None:
    """Small steps in turn, each from the one before, may add up to any amount."""
    camera = Camera().running()
    for _ in range(100):
        camera.offset += sign * TOLERANCE
        assert camera.picture() == camera.offset + camera.media
        assert not camera.clock.stepped


@pytest.mark.parametrize("jump", [TOLERANCE + 1, -TOLERANCE - 1, -500_000, 3_600_000_000, -T])
def test_a_jump_is_a_new_epoch(jump: int) -> None:
    """A mapping that jumps is said once, and no picture has a time for a while."""
    camera = Camera().running()
    camera.offset += jump
    assert camera.picture() is None
    assert camera.clock.stepped
    assert camera.picture() is None
    assert not camera.clock.stepped
    assert camera.until_believed() == pytest.approx(QUIET - 2 * STEP / 1e6, abs=0.1)


def test_one_wrong_packet_is_a_new_epoch() -> None:
    """Nobody can tell it from a jump; what comes after it goes by what came before."""
    camera = Camera().running()
    assert camera.picture(wall=700_000) is None
    assert camera.clock.stepped
    assert camera.until_believed() >= QUIET - 0.1


def test_a_second_jump_begins_the_wait_anew() -> None:
    """As long as the clock is being set, nothing is believed."""
    camera = Camera().running()
    for _ in range(5):
        camera.offset -= 300_000
        assert camera.pictures(25) == [None] * 25
    assert camera.until_believed() == pytest.approx(QUIET - 1, abs=0.1)


def test_times_that_go_back_with_the_media() -> None:
    """A stream that begins again without saying so repeats its times: a new epoch."""
    camera = Camera().running()
    camera.media -= 1_200_000
    assert camera.picture() is None
    assert camera.clock.stepped
    assert camera.until_believed() >= QUIET - 0.1


def test_times_that_go_back_while_quiet() -> None:
    """The wait is for the last time that the clock went back, whether or not it was said."""
    camera = Camera().running()
    camera.offset += 500_000
    camera.pictures(40)
    camera.media -= 3_000_000
    camera.picture()
    assert camera.until_believed() >= QUIET - 0.1


def test_pictures_out_of_order() -> None:
    """B-frames: packets come in the order of decoding, and each has its own time."""
    camera = Camera().running()
    for number in (4, 2, 1, 3, 8, 6, 5, 7):
        media = camera.media + number * STEP
        assert camera.clock.time_of(media, T + media, camera.now) == T + media
        assert not camera.clock.stepped


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([], 7.5),
        ([1.0], QUIET),
        ([1.9, 1.5], 2.85),
        ([2.1], 7.5),
        ([5.0, 1.0, 2.0], 7.5),
        ([1.0, 10.0], 15.0),
    ],
)
def test_quiet_is_longer_where_reports_are_rare(intervals: list[float], expected: float) -> None:
    """Another reader learns of a jump by its own report: that long is waited.

    Reports at a pace of their own come in time; those of RFC 3550 vary by half around 5 s.
    """
    camera = Camera(pace=None).running()
    at = camera.now
    camera.clock.report(at)
    for interval in intervals:
        at += interval
        camera.clock.report(at)
    camera.offset += 1_000_000
    assert camera.picture() is None
    assert camera.until_believed() == pytest.approx(expected, abs=0.1)


def test_time_between_connections_is_no_interval() -> None:
    """Nobody reported while there was no connection; what was learned before it stays."""
    camera = Camera().running()
    camera.clock.report(camera.now)
    camera.clock.report(camera.now + 10)
    camera.reconnect(after=60)
    camera.clock.report(camera.now)
    camera.running()
    camera.offset += 1_000_000
    camera.picture()
    assert camera.until_believed() == pytest.approx(15, abs=0.1)


def test_reconnect() -> None:
    """Another connection has another media time; its first packet is not believed either."""
    camera = Camera().running()
    camera.reconnect(after=3)
    assert camera.picture(wall=STEP) is None
    assert camera.picture() is None
    assert camera.picture() == camera.offset + camera.media
    assert not camera.clock.stepped


@pytest.mark.parametrize("after", [0.0, 0.5, 3.0, 600.0])
@pytest.mark.parametrize("set_by", [-3600.0, -620.0, -10.0, -2.0, 2.0, 10.0, 3600.0])
def test_a_clock_that_was_set_between_connections(after: float, set_by: float) -> None:
    """It went back, so times repeat, or on: other readers do not know it yet, so it is quiet."""
    camera = Camera().running()
    camera.reconnect(after=after)
    camera.offset += round(set_by * 1e6)
    assert camera.until_believed() >= QUIET


def test_the_same_pictures_again() -> None:
    """A server that begins with the last key picture repeats what was there: it is quiet."""
    camera = Camera().running()
    camera.reconnect(after=0.1)
    camera.media -= 500_000
    assert camera.until_believed() >= QUIET


def test_a_clock_that_was_set_twice() -> None:
    """A jump before a connection broke does not hide another one beyond it."""
    camera = Camera().running()
    camera.offset += 500_000
    camera.pictures(45)
    camera.reconnect(after=0.1)
    camera.offset -= 5_000_000
    assert camera.until_believed() >= QUIET


def test_pictures_may_be_late_by_another_connection() -> None:
    """A second of delay is no clock that was set."""
    camera = Camera().running()
    camera.reconnect(after=5)
    camera.now += 0.9
    camera.picture()
    assert camera.picture() == camera.offset + camera.media


GARBAGE = [
    (None, T),
    (STEP, None),
    (None, None),
    (STEP, -1),
    (STEP, 32_503_680_000_000_000),
    (STEP, 2**63 - 1),
    (STEP, -(2**63)),
]


@pytest.mark.parametrize(("media", "wall"), GARBAGE)
def test_what_is_no_time_says_nothing(media: int | None, wall: int | None) -> None:
    """A packet without times, or with times that none has, has none and disturbs nothing."""
    camera = Camera()
    assert camera.clock.time_of(media, wall, camera.now) is None
    camera.running()
    assert camera.clock.time_of(media, wall, camera.now) is None
    assert not camera.clock.stepped
    assert camera.picture() == camera.offset + camera.media


def test_stepped_is_of_the_last_packet() -> None:
    """Also a packet without a time tells that nothing stepped there."""
    camera = Camera().running()
    camera.offset += 1_000_000
    camera.picture()
    assert camera.clock.stepped
    camera.clock.time_of(None, None, camera.now)
    assert not camera.clock.stepped


@given(
    st.lists(
        st.sampled_from(["pictures", "set", "reconnect", "set, then reconnect", "report"]),
        max_size=40,
    ),
    st.data(),
)
def test_no_time_comes_again_for_another_picture(steps: list[str], data: st.DataObject) -> None:
    """Whatever becomes of the clock: times are right, and come again only after a silence.

    That silence begins when the clock is set: for as long others may name a picture by the old one.
    """
    camera = Camera().running()
    set_at = float("-inf")
    said: dict[int, float] = {}
    for step in steps:
        if step == "report":
            camera.clock.report(camera.now)
        if "set" in step:
            by = data.draw(st.integers(2_000_000, 20_000_000))
            camera.offset += by * data.draw(st.sampled_from([1, -1]))
            set_at = camera.now
        if "reconnect" in step:
            camera.reconnect(after=data.draw(st.floats(0, 30)))
        if step not in {"report", "pictures"}:
            assert camera.pictures(2) == [None, None] or step == "reconnect"
        for _ in range(30 * (step == "pictures")):
            if (found := camera.picture()) is not None:
                assert found == camera.offset + camera.media
                assert camera.now >= max(set_at, said.get(found, set_at)) + QUIET
                said[found] = camera.now
