"""`streamcrop.core.values`: plain values, and the arithmetic of a lineage."""

from dataclasses import FrozenInstanceError
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.core.pixels import ArrayPixels
from streamcrop.core.values import (
    Frame,
    Instances,
    Lineage,
    LineageEntry,
    Message,
    Predictions,
    Reason,
    translation,
)

origins = st.tuples(st.integers(0, 65_535), st.integers(0, 65_535))


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_its_own_name(reason: Reason) -> None:
    """A reason's text is its name in lower case, as the ledger writes it."""
    assert str(reason) == reason.name.lower()
    assert Reason(reason.value) is reason


def test_values_need_only_what_names_them() -> None:
    """Times and sizes are optional, so that a source need not invent them."""
    frame = Frame("7", ArrayPixels(np.zeros((2, 3, 3), np.uint8)))
    message = Message(b"{}")
    predictions = Predictions([], Instances(np.empty((0, 4)), []))
    assert (frame.pts, frame.time_base, frame.captured_at) == (None, None, None)
    assert (message.frame_id, message.resolution_wh, message.strict) == (None, None, True)
    assert (message.pts, message.time_base, message.captured_at) == (None, None, None)
    assert predictions.over_limit == 0
    assert Frame("7", frame.pixels, 3, Fraction(1, 90_000)).time_base == Fraction(1, 90_000)


def test_values_are_frozen() -> None:
    """A value that travels through a node is not changed on its way."""
    message = Message(b"{}", "7")
    with pytest.raises(FrozenInstanceError):
        message.frame_id = "8"


@pytest.mark.parametrize("count", [0, 1, 5])
def test_instances_are_as_many_as_their_boxes(count: int) -> None:
    """The length of a struct of arrays is that of its boxes."""
    instances = Instances(np.zeros((count, 4)), [""] * count)
    assert len(instances) == count
    assert instances.masks == ()
    assert instances.refused == {}


def test_instances_do_not_share_what_they_refuse() -> None:
    """The default of ``refused`` belongs to one value alone."""
    first, second = (Instances(np.zeros((1, 4)), ["a"]) for _ in range(2))
    assert first.refused is not second.refused


@pytest.mark.parametrize(
    ("steps", "origin"),
    [
        ([], (0, 0)),
        ([(100, 50)], (100, 50)),
        ([(100, 50), (7, 3)], (107, 53)),
        ([(1, 2), (0, 0), (30, 40), (500, 600)], (531, 642)),
    ],
)
def test_an_origin_is_the_sum_of_all_steps(
    steps: list[tuple[int, int]], origin: tuple[int, int]
) -> None:
    """A lineage's origin is where its last image begins in the root."""
    root = LineageEntry("image", None, 4000, 3000)
    lineage = Lineage([root, *(LineageEntry("crop", step, 9, 9) for step in steps)])
    assert lineage.origin == origin
    assert lineage.transform.tolist() == [[1, 0, -origin[0]], [0, 1, -origin[1]]]
    assert lineage.transform.dtype == np.float64


@given(origins, st.lists(st.integers(-(1 << 30), 1 << 30), min_size=2, max_size=2))
def test_a_translation_takes_its_origin_away(origin: tuple[int, int], point: list[int]) -> None:
    """The affine map subtracts the origin, and bit-exact for multiples of 1/1024."""
    xy = np.array(point) / 1024
    moved = translation(origin) @ [*xy, 1]
    assert moved.tolist() == (xy - origin).tolist()
    assert (moved + origin).tolist() == xy.tolist()


def test_a_chain_with_turned_images_leads_back_to_the_root() -> None:
    """Each entry's map after the other's; a plain one moves by its origin."""
    root = LineageEntry("image", None, 4000, 3000)
    half = LineageEntry("car", (100, 50), 100, 80, ((0.5, 0.0, -50.0), (0.0, 0.5, -25.0)))
    plain = LineageEntry("plate", (10, 20), 30, 10)
    turned = LineageEntry("left", (10, 20), 10, 30, ((0.0, 1.0, 0.0), (-1.0, 0.0, 30.0)))
    chain = Lineage([root, half, plain, turned])
    assert chain.transform.tolist() == [[0, 0.5, -45], [-0.5, 0, 90]]
    # The last image's corners are those of the third, which begins at (120, 90) in the root.
    assert chain.origin == (120, 90)
    assert Lineage([root, half]).origin == (100, 50)


def test_a_chain_with_perspective() -> None:
    """Its map has three rows, and takes the corners to those of the last image."""
    root = LineageEntry("image", None, 400, 300)
    seen = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.001, 0.0, 1.0))
    chain = Lineage([root, LineageEntry("sign", (0, 0), 100, 80, seen)])
    assert chain.transform.shape == (3, 3)
    x, y, depth = chain.transform @ [100, 50, 1]
    assert (x / depth, y / depth) == pytest.approx((100 / 1.1, 50 / 1.1))
    assert chain.origin == (0, 0)
