"""`streamcrop.core.shape`: the words of the options."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.core.align import FACE
from streamcrop.core.shape import MAX_SIDE, Align, Shape

parts = st.sampled_from([0, 0.1, 0.5, 2, "3px", "12px"])
lengths = st.just(0.0) | st.floats(1e-3, 2000)


def shape(**words: Any) -> Shape:
    """The shape that the words mean; they mean one."""
    found = Shape.of(words)
    assert found is not None
    return found


def test_without_words_there_is_no_shape() -> None:
    """So that the plain way costs nothing; as with all words at their defaults."""
    assert Shape.of({}) is None
    words = {"margin": 0, "aspect": None, "min_side": None, "border": "clip", "size": None}
    assert Shape.of({**words, "fit": "stretch", "upright": False, "align": None}) is None


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ({"margin": "7px"}, "margin", ((7.0, True),) * 4),
        ({"margin": [0, 0.5, "1.5px", 1]}, "margin",
         ((0.0, False), (0.5, False), (1.5, True), (1.0, False))),
        ({"aspect": "16:9"}, "aspect", 16 / 9),
        ({"aspect": 1}, "aspect", 1.0),
        ({"min_side": 64}, "min_side", 64.0),
        ({"border": "replicate"}, "border", "replicate"),
        ({"size": [224, 112.0]}, "size", (224, 112)),
        ({"upright": True}, "upright", "nearest"),
        ({"upright": "long"}, "upright", "long"),
    ],
)  # fmt: skip
def test_words(words: dict[str, Any], name: str, value: Any) -> None:
    """Each alone makes a shape."""
    assert getattr(shape(**words), name) == value


def plain_growth(shape: Shape, width: float, height: float) -> tuple[float, float]:
    """The order of the rule, in words of one line each."""
    for at, side in enumerate((width, height)):
        for number, is_pixels in (shape.margin[at], shape.margin[at + 2]):
            grown = number if is_pixels else number * side
            width, height = (width + grown, height) if at == 0 else (width, height + grown)
    if shape.aspect and width < height * shape.aspect:
        width = height * shape.aspect
    elif shape.aspect:
        height = width / shape.aspect
    if shape.aspect and min(width, height) < shape.min_side and min(width, height) > 1e-9:
        factor = shape.min_side / min(width, height)
        return width * factor, height * factor
    if shape.aspect and shape.min_side and min(width, height) <= 1e-9:
        return plain_growth(shape, 1, 1 / shape.aspect)
    return max(width, shape.min_side), max(height, shape.min_side)


@given(
    st.lists(parts, min_size=4, max_size=4),
    st.sampled_from([None, 1, "4:3", 0.2]),
    st.sampled_from([None, 30, 500]),
    lengths,
    lengths,
)
def test_a_box_grows_in_order(
    margin: list[Any], aspect: Any, min_side: Any, width: float, height: float
) -> None:
    """Margin, aspect, min_side; what follows the margin grows around the centre."""
    found = Shape.of({"margin": margin, "aspect": aspect, "min_side": min_side}) or Shape()
    left, top, right, bottom = found.growth(width, height)
    size = width + left + right, height + top + bottom
    assert size == pytest.approx(plain_growth(found, width, height), abs=1e-6)
    asked = [
        number if is_pixels else number * side
        for (number, is_pixels), side in zip(found.margin, (width, height) * 2, strict=True)
    ]
    assert left - asked[0] == pytest.approx(right - asked[2], abs=1e-6)
    assert top - asked[1] == pytest.approx(bottom - asked[3], abs=1e-6)
    assert min(left, top, right, bottom) >= 0
    if aspect and min(size) > 1e-6:
        assert size[0] / size[1] == pytest.approx(found.aspect, rel=1e-6)


def test_nothing_grows_without_words() -> None:
    """Not by a rounding error."""
    assert Shape().growth(0.1 + 0.2, 1e9 / 3) == (0, 0, 0, 0)


@given(st.floats(0.1, 4000), st.floats(0.1, 4000), st.integers(1, 500), st.integers(1, 500))
def test_letterboxed_content_fits(width: float, height: float, wide: int, high: int) -> None:
    """Whole pixels within the crop, in its middle; one side fills it; the aspect is kept."""
    left, top, right, bottom = shape(size=(wide, high)).placed(width, height)
    assert 0 <= left < right <= wide
    assert 0 <= top < bottom <= high
    assert right - left == wide or bottom - top == high
    assert 0 <= (wide - right) - left <= 1
    assert 0 <= (high - bottom) - top <= 1
    scale = min(wide / width, high / height)
    assert abs((right - left) - width * scale) <= 1
    assert abs((bottom - top) - height * scale) <= 1
    assert shape(size=(wide, high), fit="stretch").placed(width, height) == (0, 0, wide, high)


def align(**words: Any) -> Align:
    """The alignment that the words mean."""
    found = shape(align=words).align
    assert found is not None
    return found


def test_the_face() -> None:
    """112 x 112, or in another size as large in it."""
    face = align(template="face")
    assert (face.size, face.is_face) == ((112, 112), True)
    assert face.places is not None
    assert face.places.tolist() == FACE.tolist()
    large = shape(align={"template": "face"}, size=(224, 224)).align
    assert large is not None
    assert large.places is not None
    assert large.places == pytest.approx(2 * FACE)
    assert align(template="face", size=[56, 56]).size == (56, 56)


def test_points_and_four_corners() -> None:
    """By their names; a size may stand beside `align`."""
    points = align(points={"a": [0, 0], "b": [10, 5]}, size=[20, 30])
    assert (points.names, points.size) == (("a", "b"), (20, 30))
    assert points.places is not None
    assert points.places.tolist() == [[0, 0], [10, 5]]
    quad = shape(align={"quad": ["a", "b", "c", "d"]}, size=(94, 24)).align
    assert quad is not None
    assert (quad.names, quad.places, quad.size) == (("a", "b", "c", "d"), None, (94, 24))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({"margin": 1e9}, "margin 1000000000.0: a side is"),
        ({"margin": -0.1}, "margin -0.1"),
        ({"margin": math.nan}, "margin nan"),
        ({"margin": "nanpx"}, "margin 'nanpx'"),
        ({"margin": "px"}, "margin 'px'"),
        ({"margin": "9%"}, "margin '9%'"),
        ({"margin": f"{MAX_SIDE + 1}px"}, "margin"),
        ({"margin": [0, 0, 0]}, "margin"),
        ({"margin": True}, "margin True"),
        ({"aspect": 0}, "aspect 0: width / height"),
        ({"aspect": "4:0"}, "aspect '4:0'"),
        ({"aspect": "a:b"}, "aspect 'a:b'"),
        ({"aspect": "4/3"}, "aspect '4/3'"),
        ({"aspect": math.inf}, "aspect inf"),
        ({"aspect": 61}, "aspect 61"),
        ({"min_side": 0}, "min_side must be pixels"),
        ({"min_side": 1e9}, "min_side must be pixels"),
        ({"border": "wrap"}, "border must be one of clip, constant, replicate"),
        ({"size": [100_000, 10]}, r"size must be \[width, height\]"),
        ({"size": [0, 10]}, "size must be"),
        ({"size": [10.5, 10]}, "size must be"),
        ({"size": [math.nan, 10]}, "size must be"),
        ({"size": 224}, "size must be"),
        ({"fit": "cover"}, "fit must be one of letterbox, stretch"),
        ({"upright": "short"}, "upright must be one of nearest, long, corners"),
        ({"align": "face"}, "align must have one of"),
        ({"align": {}}, "align must have one of"),
        ({"align": {"nose": 1}}, "align must have one of"),
        ({"align": {"template": "face", "quad": []}}, "align must have one of"),
        ({"align": {"template": "hand"}}, "align knows the template face, not 'hand'"),
        ({"align": {"template": "face", "size": [0, 1]}}, "size must be"),
        ({"align": {"points": {"a": [0, 0], "b": [9, 0]}}}, "align must have a size"),
        ({"align": {"points": {"a": [0, 0]}, "size": [9, 9]}}, "two or more places"),
        ({"align": {"points": [[0, 0]], "size": [9, 9]}}, "two or more places"),
        ({"align": {"points": {"a": [0, 0], "b": [0, math.nan]}, "size": [9, 9]}}, "two or more"),
        ({"align": {"points": {"a": [0, 0], "": [9, 0]}, "size": [9, 9]}}, "needs names"),
        ({"align": {"points": {"a": [5, 5], "b": [5, 5]}, "size": [9, 9]}}, "one line"),
        ({"align": {"points": {"a": [0, 0], "b": [9, 9], "c": [30, 30]}, "size": [9, 9]}},
         "one line"),
        ({"align": {"points": {"a": [0, 0], "b": [1e9, 9]}, "size": [9, 9]}}, "far outside"),
        ({"align": {"quad": ["a", "b", "c"], "size": [9, 9]}}, "quad must be four names"),
        ({"align": {"quad": ["a", "b", "c", "a"], "size": [9, 9]}}, "quad must be four names"),
        ({"align": {"quad": ["a", "b", "c", 7], "size": [9, 9]}}, "needs names"),
        ({"align": {"template": "face"}, "margin": 0.1}, "margin has no meaning beside it"),
        ({"align": {"template": "face"}, "upright": True}, "upright has no meaning beside it"),
    ],
)  # fmt: skip
def test_what_no_shape_is(words: dict[str, Any], text: str) -> None:
    """It is refused at the door, by name, with what was expected."""
    with pytest.raises(ValueError, match=text):
        Shape.of(words)


def test_defaults_beside_align_are_no_error() -> None:
    """A configuration has them all."""
    words = {"margin": 0, "aspect": None, "min_side": None, "upright": False}
    assert shape(align={"template": "face"}, **words).align is not None
    assert np.isfinite(FACE).all()
