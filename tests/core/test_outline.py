"""`streamcrop.core.outline`: what OpenCV fills, in time that grows with what is crossed."""

import time

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcrop.core import outline

Image = npt.NDArray[np.uint8]


def by_opencv(size: tuple[int, int], vertices: npt.NDArray[np.int32]) -> Image:
    """The reference."""
    canvas = np.zeros(size[::-1], np.uint8)
    cv2.fillPoly(canvas, [vertices], 1)
    return canvas


def filled(size: tuple[int, int], vertices: npt.NDArray[np.int32]) -> Image:
    """A canvas with an outline in it."""
    canvas = np.zeros(size[::-1], np.uint8)
    outline.fill(canvas, vertices)
    return canvas


@settings(max_examples=300)
@given(st.tuples(st.integers(1, 60), st.integers(1, 60)), st.integers(3, 40), st.integers(0, 9999))
def test_crossings_are_counted_as_opencv_sorts_them(
    size: tuple[int, int], count: int, seed: int
) -> None:
    """Bit for bit, whichever way is taken, as long as no vertex is outside."""
    vertices = np.random.default_rng(seed).integers(0, size, (count, 2)).astype(np.int32)
    expected = by_opencv(size, vertices)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outline, "_FEW", -1)
        patch.setattr(outline, "_EXCHANGES", 0)
        patch.setattr(outline, "_MANY", 64)
        counted = filled(size, vertices)
    np.testing.assert_array_equal(counted, expected)
    np.testing.assert_array_equal(filled(size, vertices), expected)


@pytest.mark.parametrize("shift", [(-500, 0), (500, 0), (0, -300), (0, 300), (0, 900), (0, -900)])
def test_what_is_outside_of_the_image(shift: tuple[int, int]) -> None:
    """It ends at the border: what is counted is a part of what a wider image shows."""
    size = (1280, 720)
    vertices = np.random.default_rng(1).integers(0, size, (2000, 2)) + np.array(shift)
    wide, part = np.zeros((2800, 2400), np.uint8), np.zeros((720, 1280), np.uint8)
    outline._fill_by_counting(wide, vertices + np.array([600, 1000]))
    outline._fill_by_counting(part, vertices)
    np.testing.assert_array_equal(part, wide[1000:1720, 600:1880])


def test_many_vertices() -> None:
    """30,000 random ones took a minute and more; sorted they may cross nothing."""
    size = (1280, 720)
    tangled = np.random.default_rng(1).integers(0, size, (30_000, 2)).astype(np.int32)
    angle = np.linspace(0, 2 * np.pi, 30_000)
    round_one = np.stack((640 + 300 * np.cos(angle), 360 + 300 * np.sin(angle)), 1).astype(np.int32)
    since = time.process_time()
    assert filled(size, tangled).any()
    assert filled(size, round_one).sum() == pytest.approx(np.pi * 300**2, rel=0.01)
    assert time.process_time() - since < 2
    assert not outline._is_tangled(720, round_one[:, 1])
    assert outline._is_tangled(720, tangled[:, 1])


def test_vertices_far_away() -> None:
    """The farthest that a mask has overflow nothing."""
    far = 1 << 24
    vertices = np.array([[-far, -far], [far, -far], [far, far], [-far, far]] * 500, np.int32)
    vertices[::7] = [[5, 5]]
    assert filled((20, 10), vertices).shape == (10, 20)


def test_an_outline_of_many_vertices_that_crosses_few_lines() -> None:
    """It is OpenCV's to fill, whatever the number of its vertices."""
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    round_one = np.stack([150 + 90 * np.cos(turn), 150 + 140 * np.sin(turn)], 1).astype(np.int32)
    expected = by_opencv((300, 300), round_one)
    np.testing.assert_array_equal(filled((300, 300), round_one), expected)
    crossed = outline.crossings(round_one[:, 1], 0, 300)
    assert crossed == 2 * np.ptp(round_one[:, 1])
