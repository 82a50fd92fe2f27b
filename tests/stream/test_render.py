"""One paired frame becomes events."""

import json
import sys
from collections import Counter
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcrop.core.background import CropOptions
from streamcrop.core.limits import Limits
from streamcrop.core.pixels import ArrayPixels, YuvPixels
from streamcrop.core.runs import Rle
from streamcrop.core.values import Frame, Reason
from streamcrop.errors import FormatError
from streamcrop.formats import events, inference
from streamcrop.formats.lineage import lineage_of
from streamcrop.stream.render import Rendered, Style, metadata_of, render, render_tap

STYLE = Style(("edge", "gate"), CropOptions())
BOX = {"x": 30, "y": 25, "width": 20, "height": 10, "class": "person"}


def picture(wh: tuple[int, int] = (80, 60)) -> Any:
    """A picture in which every pixel differs from its neighbours."""
    return np.random.default_rng(2).integers(0, 256, (wh[1], wh[0], 3), np.uint8)


def frame_of(image: Any, **known: Any) -> Frame:
    """A frame."""
    return Frame("7", ArrayPixels(image), **known)


def rendered(
    *rows: object, image: Any = None, style: Style = STYLE, limited: bool = True
) -> list[Rendered]:
    """All parts of a frame."""
    payload = json.dumps({"frame_id": 7, "predictions": rows}).encode()
    frame = frame_of(picture() if image is None else image, captured_at=1795341600_000000)
    return list(render(frame, inference.decode(payload), 0.25, style, limited=limited))


def decoded(data: bytes) -> Any:
    """An encoded picture."""
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


def test_no_predictions() -> None:
    """A frame without detections has one event, its metadata."""
    (part,) = rendered()
    (event,) = part.events
    assert (part.received, part.made, part.refused, part.encoding_failed) == (0, 0, Counter(), 0)
    assert (event.topic, event.content_type) == ("streamcrop/gate/metadata", "application/json")
    assert (event.is_crop, event.attributes, event.metadata) == (False, {}, b"")
    found = json.loads(event.data)
    assert (found["predictions"], found["crops"], found["refused"]) == ([], [], [])
    assert (found["paired_by"], found["residual"]) == ("frame_id", 0.25)
    assert found["captured_at"] == "2026-11-22T10:00:00.000000Z"


@pytest.mark.parametrize(
    ("rows", "looks"),
    [([], 0), ([{**BOX, "x": float("nan")}], 0), ([BOX, BOX, {**BOX, "x": "left"}], 1)],
)
def test_a_frame_is_looked_at_only_to_cut_it(rows: list[Any], looks: int) -> None:
    """Who asks for no pixels has none decoded, and several crops look at their frame once."""
    seen = []

    class Watched(ArrayPixels):
        def decode(self) -> ArrayPixels:
            seen.append(self.resolution_wh)
            return ArrayPixels(self.array)

        def region(self, box: Any) -> ArrayPixels:
            raise AssertionError(box)

    payload = json.dumps({"frame_id": 7, "predictions": rows}).encode()
    [part] = render(Frame("7", Watched(picture())), inference.decode(payload), 0.0, STYLE)
    assert (part.received, seen) == (len(rows), [(80, 60)] * looks)


def test_a_crop() -> None:
    """A crop's event carries its very pixels, its name and its metadata."""
    style = Style(
        ("edge", "gate"), CropOptions(), paired_by="pts", topic="c/{stream}/{class}", encoding="png"
    )
    image = picture()
    kept = image.copy()
    (part,) = rendered({**BOX, "detection_id": "a"}, image=image, style=style)
    event, frame_event = part.events
    assert np.array_equal(decoded(event.data), kept[20:30, 20:40])
    assert np.array_equal(image, kept)
    assert (event.topic, event.content_type) == ("c/gate/person", "image/png")
    assert (event.is_crop, event.name) == (True, ("7", "a"))
    assert event.attributes == {
        "specversion": "1.0",
        "type": "streamcrop.crop.v1",
        "source": "/streamcrop/edge/gate",
        "id": "gate/7/a",
        "subject": "a",
        "time": "2026-11-22T10:00:00.000000Z",
    }
    found = json.loads(event.metadata)
    assert (found["id"], found["origin"], found["paired_by"]) == ("gate/7/a", [20, 20], "pts")
    assert found["lineage"][0] == {"id": "gate/7", "width": 80, "height": 60}
    assert json.loads(frame_event.data)["crops"] == ["gate/7/a"]


def test_a_crop_in_a_shape() -> None:
    """The picture, and all that the metadata says of it, go through one view."""
    options = CropOptions(size=(40, 40), border="constant", margin="4px", fill="#102030")
    style = Style(("edge", "gate"), options, encoding="png")
    row = {**BOX, "x": 10, "keypoints": [{"x": 10, "y": 25, "class": "nose"}]}
    (part,) = rendered(row, style=style)
    picture_of_it, found = decoded(part.events[0].data), json.loads(part.events[0].metadata)
    assert picture_of_it.shape == (40, 40, 3)
    # 28 x 18 pixels from (-4, 16) become 40 x 26, below 7 rows that are filled.
    assert found["transform"] == [[40 / 28, 0, 4 * 40 / 28], [0, 26 / 18, 7 - 16 * 26 / 18]]
    assert (picture_of_it[:7] == (0x30, 0x20, 0x10)).all()
    assert (picture_of_it[7:33, :5] == (0x30, 0x20, 0x10)).all()
    [prediction] = found["predictions"]
    assert prediction["x"] == pytest.approx(20)
    assert prediction["keypoints"][0]["y"] == pytest.approx(20)
    assert found["image"] == {"width": 40, "height": 40}


def test_shaped_crops_of_crops_through_messages() -> None:
    """Turned, then scaled by a next node: the lineage that travels leads from root to crop."""
    corners = [[20, 20], [44, 26], [41, 38], [17, 32]]
    nose = {"x": 30, "y": 28, "class": "nose"}
    row = {**BOX, "xyxyxyxy": corners, "keypoints": [nose], "detection_id": "plate"}
    turned = Style(("edge", "gate"), CropOptions(upright="corners", margin=0.1), encoding="png")
    (part,) = rendered(row, style=turned)
    said = json.loads(part.events[0].metadata)
    first = Frame(
        said["id"], ArrayPixels(decoded(part.events[0].data)), lineage=lineage_of(said["lineage"])
    )
    sized = Style(("next", "crops"), CropOptions(size=(50, 60), border="constant", margin=1))
    (part,) = render(first, inference.decode(part.events[0].metadata), 0.0, sized)
    said = json.loads(part.events[0].metadata)
    assert [entry["id"] for entry in said["lineage"]] == ["gate/7", "plate", "plate"]
    whole = lineage_of(said["lineage"]).transform
    [found] = said["predictions"]
    for place, moved in zip(corners, found["xyxyxyxy"], strict=True):
        assert whole @ [*place, 1] == pytest.approx(moved, abs=1e-9)
    joint = found["keypoints"][0]
    assert whole @ [nose["x"], nose["y"], 1] == pytest.approx([joint["x"], joint["y"]], abs=1e-9)
    back = np.linalg.inv(np.vstack([whole, [0, 0, 1]])) @ [joint["x"], joint["y"], 1]
    assert back[:2] == pytest.approx([30, 28], abs=1e-9)


WILD = st.floats(-50, 150) | st.sampled_from([0, 1e-300, 1e6, -1e9, 1e12, 1e15, 1e300, -1e308])
PLACES = st.tuples(WILD, WILD).map(list)
NAMES = ("left_eye", "right_eye", "nose", "left_mouth")
JOINTS = st.lists(PLACES, min_size=4, max_size=4).map(
    lambda places: [
        {"x": x, "y": y, "class": name} for (x, y), name in zip(places, NAMES, strict=True)
    ]
)
WILD_ROWS = st.fixed_dictionaries(
    {"x": WILD, "y": WILD, "width": WILD, "height": WILD},
    optional={
        "xyxyxyxy": st.lists(PLACES, min_size=4, max_size=4),
        "rotation": WILD,
        "keypoints": JOINTS,
        "points": PLACES.map(lambda xy: {"x": xy[0], "y": xy[1]}).flatmap(
            lambda point: st.just([point, {"x": 9, "y": 9}, {"x": 40, "y": 20}])
        ),
    },
)
WILD_SHAPES: list[dict[str, Any]] = [
    {"margin": 10, "border": "constant"},
    {"margin": ["8192px", 0, 0.1, 1], "border": "replicate"},
    {"aspect": 50, "min_side": 8192, "border": "constant"},
    {"size": (300, 1)},
    {"upright": "long", "size": (100, 30)},
    {"upright": "corners", "margin": 3},
    {"align": {"template": "face"}},
    {"align": {"points": {"left_eye": [5, 5], "nose": [40, 20]}, "size": (64, 64)}},
    {"align": {"quad": [*NAMES], "size": (94, 24)}},
]


@settings(max_examples=200)
@given(st.lists(WILD_ROWS, min_size=1, max_size=3), st.sampled_from(WILD_SHAPES), st.booleans())
def test_no_row_in_any_shape_is_more_than_a_row(
    rows: list[Any], shape: dict[str, Any], cut_out: bool
) -> None:
    """Whatever it says: it has a crop that can be read, or one reason."""
    style = Style(("edge", "gate"), CropOptions(float(cut_out), **shape))
    payload = json.dumps({"frame_id": 7, "predictions": rows}).encode()
    grey = np.full((30, 40), 128, np.uint8)
    frame = Frame("7", YuvPixels(picture()[..., 0].copy(), grey, grey))
    parts = list(render(frame, inference.decode(payload), 0.0, style))
    assert [(part.unexpected, part.failed, part.encoding_failed) for part in parts] == [
        ([], 0, 0) for _ in parts
    ]
    assert parts[0].received == len(rows) == parts[0].made + parts[0].refused.total()
    for event in [event for part in parts for event in part.events if event.is_crop]:
        said = json.loads(event.metadata)
        assert decoded(event.data).shape[1::-1] == tuple(said["image"].values())
        assert lineage_of(said["lineage"]).transform.shape[1] == 3


def test_what_has_no_shape_is_said() -> None:
    """It is counted, and its neighbour is aligned."""
    options = CropOptions(align={"points": {"a": [8, 8], "b": [24, 8]}, "size": (32, 16)})
    joints = [{"x": 30, "y": 25, "class": "a"}, {"x": 30, "y": 33, "class": "b"}]
    style = Style(("edge", "gate"), options)
    (part,) = rendered({**BOX, "keypoints": joints}, BOX, style=style)
    assert (part.made, part.refused) == (1, {Reason.NO_SHAPE: 1})
    assert part.said["prediction_no_shape"].startswith("prediction 1 lacks the keypoints")
    found = json.loads(part.events[0].metadata)
    assert np.array(found["transform"]) == pytest.approx(np.array([[0, 2, -42], [-2, 0, 68]]))
    assert json.loads(part.events[-1].data)["refused"] == [{"index": 1, "reason": "no_shape"}]


def test_every_prediction_is_counted() -> None:
    """What was received is what was made and what was refused, each by its reason."""
    style = Style(("edge", "gate"), CropOptions(), max_predictions=6)
    outside = {**BOX, "x": 500}
    points = {**BOX, "points": [{"x": 1, "y": 1}]}
    rows = [BOX, 7, outside, {**BOX, "x": float("nan")}, points, BOX, BOX, BOX]
    (part,) = rendered(*rows, style=style)
    assert (part.received, part.made) == (8, 2)
    assert part.refused == {
        Reason.MALFORMED: 1,
        Reason.OUTSIDE_FRAME: 1,
        Reason.NOT_FINITE: 1,
        Reason.BAD_MASK: 1,
        Reason.OVER_LIMIT: 2,
    }
    assert part.received == part.made + part.refused.total()
    found = json.loads(part.events[-1].data)
    assert [entry["index"] for entry in found["refused"]] == [1, 2, 3, 4, 6, 7]
    assert len(found["predictions"]) == len(found["crops"]) == 2
    width, height = 80, 60
    assert part.said == {
        "prediction_malformed": "$.predictions[1]: a prediction is an object",
        "prediction_not_finite": "$.predictions[3]: a coordinate is not finite",
        "prediction_bad_mask": "$.predictions[4]: a polygon has 3 vertices or more",
        "prediction_outside_frame": f"prediction 2, from {corners(outside)}, has no pixel of the "
        f"frame's {width} x {height}",
    }


def corners(box: dict[str, Any]) -> str:
    """As they are said."""
    x, y, right, down = box["x"], box["y"], box["width"] / 2, box["height"] / 2
    return f"{x - right:g}, {y - down:g}, {x + right:g}, {y + down:g}"


def test_keys_that_move() -> None:
    """What is known to be a place is the crop's; what is not known is the frame's."""
    face = {
        **BOX,
        "landmarks": [{"x": BOX["x"], "y": BOX["y"]}],
        "bbox": [
            BOX["x"] - BOX["width"] / 2,
            BOX["y"] - BOX["height"] / 2,
            BOX["width"],
            BOX["height"],
        ],
        "keypoints": [{"x": None, "y": None}, {"x": BOX["x"], "y": BOX["y"]}],
        "gaze": {"x": 7, "y": 8},
        "score": float("nan"),
        "rect": "wide",
    }
    (part,) = rendered(face)
    found = json.loads(part.events[0].metadata)
    [row] = found["predictions"]
    x, y = BOX["x"] - found["origin"][0], BOX["y"] - found["origin"][1]
    assert row["landmarks"] == [{"x": x, "y": y}]
    assert row["keypoints"] == [{"x": None, "y": None}, {"x": x, "y": y}]
    assert row["bbox"][2:] == [BOX["width"], BOX["height"]]
    assert row["bbox"][0] == x - BOX["width"] / 2
    assert (row["gaze"], row["score"]) == ({"x": 7, "y": 8}, None)
    assert "rect" not in row
    assert "rect" in part.said["unread"]


def test_rows_that_are_refused_anywhere() -> None:
    """Whatever is refused, each crop has its own prediction."""
    names = [None, "b", None, "d"]
    rows = [7 if name is None else {**BOX, "x": 20 + 5 * i} for i, name in enumerate(names)]
    (part,) = rendered(*rows)
    origins = [json.loads(event.metadata)["origin"] for event in part.events[:-1]]
    assert origins == [[15, 20], [25, 20]]
    assert [row["x"] for row in json.loads(part.events[-1].data)["predictions"]] == [25, 35]


def test_scaled_message() -> None:
    """A detector may have seen a smaller picture; crops come from the full one."""
    small = {"x": 15, "y": 12.5, "width": 10, "height": 5}
    style = Style(("edge", "gate"), CropOptions(), encoding="png")
    image = picture()
    payload = {"predictions": [small], "image": {"width": 40, "height": 30}}
    message = inference.decode(json.dumps(payload).encode())
    (part,) = render(frame_of(image), message, 0.0, style)
    assert np.array_equal(decoded(part.events[0].data), image[20:30, 20:40])


def test_background() -> None:
    """With an opacity, what lies outside the mask becomes the background colour."""
    style = Style(("edge", "gate"), CropOptions(1.0, "#102030"), encoding="png")
    mask = np.zeros((60, 80), np.uint8)
    mask[20:25, 20:40] = 1
    image = picture()
    (part,) = rendered({**BOX, "rle": Rle.of(mask).as_json()}, image=image, style=style)
    found = decoded(part.events[0].data)
    assert np.array_equal(found[:5], image[20:25, 20:40])
    assert (found[5:] == (0x30, 0x20, 0x10)).all()


def test_crops_that_cannot_be_encoded() -> None:
    """A crop too large for its encoding is counted; the frame and the others go on."""
    style = Style(("edge", "gate"), CropOptions(), encoding="webp")
    wide = {"x": 8500, "y": 2, "width": 17_000, "height": 4}
    narrow = {"x": 10, "y": 2, "width": 8, "height": 4}
    image = np.zeros((4, 17_000, 3), np.uint8)
    (part,) = rendered(wide, narrow, image=image, style=style)
    assert (part.received, part.made, part.encoding_failed) == (2, 2, 1)
    assert part.said["encoding_failed"].endswith("webp cannot hold an image of 17000 x 4")
    assert [event.is_crop for event in part.events] == [True, False]
    assert len(json.loads(part.events[-1].data)["crops"]) == 2


@pytest.mark.parametrize(("limit", "value"), [("PART_PIXELS", 10_000), ("PART_CROPS", 1)])
def test_parts(monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    """Large crops and many come in parts: they need not be in memory together, nor others wait."""
    module = sys.modules["streamcrop.stream.render"]
    monkeypatch.setattr(module, limit, value)
    image = picture((200, 100))
    box = {"x": 100, "y": 50, "width": 150, "height": 80}
    style = Style(("edge", "gate"), CropOptions(), encoding="png")
    parts = rendered(*[box] * 7, 7, image=image, style=style)
    assert len(parts) == 8
    assert [(part.received, part.made) for part in parts] == [(8, 7)] + [(0, 0)] * 7
    assert sum(event.is_crop for part in parts for event in part.events) == 7
    assert not parts[-1].events[-1].is_crop
    assert [part.last for part in parts] == [False] * 7 + [True]
    monkeypatch.undo()
    (whole,) = rendered(*[box] * 7, 7, image=image, style=STYLE)
    assert [part.refused.total() for part in parts] == [1] + [0] * 7
    assert json.loads(whole.events[-1].data) == json.loads(parts[-1].events[-1].data)


@pytest.mark.parametrize("limited", [True, False])
def test_limited(*, limited: bool) -> None:
    """Metadata is shortened only where it has to fit into a property."""
    (part,) = rendered({**BOX, "extra": "x" * 70_000}, limited=limited)
    found = json.loads(part.events[0].metadata)
    assert found.get("truncated", False) is limited
    assert (len(part.events[0].metadata) <= events.MAX_PROPERTY_BYTES) is limited


def test_the_same_twice() -> None:
    """A second rendering makes the same events, byte for byte."""
    rows = [BOX, {**BOX, "points": [{"x": 20, "y": 20}, {"x": 39, "y": 20}, {"x": 30, "y": 29}]}]
    assert rendered(*rows) == rendered(*rows)


def test_a_crop_of_a_crop() -> None:
    """The metadata of a crop is the message of the next node, which crops the crop."""
    keypoints = [{"x": 31, "y": 26}]
    (part,) = rendered({**BOX, "detection_id": "a", "keypoints": keypoints})
    crop = part.events[0]
    message = inference.decode(crop.metadata)
    assert message.frame_id == "gate/7/a"
    frame = Frame(message.frame_id, ArrayPixels(decoded(crop.data)))
    (again,) = render(frame, message, 0.0, Style(("next", "crops"), CropOptions()))
    found = json.loads(again.events[0].metadata)
    assert found["origin"] == [0, 0]
    assert found["predictions"] == json.loads(crop.metadata)["predictions"]
    assert found["id"] == "crops/gate/7/a/a"


def test_tap() -> None:
    """A tapped frame carries the ID to echo, and the size that the detector sees."""
    image = cv2.blur(picture(), (15, 15))
    frame = frame_of(image, pts=5, time_base=Fraction(1, 25), captured_at=1)
    event = render_tap(frame, ("edge", "gate"), None, 95)
    assert (event.topic, event.content_type) == ("streamcrop/gate/frames", "image/jpeg")
    assert event.attributes == {
        "specversion": "1.0",
        "type": "streamcrop.frame.v1",
        "source": "/streamcrop/edge/gate",
        "id": "gate/7",
        "subject": "7",
        "time": "1970-01-01T00:00:00.000001Z",
    }
    assert json.loads(event.metadata) == {
        "stream": "gate",
        "frame_id": "7",
        "pts": 5,
        "time_base": "1/25",
        "captured_at": "1970-01-01T00:00:00.000001Z",
        "image": {"width": 80, "height": 60},
    }
    assert np.abs(decoded(event.data).astype(int) - image).mean() < 4
    assert not event.is_crop


@pytest.mark.parametrize(("longest", "wh"), [(40, (40, 30)), (80, (80, 60)), (640, (80, 60))])
def test_tap_is_made_smaller(longest: int, wh: tuple[int, int]) -> None:
    """A frame larger than asked for is shrunk, a smaller one is left."""
    event = render_tap(frame_of(picture()), ("edge", "gate"), longest, 80)
    assert decoded(event.data).shape[1::-1] == wh
    assert json.loads(event.metadata)["image"] == {"width": wh[0], "height": wh[1]}


def test_tap_quality() -> None:
    """The quality is that of the JPEG."""
    low, high = (render_tap(frame_of(picture()), ("e", "g"), None, q) for q in (10, 90))
    assert len(low.data) < len(high.data)


@pytest.mark.parametrize(("frame_id", "expected"), [("7", "7"), (None, "0")])
def test_metadata_of(frame_id: str | None, expected: str) -> None:
    """An image and a message give the metadata that the node would send."""
    fields = {} if frame_id is None else {"frame_id": frame_id}
    row = {**BOX, "detection_id": "a"}
    message = json.dumps({**fields, "predictions": [row, 7]}).encode()
    (text,) = metadata_of(picture(), message, STYLE)
    found = json.loads(text)
    assert (found["id"], found["origin"]) == (f"gate/{expected}/a", [20, 20])
    assert found["predictions"][0]["x"] == 10
    with pytest.raises(FormatError):
        list(metadata_of(picture(), b"", STYLE))


def test_pixels_of_one_message() -> None:
    """A box that asks for more than is left is refused, and smaller ones behind it are cut."""
    style = Style(("edge", "gate"), CropOptions(), limits=Limits(crop_pixels=80 * 60 + 2 * 200))
    whole = {"x": 40, "y": 30, "width": 80, "height": 60}
    [part] = rendered(BOX, whole, whole, BOX, BOX, style=style)
    assert part.refused == {Reason.OVER_LIMIT: 2}
    assert part.made == len(part.events) - 1 == 3
    said = "prediction 2: 9,800 pixels to cut out for one message are more than limits.crop_pixels"
    assert part.said["prediction_crop_pixels"].startswith(said)
    assert json.loads(part.events[-1].data)["refused"] == [
        {"index": 2, "reason": "over_limit"},
        {"index": 4, "reason": "over_limit"},
    ]


def outline_of(count: int) -> list[dict[str, int]]:
    """Random vertices."""
    places = np.random.default_rng(count).integers(0, (80, 60), (count, 2)).tolist()
    return [{"x": x, "y": y} for x, y in places]


@pytest.mark.parametrize("opacity", [0.0, 1.0])
def test_an_outline_is_drawn_within_the_bound(opacity: float) -> None:
    """Where nobody needs it, it costs nothing; else its lines count."""
    limits = Limits(crop_pixels=30_000)
    style = Style(("edge", "gate"), CropOptions(opacity), limits=limits)
    [part] = rendered(*[{**BOX, "points": outline_of(30)}] * 2, style=style)
    assert part.refused == ({Reason.OVER_LIMIT: 1} if opacity else {})


@pytest.mark.parametrize(("bound", "key"), [(10**8, "rle"), (30_000, "mask_omitted")])
def test_an_outline_that_is_too_long_to_be_said(bound: int, key: str) -> None:
    """It is drawn to be said as run lengths, within the bound; else it is left out."""
    style = Style(("edge", "gate"), CropOptions(), limits=Limits(crop_pixels=bound))
    [part] = rendered({**BOX, "points": outline_of(6000)}, style=style)
    metadata = json.loads(part.events[0].metadata)
    assert key in {**metadata, **metadata["predictions"][0]}
    assert "points" not in metadata["predictions"][0]
    assert len(part.events[0].metadata) < 65_536


def test_run_lengths_that_cannot_fit_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have a character each, at least."""
    monkeypatch.setattr(Rle, "of", lambda mask: pytest.fail(f"made of {mask.shape}"))
    wild = {"x": 1200, "y": 900, "width": 2400, "height": 1800}
    places = np.random.default_rng(1).integers(0, (2400, 1800), (4000, 2)).tolist()
    row = {**wild, "points": [{"x": x, "y": y} for x, y in places]}
    part, _ = rendered(row, image=picture((2400, 1800)))
    assert json.loads(part.events[0].metadata)["mask_omitted"]


def test_rows_beyond_the_limit_are_counted_not_listed() -> None:
    """There may be a hundred thousand of them: the first thousand are named."""
    style = Style(("edge", "gate"), CropOptions(), max_predictions=2)
    [part] = rendered(*[BOX] * 1502, style=style)
    assert (part.received, part.made, part.refused) == (1502, 2, {Reason.OVER_LIMIT: 1500})
    found = json.loads(part.events[-1].data)
    assert [each["index"] for each in found["refused"]] == [*range(2, 1002)]
    assert found["refused_omitted"] == 500
