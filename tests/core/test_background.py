"""`streamcrop.core.background`: colours, opacity and what lies outside a mask."""

from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.core.background import (
    CropOptions,
    parse_color,
    remove_background,
    remove_background_of_planes,
)


@pytest.mark.parametrize(
    ("color", "rgb"),
    [
        ("#431112", (0x43, 0x11, 0x12)),
        ("#FfAa0B", (255, 170, 11)),
        ("#fff", (255, 255, 255)),
        ("#1aF", (0x11, 0xAA, 0xFF)),
        (" #000 ", (0, 0, 0)),
        ("(128, 32, 64)", (128, 32, 64)),
        ("(0,0,255)", (0, 0, 255)),
        (" ( 1 , 2 , 3 ) ", (1, 2, 3)),
        ((18, 17, 67), (18, 17, 67)),
        ([18, 17, 67], (18, 17, 67)),
        (np.array([18, 17, 67], np.uint8), (18, 17, 67)),
    ],
)
def test_every_form_of_a_colour(color: Any, rgb: tuple[int, int, int]) -> None:
    """All the forms that the contract names are read as RGB and kept as BGR."""
    assert parse_color(color) == rgb
    assert CropOptions(1.0, color).bgr == rgb[::-1]


@pytest.mark.parametrize(
    "color",
    [
        "",
        "red",
        "431112",
        "#43111",
        "#4311122",
        "#ggg",
        "#fff#fff",
        "()",
        "(1, 2)",
        "(1, 2, 3, 4)",
        "(1, 2, x)",
        "(1.5, 2, 3)",
        "(1, 2, 3",
        "1, 2, 3",
        [],
        [1, 2],
        [1, 2, 3, 4],
        [1.0, 2, 3],
        ["1", "2", "3"],
        [None, 1, 2],
        None,
        7,
    ],
)
def test_what_is_no_colour_is_refused(color: Any) -> None:
    """A colour of no known form is refused when the options are built, with what to write."""
    with pytest.raises(ValueError, match=r"is no colour: write '#431112'"):
        CropOptions(0.0, color)


@pytest.mark.parametrize("color", ["(300, 0, 0)", (0, 256, 0), [0, 0, -1]])
def test_a_channel_does_not_wrap(color: Any) -> None:
    """A channel outside 0..255 is refused; the block takes 300 for 44."""
    with pytest.raises(ValueError, match=r"each channel must be from 0 to 255"):
        CropOptions(0.0, color)


@pytest.mark.parametrize(
    "opacity", [-0.001, 1.001, 2, float("nan"), float("inf"), True, False, "0.5", None, [1]]
)
def test_an_opacity_outside_is_refused(opacity: Any) -> None:
    """An opacity is a number from 0 to 1, and is refused at the door."""
    with pytest.raises(ValueError, match=r"mask_opacity must be a number from 0 to 1"):
        CropOptions(opacity)


def test_options_are_equal_by_what_was_asked() -> None:
    """Two ways to write the same options make equal values."""
    assert CropOptions(0.5, (1, 2, 3)) == CropOptions(0.5, (1, 2, 3))
    assert CropOptions(0.5) != CropOptions(0.25)
    assert CropOptions(cast("float", np.float32(0.5))) == CropOptions(0.5)


@pytest.mark.parametrize(
    ("opacity", "color", "outside"),
    [
        (0.0, "#ffffff", [10, 20, 31]),
        (0.5, "#ffffff", [132, 138, 143]),  # 132.5, 137.5 and 143: half to even
        (0.5, "#000000", [5, 10, 16]),  # 15.5
        (0.25, (100, 60, 20), [12, 30, 48]),  # 12.5, 30, 48.25
        (1.0, "#000", [0, 0, 0]),
        (1.0, (1, 2, 3), [3, 2, 1]),
    ],
)
def test_a_blend_by_hand(opacity: float, color: Any, outside: list[int]) -> None:
    """Inside the mask nothing changes; outside, background and pixel are blended."""
    image = np.tile(np.array([10, 20, 31], np.uint8), (2, 3, 1))
    before = image.copy()
    mask = np.array([[1, 0, 0], [0, 0, 1]], np.uint8)
    result = remove_background(image, mask, CropOptions(opacity, color))
    assert result[0].tolist() == [[10, 20, 31], outside, outside]
    assert result[1].tolist() == [outside, outside, [10, 20, 31]]
    np.testing.assert_array_equal(image, before)
    assert not np.shares_memory(result, image)


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from([0.0, 0.001, 0.1, 0.5, 0.7, 0.999, 1.0]) | st.floats(0, 1),
    st.tuples(*[st.integers(0, 255)] * 3),
)
def test_a_blend_follows_the_formula(
    seed: int, size: tuple[int, int], opacity: float, color: tuple[int, int, int]
) -> None:
    """Outside it is ``round(background a + pixel (1 - a))`` in float32, views and all."""
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (2 * size[0], 2 * size[1], 3), np.uint8)[::2, 1::2]
    mask = random.integers(0, 2, size[::-1], np.uint8).T
    result = remove_background(image, mask, CropOptions(opacity, color))
    alpha = np.float32(opacity)
    background = np.array(color[::-1], np.float32)
    blend = np.rint(background * alpha + image.astype(np.float32) * (np.float32(1) - alpha))
    expected = np.where(mask[..., None] == 1, image, blend.astype(np.uint8))
    np.testing.assert_array_equal(result, expected)


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from([0.0, 0.001, 0.5, 1.0]) | st.floats(0, 1),
    st.tuples(*[st.integers(0, 255)] * 3),
    st.sampled_from([1, 255]),
)
def test_planes_are_blended_as_their_pixels_would_be(
    seed: int, size: tuple[int, int], opacity: float, color: tuple[int, int, int], inside: int
) -> None:
    """Luma follows the mask; chroma is the mean of two by two pixels, of which some are inside."""
    random = np.random.default_rng(seed)
    shape, halved = size[::-1], tuple((side + 1) // 2 for side in size[::-1])
    doubled = tuple(2 * side for side in halved)
    planes = tuple(random.integers(0, 256, each, np.uint8) for each in (doubled, halved, halved))
    before = [plane.copy() for plane in planes]
    mask = random.integers(0, 2, shape, np.uint8)
    y, u, v = planes
    found = remove_background_of_planes((y, u, v), mask * inside, CropOptions(opacity, color))
    even = np.pad(mask, ((0, shape[0] & 1), (0, shape[1] & 1)), "edge")
    pairs = even.reshape(halved[0], 2, halved[1], 2).mean((1, 3))
    red, green, blue = color
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    background = luma, 128 + 0.5 * (blue - luma) / 0.886, 128 + 0.5 * (red - luma) / 0.701
    for result, plane, share, value in zip(
        found, before, (even, pairs, pairs), background, strict=True
    ):
        left = 1 - opacity * (1 - share)
        assert result.dtype == np.uint8
        assert np.abs(result - np.clip(plane * left + value * (1 - left), 0, 255)).max() <= 2
        np.testing.assert_array_equal(result[share == 1], plane[share == 1])
    for plane, copy in zip(planes, before, strict=True):
        np.testing.assert_array_equal(plane, copy)


@pytest.mark.parametrize(
    ("opacity", "color", "outside"),
    [
        (0.0, "#ffffff", (100, 90, 160)),
        (1.0, "#000", (0, 128, 128)),
        (1.0, "#fff", (255, 128, 128)),
        (1.0, "#f00", (76, 85, 255)),
        (0.5, "#fff", (178, 109, 144)),
    ],
)
def test_planes_by_hand(opacity: float, color: str, outside: tuple[int, int, int]) -> None:
    """Black, white and red are what JFIF writes for them; the object keeps its samples."""
    y, u, v = (
        np.full((side, side), value, np.uint8) for side, value in [(4, 100), (2, 90), (2, 160)]
    )
    mask = np.zeros((4, 4), np.uint8)
    mask[:2, :2] = 1
    found = remove_background_of_planes((y, u, v), mask, CropOptions(opacity, color))
    assert [int(plane[0, 0]) for plane in found] == [100, 90, 160]
    assert [int(plane[-1, -1]) for plane in found] == pytest.approx(outside, abs=1)


def test_a_shape_is_read_with_the_other_options() -> None:
    """None where nothing is asked for, so that a plain crop costs what it did."""
    plain, shaped = CropOptions(), CropOptions(margin=0.1, size=[64, 64], fill="#102030")
    assert plain.shape is None
    assert shaped.shape is not None
    assert (shaped.shape.size, shaped.fill_bgr) == ((64, 64), (0x30, 0x20, 0x10))
    assert plain.fill_bgr == (0x72, 0x72, 0x72)
    assert CropOptions(fill="#fff").shape is None


@pytest.mark.parametrize(
    ("words", "text"),
    [({"fill": "grey"}, "fill 'grey' is no colour"), ({"aspect": 0}, "aspect 0"),
     ({"fill": "(300, 0, 0)"}, "fill .*: each channel"), ({"border": "wrap"}, "border must be")],
)  # fmt: skip
def test_a_shape_that_is_none_is_refused(words: dict[str, Any], text: str) -> None:
    """By the name of its option."""
    with pytest.raises(ValueError, match=text):
        CropOptions(**words)
