"""Recordings of two streams, and the words for what came of them."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scenes
from scenes import Stream

from streamcrop import calibrate
from streamcrop.calibrate import Recording, judged, small
from streamcrop.config import parse
from streamcrop.core.motion import GRID, Series
from streamcrop.core.pixels import ArrayPixels, YuvPixels
from streamcrop.core.values import Change, Frame, Reason
from streamcrop.errors import ConfigError, SourceError
from streamcrop.sources import Item

CONFIG = """
broker: {url: "mqtt://127.0.0.1:1"}
streams: {gate: {source: {url: URL}, detections: {topic: d}, pairing: {key: utc}}}
"""
DARK = ArrayPixels.of(np.zeros(GRID, np.uint8))
FRAME = Frame("a-0", DARK, epoch="a", captured_at=1_000_000, arrived=1_200_000, reports=1)


class Said:
    """A source that says what it is given."""

    def __init__(self, *items: Item | Exception) -> None:
        self.items = items
        self.stopped = False

    def __iter__(self) -> Iterator[Item]:
        for item in self.items:
            if isinstance(item, Exception):
                raise item
            yield item

    def stop(self) -> None:
        self.stopped = True


def recorded(*items: Item | Exception) -> Recording:
    """What becomes of them."""
    recording = Recording("the main stream", Said(*items))
    recording.run()
    return recording


def taken(series: Series, *, ahead: float = 0.0, step: bool = False) -> Recording:
    """A recording of a made stream whose camera's clock is so far ahead of arrival."""
    frames: list[Item] = []
    for at, picture in zip(series.times.tolist(), series.pictures, strict=True):
        pixels = ArrayPixels.of(np.clip(picture, 0, 255).astype(np.uint8))
        captured = round((1e9 + at + ahead) * 1e6)
        arrived = round((1e9 + at + 0.2) * 1e6)
        epoch = "b" if step and at < 5 else "a"
        frame = replace(FRAME, pixels=pixels, captured_at=captured, arrived=arrived, epoch=epoch)
        frames.append(frame)
    return recorded(*frames)


@pytest.mark.parametrize("shape", [(72, 128), (540, 960), (480, 640), (1080, 1920)])
def test_a_small_picture_holds_the_means_of_areas(shape: tuple[int, int]) -> None:
    """Whatever size and aspect, each cell is the mean of what it covers."""
    height, width = shape
    ramp = np.linspace(30, 220, width)[None] * np.linspace(0.5, 1, height)[:, None]
    grey = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
    pixels = YuvPixels(np.rint(ramp).astype(np.uint8), grey, grey, full_range=True)
    cells = small(pixels)
    assert cells.shape == GRID
    rows, columns = (np.arange(count + 1) / count for count in GRID)
    across = 30 + 190 * (columns[1:] + columns[:-1]) / 2
    down = 0.5 + 0.5 * (rows[1:] + rows[:-1]) / 2
    assert np.abs(cells - down[:, None] * across).max() < 2.5


def test_pictures_without_a_time_are_counted_only() -> None:
    """Before the first report there is nothing to hold."""
    recording = recorded(Change("running", ""), replace(FRAME, captured_at=None), Reason.CORRUPT)
    assert recording.seen == 1
    assert recording.length == 0


def test_a_new_epoch_begins_anew() -> None:
    """What came before a clock jumped has another offset."""
    later = replace(FRAME, epoch="b", captured_at=9_000_000)
    recording = recorded(FRAME, later, replace(later, captured_at=9_500_000))
    assert recording.steps == 1
    assert recording.length == 0.5
    assert recording.series(9.0).times.tolist() == [0, 0.5]


def test_times_that_come_twice_count_once_and_in_order() -> None:
    """Pictures may come in another order than that of their times."""
    times = [3_000_000, 1_000_000, 2_000_000, 2_000_000]
    recording = recorded(*(replace(FRAME, captured_at=at) for at in times))
    assert recording.series(0).times.tolist() == [1, 2, 3]


def test_a_stream_that_ends_is_an_error_with_its_reason() -> None:
    """A connection that breaks is not waited for."""
    source = Said(FRAME, Change("reconnecting", "the camera ended the stream"))
    recording = Recording("the main stream", source)
    recording.run()
    assert source.stopped
    with pytest.raises(SourceError, match="main stream ended after 1 pictures: the camera ended"):
        recording.check(recording.since)
    with pytest.raises(SourceError, match="ended: no such picture"):
        recorded(ValueError("no such picture")).check(0)


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ([], "no whole picture came"),
        ([replace(FRAME, captured_at=None, reports=0)], "no sender report .RTCP. came"),
        ([replace(FRAME, captured_at=None, reports=3)], "its 3 sender reports contradict"),
    ],
)
def test_a_stream_without_capture_times_is_an_error(items: list[Any], why: str) -> None:
    """After 15 s, or a minute without any picture, it is said why."""
    recording = recorded(*items)
    patience = 15 if items else 60
    recording.check(recording.since + patience - 1)
    with pytest.raises(SourceError, match=f"no capture times: {why}"):
        recording.check(recording.since + patience)


def test_a_clock_that_jumps_again_and_again_is_an_error() -> None:
    """No offset would hold."""
    recording = recorded(*(replace(FRAME, epoch=epoch) for epoch in "abcd"))
    with pytest.raises(SourceError, match="its clock jumped 3 times"):
        recording.check(recording.since)


def streams(shift: float = -0.1) -> tuple[Series, Series]:
    """A walker, by two streams."""
    chance = np.random.default_rng(3)
    scene = scenes.crowd(chance)
    return Stream().of(scene, 20, chance), Stream(rate=5, shift=shift).of(scene, 20, chance)


def test_the_offset_is_said_with_the_line_to_write() -> None:
    """The line has the sign and unit of `pairing.offset`."""
    main, sub = streams()
    report = judged(taken(main), taken(sub), 2)
    assert report.verdict.offset == pytest.approx(0.1, abs=0.002)
    assert report.lines[-2:] == ["pairing:", f"  offset: {report.verdict.offset:.4f}"]
    assert "the clocks run together" in report.lines[2]


def test_clocks_that_are_hours_apart_are_compared_by_arrival() -> None:
    """Arrival says roughly how far apart they are; the pictures say exactly."""
    main, sub = streams()
    report = judged(taken(main, ahead=7200), taken(sub), 2)
    assert report.verdict.offset == pytest.approx(7200.1, abs=0.002)


def test_a_clock_that_jumped_is_told_of() -> None:
    """What came before the jump is left out."""
    main, sub = streams()
    report = judged(taken(main, step=True), taken(sub), 2)
    assert report.verdict.offset == pytest.approx(0.1, abs=0.002)
    assert "a clock jumped 1 times" in report.lines[-1]


def test_what_cannot_be_told_has_its_reason() -> None:
    """No line to write then."""
    main, sub = streams()
    still = Series(sub.times, sub.pictures * 0)
    assert judged(taken(main), taken(still), 2).lines[0].startswith("cannot tell: too little moves")
    assert "too few pictures" in judged(taken(main), recorded(), 2).lines[0]


def test_every_reason_has_words() -> None:
    """Of each kind but the one that is told."""
    kinds = set(calibrate.Kind) - {calibrate.Kind.TOLD}
    assert set(calibrate._WHY) == kinds
    for text in calibrate._WHY.values():
        assert text.format(rival=0.5, parts="1, 2", drift=0.1)


@pytest.mark.parametrize(
    ("url", "detector", "where"),
    [
        ("/clip.mp4", "rtsp://camera/sub", "source.url"),
        ("rtsp://camera/main", "http://camera/sub", "--detector-url"),
        ("rtsp://camera/main", "clip.mp4", "--detector-url"),
        ("rtsp://camera/main", "rtsp:camera", "--detector-url"),
    ],
)
def test_what_is_no_camera_is_refused(url: str, detector: str, where: str) -> None:
    """Only cameras say capture times; nothing is opened before that is known."""
    text = CONFIG.replace("URL", url)
    text = text.replace("key: utc", "key: frame_id") if "clip" in url else text
    stream = parse(text).streams["gate"]
    with pytest.raises(ConfigError, match=where):
        calibrate.calibrate(stream, detector, 15, 2)


def test_both_are_read_until_they_are_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """What both show is compared as soon as there is enough of it, and progress is said."""
    main, sub = streams()
    said: list[str] = []
    recordings = {"rtsp://camera/main": taken(main), "rtsp://camera/sub": taken(sub)}
    monkeypatch.setattr(calibrate, "_SAID_EVERY", 0.0)

    class Slow(Said):
        def __iter__(self) -> Iterator[Item]:
            yield from self.items
            while not self.stopped:
                time.sleep(0.05)

    def camera(stream: Any, *_: object) -> Said:
        return Slow(*recordings[stream.source.url].source.items)

    monkeypatch.setattr(calibrate, "camera", camera)
    monkeypatch.setenv("WHERE", "camera")
    stream = parse(CONFIG.replace("URL", "rtsp://camera/main")).streams["gate"]
    enough = calibrate.calibrate(stream, "rtsp://${WHERE}/sub", 15, 2)
    assert enough.verdict.offset == pytest.approx(0.1, abs=0.002)
    monkeypatch.setattr(calibrate, "_LONGEST", -18.5)
    too_long = calibrate.calibrate(stream, "rtsp://camera/sub", 20, 2, said.append)
    assert too_long.verdict.offset == pytest.approx(0.1, abs=0.002)
    assert "of 20 s with capture times; " in said[0]
