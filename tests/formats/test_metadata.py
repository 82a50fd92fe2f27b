"""`streamcrop.formats.metadata`: what a node says of its frames and crops."""

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import pytest
import supervision as sv

from streamcrop.core.background import CropOptions
from streamcrop.core.crop import Crop
from streamcrop.core.cutting import cut
from streamcrop.core.framing import Parts
from streamcrop.core.limits import Budget, Limits
from streamcrop.core.lineage import Lineage, LineageEntry
from streamcrop.core.pixels import ArrayPixels
from streamcrop.core.runs import Rle
from streamcrop.core.values import Frame, Reason
from streamcrop.formats import inference
from streamcrop.formats import metadata as described
from streamcrop.formats.events import MAX_PROPERTY_BYTES
from streamcrop.formats.lineage import lineage_of
from streamcrop.formats.shown import corners_of, keypoints_of

WH = (80, 60)
HEAD = {
    "stream": "gate",
    "frame_id": "1234",
    "pts": 11106000,
    "time_base": "1/90000",
    "paired_by": "frame_id",
    "residual": 0.0,
}
ROW = {
    "x": 30.25,
    "y": 25,
    "width": 20,
    "height": 10,
    "confidence": 0.5,
    "class": "person",
    "class_id": 0,
    "tracker_id": 7,
}
TRIANGLE = [{"x": 22, "y": 21}, {"x": 38, "y": 21}, {"x": 30, "y": 29}]


def crops_of(
    *rows: dict[str, Any], image: tuple[int, int] | None = None, wh: tuple[int, int] = WH
) -> list[tuple[Crop, dict[str, Any]]]:
    """Each crop of a frame with its row in frame coordinates, by the way of the node."""
    size = image and {"width": image[0], "height": image[1]}
    payload = json.dumps({"frame_id": "1234", "image": size, "predictions": rows}).encode()
    read = inference.predictions(inference.decode(payload), wh, name="gate/1234", limit=9999)
    pixels = ArrayPixels(np.zeros((wh[1], wh[0], 3), np.uint8))
    root = Lineage([LineageEntry("gate/1234", None, *wh)])
    crops, refused = cut(pixels, read.instances, CropOptions(), lineage=root)
    assert not refused
    return [(crop, read.rows[crop.index]) for crop in crops]


def metadata(
    row: dict[str, Any], *, limit: int | None = MAX_PROPERTY_BYTES, **options: Any
) -> dict[str, Any]:
    """The metadata of the one crop of a row; checks what holds of all metadata."""
    ((crop, found),) = crops_of(row, **options)
    text = described.crop_metadata(HEAD, found, crop, limit=limit)
    assert limit is None or len(text) <= limit
    message = inference.decode(text)
    assert message.frame_id == f"gate/1234/{crop.detection_id}"
    assert message.resolution_wh == crop.resolution_wh
    again = inference.predictions(message, crop.resolution_wh, name="next/1", limit=9)
    assert not again.instances.refused
    assert again.instances.xyxy[0] == pytest.approx(crop.xyxy)
    assert again.instances.detection_id == [crop.detection_id]
    decoded: dict[str, Any] = json.loads(text)
    return decoded


# Crop metadata


def test_known_times() -> None:
    """Of a frame's times those are said that are known; a pts means nothing without its unit."""
    frame = Frame("1", ArrayPixels(np.zeros((1, 1, 3), np.uint8)))
    assert described.frame_fields(frame) == {}
    assert described.frame_fields(replace(frame, pts=5)) == {}
    assert described.frame_fields(replace(frame, time_base=Fraction(1, 25))) == {}
    assert described.frame_fields(replace(frame, pts=0, time_base=Fraction(1, 25))) == {
        "pts": 0,
        "time_base": "1/25",
    }
    known = replace(frame, captured_at=1, epoch="1a2b", sei="42")
    assert described.frame_fields(known) == {
        "captured_at": "1970-01-01T00:00:00.000001Z",
        "epoch": "1a2b",
        "sei": "42",
    }


def test_crop_metadata() -> None:
    """The metadata says which frame, where in it, and the prediction in crop coordinates."""
    keypoints = [{"x": 30, "y": 24, "class": "nose"}]
    row = {**ROW, "points": TRIANGLE, "keypoints": keypoints, "detection_id": "a", "extra": [1]}
    assert metadata(row) == {
        **HEAD,
        "id": "gate/1234/a",
        "detection_id": "a",
        "origin": [20, 20],
        "transform": [[1, 0, -20], [0, 1, -20]],
        "lineage": [
            {"id": "gate/1234", "width": 80, "height": 60},
            {"id": "a", "origin": [20, 20], "width": 20, "height": 10},
        ],
        "image": {"width": 20, "height": 10},
        "predictions": [
            {
                **row,
                "x": 10.25,
                "y": 5,
                "points": [{"x": 2, "y": 1}, {"x": 18, "y": 1}, {"x": 10, "y": 9}],
                "keypoints": [{"x": 10, "y": 4, "class": "nose"}],
            }
        ],
    }


@pytest.mark.parametrize("limit", [None, MAX_PROPERTY_BYTES])
def test_supervision_reads_the_metadata(limit: int | None) -> None:
    """Any consumer of inference responses reads a crop's metadata as it is."""
    found = sv.Detections.from_inference(metadata({**ROW, "points": TRIANGLE}, limit=limit))
    assert found.xyxy.tolist() == [[0.25, 0, 20.25, 10]]
    assert (found.class_id, found.tracker_id) == ([0], [7])
    assert found.mask is not None
    assert found.mask.shape == (1, 10, 20)
    assert found.mask.any()


@pytest.mark.parametrize("key", ["rle", "rle_mask"])
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("factor", [1, 2])
def test_rle_is_that_of_the_crop(key: str, factor: int, *, compressed: bool) -> None:
    """Run lengths come back cut and scaled, under their key and in their form."""
    mask = np.zeros((60, 80), np.uint8)
    mask[22:28, 21:50] = 1
    small = mask[::factor, ::factor]
    rle = {**Rle.of(small).as_json(compressed=compressed), "note": "kept"}
    scaled = {name: ROW[name] / factor for name in ("x", "y", "width", "height")}
    row = {**ROW, **scaled, key: rle, "rle" if key != "rle" else "rle_mask": None}
    found = metadata(row, image=(80 // factor, 60 // factor))["predictions"][0]
    assert isinstance(found[key]["counts"], str if compressed else list)
    assert found[key]["note"] == "kept"
    assert found[key]["size"] == [10, 20]
    cut_out = Rle.parse(found[key]).region((0, 0, 20, 10), (20, 10))
    expected = small.repeat(factor, axis=0).repeat(factor, axis=1)[20:30, 20:40]
    assert np.array_equal(cut_out, expected)


def circle(count: int) -> list[dict[str, float]]:
    """An outline of many points."""
    angles = np.linspace(0, 2 * np.pi, count)
    return [{"x": 30 + 8 * float(np.cos(a)), "y": 25 + 4 * float(np.sin(a))} for a in angles]


def test_points_become_rle() -> None:
    """Metadata that is too long gives up the points for run lengths: the mask is kept."""
    row = {**ROW, "points": circle(3000), "polygon": [[1, 2]] * 3, "extra": 1}
    ((crop, _),) = crops_of(row)
    found = metadata(row)
    prediction = found["predictions"][0]
    assert not {"points", "polygon"} & set(prediction)
    assert not {"mask_omitted", "truncated"} & set(found)
    assert prediction["extra"] == 1
    kept = Rle.parse(prediction["rle"]).region((0, 0, 20, 10), (20, 10))
    mask = crop.to_mask()
    assert mask is not None
    assert mask.any()
    assert np.array_equal(kept, mask)


def noise_rle(wh: tuple[int, int]) -> dict[str, Any]:
    """A mask that cannot be written shortly."""
    mask = np.random.default_rng(1).integers(0, 2, wh[::-1], np.uint8)
    return {**Rle.of(mask).as_json()}


WIDE = (600, 500)
WIDE_ROW = {**ROW, "x": 300, "y": 250, "width": 600, "height": 500}


@pytest.mark.parametrize("key", ["rle", "rle_mask"])
def test_the_mask_is_left_out(key: str) -> None:
    """Where run lengths are too long too the mask goes, and that is said."""
    keypoints = [{"x": 10, "y": 20}]
    row = {**WIDE_ROW, key: noise_rle(WIDE), "points": TRIANGLE, "keypoints": keypoints, "extra": 1}
    found = metadata(row, wh=WIDE)
    assert found["mask_omitted"] is True
    assert "truncated" not in found
    prediction = found["predictions"][0]
    assert not {"points", "polygon", "rle", "rle_mask"} & set(prediction)
    assert (prediction["keypoints"], prediction["extra"]) == (keypoints, 1)


def test_a_polygon_alone_is_left_out() -> None:
    """A polygon is a mask too, and cannot become run lengths where no points are."""
    found = metadata({**ROW, "polygon": [[1.5, 2.5]] * 9000})
    assert found["mask_omitted"] is True
    assert "polygon" not in found["predictions"][0]


HOSTILE: list[dict[str, Any]] = [
    {"class": "x" * 70_000},
    {"class": "\x00" * 70_000},
    {"class": "\U0001f600" * 70_000},
    {"class": ["x" * 70_000]},
    {"class_id": "x" * 70_000},
    {"tracker_id": '"' * 70_000},
    {"confidence": "x" * 70_000},
    {"keypoints": [{"x": 1, "y": 2, "class": "nose"}] * 5000},
    {"keypoints": [{"x": 1, "y": 2, "class": "x" * 70_000}]},
    {"unknown": "x" * 70_000},
    {"unknown": {"a": [1, 2, {"b": "x" * 70_000}]}},
    {"x" * 70_000: 1},
    {f"k{number}": number for number in range(9000)},
    {"xyxyxyxy": [[1, 2]] * 20_000},
    {"parent_id": "x" * 70_000},
    {"parent_origin": {"offset_x": 1, "offset_y": 1, "width": 1, "height": 1, "a": "x" * 70_000}},
]


@pytest.mark.parametrize("more", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("mask", [{}, {"points": TRIANGLE}, {"points": circle(3000)}])
def test_hostile_rows_are_truncated(more: dict[str, Any], mask: dict[str, Any]) -> None:
    """Whatever a row holds, its crop is not lost: the box, the ID and the class remain."""
    found = metadata({**ROW, **more, **mask, "detection_id": "\U0001f600" * 256})
    assert found["truncated"] is True
    assert found.get("mask_omitted", False) is bool(mask)
    prediction = found["predictions"][0]
    assert {"x", "y", "width", "height", "detection_id"} <= set(prediction)
    assert len(prediction.get("class", "")) <= 256
    if isinstance(name := more.get("class", "person"), str):
        assert prediction["class"] == name[:256]


def test_the_worst_head() -> None:
    """IDs of the greatest length leave room for what remains of a row."""
    frame_id = '"' * 1024
    row = {**ROW, "class": "\x01" * 70_000, "detection_id": "\\" * 256, "class_id": 10**4000}
    ((crop, found),) = crops_of(row)
    text = described.crop_metadata({**HEAD, "frame_id": frame_id}, found, crop, limit=65_535)
    assert len(text) <= 65_535
    assert json.loads(text)["frame_id"] == frame_id


def test_without_a_limit_nothing_is_given_up() -> None:
    """In structured mode metadata may be of any length."""
    row = {**ROW, "points": circle(3000), "class": "x" * 70_000}
    found = metadata(row, limit=None)
    assert len(found["predictions"][0]["points"]) == 3000
    assert found["predictions"][0]["class"] == "x" * 70_000


def test_the_limit_itself() -> None:
    """Exactly as long as the limit is not too long."""
    ((crop, row),) = crops_of({**ROW, "points": TRIANGLE})
    text = described.crop_metadata(HEAD, row, crop, limit=None)
    assert described.crop_metadata(HEAD, row, crop, limit=len(text)) == text
    assert described.crop_metadata(HEAD, row, crop, limit=len(text) - 1) != text


def test_a_limit_that_nothing_meets() -> None:
    """The shortest form is sent even where it is too long: the broker's answer is counted."""
    ((crop, row),) = crops_of({**ROW, "points": TRIANGLE})
    found = json.loads(described.crop_metadata(HEAD, row, crop, limit=1))
    assert (found["truncated"], found["mask_omitted"]) == (True, True)


def test_inputs_are_not_modified() -> None:
    """Neither a row nor the head changes while it is shortened."""
    ((crop, row),) = crops_of({**ROW, "points": circle(3000), "class": "x" * 70_000})
    head, kept = dict(HEAD), msgspec.json.encode(row)
    described.crop_metadata(head, row, crop, limit=65_535)
    described.frame_metadata(head, WH, [(crop, row)], [])
    assert (head, msgspec.json.encode(row)) == (HEAD, kept)


def test_no_mask_is_drawn_beyond_the_budget() -> None:
    """Where its run lengths would cost more pixels than are left, the mask is left out."""
    ((crop, row),) = crops_of({**ROW, "points": circle(3000)})
    for pixels, kept in ((10**9, True), (1, False)):
        budget = Budget(Limits(crop_pixels=pixels), "crop_pixels")
        text = described.crop_metadata(HEAD, row, crop, limit=2000, budget=budget)
        found = json.loads(text)
        assert ("rle" in found["predictions"][0]) == kept
        assert ("mask_omitted" in found) == (not kept)


@pytest.mark.parametrize("name", ["\x7f", "\x85", "\ufeff", "\ufdd0", "\uffff", "\U0001ffff"])
def test_characters_of_which_mqtt_warns(name: str) -> None:
    """They make the text ASCII; others stay as they are (MQTT 5, 1.5.4)."""
    for around, is_ascii in ((name, True), ("\xe9", False)):
        ((crop, row),) = crops_of({**ROW, "class": f"{around}\xe9"})
        text = described.crop_metadata(HEAD, row, crop, limit=None)
        assert text.isascii() == is_ascii
        assert json.loads(text)["predictions"][0]["class"] == f"{around}\xe9"


# Frame metadata


def test_empty_frame() -> None:
    """A frame without detections has metadata too."""
    assert json.loads(described.frame_metadata(HEAD, WH, [], [])) == {
        **HEAD,
        "image": {"width": 80, "height": 60},
        "crops": [],
        "refused": [],
        "predictions": [],
    }


def test_frame_metadata() -> None:
    """It names the crops, what was refused and why, and the predictions in frame pixels."""
    pairs = crops_of({**ROW, "detection_id": "a"}, {**ROW, "detection_id": "b", "rle": None})
    refused = [(1, Reason.OUTSIDE_FRAME), (3, Reason.OVER_LIMIT)]
    text = described.frame_metadata(HEAD, WH, iter(pairs), refused)
    found = json.loads(text)
    assert found["crops"] == ["gate/1234/a", "gate/1234/b"]
    assert found["refused"] == [
        {"index": 1, "reason": "outside_frame"},
        {"index": 3, "reason": "over_limit"},
    ]
    assert found["predictions"][0] == {**ROW, "detection_id": "a"}
    assert "refused_omitted" not in found
    again = inference.decode(text)
    assert (again.frame_id, again.resolution_wh) == ("1234", WH)


@pytest.mark.parametrize(("count", "omitted"), [(1000, None), (1001, 1), (100_000, 99_000)])
def test_refused_are_capped(count: int, omitted: int | None) -> None:
    """A thousand refused rows are listed, of the others the number is said."""
    refused = [(row, Reason.OVER_LIMIT) for row in range(count)]
    found = json.loads(described.frame_metadata(HEAD, WH, [], refused))
    assert len(found["refused"]) == 1000
    assert found.get("refused_omitted") == omitted
    found = json.loads(described.frame_metadata(HEAD, WH, [], refused, beyond=7))
    assert found["refused_omitted"] == (omitted or 0) + 7


def test_frame_rle_is_scaled() -> None:
    """Run lengths of the detector's image become those of the frame; others stay as they are."""
    small = np.zeros((30, 40), np.uint8)
    small[10:15, 10:20] = 1
    box = {"x": 15, "y": 12.5, "width": 10, "height": 5}
    row = {**box, "rle": Rle.of(small).as_json(), "rle_mask": Rle.of(small).as_json()}
    found = json.loads(described.frame_metadata(HEAD, WH, crops_of(row, image=(40, 30)), []))
    for key in ("rle", "rle_mask"):
        rle = found["predictions"][0][key]
        assert rle["size"] == [60, 80]
        whole = Rle.parse(rle).region((0, 0, *WH), WH)
        assert np.array_equal(whole, small.repeat(2, axis=0).repeat(2, axis=1))
    large = Rle.of(small.repeat(2, axis=0).repeat(2, axis=1)).as_json()
    found = json.loads(described.frame_metadata(HEAD, WH, crops_of({**ROW, "rle": large}), []))
    assert found["predictions"][0]["rle"] == large


SHAPES: dict[str, dict[str, Any]] = {
    "margin": {"margin": "3px"},
    "filled": {"margin": 3, "border": "constant"},
    "sized": {"size": (40, 40)},
    "upright": {"upright": "corners", "size": (33, 21), "fit": "stretch"},
    "four corners": {"align": {"quad": ["a", "b", "c", "d"], "size": (40, 20)}},
}


def shaped(row: dict[str, Any], name: str) -> Crop:
    """The crop of a row in a shape."""
    payload = json.dumps({"frame_id": "1234", "predictions": [row]}).encode()
    read = inference.predictions(inference.decode(payload), WH, name="gate/1234", limit=9)
    pixels = ArrayPixels(np.zeros((WH[1], WH[0], 3), np.uint8))
    root = Lineage([LineageEntry("gate/1234", None, *WH)])
    parts = Parts([*map(corners_of, read.rows)], [*map(keypoints_of, read.rows)])
    options = CropOptions(**SHAPES[name])
    [crop], refused = cut(pixels, read.instances, options, lineage=root, parts=parts)
    assert not refused
    return crop


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("compressed", [True, False])
def test_metadata_of_a_shaped_crop(name: str, *, compressed: bool) -> None:
    """It says how the frame became the crop; all that it says of the object is in the crop."""
    mask = np.zeros((60, 80), np.uint8)
    mask[21:29, 22:38] = 1
    corners = [[20, 20], [40, 21], [39, 31], [19, 30]]
    joints = [{"x": x, "y": y, "class": c} for (x, y), c in zip(corners, "abcd", strict=True)]
    row = {
        **ROW, "detection_id": "a", "xyxyxyxy": corners, "keypoints": joints,
        "rle": Rle.of(mask).as_json(compressed=compressed),
    }  # fmt: skip
    crop = shaped(row, name)
    said = json.loads(described.crop_metadata(HEAD, row, crop, limit=None))
    assert said["image"] == described.size(crop.resolution_wh)
    assert said["origin"] == list(crop.origin)
    matrix = np.eye(3)
    matrix[: len(said["transform"])] = said["transform"]
    assert matrix[: len(crop.transform)] == pytest.approx(crop.transform)
    entry = said["lineage"][-1]
    assert (entry["id"], entry["origin"]) == ("a", said["origin"])
    assert entry.get("transform", said["transform"]) == said["transform"]
    assert ("transform" in entry) == (name not in {"margin", "filled"})
    assert lineage_of(said["lineage"]).transform == pytest.approx(crop.transform)
    [found] = said["predictions"]
    moved = np.column_stack([corners, [1] * 4]) @ matrix.T
    places = moved[:, :2] / moved[:, 2:]
    assert np.array(found["xyxyxyxy"]) == pytest.approx(places)
    assert [[joint["x"], joint["y"]] for joint in found["keypoints"]] == pytest.approx(places)
    assert crop.mask is None or np.array_equal(Rle.parse(found["rle"]).pixels(), crop.mask)
    assert type(found["rle"]["counts"]) is (str if compressed else list)
    message = inference.decode(json.dumps(said).encode())
    again = inference.predictions(message, crop.resolution_wh, name="next/1", limit=9)
    assert not again.instances.refused
    assert again.instances.xyxy[0] == pytest.approx(crop.xyxy)
