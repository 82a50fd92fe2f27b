"""One crop, large."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web.test_markup import read
from web.views import EVIL, crop

from streamcrop.web.crop_page import crop_page, drawing, place

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
KEYS = ["x", "y", "width", "height", "points", "keypoints", "class", "confidence"]
KEYS += ["image", "origin", "lineage", "predictions"]


def test_what_is_known_of_it() -> None:
    """Its picture, place, score and lineage; the metadata to copy."""
    found = read(crop_page("gate", crop(7, label="cat", captured_at="2026-11-22T10:00:00Z")))
    assert ("img", "/api/streams/gate/crops/gate%2F7%2Fa.jpg") in [
        (name, attributes.get("src")) for name, attributes in found.tags
    ]
    for said in ("cat", "0.9", "2026-11-22T10:00:00Z", "at 100, 50 in a frame of 640 x 480"):
        assert said in found.text
    assert json.loads(found.text[found.text.index("{") :])["frame_id"] == "7"


def test_what_is_drawn() -> None:
    """The box by its centre, the mask, the joints; in pixels of the crop."""
    row = {"x": 30, "y": 60, "width": 50, "height": 100}
    mask, joints = [{"x": 1, "y": 2}, [3, 4], {"x": 5}], [{"x": 10, "y": 20}, "no joint"]
    metadata = {
        "image": {"width": 60, "height": 120},
        "predictions": [{**row, "points": mask, "keypoints": joints}],
    }
    svg = drawing(metadata)
    assert 'viewBox="0 0 60 120"' in svg
    assert re.search(r'<rect class="box" x="5(\.0)?" y="10(\.0)?" width="50" height="100"', svg)
    assert 'points="1,2 3,4"' in svg
    assert 'cx="10" cy="20"' in svg
    assert svg.count("<circle") == 1


def test_what_cannot_be_drawn_is_left_out() -> None:
    """Not every crop has a frame that is known, or a size."""
    assert drawing({"predictions": [{"x": 1}]}) is None
    assert place({"origin": [1, 2], "image": {"width": 1, "height": 1}}) is None
    assert place({"origin": None, "lineage": [{"width": 1, "height": 1}]}) is None


@given(st.dictionaries(st.sampled_from(KEYS), JSON), st.dictionaries(st.sampled_from(KEYS), JSON))
def test_any_metadata_is_a_page(metadata: dict[str, object], row: dict[str, object]) -> None:
    """What a detector says of a prediction goes through as it came."""
    metadata.setdefault("predictions", [row])
    event = replace(crop(1), metadata=json.dumps(metadata).encode())
    assert [name for name, _ in read(crop_page("gate", event)).tags].count("article") == 1


@pytest.mark.parametrize("key", ["class", "confidence", "tracker_id", "points"])
def test_nothing_breaks_out(key: str) -> None:
    """Class names and IDs come from outside."""
    event = crop(1, predictions=[{key: EVIL}], captured_at=EVIL, paired_by=EVIL)
    event = replace(event, name=(EVIL, EVIL), attributes={"id": EVIL})
    found = read(crop_page("gate", event))
    assert "script" not in {name for name, _ in found.tags}
