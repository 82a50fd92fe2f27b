"""`streamcrop.core.framing`: from options and geometry to the view of a crop."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamcrop.core.align import FACE
from streamcrop.core.framing import MAX_PIXELS, Parts, view_of, views_of
from streamcrop.core.geometry import slices
from streamcrop.core.shape import Shape
from streamcrop.core.values import Reason
from streamcrop.core.view import Keypoints, View

FRAME = (640, 480)
Points = npt.NDArray[np.float64]
sides = st.floats(-300, 900)
words = st.fixed_dictionaries(
    {
        "margin": st.sampled_from([0, 0.1, 1, "7px", [0, 0.2, "3px", 1]]),
        "aspect": st.sampled_from([None, 1, "4:3", 0.3]),
        "min_side": st.sampled_from([None, 40, 300]),
        "size": st.sampled_from([None, (224, 224), (50, 120), (1, 1)]),
        "fit": st.sampled_from(["letterbox", "stretch"]),
    }
)
borders = st.sampled_from(["clip", "constant", "replicate"])


def shape(**said: Any) -> Shape:
    """The shape of some words, or the plain one."""
    return Shape.of(said) or Shape()


def box(*four: float) -> Points:
    """A box, left, top, right, bottom."""
    return np.array(four, np.float64)


def seen(found: View | Reason) -> View:
    """A view that there is."""
    assert isinstance(found, View)
    return found


def rectangle(x: float, y: float, width: float, height: float, degrees: float) -> Points:
    """The corners of a box that is turned clockwise around its centre, top left first."""
    angle = math.radians(degrees)
    right, down = (
        np.array([math.cos(angle), math.sin(angle)]),
        np.array([-math.sin(angle), math.cos(angle)]),
    )
    signs = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    return np.array([(x, y) + a * width / 2 * right + b * height / 2 * down for a, b in signs])


@given(sides, sides, st.floats(0, 400), st.floats(0, 400))
def test_without_words_it_is_the_plain_box(x: float, y: float, w: float, h: float) -> None:
    """The same pixels as `geometry` says, and refused for the same reason."""
    four = box(x, y, x + w, y + h)
    boxes, refused = slices(four[None], FRAME)
    found = view_of(Shape(), four, FRAME)
    if refused:
        assert found == refused[0]
    else:
        assert seen(found).box == boxes[0]
        assert seen(found).is_translation


@given(words, sides, sides, st.floats(0, 400), st.floats(0, 400))
def test_margin_then_clip_is_the_clip_of_the_grown_box(
    said: dict[str, Any], x: float, y: float, w: float, h: float
) -> None:
    """Whatever grows it; and a border keeps the box whole."""
    four, plain = box(x, y, x + w, y + h), Shape.of(said) or Shape()
    left, top, right, bottom = plain.growth(four[2] - four[0], four[3] - four[1])
    grown = four + np.array([-left, -top, right, bottom])
    boxes, refused = slices(grown[None], FRAME)
    clipped = view_of(shape(**said, border="clip"), four, FRAME)
    filled = view_of(shape(**said, border="constant"), four, FRAME)
    if refused:
        assert clipped == filled == Reason.OUTSIDE_FRAME
        return
    assert seen(clipped).box == boxes[0]
    assert seen(filled).box == tuple(np.rint(grown).astype(int).tolist())


@given(words, borders, sides, sides, st.floats(5, 400), st.floats(5, 400))
def test_a_box_comes_to_its_content(
    said: dict[str, Any], border: str, x: float, y: float, w: float, h: float
) -> None:
    """The corners of what is cut are the corners of what is shown, whatever the size."""
    found = view_of(shape(**said, border=border), box(x, y, x + w, y + h), FRAME)
    if found == Reason.OUTSIDE_FRAME:
        return
    view = seen(found)
    assert view.box is not None
    assert view.xyxy(np.array(view.box)) == pytest.approx(view.content, abs=1e-6)
    assert view.border == ("replicate" if border == "replicate" else "constant")
    if said["size"] is not None:
        assert view.size == said["size"]


@given(
    said=words,
    border=borders,
    way=st.sampled_from(["nearest", "long", "corners"]),
    x=st.floats(50, 600),
    y=st.floats(50, 400),
    w=st.floats(5, 300),
    h=st.floats(5, 300),
    angle=st.floats(-180, 180),
)
def test_an_oriented_box_stands_upright(
    *,
    said: dict[str, Any],
    border: str,
    way: str,
    x: float,
    y: float,
    w: float,
    h: float,
    angle: float,
) -> None:
    """Its corners become those of a box in the crop, whose sides are parallel to the picture's."""
    corners = rectangle(x, y, w, h, angle)
    plain = {**said, "margin": 0, "aspect": None, "min_side": None, "upright": way}
    view = seen(view_of(shape(**plain, border=border), box(0, 0, 9, 9), FRAME, corners))
    assume(view.box is None)  # where it is not turned its box may be cut off
    moved = view.points(corners)
    assert view.back(moved) == pytest.approx(corners, abs=1e-3)
    low, high = moved.min(0), moved.max(0)
    if said["size"] is None:
        short, long = sorted((w, h))
        assert sorted(high - low) == pytest.approx([short, long], abs=1e-6)
        assert view.size == pytest.approx(high - low, abs=1)
        assert low + high == pytest.approx(view.size, abs=1e-6)
    else:
        assert [*low, *high] == pytest.approx(view.content, abs=1e-6)
    on_edge = np.isclose(moved, low, atol=1e-6) | np.isclose(moved, high, atol=1e-6)
    assert on_edge.all()
    if way == "corners":
        assert moved[0] == pytest.approx(low, abs=1e-6)
        assert moved[1] == pytest.approx([high[0], low[1]], abs=1e-6)
    elif way == "long" and abs(w - h) > 1e-3 and said["size"] is None:
        assert high[0] - low[0] > high[1] - low[1]
    elif way == "nearest":
        ahead = view.points(np.array([[0.0, 0], [1, 0]]))
        across, down = ahead[1] - ahead[0]
        assert across > 0
        assert said["size"] is not None or abs(down) <= across * (1 + 1e-9)


def test_a_turned_box_grows_along_its_own_sides() -> None:
    """A margin on the left is on the left of the picture."""
    corners = rectangle(300, 200, 100, 40, 30)
    found = shape(upright=True, margin=["50px", 0, 0, 0.5])
    view = seen(view_of(found, box(0, 0, 9, 9), FRAME, corners))
    assert view.size == (150, 60)
    assert view.points(corners)[0] == pytest.approx([50, 0], abs=1e-6)
    assert view.points(corners)[2] == pytest.approx([150, 40], abs=1e-6)


def test_an_oriented_box_that_is_not_turned_is_a_plain_one() -> None:
    """To the bit; and one without corners is cut plain."""
    corners = rectangle(100, 100, 41, 20, 0)
    plain = seen(view_of(Shape(), box(79.5, 90, 120.5, 110), FRAME))
    for way, four in (("corners", corners), ("nearest", np.roll(corners, 1, 0)), ("long", corners)):
        view = seen(view_of(shape(upright=way), box(0, 0, 5, 5), FRAME, four))
        assert (view.box, view.is_translation) == (plain.box, True)
    view = seen(view_of(shape(upright=True), box(79.5, 90, 120.5, 110), FRAME))
    assert view.box == plain.box


@pytest.mark.parametrize(
    ("way", "corners"),
    [
        ("corners", rectangle(100, 100, 40, 20, 10)[::-1]),
        ("nearest", rectangle(100, 100, 40, 0, 10)),
        ("nearest", np.full((4, 2), np.nan)),
        ("long", np.array([[0.0, 0], [9, 0], [18, 1], [9, 1]])),
        ("long", rectangle(100, 100, 1e9, 1e9, 10)),
        ("long", rectangle(100, 100, 9000, 9000, 10)),
    ],
)
def test_what_is_no_oriented_box(way: str, corners: Points) -> None:
    """Mirrored, collapsed, without a number, a rhomboid, beyond any picture."""
    assert view_of(shape(upright=way), box(0, 0, 9, 9), FRAME, corners) == Reason.NO_SHAPE


def test_mirrored_corners_stand_upright_too() -> None:
    """Where it does not count which is the first."""
    corners = rectangle(100, 100, 40, 20, 10)[::-1]
    view = seen(view_of(shape(upright="long"), box(0, 0, 9, 9), FRAME, corners))
    assert view.size == (40, 20)


FIVE = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")


def face(names: tuple[str, ...] = FIVE, rows: Any = slice(None)) -> Keypoints:
    """Joints of a face that is twice as large as the template, at (60, 40)."""
    return Keypoints(names, (2 * FACE + (60, 40))[rows])


def aligned(keypoints: Keypoints | None, **said: Any) -> View | Reason:
    """The view of an aligned object."""
    said = said or {"align": {"template": "face"}}
    return view_of(shape(**said), box(0, 0, 9, 9), FRAME, keypoints=keypoints)


def test_a_face_is_aligned() -> None:
    """By its names, or by the order of five that have none; two are enough."""
    half = [[0.5, 0, -30], [0, 0.5, -20]]
    assert seen(aligned(face())).transform == pytest.approx(np.array(half), abs=1e-9)
    assert seen(aligned(face(()))).size == (112, 112)
    two = seen(aligned(face(("nose", "ear", "right mouth corner"), [2, 0, 4])))
    assert two.transform == pytest.approx(np.array(half), abs=1e-9)
    partly = face()
    partly.xy[0] = np.nan
    assert seen(aligned(partly)).transform == pytest.approx(np.array(half), abs=1e-9)


@pytest.mark.parametrize(
    "keypoints",
    [
        None,
        face((), slice(4)),
        face(("nose", "ear"), [0, 1]),
        Keypoints(FIVE, np.full((5, 2), np.nan)),
        Keypoints(FIVE, np.full((5, 2), 50.0)),
        Keypoints(FIVE, FACE * (-1, 1) + (300, 0)),
    ],
)
def test_what_is_no_face(keypoints: Keypoints | None) -> None:
    """None, too few, other ones, without a place, one on another, mirrored."""
    assert aligned(keypoints) == Reason.NO_SHAPE


@pytest.mark.parametrize("scale", [1e3, 1e6, 1e12])
def test_a_face_beyond_all_measure(scale: float) -> None:
    """In which the whole frame would be less than a pixel: to reduce it would take memory."""
    assert aligned(Keypoints(FIVE, scale * (FACE - FACE.mean(0)))) == Reason.NO_SHAPE


def test_a_plate_by_its_four_corners() -> None:
    """They become those of the picture."""
    corners = np.array([[100.0, 100], [200, 110], [198, 140], [103, 128]])
    said = {"align": {"quad": ["tl", "tr", "br", "bl"]}, "size": (94, 24), "border": "replicate"}
    view = seen(aligned(Keypoints(("bl", "br", "tr", "tl"), corners[::-1]), **said))
    assert view.points(corners) == pytest.approx(np.array([[0, 0], [94, 0], [94, 24], [0, 24]]))
    assert view.border == "replicate"
    assert aligned(Keypoints(("bl", "br", "tr"), corners[1:]), **said) == Reason.NO_SHAPE
    assert aligned(Keypoints(("tl", "tr", "br", "bl"), corners[::-1]), **said) == Reason.NO_SHAPE


def test_what_shows_nothing_of_the_frame() -> None:
    """It is refused, as a box outside is."""
    away = Keypoints(FIVE, FACE + 5000)
    assert aligned(away) == Reason.OUTSIDE_FRAME
    assert aligned(Keypoints(FIVE, FACE - (100, 100))) != Reason.OUTSIDE_FRAME
    turned = rectangle(-50, -50, 60, 60, 45)
    assert view_of(shape(upright=True), box(0, 0, 9, 9), FRAME, turned) == Reason.OUTSIDE_FRAME


@pytest.mark.parametrize(
    ("four", "reason"),
    [
        ((0, 0, math.nan, 9), Reason.NOT_FINITE),
        ((math.inf, 0, 9, 9), Reason.NOT_FINITE),
        ((9, 0, 3, 9), Reason.OUTSIDE_FRAME),
        ((0, 9, 9, 3), Reason.OUTSIDE_FRAME),
        ((1e300, 1e300, 2e300, 2e300), Reason.OUTSIDE_FRAME),
        ((-5000, -5000, 5000, 5000), Reason.NO_SHAPE),
        ((-1e12, -1e12, 1e12, 1e12), Reason.NO_SHAPE),
        ((0, 0, 70_000, 100), Reason.NO_SHAPE),
    ],
)
def test_boxes_that_have_no_crop(four: tuple[float, ...], reason: Reason) -> None:
    """Without numbers, inside out, away, beyond what a picture may be."""
    assert view_of(shape(border="constant", min_side=50), box(*four), FRAME) == reason


def test_a_large_frame_can_be_cut_whole() -> None:
    """What is within the image is no bomb."""
    large = (16_000, 9000)
    assert large[0] * large[1] > MAX_PIXELS
    view = seen(view_of(shape(margin=1), box(0, 0, *large), large))
    assert view.box == (0, 0, *large)


def test_a_point_becomes_a_crop_where_a_side_is_asked_for() -> None:
    """Of a box without pixels, min_side makes one with."""
    view = seen(view_of(shape(min_side=32), box(100, 100, 100, 100), FRAME))
    assert view.box == (84, 84, 116, 116)


def test_views_of_several_objects() -> None:
    """Each has its own parts; those that have none are refused, and stand in their place."""
    boxes = np.array([[0.0, 0, 9, 9], [0, 0, 9, 9], [math.nan, 0, 9, 9]])
    turned = rectangle(100, 100, 40, 20, 10)
    views, refused = views_of(shape(upright="long"), boxes, FRAME, Parts([turned, None]))
    assert [None if view is None else view.size for view in views] == [(40, 20), (9, 9), None]
    assert refused == {2: Reason.NOT_FINITE}
    views, refused = views_of(
        shape(align={"template": "face"}), boxes[:2], FRAME, Parts((), [face()])
    )
    assert seen(views[0] or Reason.NO_SHAPE).size == (112, 112)
    assert refused == {1: Reason.NO_SHAPE}
