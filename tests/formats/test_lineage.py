"""`streamcrop.formats.lineage`: the chain of images that a crop comes from."""

import json
import math

import pytest

from streamcrop.errors import FormatError
from streamcrop.formats.lineage import lineage_json, lineage_of

IMAGES = [
    {"id": "gate/1", "width": 640, "height": 480},
    {"id": "car", "origin": [100, 50], "width": 200, "height": 100},
    {"id": "plate", "origin": [0, 20], "width": 200, "height": 80},
]


def test_lineage_of_is_the_inverse() -> None:
    """What `lineage_json` wrote is read back; an image may reach the edge of the one before."""
    found = lineage_of(IMAGES)
    assert found.origin == (100, 70)
    assert lineage_of(json.loads(json.dumps(lineage_json(found)))) == found


@pytest.mark.parametrize(
    "broken",
    [
        None,
        "car",
        {},
        [],
        IMAGES[:1],
        IMAGES[1:],
        [IMAGES[0], IMAGES[0]],
        [IMAGES[0], 7],
        [IMAGES[0], {**IMAGES[1], "origin": None}],
        [IMAGES[0], {**IMAGES[1], "origin": [1]}],
        [IMAGES[0], {**IMAGES[1], "origin": [1.5, 2]}],
        [IMAGES[0], {**IMAGES[1], "origin": [-200, 0]}],
        [IMAGES[0], {**IMAGES[1], "origin": [640, 0]}],
        [IMAGES[0], {**IMAGES[1], "origin": [0, 480]}],
        [IMAGES[0], {**IMAGES[1], "transform": []}],
        [IMAGES[0], {**IMAGES[1], "transform": [[1, 0, 0]]}],
        [IMAGES[0], {**IMAGES[1], "transform": [[1, 0], [0, 1]]}],
        [IMAGES[0], {**IMAGES[1], "transform": [[1, 0, 0], [2, 0, 0]]}],
        [IMAGES[0], {**IMAGES[1], "transform": [[1, 0, 0], [0, 1, 0], [0, 0, 0]]}],
        [IMAGES[0], {**IMAGES[1], "transform": [[1, 0, 0], [0, "1", 0]]}],
        [IMAGES[0], {**IMAGES[1], "transform": [[1, 0, 0], [0, math.nan, 0]]}],
        [{**IMAGES[0], "transform": [[1, 0, 0], [0, 1, 0]]}, IMAGES[1]],
        [IMAGES[0], {**IMAGES[1], "origin": [0, 10**400]}],
        [IMAGES[0], {**IMAGES[1], "width": 0}],
        [{**IMAGES[0], "height": 65_536}, IMAGES[1]],
        [{**IMAGES[0], "id": ""}, IMAGES[1]],
        [{**IMAGES[0], "id": "x" * 2049}, IMAGES[1]],
        [{**IMAGES[0], "id": "a\ufffe"}, IMAGES[1]],
        [IMAGES[0], *[{**IMAGES[1], "id": "x" * 2048, "origin": [0, 0]}] * 16],
        [IMAGES[0], *[{"id": "c", "origin": [0, 0], "width": 9, "height": 9}] * 32],
    ],
)
def test_no_lineage(broken: object) -> None:
    """A chain in which an image does not show the one before is none; its length is bounded."""
    with pytest.raises(FormatError):
        lineage_of(broken)


def test_an_image_may_be_turned_or_reach_beyond_the_one_before() -> None:
    """Its map is kept; what is filled around it lies outside."""
    turned = {**IMAGES[1], "transform": [[0, 1, -50], [-1, 0, 300]]}
    seen = {**IMAGES[2], "transform": [[1, 0, 0], [0, 1, 0], [0.001, 0, 1]]}
    found = lineage_of([IMAGES[0], turned, seen])
    assert found[1].transform == ((0, 1, -50), (-1, 0, 300))
    assert found.transform.shape == (3, 3)
    assert json.loads(json.dumps(lineage_json(found))) == [IMAGES[0], turned, seen]
    filled = {**IMAGES[1], "origin": [-199, 479]}
    assert lineage_of([IMAGES[0], filled]).origin == (-199, 479)
