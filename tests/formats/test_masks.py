"""`streamcrop.formats.masks`: masks of a message, as far as its limits allow."""

from types import SimpleNamespace
from typing import Any

import pytest

from streamcrop.core.limits import Limits
from streamcrop.core.masks import Polygon
from streamcrop.core.runs import Rle
from streamcrop.errors import FormatError
from streamcrop.formats.masks import Masks

POINTS = [SimpleNamespace(x=x, y=y) for x, y in ((1.0, 2.0), (3.0, 2.0), (3.0, 4.0))]
RLE = {"size": [4, 4], "counts": [5, 2, 9]}


def masks(
    came_wh: tuple[float, float] = (4, 4), wh: tuple[int, int] = (4, 4), **most: int
) -> Masks:
    """A reader of one message's masks."""
    return Masks(came_wh, wh, Limits(**most))


def refusal(reader: Masks, *said: Any) -> tuple[str, str]:
    """Why a mask is refused: the reason, and the kind of note."""
    [error] = reader.of([said])
    assert isinstance(error, FormatError)
    return error.reason, error.kind


def mask_of(reader: Masks, *said: Any) -> Any:
    """The mask of a single row."""
    [mask] = reader.of([said])
    return mask


def test_forms() -> None:
    """Run lengths decide, and of two the last; an outline is scaled to the frame."""
    polygon = mask_of(masks((4, 4), (8, 12)), POINTS, None, None)
    assert isinstance(polygon, Polygon)
    assert polygon.xy.tolist() == [[2, 6], [6, 6], [6, 12]]
    other = {"size": [4, 4], "counts": [16]}
    for rles, counts in (((RLE, None), [5, 2, 9]), ((RLE, other), [16])):
        found = mask_of(masks(), POINTS, *rles)
        assert isinstance(found, Rle)
        assert found.counts.tolist() == counts


@pytest.mark.parametrize(
    "said",
    [
        (POINTS[:2],),
        ([], {"size": [4, 4], "counts": [15]}),
        ([], {"size": [2, 8], "counts": [16]}),
        ([], 7),
        (POINTS, RLE, {}),
    ],
)
def test_what_is_none(said: tuple[Any, ...]) -> None:
    """What is no outline, and runs that do not cover the image, are `bad_mask`."""
    assert refusal(masks(), *said) == ("bad_mask", "bad_mask")


def test_vertices_are_those_of_all_rows() -> None:
    """A row that asks for more than is left is refused, and a smaller one behind it is not."""
    reader = masks(vertices=10)
    mask_of(reader, POINTS * 2)
    assert refusal(reader, POINTS * 2) == ("over_limit", "vertices")
    mask_of(reader, POINTS)
    assert refusal(reader, POINTS) == ("over_limit", "vertices")


@pytest.mark.parametrize(("width", "times"), [(4, 1), (2, 1), (5, 2), (8, 2), (100, 25)])
def test_runs_are_counted_as_the_frame_has_them(width: int, times: int) -> None:
    """Those of a narrow image are repeated for each column of a wide frame."""
    reader = masks((4, 4), (width, 1), runs=3 * times + 2)
    assert isinstance(mask_of(reader, [], RLE), Rle)
    assert refusal(reader, [], RLE) == ("over_limit", "runs")
    if times < 3:
        assert isinstance(mask_of(reader, [], {"size": [4, 4], "counts": [16]}), Rle)


def test_runs_are_counted_before_they_are_read() -> None:
    """Of a text that is no mask, too: what it would cost is not spent to find that out."""
    for counts in ("1" * 1000, [1] * 1000, "P" * 3000):
        assert refusal(masks(runs=999), [], {"size": [4, 4], "counts": counts}) == (
            "over_limit",
            "runs",
        )


def test_all_rows_at_once() -> None:
    """Each row has what it would have alone, in the frame; what is none costs no other."""
    moved = [SimpleNamespace(x=point.x + 1, y=point.y) for point in POINTS]
    said: list[Any] = [
        (POINTS, None),
        (None, None, None),
        (POINTS, RLE, None),
        ([], {"size": [4, 4], "counts": [15]}),
        (moved * 2,),
        ([], None, {"size": [4, 4], "counts": "`0"}),
        (POINTS[:2],),
        ([],),
    ]
    for came_wh, wh in (((4, 4), (4, 4)), ((4, 4), (7, 9))):
        found = masks(came_wh, wh).of(said)
        for row, mask in zip(said, found, strict=True):
            alone = mask_of(masks(came_wh, wh), *row)
            assert type(mask) is type(alone)
            if isinstance(mask, Polygon):
                assert mask.xy.tolist() == alone.xy.tolist()
            elif isinstance(mask, Rle):
                assert mask.size == wh[::-1]
                assert mask.as_json() == alone.as_json()
            else:
                assert repr(mask) == repr(alone)
        assert [type(mask) for mask in found[:6]] == [
            *(Polygon, type(None), Rle, FormatError, Polygon, Rle)
        ]
