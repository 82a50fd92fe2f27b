"""`streamcrop.core.lineage`: the chain of images, and the way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.core.lineage import Lineage, LineageEntry, translation

origins = st.tuples(st.integers(0, 65_535), st.integers(0, 65_535))


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
