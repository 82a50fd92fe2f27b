"""`streamcrop.core.pixels`: a part is converted as the whole would be, and nothing else is."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.core.background import CropOptions
from streamcrop.core.colors import LUMA_WEIGHTS
from streamcrop.core.cutting import cut
from streamcrop.core.pixels import ArrayPixels, YuvPixels, oriented_array, owned, padded, shrink
from streamcrop.core.values import Corners, Instances

# All ways to turn and mirror: (a, b, c, d) sends (x, y) to (a x + c y, b x + d y).
ORIENTATIONS = [
    *[(a, 0, 0, d) for a, d in product((1, -1), repeat=2)],
    *[(0, b, c, 0) for b, c in product((1, -1), repeat=2)],
]

sizes = st.tuples(st.integers(1, 21), st.integers(1, 21))
seeds = st.integers(0, 2**32 - 1)


@st.composite
def boxes_in(draw: st.DrawFn, resolution_wh: tuple[int, int]) -> Corners:
    """A box of at least one pixel inside an image."""
    width, height = resolution_wh
    x_min, y_min = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    x_max, y_max = draw(st.integers(x_min + 1, width)), draw(st.integers(y_min + 1, height))
    return x_min, y_min, x_max, y_max


def picture(size: tuple[int, int], seed: int, **kind: Any) -> YuvPixels:
    """A picture of noise, in planes that lie in wider rows as a decoder's do."""
    width, height = size
    random = np.random.default_rng(seed)
    planes = [
        random.integers(0, 256, (rows, columns + 3), np.uint8)[:, :columns]
        for rows, columns in [(height, width), *[((height + 1) // 2, (width + 1) // 2)] * 2]
    ]
    return YuvPixels(*planes, **kind)


def part(image: npt.NDArray[Any], box: Corners) -> npt.NDArray[Any]:
    """A box of an array."""
    x_min, y_min, x_max, y_max = box
    return image[y_min:y_max, x_min:x_max]


def unclipped(pixels: YuvPixels) -> npt.NDArray[np.float64]:
    """BGR in floats, by the definition of luma: ``Y = kr R + kg G + kb B`` (H.273, 8.3)."""
    red, blue = LUMA_WEIGHTS[pixels.matrix]
    height, width = pixels.y.shape
    left, top = pixels.phase
    rows, columns = np.s_[top : top + height], np.s_[left : left + width]
    doubled = [p.repeat(2, 0).repeat(2, 1)[rows, columns] for p in (pixels.u, pixels.v)]
    if pixels.full_range:
        luma = pixels.y / 255
        cb, cr = ((plane - 128.0) / 255 for plane in doubled)
    else:
        luma = (pixels.y - 16.0) / 219
        cb, cr = ((plane - 128.0) / 224 for plane in doubled)
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return np.stack([b, g, r], 2) * 255


def reference(pixels: YuvPixels) -> npt.NDArray[np.float64]:
    """BGR in floats, as a picture holds it."""
    return np.clip(unclipped(pixels), 0, 255)


def jfif_reference(pixels: YuvPixels) -> list[npt.NDArray[np.float64]]:
    """Planes in floats by way of BGR, by JFIF's own formulas; chroma is the mean of its pixels."""
    b, g, r = np.moveaxis(unclipped(pixels), 2, 0)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    chroma = [128 + (b - luma) / 1.772, 128 + (r - luma) / 1.402]
    height, width = luma.shape
    planes = (luma, *chroma)
    luma, *even = (np.pad(p, ((0, height & 1), (0, width & 1)), "edge") for p in planes)
    halved = [p.reshape(p.shape[0] // 2, 2, p.shape[1] // 2, 2).mean((1, 3)) for p in even]
    return [np.clip(plane, 0, 255) for plane in (luma, *halved)]


def turned(image: npt.NDArray[Any], matrix: Sequence[int]) -> npt.NDArray[Any]:
    """An orientation, pixel by pixel."""
    a, b, c, d = matrix
    height, width = image.shape[:2]
    places = {(x, y): (a * x + c * y, b * x + d * y) for x in range(width) for y in range(height)}
    left, top = (min(place[axis] for place in places.values()) for axis in (0, 1))
    result = np.empty((height, width, *image.shape[2:]) if a else (width, height, *image.shape[2:]))
    for (x, y), (to_x, to_y) in places.items():
        result[to_y - top, to_x - left] = image[y, x]
    return result.astype(image.dtype)


# --- planes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", LUMA_WEIGHTS)
def test_colours_are_those_of_the_float_reference(matrix: str, *, full_range: bool) -> None:
    """On a chart of all colours, no channel is more than 1 from the exact value, rounded."""
    steps = np.array([*range(0, 256, 15), 16, 128, 235, 240], np.uint8)
    y, u, v = (plane.reshape(len(steps), -1) for plane in np.meshgrid(steps, steps, steps))
    chart = YuvPixels(y.repeat(2, 0).repeat(2, 1), u, v, matrix=matrix, full_range=full_range)
    wrong = np.abs(chart.bgr() - np.rint(reference(chart)))
    assert wrong.max() <= 1
    assert wrong.mean() < 0.02  # only those that stand next to a half


@pytest.mark.parametrize(
    ("kind", "yuv", "bgr"),
    [
        ({}, (16, 128, 128), (0, 0, 0)),
        ({}, (235, 128, 128), (255, 255, 255)),
        ({}, (126, 128, 128), (128, 128, 128)),
        ({}, (81, 90, 240), (0, 0, 255)),
        ({}, (145, 54, 34), (0, 255, 0)),
        ({}, (41, 240, 110), (255, 0, 0)),
        ({}, (0, 128, 128), (0, 0, 0)),
        ({"full_range": True}, (0, 128, 128), (0, 0, 0)),
        ({"full_range": True}, (77, 128, 128), (77, 77, 77)),
        ({"full_range": True}, (76, 85, 255), (0, 0, 254)),
        ({"matrix": "bt709"}, (63, 102, 240), (0, 0, 255)),
        ({"matrix": "bt709"}, (173, 42, 26), (0, 255, 0)),
        ({"matrix": "bt709", "full_range": True}, (18, 255, 116), (253, 0, 0)),
    ],
)
def test_known_colours(
    kind: dict[str, Any], yuv: tuple[int, int, int], bgr: tuple[int, int, int]
) -> None:
    """Black, white and the primaries come out as the colour bars that they are."""
    y, u, v = (np.full((1, 1), sample, np.uint8) for sample in yuv)
    assert YuvPixels(y, u, v, **kind).bgr()[0, 0].astype(int) == pytest.approx(bgr, abs=2)


@given(
    sizes,
    seeds,
    st.sampled_from(sorted(LUMA_WEIGHTS)),
    st.booleans(),
    st.sampled_from(ORIENTATIONS),
    st.data(),
)
def test_a_part_is_converted_as_in_the_whole(
    size: tuple[int, int],
    seed: int,
    matrix: str,
    full_range: bool,
    orientation: tuple[int, int, int, int],
    data: st.DataObject,
) -> None:
    """Regions of regions are bit-equal to the same part of the whole, turned or not."""
    upright = picture(size, seed, matrix=matrix, full_range=full_range)
    pixels = upright.oriented(orientation)
    whole = turned(upright.bgr(), orientation)
    assert np.abs(upright.bgr() - np.rint(reference(upright))).max() <= 1
    assert pixels.resolution_wh == whole.shape[1::-1]
    np.testing.assert_array_equal(pixels.bgr(), whole)
    for _ in range(3):
        box = data.draw(boxes_in(pixels.resolution_wh))
        pixels, whole = pixels.region(box), part(whole, box)
        assert pixels.resolution_wh == (box[2] - box[0], box[3] - box[1])
        np.testing.assert_array_equal(pixels.bgr(), whole)
        assert np.shares_memory(pixels.y, upright.y)
        assert np.shares_memory(pixels.u, upright.u)
        assert np.shares_memory(pixels.v, upright.v)


@given(sizes, seeds, st.data())
def test_a_region_holds_no_more_chroma_than_it_needs(
    size: tuple[int, int], seed: int, data: st.DataObject
) -> None:
    """A region's chroma planes cover its pixels and no more."""
    pixels = picture(size, seed)
    for _ in range(2):
        x_min, y_min, x_max, y_max = box = data.draw(boxes_in(pixels.resolution_wh))
        left, top = x_min + pixels.phase[0], y_min + pixels.phase[1]
        right, bottom = x_max + pixels.phase[0], y_max + pixels.phase[1]
        pixels = pixels.region(box)
        samples = (
            len({y // 2 for y in range(top, bottom)}),
            len({x // 2 for x in range(left, right)}),
        )
        assert pixels.u.shape == pixels.v.shape == samples
        assert pixels.phase == (left % 2, top % 2)


@given(sizes, seeds)
def test_a_conversion_changes_nothing(size: tuple[int, int], seed: int) -> None:
    """The planes are only read."""
    pixels = picture(size, seed)
    before = [plane.copy() for plane in (pixels.y, pixels.u, pixels.v)]
    image = pixels.bgr()
    image[:] = 0
    for plane, copy in zip((pixels.y, pixels.u, pixels.v), before, strict=True):
        np.testing.assert_array_equal(plane, copy)


def test_planes_count_their_bytes() -> None:
    """A picture in planes weighs a byte and a half for a pixel."""
    pixels = picture((4, 6), 0)
    assert pixels.nbytes == 36
    assert pixels.resolution_wh == (4, 6)


def test_only_the_crops_are_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The area that is converted is that of the crops, not that of the frame."""
    looked_up, merged = [], []
    lut, merge = cv2.LUT, cv2.merge

    def lut_spy(source: npt.NDArray[Any], table: npt.NDArray[Any]) -> Any:
        looked_up.append(source.size)
        return lut(source, table)

    def merge_spy(channels: Sequence[npt.NDArray[Any]]) -> Any:
        if len(channels) == 3:  # else chroma is repeated
            merged.append(channels[0].size)
        return merge(channels)

    monkeypatch.setattr(cv2, "LUT", lut_spy)
    monkeypatch.setattr(cv2, "merge", merge_spy)
    boxes = np.array([[3, 5, 40, 30], [101, 7, 118, 90], [-20, -20, 10, 10], [90, 9, 91, 10]])
    frame = picture((640, 480), 0)
    crops, _ = cut(frame, Instances(boxes, ["a", "b", "c", "d"]), CropOptions())
    assert (looked_up, merged) == ([], [])
    areas = [crop.image.shape[0] * crop.image.shape[1] for crop in crops]
    assert areas == [37 * 25, 17 * 83, 100, 1]
    assert merged == areas
    # Luma once, and each chroma plane for blue or red and for green.
    chroma = [crop.pixels.u.size for crop in crops]
    assert sum(looked_up) == sum(areas) + 4 * sum(chroma)
    assert [crop.image.shape for crop in crops] == [crop.image.shape for crop in crops]
    assert merged == areas  # looking twice converts once


# --- as a JPEG stores it -------------------------------------------------------------------------


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", LUMA_WEIGHTS)
def test_jfif_has_the_colours_of_the_float_reference(matrix: str, *, full_range: bool) -> None:
    """On a chart of all colours, each sample is what JFIF's formulas give, within a level."""
    steps = np.array([*range(0, 256, 15), 16, 128, 235, 240], np.uint8)
    y, u, v = (plane.reshape(len(steps), -1) for plane in np.meshgrid(steps, steps, steps))
    chart = YuvPixels(y.repeat(2, 0).repeat(2, 1), u, v, matrix=matrix, full_range=full_range)
    for plane, exact in zip(chart.jfif(), jfif_reference(chart), strict=True):
        assert plane.dtype == np.uint8
        wrong = np.abs(plane - exact)
        assert wrong.max() <= 0.751  # rounded, and before that, what is added to luma, to halves
        assert wrong.mean() < 0.35


@given(
    sizes,
    seeds,
    st.sampled_from(sorted(LUMA_WEIGHTS)),
    st.booleans(),
    st.sampled_from(ORIENTATIONS),
    st.data(),
)
def test_a_part_as_a_jpeg_stores_it(
    size: tuple[int, int],
    seed: int,
    matrix: str,
    full_range: bool,
    orientation: tuple[int, int, int, int],
    data: st.DataObject,
) -> None:
    """Wherever a part begins, its luma stays in place and its chroma is that of its pixels."""
    upright = picture(size, seed, matrix=matrix, full_range=full_range)
    pixels = upright.oriented(orientation)
    box = data.draw(boxes_in(pixels.resolution_wh))
    width, height = box[2] - box[0], box[3] - box[1]
    found, exact = pixels.region(box).jfif(), jfif_reference(pixels.region(box))
    halved = ((height + 1) // 2, (width + 1) // 2)
    doubled = tuple(2 * side for side in halved)
    assert [plane.shape for plane in found] == [doubled, halved, halved]
    moved = np.abs(found[0][:height, :width].astype(int) - part(pixels.jfif()[0], box)).max()
    # What stands within a float's error of a half may go either way; BT.601 has none such.
    assert moved <= (matrix != "bt601")
    # Each axis whose samples are averaged rounds once more, before it is stretched.
    for plane, expected, bound in zip(found, exact, (0.751, 1.9, 1.9), strict=True):
        assert np.abs(plane - expected).max() <= bound


def test_what_a_jpeg_stores_as_it_is_stays_so() -> None:
    """BT.601 in full range on its pairs is passed on, in memory of its own."""
    pixels = picture((9, 7), 0, full_range=True)
    planes = pixels.region((2, 4, 8, 6)).jfif()
    expected = (pixels.y[4:6, 2:8], pixels.u[2:3, 1:4], pixels.v[2:3, 1:4])
    for plane, own, view in zip(planes, (pixels.y, pixels.u, pixels.v), expected, strict=True):
        np.testing.assert_array_equal(plane, view)
        assert not np.shares_memory(plane, own)


@pytest.mark.parametrize("kind", [("bt601", True), ("bt601", False), ("bt709", False)])
def test_only_the_crops_are_mapped(monkeypatch: pytest.MonkeyPatch, kind: tuple[str, bool]) -> None:
    """As a JPEG stores it, a crop costs its own samples a few times over, never the frame."""
    sizes_seen: list[int] = []

    def spied(name: str) -> Any:
        own = getattr(cv2, name)

        def spy(*arguments: Any, **named: Any) -> Any:
            result = own(*arguments, **named)
            sizes_seen.append(result.size)
            return result

        return spy

    for name in ("addWeighted", "copyMakeBorder", "merge", "LUT", "resize"):
        monkeypatch.setattr(cv2, name, spied(name))
    frame = picture((640, 480), 0, matrix=kind[0], full_range=kind[1])
    frame.region((101, 7, 118, 90)).jfif()
    assert max(sizes_seen, default=0) <= 18 * 84
    # Luma twice; two chroma planes padded, averaged twice and mapped; what is added to luma.
    assert sum(sizes_seen) <= 2 * 18 * 84 + 11 * 10 * 44


def test_an_array_is_in_no_planes() -> None:
    """BGR is not taken apart where an encoder does that itself."""
    assert ArrayPixels.of(np.zeros((4, 4, 3), np.uint8)).jfif() is None


@pytest.mark.parametrize(("below", "right"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_padding_repeats_the_edge(below: int, right: int) -> None:
    """The last row and column are repeated, in a copy."""
    plane = np.arange(12, dtype=np.uint8).reshape(3, 4)[:, ::-1]
    result = padded(plane, below, right)
    np.testing.assert_array_equal(result, np.pad(plane, ((0, below), (0, right)), "edge"))
    assert not np.shares_memory(result, plane)


# --- arrays --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7), (5, 7, 1), (5, 7, 4), (1, 1, 3)])
def test_an_array_becomes_bgr(shape: tuple[int, ...]) -> None:
    """Grey is repeated three times, alpha is left out and BGR stays a view."""
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    pixels = ArrayPixels.of(array)
    flat = array.reshape(*shape[:2], -1)
    expected = flat[..., :3] if flat.shape[2] > 1 else flat.repeat(3, 2)
    np.testing.assert_array_equal(pixels.bgr(), expected)
    assert np.shares_memory(pixels.bgr(), array) == (shape[2:] == (3,))
    assert pixels.resolution_wh == shape[1::-1]
    assert pixels.nbytes == array.nbytes


@given(sizes, seeds, st.sampled_from([(), (1,), (3,), (4,)]), st.data())
def test_a_part_of_an_array_is_a_view(
    size: tuple[int, int], seed: int, channels: tuple[int, ...], data: st.DataObject
) -> None:
    """Regions of regions are the slices, without a copy, also of a turned array."""
    shape = (*size[::-1], *channels)
    array = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    orientation = data.draw(st.sampled_from(ORIENTATIONS))
    pixels = ArrayPixels.of(oriented_array(array, orientation))
    whole = ArrayPixels.of(turned(array, orientation)).bgr()
    np.testing.assert_array_equal(pixels.bgr(), whole)
    for _ in range(2):
        box = data.draw(boxes_in(pixels.resolution_wh))
        pixels, whole = pixels.region(box), part(whole, box)
        np.testing.assert_array_equal(pixels.bgr(), whole)
        assert np.shares_memory(pixels.array, array)


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.int8, bool])
def test_another_dtype_is_refused(dtype: npt.DTypeLike) -> None:
    """An image that is not uint8 is not guessed at."""
    with pytest.raises(ValueError, match=r"an image must be uint8, not \w+; scale it to 0..255"):
        ArrayPixels.of(np.zeros((4, 4, 3), dtype))


@pytest.mark.parametrize(
    "shape", [(), (4,), (4, 4, 2), (4, 4, 5), (1, 4, 4, 3), (0, 4, 3), (4, 0), (4, 4, 0)]
)
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    """An image has rows, columns and one, three or four channels, and a pixel at least."""
    with pytest.raises(ValueError, match=r"an image must be \(H, W, 3\) BGR"):
        ArrayPixels.of(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(3, 20, 30), (1, 20, 30), (4, 20, 2)])
def test_channels_that_come_first(shape: tuple[int, ...]) -> None:
    """The error says how to turn them."""
    image = np.zeros(shape, np.uint8)
    with pytest.raises(ValueError, match=r": image\.transpose\(1, 2, 0\)$"):
        ArrayPixels.of(image)
    assert ArrayPixels.of(image.transpose(1, 2, 0)).resolution_wh == shape[:0:-1]


@pytest.mark.parametrize("matrix", ORIENTATIONS)
def test_an_array_is_turned_without_a_copy(matrix: tuple[int, int, int, int]) -> None:
    """`oriented_array` sends each pixel where the matrix says, as a view."""
    array = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    result = oriented_array(array, matrix)
    np.testing.assert_array_equal(result, turned(array, matrix))
    assert np.shares_memory(result, array)


@pytest.mark.parametrize(
    ("size", "longest_side", "result"),
    [
        ((400, 300), None, (400, 300)),
        ((400, 300), 400, (400, 300)),
        ((400, 300), 500, (400, 300)),
        ((400, 300), 200, (200, 150)),
        ((300, 400), 200, (150, 200)),
        ((400, 1), 100, (100, 1)),
        ((1, 400), 1, (1, 1)),
        ((3, 2), 2, (2, 1)),
    ],
)
def test_a_picture_is_made_smaller_and_never_larger(
    size: tuple[int, int], longest_side: int | None, result: tuple[int, int]
) -> None:
    """The longest side is bounded, the shape is kept and no side vanishes."""
    grey = np.full(size[::-1], 77, np.uint8)
    chroma = np.full(((size[1] + 1) // 2, (size[0] + 1) // 2), 90, np.uint8)
    for pixels in (ArrayPixels(grey), YuvPixels(grey, chroma, chroma, matrix="bt709")):
        small = shrink(pixels, longest_side)
        assert small.resolution_wh == result
        assert small.bgr().shape == (*result[::-1], 3)
        assert (small.bgr() == pixels.bgr()[0, 0]).all()
        assert (small is pixels) == (size == result)


@given(sizes, seeds, st.booleans(), st.data())
def test_a_smaller_picture_is_the_mean_of_what_it_covers(
    size: tuple[int, int], seed: int, full_range: bool, data: st.DataObject
) -> None:
    """Planes are made smaller one by one, chroma in its place also where it began between pairs."""
    width, height = 4 * size[0] + 4, 4 * size[1] + 4
    upright = picture((width, height), seed, full_range=full_range)
    left, top = data.draw(st.sampled_from([(0, 0), (1, 0), (0, 1), (1, 1)]))
    pixels = upright.region((left, top, width - 3 * left, height - 3 * top))
    width, height = (side // 2 for side in pixels.resolution_wh)
    small = pixels.resized((width, height))
    assert small.resolution_wh == (width, height)
    assert (small.phase, small.matrix, small.full_range) == ((0, 0), "bt601", full_range)
    # The mean of four samples, each of which may have been rounded twice.
    for name, bound in [("y", 0.5), ("u", 1.5), ("v", 1.5)]:
        plane = getattr(pixels, name)
        if name != "y":
            plane = plane.repeat(2, 0).repeat(2, 1)[top:, left:]
        block = 2 if name == "y" else 4
        rows, columns = getattr(small, name).shape
        plane = plane[: rows * block, : columns * block].astype(float)
        exact = plane.reshape(rows, block, columns, block).mean((1, 3))
        assert np.abs(getattr(small, name) - exact).max() <= bound


def test_what_is_in_memory_takes_no_decoding() -> None:
    """Neither kind has to be waited for."""
    grey = np.full((2, 2), 128, np.uint8)
    for pixels in (ArrayPixels(grey), YuvPixels(grey, grey[:1, :1], grey[:1, :1])):
        assert pixels.is_decoded
        assert pixels.decode() is pixels


def test_owned_pixels_are_the_same_and_share_nothing() -> None:
    """Planes stay planes, with their phase; anything else becomes BGR."""
    luma = np.arange(99, dtype=np.uint8).reshape(9, 11)
    frame = YuvPixels(luma, luma[:5, :6], luma[3:8, :6], matrix="bt709")
    part = frame.region((3, 2, 8, 7))
    copied = owned(part)
    assert isinstance(copied, YuvPixels)
    assert (copied.phase, copied.matrix) == ((1, 0), "bt709")
    assert np.array_equal(copied.bgr(), part.bgr())
    assert not any(np.shares_memory(plane, luma) for plane in (copied.y, copied.u, copied.v))
    grey = owned(ArrayPixels(luma[:3]))
    assert np.array_equal(grey.bgr(), ArrayPixels(luma[:3]).bgr())
    assert not np.shares_memory(grey.bgr(), luma)
