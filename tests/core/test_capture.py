"""`streamcrop.core.capture`: which capture times are believed, rule by rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.core.capture import CaptureClock

# A wall clock far from 0, and the interval of 25 pictures a second, in microseconds.
T = 1_795_341_600_000_000
STEP = 40_000
TOLERANCE = 8_000


class Camera:
    """Pictures, 25 a second, of a camera whose clock may be set."""

    def __init__(self) -> None:
        self.clock = CaptureClock(TOLERANCE)
        self.media, self.offset = 0, T

    def picture(self, *, wall: int = 0) -> int | None:
        """The capture time of the next picture; ``wall`` says how wrong the stream says it."""
        self.media += STEP
        return self.clock.time_of(self.media, self.offset + self.media + wall)

    def pictures(self, count: int) -> list[int | None]:
        return [self.picture() for _ in range(count)]

    def running(self) -> "Camera":
        """Past the first pictures, with every time believed."""
        self.pictures(5)
        assert self.picture() == self.offset + self.media
        return self

    def reconnect(self, *, media: int = 5_000_000) -> None:
        """Come back with another media time, the camera's clock going on as it did."""
        self.offset += self.media - media
        self.media = media
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


@pytest.mark.parametrize("jump", [TOLERANCE + 1, -TOLERANCE - 1, -500_000, 3_600_000_000, -T + 1])
def test_a_jump_is_a_new_epoch(jump: int) -> None:
    """A mapping that jumps is said once, and counts when a second picture agrees."""
    camera = Camera().running()
    camera.offset += jump
    assert camera.picture() is None
    assert camera.clock.stepped
    assert camera.picture() == camera.offset + camera.media
    assert not camera.clock.stepped


def test_one_wrong_packet_is_two_epochs() -> None:
    """Nobody can tell it from a jump, and none is believed that stands alone."""
    camera = Camera().running()
    assert camera.picture(wall=700_000) is None
    assert camera.clock.stepped
    assert camera.picture() is None
    assert camera.picture() == camera.offset + camera.media


def test_while_the_clock_is_being_set_nothing_is_believed() -> None:
    """Each picture contradicts the one before."""
    camera = Camera().running()
    for _ in range(5):
        camera.offset -= 300_000
        assert camera.picture() is None


def test_times_that_go_back_with_the_media() -> None:
    """A stream that begins again without saying so repeats its times: a new epoch."""
    camera = Camera().running()
    camera.media -= 1_200_000
    assert camera.picture() is None
    assert camera.clock.stepped
    assert camera.picture() == camera.offset + camera.media


def test_pictures_out_of_order() -> None:
    """B-frames: packets come in the order of decoding, and each has its own time."""
    camera = Camera().running()
    for number in (4, 2, 1, 3, 8, 6, 5, 7):
        media = camera.media + number * STEP
        assert camera.clock.time_of(media, T + media) == T + media
        assert not camera.clock.stepped


def test_reconnect() -> None:
    """Another connection has another media time; its first packet is not believed either."""
    camera = Camera().running()
    camera.reconnect()
    assert camera.picture(wall=STEP) is None
    assert camera.picture() is None
    assert camera.picture() == camera.offset + camera.media
    assert not camera.clock.stepped


def test_the_same_pictures_by_another_connection() -> None:
    """That times repeat there is for others to see: it is another epoch already."""
    camera = Camera().running()
    camera.reconnect()
    camera.media -= 2_000_000
    assert camera.pictures(2) == [None, camera.offset + camera.media]
    assert not camera.clock.stepped


def test_reports_are_counted_through_connections() -> None:
    """So that of two frames of any connection one can tell whether a report came between."""
    camera = Camera()
    camera.clock.report()
    camera.clock.connect()
    camera.clock.report()
    assert camera.clock.reports == 2


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
    assert camera.clock.time_of(media, wall) is None
    camera.running()
    assert camera.clock.time_of(media, wall) is None
    assert not camera.clock.stepped
    assert camera.picture() == camera.offset + camera.media


def test_stepped_is_of_the_last_packet() -> None:
    """Also a packet without a time tells that nothing stepped there."""
    camera = Camera().running()
    camera.offset += 1_000_000
    camera.picture()
    assert camera.clock.stepped
    camera.clock.time_of(None, None)
    assert not camera.clock.stepped


@given(
    st.lists(st.sampled_from(["pictures", "set", "reconnect", "set, then reconnect"]), max_size=40),
    st.data(),
)
def test_times_are_right_or_none(steps: list[str], data: st.DataObject) -> None:
    """Whatever becomes of the clock; and within an epoch of a connection none comes again."""
    camera = Camera().running()
    said: set[int] = set()
    for step in steps:
        if "set" in step:
            by = data.draw(st.integers(TOLERANCE + 1, 20_000_000))
            camera.offset += by * data.draw(st.sampled_from([1, -1]))
        if "reconnect" in step:
            camera.reconnect()
            said.clear()
        for _ in range(30 * (step == "pictures")):
            found = camera.picture()
            if camera.clock.stepped:
                said.clear()
            if found is not None:
                assert found == camera.offset + camera.media
                assert found not in said
                said.add(found)
