"""`streamcrop.core.score`: how good a crop is."""

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.core.score import Score, score, sharpness

SIZE = (640, 480)


def texture(side: int = 200) -> Any:
    """Noise that a camera could see: no pixel stands alone."""
    noise = np.random.default_rng(1).integers(0, 256, (side, side), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 1.5)


def scored(xyxy: tuple[float, ...], confidence: float | None = 1.0, luma: Any = None) -> Score:
    """The score of a box in a frame of `SIZE`."""
    pixels = texture() if luma is None else luma
    return score(confidence, np.array(xyxy, np.float64), SIZE, pixels)


@given(
    st.none() | st.floats(allow_nan=False),
    st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4),
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(0, 99),
)
def test_each_part_is_from_0_to_1(
    confidence: float | None, xyxy: list[float], width: int, height: int, seed: int
) -> None:
    """Whatever the box, and the total is their product."""
    luma = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    found = score(confidence, np.array(xyxy), SIZE, luma)
    parts = [found.confidence, found.size, found.border, found.sharpness]
    assert all(0 <= part <= 1 for part in parts)
    assert found.total == pytest.approx(np.prod(parts))
    assert list(found.parts().values()) == pytest.approx(parts, abs=1e-6)
    assert list(found.parts()) == ["confidence", "size", "border", "sharpness"]


def test_confidence() -> None:
    """As the detector says it; 1 where it says none; never above 1."""
    box = (100, 100, 200, 200)
    assert [scored(box, said).confidence for said in (None, 0.4, 7, -1)] == [1, 0.4, 1, 0]


def test_size() -> None:
    """A hundred pixels are a half, three hundred three quarters; only what is in the frame."""
    assert scored((100, 100, 200, 200)).size == 0.5
    assert scored((100, 100, 400, 400)).size == 0.75
    assert scored((-100, 100, 100, 200)).size == 0.5
    assert scored((700, 100, 900, 300)).size == 0


def test_border() -> None:
    """At the frame's edge half of it, beyond it what is still there."""
    assert scored((2, 2, 638, 478)).border == 1
    sides = [(1.9, 9, 99, 99), (9, 1.9, 99, 99), (9, 9, 638.1, 99), (9, 9, 99, 478.1)]
    assert [scored(side).border for side in sides] == [0.5] * 4
    assert scored((-100, 100, 100, 200)).border == 0.25
    assert scored((700, 100, 900, 300)).border == 0
    assert scored((100, 100, 100, 300)).border == 0


def test_sharpness() -> None:
    """A blur lowers it, and so does a crop too small to show as much; a flat one has hardly any."""
    sharp = texture()
    steps = [sharpness(cv2.GaussianBlur(sharp, (0, 0), blur)) for blur in (0.1, 2, 4, 8)]
    assert steps == sorted(steps, reverse=True)
    assert steps[0] > 2 * steps[-1]
    tiny = cv2.resize(sharp, (16, 16), interpolation=cv2.INTER_AREA)
    assert sharpness(tiny) < sharpness(sharp)
    assert sharpness(np.full((80, 70), 200, np.uint8)) == pytest.approx(1 / 300)


def test_sharpness_does_not_count_size() -> None:
    """The same picture in twice and four times the size is as sharp, to a tenth."""
    small = texture(64)
    same = [cv2.resize(small, (side, side), interpolation=cv2.INTER_NEAREST) for side in (128, 256)]
    assert [sharpness(each) for each in same] == pytest.approx([sharpness(small)] * 2, rel=0.1)


def test_nothing_is_modified() -> None:
    """Neither the luma, which may be a view of a frame, nor the box."""
    frame = texture()
    view = frame[10:90:2, 20:150]
    before, box = view.copy(), np.array([1.0, 2, 3, 4])
    score(0.5, box, SIZE, view)
    assert np.array_equal(view, before)
    assert box.tolist() == [1, 2, 3, 4]
