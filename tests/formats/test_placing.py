"""`streamcrop.formats.placing`: rows in the frame, each with an ID of its own."""

import json
import tracemalloc
from typing import Any

import msgspec
import numpy as np
import pytest
from predicted import BOX, FULL, RLE, SQUARE, encoded, read, region

from streamcrop.core.masks import Polygon
from streamcrop.core.runs import Rle
from streamcrop.core.values import Reason
from streamcrop.formats.inference import decode, predictions

# Detection IDs


def ids(*values: object) -> list[str]:
    """The IDs of a message's rows."""
    found = read(encoded(*({**BOX, "detection_id": value} for value in values)))
    assert [row.get("detection_id") for row in found.rows] == [
        None if number in found.instances.refused else name
        for number, name in enumerate(found.instances.detection_id)
    ]
    return list(found.instances.detection_id)


def test_missing_ids_survive_a_redelivery() -> None:
    """A missing ID is made from stream, frame and row, the same each time."""
    payload = encoded(BOX, BOX)
    first, again = read(payload), read(payload)
    assert first.instances.detection_id == again.instances.detection_id
    assert first.instances.detection_id == ids(None, None) == ids("", "")
    # uuid5(NAMESPACE_URL, "streamcrop:gate/1/0"): consumers drop duplicates by it for ever.
    assert first.instances.detection_id[0] == "e7bacf5a-6c7b-5cef-8c68-97750a348940"
    other = predictions(decode(payload), (20, 10), name="gate/2", limit=9).instances.detection_id
    assert len({*first.instances.detection_id, *other}) == 4


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        ([7, 1.5, 2**70], ["7", "1.5", str(2**70)]),
        (["a", "b", "a", "a"], ["a", "b", "a#2", "a#3"]),
        (["7", 7], ["7", "7#1"]),
        (["a#1", "a", "a"], ["a#1", "a", "a#2"]),
        (["a#2", "a", "a"], ["a#2", "a", "a#2#2"]),
        (["x" * 256], ["x" * 256]),
        (["é / +#"], ["é / +#"]),
    ],
)
def test_ids(values: list[object], expected: list[str]) -> None:
    """A number becomes text; one that is given twice gets its row."""
    assert ids(*values) == expected


BAD_DETECTION_IDS: list[Any] = ["x" * 257, "a\tb", "\x7f", "\u2028", True, False, [], {}]


@pytest.mark.parametrize("value", [*BAD_DETECTION_IDS, 10**300, ["a"], {"a": [1]}])
@pytest.mark.parametrize("strict", [True, False])
def test_an_id_that_is_none_is_made(value: object, *, strict: bool) -> None:
    """It decides on no pixel: the prediction stays, and it is said."""
    score = 1 if strict else float("nan")
    found = read(encoded({**BOX, "detection_id": value, "score": score}))
    assert not found.instances.refused
    assert [row["detection_id"] for row in found.rows] == ids(None)
    assert found.said["bad_detection_id"].startswith("$.predictions[0]: a detection ID is 1 to 256")
    assert "bad_detection_id" not in read(encoded(BOX)).said


def test_refused_rows_take_no_id() -> None:
    """Only a row that is cut uses its ID up."""
    found = read(encoded({"detection_id": "a"}, {**BOX, "detection_id": "a"}))
    assert list(found.instances.detection_id) == ["", "a"]


# Masks


def test_points() -> None:
    """Points are the outline of the mask; a row without has none."""
    found = read(encoded({**BOX, "points": SQUARE}, BOX, {**BOX, "points": []}, {**BOX}))
    assert isinstance(found.instances.masks[0], Polygon)
    assert region(found).sum() == 25
    assert list(found.instances.masks[1:]) == [None] * 3


@pytest.mark.parametrize("key", ["rle", "rle_mask"])
@pytest.mark.parametrize("counts", [RLE["counts"], Rle.parse(RLE).as_json()["counts"]])
def test_rle(key: str, counts: object) -> None:
    """Run lengths are a mask under both names, as integers and as text."""
    found = read(encoded({**BOX, key: {"size": [10, 20], "counts": counts}}))
    assert isinstance(found.instances.masks[0], Rle)
    assert np.argwhere(region(found)).tolist() == [[r, c] for r in (5, 6, 7) for c in (4, 5)]


def test_rle_decides() -> None:
    """Points count only where no run lengths are."""
    found = read(encoded({**BOX, "points": SQUARE, "rle_mask": RLE}))
    assert region(found).sum() == 6
    found = read(encoded({**BOX, "points": SQUARE, "rle": None, "rle_mask": None}))
    assert region(found).sum() == 25
    other = {"size": [10, 20], "counts": [0, 200]}
    assert region(read(encoded({**BOX, "rle": RLE, "rle_mask": other}))).sum() == 6
    assert region(read(encoded({**BOX, "points": SQUARE[:1], "rle": RLE}))).sum() == 6


BAD_RLES: list[Any] = [
    {},
    [],
    7,
    "",
    True,
    {"size": [10, 20]},
    {"counts": [200]},
    {"size": [20, 10], "counts": [200]},
    {"size": [10, 20, 1], "counts": [200]},
    {"size": [10], "counts": [200]},
    {"size": None, "counts": [200]},
    {"size": ["10", "20"], "counts": [200]},
    {"size": [10.0, 20.0], "counts": [200]},
    {"size": [0, 20], "counts": []},
    {"size": [-10, -20], "counts": [200]},
    {"size": [10, 20], "counts": []},
    {"size": [10, 20], "counts": [199]},
    {"size": [10, 20], "counts": [201]},
    {"size": [10, 20], "counts": [-1, 201]},
    {"size": [10, 20], "counts": [200.0]},
    {"size": [10, 20], "counts": [[200]]},
    {"size": [10, 20], "counts": ["200"]},
    {"size": [10, 20], "counts": [2**70]},
    {"size": [10, 20], "counts": [2**63, 2**63, 200]},
    {"size": [10, 20], "counts": None},
    {"size": [10, 20], "counts": {"0": 200}},
    {"size": [10, 20], "counts": ""},
    {"size": [10, 20], "counts": "no counts"},
    {"size": [10, 20], "counts": "ééé"},
    {"size": [10, 20], "counts": "PPPPPPPPPPPP"},
    {"size": [31_623, 31_623], "counts": [31_623**2]},
    {"size": [10**9, 1], "counts": [10**9]},
    {"size": [10**30, 10**30], "counts": [10**60]},
]


@pytest.mark.parametrize("key", ["rle", "rle_mask"])
@pytest.mark.parametrize("value", BAD_RLES, ids=range(len(BAD_RLES)))
def test_bad_rle(value: object, key: str) -> None:
    """Run lengths that do not cover the message's image are `bad_mask`; points do not help."""
    found = read(encoded({**BOX, "points": SQUARE, key: value}, BOX))
    assert found.instances.refused == {0: Reason.BAD_MASK}


def test_both_rles_are_checked() -> None:
    """Both come back moved, so both must be good."""
    found = read(encoded({**BOX, "rle": RLE, "rle_mask": {"size": [1, 1], "counts": [1]}}))
    assert found.instances.refused == {0: Reason.BAD_MASK}


def test_a_claim_allocates_nothing() -> None:
    """A message that claims 10^9 pixels costs as much as it is long."""
    claims = [
        {**BOX, "rle": {"size": [31_623, 31_623], "counts": [31_623**2]}},
        {**BOX, "rle": {"size": [65_535, 65_535], "counts": [65_535**2]}},
        {**BOX, "rle": {"size": [10**9, 10**9], "counts": [10**18]}},
        {**BOX, "points": [{"x": 1e12 * x, "y": 1e12 * y} for x, y in ((0, 0), (1, 0), (1, 1))]},
    ]
    payloads = [encoded(*claims), encoded(*claims, image={"width": 65_535, "height": 65_535})]
    tracemalloc.start()
    try:
        for payload in payloads:
            read(payload)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


# Scaling


def test_scaled_to_the_frame() -> None:
    """Every coordinate goes from the detector's image to the frame; the rest stays."""
    found = read(encoded(FULL, image={"width": 20, "height": 10}), (40, 30))
    assert found.rows == [
        {
            **FULL,
            "x": 10,
            "y": 12,
            "width": 4,
            "height": 12,
            "points": [{"x": 2, "y": 6, "z": 3}, {"x": 8, "y": 6}, {"x": 8, "y": 18}],
            "keypoints": [{"x": 6, "y": 15, "confidence": 0.5, "class": "nose", "class_id": 0}],
            "polygon": [[2, 6], [6, 12], [10, 18]],
            "rect": [[2, 6], [6, 6], [6, 12], [2, 12]],
            "xyxyxyxy": [[2, 6], [6, 6], [6, 12], [2, 12]],
            "parent_origin": {"offset_x": 14, "offset_y": 24, "width": 40, "height": 30, "id": "p"},
            "root_parent_origin": {"offset_x": 18, "offset_y": 3, "width": 80, "height": 150},
            "landmarks": [{"x": 2, "y": 6}],
        }
    ]
    assert found.instances.xyxy.tolist() == [[8, 6, 12, 18]]


@pytest.mark.parametrize("image", [None, {"width": 20, "height": 10}])
def test_not_scaled(image: object) -> None:
    """Where message and frame have one size nothing changes, and integers stay integers."""
    found = read(encoded(FULL, image=image))
    assert found.rows == [FULL]
    assert json.dumps(found.rows[0]) == json.dumps(FULL)


def test_masks_are_scaled() -> None:
    """Points are scaled as coordinates, run lengths by nearest neighbour."""
    image = {"width": 20, "height": 10}
    found = read(encoded({**BOX, "points": SQUARE}, {**BOX, "rle": RLE}, image=image), (40, 20))
    assert region(found, 0, (40, 20)).sum() == 81
    small = Rle.parse(RLE).region((0, 0, 20, 10), (20, 10))
    doubled = small.repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(region(found, 1, (40, 20)), doubled)
    assert found.rows[1]["rle"] == Rle.of(doubled).as_json(compressed=False)


def test_the_largest_number_survives_the_largest_scale() -> None:
    """Whatever is finite on the way in is finite on the way out."""
    row = {**BOX, "keypoints": [{"x": 9e299, "y": -9e299}], "points": [{"x": 9e299, "y": 1}] * 3}
    found = read(encoded(row, image={"width": 1, "height": 1}), (65_535, 65_535))
    assert not found.instances.refused
    assert np.isfinite(found.instances.xyxy).all()
    json.dumps(msgspec.to_builtins(found.rows), allow_nan=False)


def test_both_run_lengths_are_scaled() -> None:
    """Each of two stays the mask it was, in the frame, in the form in which it came."""
    other = {"size": [10, 20], "counts": Rle.of(np.tri(10, 20, dtype=np.uint8)).as_json()["counts"]}
    row = {**BOX, "rle": {**RLE, "note": 1}, "rle_mask": other}
    image = {"width": 20, "height": 10}
    found = read(encoded(row, {**BOX, "rle_mask": other}, image=image), (40, 20))
    for at, key, came, note in (
        (0, "rle", RLE, {"note": 1}),
        (0, "rle_mask", other, {}),
        (1, "rle_mask", other, {}),
    ):
        doubled = Rle.parse(came).region((0, 0, 20, 10), (20, 10)).repeat(2, 0).repeat(2, 1)
        compressed = isinstance(came["counts"], str)
        assert found.rows[at][key] == {**Rle.of(doubled).as_json(compressed=compressed), **note}
    assert np.array_equal(region(found, 0, (40, 20)), Rle.parse(found.rows[0]["rle"]).pixels())


# --- what is said of rows


@pytest.mark.parametrize(
    ("rows", "image", "said"),
    [
        (
            [{**BOX, "rect": 7}, {**BOX, "bbox": 7}],
            None,
            {"unread": "$.predictions[0]: rect: left"},
        ),
        (
            [{**BOX, "detection_id": [1]}],
            None,
            {"bad_detection_id": "$.predictions[0]: a detection"},
        ),
        ([{"x": 0.5, "y": 0.5, "width": 1, "height": 0.5}], None, {"tiny_boxes": "boxes of less"}),
        ([{"x": 0.5, "y": 0.5, "width": 1, "height": 0.5}, BOX], None, {}),
        ([{"x": 0.5, "y": 0.5, "width": 1, "height": 1}], {"width": 1, "height": 1}, {}),
        ([7], None, {"prediction_malformed": "$.predictions[0]: a prediction is"}),
        ([], None, {}),
    ],
)
def test_what_is_said(rows: list[Any], image: Any, said: dict[str, str]) -> None:
    """Of each kind the first, with its place."""
    found = read(encoded(*rows, image=image)).said
    assert found.keys() == said.keys()
    assert all(found[kind].startswith(text) for kind, text in said.items())
