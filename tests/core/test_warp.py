"""`streamcrop.core.warp`: the pixels of a view, held to float arithmetic that is done here."""

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcrop.core.align import perspective
from streamcrop.core.framing import view_of
from streamcrop.core.masks import Patch, Polygon
from streamcrop.core.pixels import ArrayPixels, YuvPixels
from streamcrop.core.runs import Rle
from streamcrop.core.shape import Shape
from streamcrop.core.view import View
from streamcrop.core.warp import SeenMask, ViewPixels, mask_through, seen_mask

Array = npt.NDArray[Any]
FILL = (200, 30, 90)
WIDTH, HEIGHT = 173, 131


def smooth(height: int, width: int, seed: int, range_: float = 90, sigma: float = 12) -> Array:
    """Values without edges that a half pixel would change by much."""
    noise = np.random.default_rng(seed).normal(0, 1, (height, width))
    blurred = cv2.GaussianBlur(noise, (0, 0), max(height, width) / sigma)
    return np.rint(128 + range_ * blurred / np.abs(blurred).max()).astype(np.uint8)


def planes(width: int = WIDTH, height: int = HEIGHT, *, full_range: bool = False) -> YuvPixels:
    """A picture in planes; odd sides have a last chroma sample for one pixel.

    Its colours are some that BGR can say: beyond them a conversion cuts off what planes keep.
    """
    half = (height + 1) // 2, (width + 1) // 2
    y, u, v = smooth(height, width, 1, 60), smooth(*half, 2, 25), smooth(*half, 3, 25)
    return YuvPixels(y, u, v, matrix="bt709", full_range=full_range)


def from_jfif(stored: tuple[Array, Array, Array], size: tuple[int, int]) -> Array:
    """What a JPEG's planes show, in float (JFIF 1.02), chroma repeated."""
    y, u, v = (plane.astype(np.float64) for plane in stored)
    u, v = (np.kron(plane, np.ones((2, 2))) - 128 for plane in (u, v))
    channels = [y + 1.772 * u, y - 0.344136 * u - 0.714136 * v, y + 1.402 * v]
    return np.stack(channels, -1).clip(0, 255)[: size[1], : size[0]]


def to_jfif(bgr: Array) -> tuple[Array, Array, Array]:
    """A picture as a JPEG stores it, in float; the last row and column of odd ones repeated."""
    bgr = np.pad(bgr, [(0, bgr.shape[0] & 1), (0, bgr.shape[1] & 1), (0, 0)], "edge")
    blue, green, red = np.moveaxis(bgr, -1, 0)
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    height, width = y.shape
    u, v = (
        (128 + part).reshape(height // 2, 2, width // 2, 2).mean((1, 3))
        for part in ((blue - y) / 1.772, (red - y) / 1.402)
    )
    return y, u, v


def sampled(image: Array, x: Array, y: Array, fill: Array | None) -> Array:
    """Bilinear values at continuous places; beyond the image fill, or its edge."""
    height, width = image.shape[:2]
    left, top = np.floor(x - 0.5).astype(int), np.floor(y - 0.5).astype(int)
    across, down = (x - 0.5 - left)[..., None], (y - 0.5 - top)[..., None]

    def at(row: Array, column: Array) -> Array:
        found = image[row.clip(0, height - 1), column.clip(0, width - 1)].astype(np.float64)
        if fill is not None:
            beyond = (row < 0) | (row >= height) | (column < 0) | (column >= width)
            found[beyond] = fill
        return found

    upper = at(top, left) * (1 - across) + at(top, left + 1) * across
    lower = at(top + 1, left) * (1 - across) + at(top + 1, left + 1) * across
    return np.asarray(upper * (1 - down) + lower * down)


def area(image: Array, size: int, axis: int) -> Array:
    """Means of areas along an axis, exactly."""
    image = np.moveaxis(image.astype(np.float64), axis, 0)
    sums = np.concatenate([np.zeros((1, *image.shape[1:])), np.cumsum(image, 0)])
    edges = np.linspace(0, len(image), size + 1)
    whole = np.minimum(edges.astype(int), len(image) - 1)
    part = (edges - whole)[(...,) + (None,) * (image.ndim - 1)]
    until = sums[whole] + part * image[whole]
    return np.moveaxis(np.diff(until, axis=0) * size / len(image), 0, axis)


def expected(view: View, image: Array) -> Array:
    """The picture of a view, by the rules: in float, of the whole image."""
    left, top, right, bottom = view.content
    fill = None if view.border == "replicate" else np.array(FILL, np.float64)
    wide, high = right - left, bottom - top
    if view.box is not None:
        x_min, y_min, x_max, y_max = view.box
        shown = sampled(
            image, *np.meshgrid(np.arange(x_min, x_max) + 0.5, np.arange(y_min, y_max) + 0.5), fill
        )
        for axis, size in ((0, high), (1, wide)):
            if size < shown.shape[axis]:
                shown = area(shown, size, axis)
        steps = [
            (np.arange(n) + 0.5) * m / n
            for n, m in ((wide, shown.shape[1]), (high, shown.shape[0]))
        ]
        shown = sampled(shown, *np.meshgrid(*steps), None)
    else:
        factor = view.shrinks()
        image = np.pad(
            image, [(0, -image.shape[0] % factor), (0, -image.shape[1] % factor), (0, 0)], "edge"
        )
        reduced = area(area(image, image.shape[0] // factor, 0), image.shape[1] // factor, 1)
        inverse = np.linalg.inv(view.matrix)
        x, y = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
        places = np.stack([x, y, np.ones_like(x)], -1) @ inverse.T
        places = places[..., :2] / places[..., 2:] / factor
        shown = sampled(reduced, places[..., 0], places[..., 1], fill)
    result = np.tile(np.array(FILL, np.float64), (view.size[1], view.size[0], 1))
    result[top:bottom, left:right] = shown
    return result


def turned(
    scale: float, degrees: float, size: tuple[int, int], border: str, at: Any = None
) -> View:
    """A turned view of the picture's middle."""
    cos, sin = (scale * f(math.radians(degrees)) for f in (math.cos, math.sin))
    turn = np.array([[cos, sin], [-sin, cos]])
    middle = np.array(at or (WIDTH / 2, HEIGHT / 2))
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = turn, np.array(size) / 2 - turn @ middle
    return View(matrix, size, (0, 0, *size), border)


def seen_from_the_side(border: str) -> View:
    """A perspective."""
    corners = np.array([[30.0, 20], [140, 5], [150, 120], [20, 90]])
    matrix = perspective(corners, (96, 64))
    assert matrix is not None
    return View(matrix, (96, 64), (0, 0, 96, 64), border)


def straight(xyxy: list[float], **words: Any) -> View:
    """A view of a box."""
    found = view_of(Shape.of(words) or Shape(), np.array(xyxy), (WIDTH, HEIGHT))
    assert isinstance(found, View)
    return found


VIEWS = {
    "as it is": straight([21.0, 33, 90, 101]),
    "filled": straight([-11, -7, 60, 50], border="constant"),
    "filled on the other side": straight([130, 100, 190, 140], border="constant"),
    "replicated": straight([-11, -7, 200, 150], border="replicate"),
    "smaller": straight([21, 33, 120, 101], size=(40, 40)),
    "much smaller": straight([1, 1, 172, 130], size=(16, 12), fit="stretch"),
    "larger": straight([21, 33, 50, 52], size=(100, 90)),
    "wider and lower": straight([21, 33, 60, 120], size=(100, 30), fit="stretch"),
    "smaller and filled": straight([-31, -3, 100, 70], size=(61, 45), border="constant"),
    "a pixel": straight([-31, -3, 100, 70], size=(1, 1), border="replicate"),
    "turned": turned(1.0, 30, (90, 60), "constant"),
    "turned at the edge": turned(1.3, -50, (101, 77), "constant", (5, 10)),
    "turned and replicated": turned(1.3, -50, (101, 77), "replicate", (5, 10)),
    "turned and larger": turned(3.1, 100, (112, 112), "constant"),
    "turned and smaller": turned(0.4, 10, (60, 60), "constant"),
    "turned and much smaller": turned(0.13, 75, (30, 20), "replicate"),
    "from the side": seen_from_the_side("constant"),
}  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_bgr_is_what_float_arithmetic_makes(name: str) -> None:
    """Of an array, of planes, and of a part of a larger picture."""
    view = VIEWS[name]
    array = np.stack([smooth(HEIGHT, WIDTH, seed) for seed in (4, 5, 6)], -1)
    for image in (ArrayPixels(array), planes(), planes(full_range=True)):
        shown = ViewPixels(image, view, FILL).bgr()
        assert shown.dtype == np.uint8
        assert shown.shape == (view.size[1], view.size[0], 3)
        differs = np.abs(shown - expected(view, image.bgr()))
        assert differs.mean() < 0.6
        # At the edge of what is filled OpenCV's 1/32 of a pixel shows.
        assert np.percentile(differs, 99) <= 6


@pytest.mark.parametrize("name", VIEWS)
def test_planes_are_what_float_arithmetic_makes(name: str) -> None:
    """Of the same pixels, before encoding: a mean difference of at most 2 of 255."""
    view = VIEWS[name]
    for image in (planes(), planes(full_range=True), planes(172, 132)):
        stored = ViewPixels(image, view, FILL).jfif()
        assert stored is not None
        y, u, v = stored
        assert y.shape == (view.size[1] + (view.size[1] & 1), view.size[0] + (view.size[0] & 1))
        assert u.shape == v.shape == (y.shape[0] // 2, y.shape[1] // 2)
        wanted = expected(view, image.bgr())
        for plane, other in zip(stored, to_jfif(wanted), strict=True):
            assert np.abs(plane - other).mean() <= 1
        # A crop of a few pixels has few to share chroma, of which there is one for four of them.
        differs = np.abs(from_jfif(stored, view.size) - wanted)
        assert differs.mean() <= (3 if min(view.size) >= 40 else 8)


@pytest.mark.parametrize("name", ["turned", "turned and larger", "from the side"])
def test_another_implementation_agrees(name: str) -> None:
    """OpenCV's own warp of a float conversion of the whole picture."""
    view, image = VIEWS[name], planes()
    shift = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    matrix = shift @ view.matrix @ np.linalg.inv(shift)
    theirs = cv2.warpPerspective(
        image.bgr().astype(np.float32), matrix, view.size, flags=cv2.INTER_LINEAR, borderValue=FILL
    )
    pixels = ViewPixels(image, view, FILL)
    assert np.abs(pixels.bgr() - theirs).mean() < 0.6
    stored = pixels.jfif()
    assert stored is not None
    assert np.abs(from_jfif(stored, view.size) - theirs).mean() <= 2


PATCH = 32


@settings(max_examples=60)
@given(
    scale=st.floats(0.3, 4),
    degrees=st.floats(-180, 180),
    x=st.floats(-20, 180),
    y=st.floats(-20, 180),
    border=st.sampled_from(["constant", "replicate"]),
    straight_on=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_chart_s_colours_are_where_it_says(
    *, scale: float, degrees: float, x: float, y: float, border: str, straight_on: bool, seed: int
) -> None:
    """At every border, scale and angle, in BGR and in planes."""
    chance, cells = np.random.default_rng(seed), 5
    colors = chance.integers(60, 190, (3, cells, cells)).astype(np.uint8)
    luma = colors[0].repeat(PATCH, 0).repeat(PATCH, 1)
    u, v = (each.repeat(PATCH // 2, 0).repeat(PATCH // 2, 1) for each in colors[1:])
    chart = YuvPixels(luma, u, v)
    side = cells * PATCH
    if straight_on:
        shape = Shape.of({"size": (90, 70), "border": border, "fit": "stretch"})
        assert shape is not None
        found = view_of(shape, np.array([x - 30, y - 20, x + 60 / scale, y + 50]), (side, side))
        if not isinstance(found, View):
            return
        view = found
    else:
        view = turned(scale, degrees, (90, 70), border, (x, y))
    pixels = ViewPixels(chart, view, FILL)
    stored = pixels.jfif()
    assert stored is not None
    wide, high = np.meshgrid(np.arange(90) + 0.5, np.arange(70) + 0.5)
    places = view.back(np.stack([wide, high], -1))
    # Not so near to an edge that two colours have a part in the pixel, or in its chroma.
    near = 2.5 + 3.5 / np.abs(np.linalg.svd(view.matrix[:2, :2], compute_uv=False)).min()
    inside = (places > near).all(-1) & (places < side - near).all(-1)
    inside &= (np.abs((places + PATCH / 2) % PATCH - PATCH / 2) > near).all(-1)
    cell = (places[inside] // PATCH).astype(int)
    whole = chart.bgr()[PATCH // 2 :: PATCH, PATCH // 2 :: PATCH].astype(float)
    wanted = whole[cell[:, 1], cell[:, 0]]
    for shown in (pixels.bgr().astype(float), from_jfif(stored, (90, 70))):
        assert np.abs(shown[inside] - wanted).max(initial=0) <= 4
        outside = ((places < -near) | (places > side + near)).any(-1)
        if border == "constant":
            assert np.abs(shown[outside] - FILL).max(initial=0) <= 2


def test_what_is_filled_is_the_image_padded() -> None:
    """To the bit, where the view is a translation; and beside what is letterboxed."""
    image = planes()
    view = straight([-11, -7, 60, 50], border="constant")
    shown = ViewPixels(image, view, FILL).bgr()
    assert np.array_equal(shown[7:, 11:], image.region((0, 0, 60, 50)).bgr())
    assert (shown[:7] == FILL).all()
    assert (shown[:, :11] == FILL).all()
    boxed = ViewPixels(image, straight([10, 10, 110, 60], size=(80, 80)), FILL).bgr()
    assert (boxed[:20] == FILL).all()
    assert (boxed[60:] == FILL).all()
    assert not (boxed[20:60] == FILL).all(-1).any()


def test_pixels_of_a_view_are_pixels() -> None:
    """They can be cut and resized again; an array has no planes."""
    image = ArrayPixels(np.stack([smooth(HEIGHT, WIDTH, seed) for seed in (4, 5, 6)], -1))
    pixels = ViewPixels(image, VIEWS["turned"], FILL)
    assert pixels.jfif() is None
    assert (pixels.resolution_wh, pixels.is_decoded) == ((90, 60), True)
    assert pixels.nbytes == image.nbytes
    assert np.array_equal(pixels.decode().bgr(), pixels.bgr())
    assert np.array_equal(pixels.region((5, 6, 50, 40)).bgr(), pixels.bgr()[6:40, 5:50])
    assert pixels.resized((30, 20)).bgr().shape == (20, 30, 3)
    before = image.array.copy()
    pixels.bgr()
    assert np.array_equal(image.array, before)


def disc() -> Array:
    """A mask of the whole picture."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return ((x - 80) ** 2 + (y - 60) ** 2 < 50**2).astype(np.uint8)


@pytest.mark.parametrize("name", VIEWS)
def test_a_mask_lies_where_its_object_lies(name: str) -> None:
    """By nearest neighbour; outside the image it is nothing, whatever the border."""
    view = VIEWS[name]
    wide, high = np.meshgrid(np.arange(view.size[0]) + 0.5, np.arange(view.size[1]) + 0.5)
    places = view.back(np.stack([wide, high], -1))
    far = np.hypot(places[..., 0] - 80, places[..., 1] - 60) - 50
    within = ((places > 0) & (places < (WIDTH, HEIGHT))).all(-1)
    edges = np.abs(places - np.clip(places, 0, (WIDTH, HEIGHT))).max(-1)
    rows, columns = np.mgrid[: view.size[1], : view.size[0]]
    left, top, right, bottom = view.content
    within &= (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    for mask in (Patch(disc()), Rle.of(disc())):
        found = mask_through(mask, view, (WIDTH, HEIGHT))
        assert found.shape == (view.size[1], view.size[0])
        assert set(np.unique(found)) <= {0, 1}
        sure = (np.abs(far) > 1.5) & ((edges == 0) | (edges > 1.5))
        assert np.array_equal(found[sure], (within & (far < 0))[sure])


@pytest.mark.parametrize("form", [None, Patch, Rle.of, lambda _: Polygon(np.eye(3, 2) * 99)])
def test_a_mask_is_seen_as_that_of_a_crop(form: Any) -> None:
    """It is the same however it came, and only an outline waits until somebody looks."""
    view, size = straight([50, 40, 80, 90], margin=1.0), (WIDTH, HEIGHT)
    mask = form and form(disc())
    seen = seen_mask(mask, view, size)
    assert seen_mask(mask, None, size) is None
    if mask is None or seen is None:
        assert seen is mask
    else:
        expected = mask_through(mask, view, size)
        assert np.array_equal(seen.region((0, 0, *view.size), view.size), expected)
        assert isinstance(seen, SeenMask) == isinstance(mask, Polygon)


def test_what_a_mask_costs() -> None:
    """Only an outline is drawn."""
    outline, size = Polygon(np.array([[20.0, 20], [120, 30], [70, 110]])), (WIDTH, HEIGHT)
    view, box = straight([50, 40, 80, 90], margin=1.0), (50, 40, 80, 90)
    assert SeenMask(outline, view, size).cost(box, size) == outline.cost(box, size)
    assert SeenMask(Rle.of(disc()), view, size).cost(box, size) == 0


def test_a_mask_covers_the_grown_box() -> None:
    """Of an outline too; a plain cut of it, where the view is a translation."""
    outline = Polygon(np.array([[20.0, 20], [120, 30], [70, 110]]))
    view = straight([50, 40, 80, 90], margin=1.0)
    assert view.box is not None
    plain = outline.region(view.box, (WIDTH, HEIGHT))
    assert np.array_equal(mask_through(outline, view, (WIDTH, HEIGHT)), plain)
    beyond = straight([-20, 40, 80, 90], border="constant")
    found = mask_through(outline, beyond, (WIDTH, HEIGHT))
    assert not found[:, :20].any()
    assert np.array_equal(found[:, 20:], outline.region((0, 40, 80, 90), (WIDTH, HEIGHT)))


@pytest.mark.parametrize("name", ["as it is", "turned", "smaller"])
def test_a_mask_of_an_image_becomes_that_of_a_crop(name: str) -> None:
    """Pixels and runs at once, since they are as large as the image; an outline when it is seen."""
    view, size = VIEWS[name], (WIDTH, HEIGHT)
    outline = Polygon(np.array([[20.0, 20], [120, 30], [70, 110]]))
    dense, runs, drawn = (
        seen_mask(m, view, size) for m in (Patch(disc()), Rle.of(disc()), outline)
    )
    assert isinstance(dense, Patch)
    assert isinstance(runs, Rle)
    assert isinstance(drawn, SeenMask)
    shown = mask_through(Patch(disc()), view, size)
    assert np.array_equal(dense.pixels, shown)
    assert np.array_equal(runs.pixels(), shown)
    assert np.array_equal(drawn.region((0, 0, 1, 1), (9, 9)), mask_through(outline, view, size))
    assert seen_mask(None, view, size) is None
    assert seen_mask(dense, None, size) is None
