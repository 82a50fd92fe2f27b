"""Which rows of a stream's messages become crops: `streamcrop.stream.choosing`."""

import json
from collections import Counter
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest

from streamcrop.core.background import CropOptions
from streamcrop.core.choice import PerTrack, Rule
from streamcrop.core.filters import Filter
from streamcrop.core.pixels import ArrayPixels, YuvPixels
from streamcrop.core.values import Frame, Reason
from streamcrop.formats import inference
from streamcrop.stream.choosing import Choosing, Late
from streamcrop.stream.cutting import CutFrame, Style

STYLE = Style(("edge", "gate"), CropOptions())
BOX = {"x": 100, "y": 100, "width": 60, "height": 60, "class": "person", "confidence": 0.8}


def texture(blur: float = 1.0) -> Any:
    """A picture with detail, or without."""
    noise = np.random.default_rng(1).integers(0, 256, (200, 300), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), blur)


class Stream:
    """Frames of a stream, one after the other."""

    def __init__(
        self, interest: Filter | None = None, rule: Rule | None = None, **more: Any
    ) -> None:
        self.choosing = Choosing(interest or Filter(), rule or Rule(), **more)
        self.frames = 0
        self.decoded = 0

    def say(
        self, *rows: Any, now: float = 0.0, blur: float = 1.0, **known: Any
    ) -> tuple[CutFrame, Late]:
        """The next frame, and what is said of it."""
        stream = self

        class Watched(YuvPixels):
            def decode(self) -> YuvPixels:
                stream.decoded += 1
                return YuvPixels(self.y, self.u, self.v)

        grey = np.full((100, 150), 128, np.uint8)
        frame = Frame(str(self.frames), Watched(texture(blur), grey, grey), **known)
        self.frames += 1
        payload = json.dumps({"frame_id": frame.frame_id, "predictions": rows}).encode()
        return self.choosing.cut(frame, inference.decode(payload), 0.0, STYLE, now)


def row(track: object = None, **more: Any) -> dict[str, Any]:
    """A row of a track."""
    return {**BOX, **more, **({} if track is None else {"tracker_id": track})}


def reasons(found: CutFrame) -> Counter[Reason]:
    """Of the rows that have no crop."""
    return Counter(reason for _, reason in found.refused)


def test_what_is_of_no_interest_is_not_decoded() -> None:
    """Filters count before the frame is looked at; what could not be read keeps its reason."""
    stream = Stream(Filter(classes=["car"], min_size=(50, 50), min_confidence=0.5))
    found, late = stream.say(
        row(),
        row(**{"class": "car", "width": 10}),
        row(**{"class": "car", "confidence": 0.3}),
        row(**{"class": "car", "confidence": None}),
        row(**{"class": "car", "confidence": True}),
        row(**{"class": "car", "x": "left"}),
        row(**{"class": "car", "x": float("nan")}),
    )
    assert (found.crops, bool(late)) == ([], False)
    assert reasons(found) == {Reason.FILTERED: 5, Reason.MALFORMED: 1, Reason.NOT_FINITE: 1}
    assert stream.decoded == 0
    found, _ = stream.say(row(**{"class": "car"}))
    assert len(found.crops) == 1
    assert (stream.decoded, "zones" in found.rows[0]) == (1, False)


def test_rows_say_their_zones() -> None:
    """All that they lie in; one that lies in none is filtered."""
    half = [[0.0, 0.5], [1, 0.5], [1, 1], [0, 1]]
    left = [[0.0, 0], [0.5, 0], [0.5, 1], [0, 1]]
    stream = Stream(Filter(zones={"low": half, "left": left}))
    found, _ = stream.say(row(), row(x=250), row(x=250, y=40))
    assert [found.rows[crop.index]["zones"] for crop in found.crops] == [["low", "left"], ["low"]]
    assert found.refused == [(2, Reason.FILTERED)]


@pytest.mark.parametrize(("mode", "seconds"), [("first", [0]), ("interval", [0, 2, 4])])
def test_what_is_not_chosen_costs_no_decoding(mode: PerTrack, seconds: list[int]) -> None:
    """Where no score decides."""
    stream = Stream(rule=Rule(mode, interval=2.0))
    chosen = []
    for second in range(6):
        found, late = stream.say(row(7), row(1, x=1e6), now=float(second))
        chosen += [second] * len(found.crops)
        assert not late
        assert reasons(found)[Reason.NOT_CHOSEN] == 1 - len(found.crops)
        assert reasons(found)[Reason.OUTSIDE_FRAME] == 1
        assert found.crops == [] or "score" not in found.rows[0]
    assert chosen == seconds
    assert stream.decoded == len(seconds)


def test_the_best_supersedes() -> None:
    """What is clearly better than before, by a score that its row says in parts."""
    stream = Stream(rule=Rule("best"))
    first, _ = stream.say(row(7, detection_id="a"), blur=4)
    again, _ = stream.say(row(7, detection_id="b"), blur=4, now=0.1)
    sharp, _ = stream.say(row(7, detection_id="c"), blur=1, now=0.2)
    assert [len(found.crops) for found in (first, again, sharp)] == [1, 0, 1]
    assert reasons(again) == {Reason.NOT_CHOSEN: 1}
    assert (first.supersedes, sharp.supersedes) == ({}, {0: "gate/0/a"})
    said = sharp.rows[0]
    assert said["score"] > 1.1 * first.rows[0]["score"]
    parts = said["score_parts"]
    assert list(parts) == ["confidence", "size", "border", "sharpness"]
    assert said["score"] == pytest.approx(np.prod(list(parts.values())), abs=1e-5)
    assert (parts["confidence"], parts["border"]) == (0.8, 1)
    assert parts["size"] == pytest.approx(60 / 160)


def test_the_best_at_the_end_comes_late() -> None:
    """One a track, with the pixels and the metadata of its own frame, of which it holds nothing."""
    stream = Stream(rule=Rule("best_at_end", lost_after=1.0))
    for number, blur in enumerate((4, 1, 2)):
        found, late = stream.say(
            row(7, detection_id=f"d{number}"), row(None, x=200), now=number / 2, blur=blur
        )
        # A row without a track is one of its own.
        assert [crop.index for crop in found.crops] == [1]
        assert found.held == ([f"gate/{number}/d{number}"] if number < 2 else [])
        assert reasons(found)[Reason.NOT_CHOSEN] == (number == 2)
        assert (late.chosen, late.passed) == ([], number == 1)
    assert (stream.choosing.held, stream.choosing.deadline) == (1, 2.0)
    assert not stream.choosing.expire(1.9)
    late = stream.choosing.expire(2.0)
    assert (len(late.chosen), late.passed, stream.choosing.held) == (1, 0, 0)
    [found] = late.chosen
    [crop] = found.crops
    assert (found.frame.frame_id, found.head["frame_id"], crop.detection_id) == ("1", "1", "d1")
    assert found.rows[crop.index]["score"] > 0
    grey = np.full((100, 150), 128, np.uint8)
    whole = YuvPixels(texture(1), grey, grey)
    assert np.array_equal(crop.bgr(), whole.bgr()[70:130, 70:130])
    assert crop.jfif() is not None
    assert found.frame.pixels.nbytes < 3 * 60 * 60


def test_the_end_of_the_stream_ends_all_tracks() -> None:
    """What is held is chosen; a frame of another track ends the first by its time."""
    stream = Stream(rule=Rule("best_at_end", lost_after=1.0))
    stream.say(row(7), now=0.0)
    found, late = stream.say(row(8), now=5.0)
    assert (len(found.held), len(late.chosen)) == (1, 1)
    assert len(stream.choosing.close().chosen) == 1
    assert not stream.choosing.close()


@pytest.mark.parametrize(
    ("value", "other", "same"),
    [(7, "7", True), (7, 7.0, True), ("a", "a", True), (7, 8, False), (None, None, False),
     ("", "", False), (True, True, False), ([7], [7], False), (7.5, 7.5, False)],
)  # fmt: skip
def test_names_of_tracks(value: object, other: object, same: bool) -> None:
    """Numbers and texts; what is none names no track, so that each row is one of its own."""
    stream = Stream(rule=Rule("first"))
    found, _ = stream.say(row(value), row(other))
    assert len(found.crops) == 2 - same


def test_a_file_s_time_is_its_own() -> None:
    """Not the caller's, but of a frame without one; where it begins again, time goes on."""
    stream = Stream(rule=Rule("interval", interval=1.0, lost_after=9.0), by_media=True)
    assert stream.choosing.deadline is None
    chosen = []
    for number, pts in enumerate((0, 500, 1000, 1500, 2000, 0, 500, 1000)):
        known = {"pts": pts, "time_base": Fraction(1, 1000)}
        found, _ = stream.say(row(7), now=0.0, **known)
        chosen += [number] * len(found.crops)
    assert chosen == [0, 2, 4, 7]
    found, _ = stream.say(row(7), now=0.0)
    assert found.crops == []


def test_a_held_crop_may_be_of_an_array() -> None:
    """Of a picture that has no planes; its mask comes along."""
    choosing = Choosing(Filter(), Rule("best_at_end"))
    image = np.stack([texture()] * 3, -1)
    triangle = [{"x": 80, "y": 80}, {"x": 120, "y": 80}, {"x": 100, "y": 120}]
    payload = json.dumps({"frame_id": "1", "predictions": [row(7, points=triangle)]}).encode()
    frame = Frame("1", ArrayPixels(image))
    style = Style(("edge", "gate"), CropOptions(mask_opacity=1.0))
    found, _ = choosing.cut(frame, inference.decode(payload), 0.0, style, 0.0)
    assert len(found.held) == 1
    image[:] = 0
    [late] = choosing.close().chosen
    shown = late.crops[0].bgr()
    assert shown.shape == (60, 60, 3)
    assert shown[15, 30].any()
    assert not shown[0].any()
