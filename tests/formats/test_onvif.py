"""ONVIF scene descriptions, in JSON and XML, in pixels of a frame of 1920 x 1080."""

import copy
import json
from typing import Any

import numpy as np
import pytest

from streamcrop.core.masks import Polygon
from streamcrop.core.values import Predictions
from streamcrop.errors import FormatError
from streamcrop.formats.onvif import decode, predictions

# 2021-10-05T15:13:27.321Z
TIME = 1_633_446_807_321_000
STAMP = "2021-10-05T15:13:27.321"
# Pixels of 640 x 480 with the y axis upwards.
VGA = {"Translate": {"@x": -1.0, "@y": -1.0}, "Scale": {"@x": 0.003125, "@y": 0.00416667}}
HUMAN: dict[str, Any] = {
    "@ObjectId": 15,
    "Appearance": {
        "Shape": {
            "BoundingBox": {"@left": 20.0, "@top": 80.0, "@right": 100.0, "@bottom": 30.0},
            "CenterOfGravity": {"@x": 60.0, "@y": 50.0},
            "Polygon": [
                {"@x": 20.0, "@y": 30.0},
                {"@x": 100.0, "@y": 30.0},
                {"@x": 60.0, "@y": 80.0},
            ],
        },
        "Color": {"ColorCluster": [{"Weight": 0.9, "acme:ColorName": "White"}]},
        "Class": {"Type": [{"@Likelihood": 0.8, "#text": "Human"}]},
    },
}
# In 640 x 480 with y downwards: x 20 to 100, y 400 to 450; three times and 2.25 times that.
HUMAN_XYXY = [60, 900, 300, 1012.5]
XML = f"""<?xml version="1.0" encoding="UTF-8"?>
<tt:MetadataStream xmlns:tt="http://www.onvif.org/ver10/schema" xmlns:acme="urn:acme">
  <tt:VideoAnalytics>
    <tt:Frame UtcTime="{STAMP}" Source="MyClassifier">
      <tt:Transformation>
        <tt:Translate x="-1.0" y="-1.0"/>
        <tt:Scale x="0.003125" y="0.00416667"/>
      </tt:Transformation>
      <tt:Object ObjectId="15">
        <tt:Appearance>
          <tt:Shape>
            <tt:BoundingBox left="20.0" top="80.0" right="100.0" bottom="30.0"/>
            <tt:CenterOfGravity x="60.0" y="50.0"/>
            <tt:Polygon>
              <tt:Point x="20.0" y="30.0"/>
              <tt:Point x="100.0" y="30.0"/>
              <tt:Point x="60.0" y="80.0"/>
            </tt:Polygon>
          </tt:Shape>
          <tt:Class><tt:Type Likelihood="0.8">Human</tt:Type></tt:Class>
        </tt:Appearance>
      </tt:Object>
    </tt:Frame>
  </tt:VideoAnalytics>
</tt:MetadataStream>"""


def frame(*objects: object, **fields: Any) -> bytes:
    """A message with one frame."""
    found = {"@UtcTime": STAMP, "@Source": "MyClassifier", "Object": list(objects), **fields}
    return json.dumps({"Frame": [found]}).encode()


def at(left: object, top: object, right: object, bottom: object, **appearance: Any) -> Any:
    """An object in the coordinates of its frame."""
    box = {"@left": left, "@top": top, "@right": right, "@bottom": bottom}
    return {"@ObjectId": 1, "Appearance": {"Shape": {"BoundingBox": box}, **appearance}}


def human(change: str, value: object) -> Any:
    """The object above with another value at a path of its appearance."""
    found = copy.deepcopy(HUMAN)
    *path, last = change.split("/")
    place = found["Appearance"]
    for key in path:
        place = place[key]
    place[last] = value
    return found


def read(payload: bytes, *, limit: int = 1000) -> Predictions:
    """Both steps of reading a message."""
    return predictions(decode(payload), (1920, 1080), name="gate/7", limit=limit)


def xyxy(*objects: object, **fields: Any) -> list[list[float]]:
    """The boxes of a frame's objects."""
    found = read(frame(*objects, **fields))
    assert not found.instances.refused
    return found.instances.xyxy.tolist()


def test_json() -> None:
    """The specification's example: pixels with y upwards become pixels of the frame."""
    payload = frame(HUMAN, Transformation=VGA)
    message = decode(payload)
    assert (message.captured_at, message.frame_id, message.pts) == (TIME, None, None)
    found = read(payload)
    assert np.allclose(found.instances.xyxy, [HUMAN_XYXY], atol=0.01)
    [row] = found.rows
    assert row["detection_id"] == found.instances.detection_id[0]
    assert (row["class"], row["confidence"], row["tracker_id"]) == ("Human", 0.8, 15)
    place = [row[key] for key in ("x", "y", "width", "height")]
    assert np.allclose(place, [180, 956.25, 240, 112.5], atol=0.01)
    points = [[point["x"], point["y"]] for point in row["points"]]
    assert np.allclose(points, [[60, 1012.5], [300, 1012.5], [180, 900]], atol=0.01)
    assert row["onvif"] == {
        "@ObjectId": 15,
        "Appearance": {key: HUMAN["Appearance"][key] for key in ("Color", "Class")},
    }
    [mask] = found.instances.masks
    assert isinstance(mask, Polygon)


@pytest.mark.parametrize("head", ["", "\ufeff", "\n \t"])
def test_xml(head: str) -> None:
    """The same in XML."""
    text = XML if "\ufeff" in head or not head else head + XML.partition("?>")[2]
    payload = (head.strip() + text).encode()
    assert decode(payload).captured_at == TIME
    found, same = read(payload), read(frame(HUMAN, Transformation=VGA))
    assert np.array_equal(found.instances.xyxy, same.instances.xyxy)
    assert found.instances.detection_id == same.instances.detection_id
    [row], [expected] = found.rows, same.rows
    assert row["points"] == expected["points"]
    assert (row["class"], row["confidence"], row["tracker_id"]) == ("Human", 0.8, "15")


def test_xml_of_a_frame_alone() -> None:
    """A frame may be the whole document."""
    text = f'<Frame xmlns="http://www.onvif.org/ver10/schema" UtcTime="{STAMP}Z"/>'
    assert decode(text.encode()).captured_at == TIME
    assert read(text.encode()).rows == []


def test_numbers_as_text() -> None:
    """In JSON, too, quotes may stand around numbers."""
    text = json.loads(json.dumps(HUMAN), parse_float=str, parse_int=str)
    scale = json.loads(json.dumps(VGA), parse_float=str)
    found = read(frame(text, Transformation=scale))
    assert np.allclose(found.instances.xyxy, [HUMAN_XYXY], atol=0.01)
    assert (found.rows[0]["confidence"], found.rows[0]["tracker_id"]) == (0.8, "15")


# Coordinates


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-1, 1, 1, -1), [0, 0, 1920, 1080]),
        ((-1, 1, 0, 0), [0, 0, 960, 540]),
        ((0, 0, 1, -1), [960, 540, 1920, 1080]),
        ((-0.5, 0.5, 0.5, 0.25), [480, 270, 1440, 405]),
        ((-2, 0, -0.5, -1.5), [-960, 540, 480, 1350]),
        ((0, 0, 0, 0), [960, 540, 960, 540]),
    ],
)
def test_normalised_coordinates(box: tuple[float, ...], expected: list[float]) -> None:
    """Without a transformation the picture is from -1 to 1, y upwards; nothing is clipped."""
    for none in ({}, {"Transformation": None}, {"Transformation": {"Scale": None}}):
        assert xyxy(at(*box), **none) == [expected]


@pytest.mark.parametrize(
    ("transformation", "box", "expected"),
    [
        # Pixels of 192 x 108 with y downwards: top is the smaller number, but not the lower edge.
        (
            {"Translate": {"@x": -1, "@y": 1}, "Scale": {"@x": 2 / 192, "@y": -2 / 108}},
            (10, 20, 30, 50),
            [100, 200, 300, 500],
        ),
        # From 0 to 1, y upwards.
        (
            {"Translate": {"@x": -1, "@y": -1}, "Scale": {"@x": 2, "@y": 2}},
            (0.5, 1, 1, 0.5),
            [960, 0, 1920, 540],
        ),
        ({"Translate": {"@x": 0.5, "@y": -0.5}}, (0, 0, 0.5, -0.5), [1440, 810, 1920, 1080]),
        ({"Translate": {"@x": 0.5}}, (0, 0, 0.5, -0.5), [1440, 540, 1920, 810]),
        ({"Scale": {"@x": 0.5, "@y": 0.25}}, (-1, 1, 1, -1), [480, 405, 1440, 675]),
        ({"Scale": {"@y": 0.5}}, (-1, 1, 1, -1), [0, 270, 1920, 810]),
    ],
)
def test_transformation_of_the_frame(
    transformation: Any, box: tuple[float, ...], expected: list[float]
) -> None:
    """A point is scaled, then moved; what is missing is 1 and 0."""
    [found] = xyxy(at(*box), Transformation=transformation)
    assert found == pytest.approx(expected)


def test_transformations_of_frame_and_object() -> None:
    """An object's own coordinates lie within those of its frame; its neighbour's do not."""
    outer = {"Translate": {"@x": -1, "@y": -1}, "Scale": {"@x": 2, "@y": 2}}
    inner = {"Translate": {"@x": 0.25, "@y": 0.5}, "Scale": {"@x": 0.5, "@y": 0.25}}
    # (0, 1) to (1, 0) is (0.25, 0.75) to (0.75, 0.5) of the frame, where y is upwards.
    first = at(0, 1, 1, 0, Transformation=inner)
    found = xyxy(first, at(0, 1, 1, 0), Transformation=outer)
    assert found == [[480, 270, 1440, 540], [0, 0, 1920, 1080]]


@pytest.mark.parametrize(
    "box", [(0, 0.2, 0.5, 0.6), (0.5, 0.6, 0, 0.2), (0.299, 0.2667, 0.415, 0.4911)]
)
def test_edges_the_wrong_way_round(box: tuple[float, ...]) -> None:
    """A camera that means y downwards without saying so would have the wrong place cropped."""
    good = at(0, 0, 0.5, -0.5)
    found = read(frame(good, at(*box), good))
    assert found.instances.refused == {1: "malformed"}


# Parts


@pytest.mark.parametrize("fields", [{}, {"Object": None}, {"Object": []}])
def test_no_objects(fields: dict[str, Any]) -> None:
    """A frame in which nothing was found is an answer."""
    payload = json.dumps({"Frame": [{"@UtcTime": STAMP, **fields}]}).encode()
    assert read(payload).rows == []


def test_one_thing_need_not_be_a_list() -> None:
    """Where JSON was made from XML, one of what could be several stands alone."""
    one = human("Class", {"Type": {"@Likelihood": 0.8, "#text": "Human"}})
    payload = json.dumps({"Frame": {"@UtcTime": STAMP, "Object": one, "Transformation": VGA}})
    found, same = read(payload.encode()), read(frame(HUMAN, Transformation=VGA))
    assert np.array_equal(found.instances.xyxy, same.instances.xyxy)
    assert found.rows[0]["class"] == "Human"


@pytest.mark.parametrize(
    "value",
    [
        {"@ObjectId": 3},
        {"@ObjectId": 3, "Appearance": None},
        {"@ObjectId": 3, "Appearance": {"Class": {"Type": "Human"}}},
        {"@ObjectId": 3, "Appearance": {"Shape": None}},
        {"@ObjectId": 3, "Behaviour": {"Speed": 120.5}},
    ],
)
def test_an_object_that_is_not_visible(value: object) -> None:
    """It may come without a shape: there is nothing in the picture to be cut."""
    assert read(frame(value, HUMAN)).instances.refused == {0: "outside_frame"}


CLASSES: list[tuple[Any, tuple[str | None, float | None]]] = [
    (None, (None, None)),
    ({}, (None, None)),
    ({"Type": None}, (None, None)),
    ({"Type": "Human"}, ("Human", None)),
    ({"Type": [{"#text": "Human"}]}, ("Human", None)),
    ({"Type": [{"#text": "Car", "@Likelihood": 0.75}, "Vehicle"]}, ("Vehicle", None)),
    (
        {
            "Type": [
                {"#text": "Truck", "@Likelihood": 0.3},
                {"#text": "Vehicle", "@Likelihood": 0.8},
                {"#text": "Car", "@Likelihood": "0.75"},
            ]
        },
        ("Vehicle", 0.8),
    ),
    ({"Type": [{"#text": f"{n}", "@Likelihood": 0.5} for n in "ab"]}, ("a", 0.5)),
    ({"ClassCandidate": {"Type": "Human", "Likelihood": 0.9}}, ("Human", 0.9)),
    (
        {
            "ClassCandidate": [
                {"Type": "Animal", "Likelihood": 0.1},
                {"Type": "Human", "Likelihood": 0.6},
            ],
            "Type": [{"#text": "Person", "@Likelihood": 0.4}],
        },
        ("Human", 0.6),
    ),
]


@pytest.mark.parametrize(("value", "expected"), CLASSES, ids=range(len(CLASSES)))
def test_class(value: object, expected: tuple[str | None, float | None]) -> None:
    """The likeliest class counts, in the newer form and in the older."""
    [row] = read(frame(human("Class", value))).rows
    assert (row.get("class"), row.get("confidence")) == expected
    assert ("class" in row, "confidence" in row) == tuple(part is not None for part in expected)


@pytest.mark.parametrize("key", ["Point", None])
def test_polygon(key: str | None) -> None:
    """Vertices stand in a list, or under `Point` as in XML."""
    points = [{"@x": 0, "@y": 0}, {"@x": 1, "@y": 0}, {"@x": "1", "@y": -1}]
    found = read(frame(human("Shape/Polygon", {key: points} if key else points)))
    vertices = [(point["x"], point["y"]) for point in found.rows[0]["points"]]
    assert vertices == [(960, 540), (1920, 540), (1920, 1080)]


@pytest.mark.parametrize("value", [None, [], {"Point": None}, {"Point": []}])
def test_no_polygon(value: object) -> None:
    """An object without one has no mask."""
    found = read(frame(human("Shape/Polygon", value)))
    assert "points" not in found.rows[0]
    assert found.instances.masks == ()


TRIANGLE = {"Point": [{"@x": 0, "@y": 0}, {"@x": 1, "@y": 0}, {"@x": 1, "@y": -1}]}
NAN, INF = float("nan"), float("inf")
BAD: list[tuple[Any, str]] = [
    (None, "malformed"),
    (7, "malformed"),
    ([], "malformed"),
    (human("Shape", []), "malformed"),
    (human("Shape", {}), "malformed"),
    (human("Shape/BoundingBox", None), "malformed"),
    (human("Shape/BoundingBox", {"@left": 0, "@top": 0, "@right": 0}), "malformed"),
    (at("left", 0, 1, -1), "malformed"),
    (at(True, 0, 1, -1), "malformed"),
    (at(0, None, 1, -1), "malformed"),
    (at("", 0, 1, -1), "malformed"),
    (at("1e400", 0, 1, -1), "malformed"),
    (at(NAN, 0, 1, -1), "not_finite"),
    (at("nan", 0, 1, -1), "not_finite"),
    (at(0, INF, 1, -1), "not_finite"),
    (at(-1e308, 0, 1e308, -1), "not_finite"),
    (at(0, 0, "5000 digits", -1), "not_finite"),
    (at(0, 0, 1, -1, Transformation=[]), "malformed"),
    (at(0, 0, 1, -1, Transformation={"Scale": 2}), "malformed"),
    (at(0, 0, 1, -1, Transformation={"Scale": {"@x": "x"}}), "malformed"),
    (at(0, 0, 1, -1, Transformation={"Translate": {"@x": NAN}}), "not_finite"),
    (at(0, 0, 1, -1, Transformation={"Scale": {"@x": 1e308, "@y": 1e308}}), "not_finite"),
    (human("Shape/Polygon", 7), "bad_mask"),
    (human("Shape/Polygon", {"Points": []}), "bad_mask"),
    (human("Shape/Polygon", {"Point": [{"@x": 1}]}), "bad_mask"),
    (human("Shape/Polygon", TRIANGLE["Point"][:2]), "bad_mask"),
    (human("Shape/Polygon", TRIANGLE["Point"][0]), "bad_mask"),
    (human("Shape/Polygon", [TRIANGLE, TRIANGLE]), "bad_mask"),
    (human("Shape/Polygon", [*TRIANGLE["Point"], {"@x": NAN, "@y": 0}]), "not_finite"),
]


@pytest.mark.parametrize(("value", "reason"), BAD, ids=range(len(BAD)))
def test_a_bad_object_costs_itself_only(value: object, reason: str) -> None:
    """What is wrong with one object is counted; its neighbours are cut."""
    good = at(-1, 1, 0, 0)
    payload = frame(good, value, good).replace(b'"5000 digits"', b"1" * 5000)
    found = read(payload)
    assert found.instances.refused == {1: reason}
    assert found.instances.xyxy[[0, 2]].tolist() == [[0, 0, 960, 540]] * 2


UNNEEDED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (human("Class/Type", "a\ud800"), {"class": "a\ufffd"}),
    (human("Transformation", {}), {}),
    (human("Transformation", {"Scale": None, "Translate": {"@x": None}}), {}),
    (human("Transformation", {"Scale": {"@x": None, "@y": "1"}}), {}),
    (human("Class", None), {"class": None, "confidence": None}),
    (human("Class", "Human"), {"class": None, "confidence": None}),
    (human("Class/Type", 7), {"class": None, "confidence": None}),
    (human("Class/Type", [None]), {"class": None, "confidence": None}),
    (human("Class/Type", [{"@Likelihood": 0.8}]), {"class": None, "confidence": None}),
    (
        human("Class/Type", [{"#text": "a", "@Likelihood": "much"}]),
        {"class": "a", "confidence": None},
    ),
    (human("Class/Type", [{"#text": "a", "@Likelihood": NAN}]), {"class": "a", "confidence": None}),
    (
        human(
            "Class/Type", [{"#text": "a", "@Likelihood": []}, {"#text": "b", "@Likelihood": 0.1}]
        ),
        {"class": "b", "confidence": 0.1},
    ),
    (human("Class/Type", ["a", {"#text": "b", "@Likelihood": 0.9}]), {"class": "a"}),
    (human("Class/ClassCandidate", [{"Likelihood": 0.8}]), {"class": "Human", "confidence": 0.8}),
    ({**HUMAN, "@ObjectId": {}}, {"tracker_id": None}),
    ({**HUMAN, "@ObjectId": None}, {"tracker_id": None}),
]


@pytest.mark.parametrize(("value", "expected"), UNNEEDED, ids=range(len(UNNEEDED)))
def test_what_nobody_needs_costs_nothing(value: object, expected: dict[str, Any]) -> None:
    """What is null, or of another kind than it should be, is not known; the shape is."""
    found = read(frame(value))
    assert not found.instances.refused
    assert {key: found.rows[0].get(key) for key in expected} == expected


def test_half_of_a_vector() -> None:
    """Of a transformation null is not said: the other half counts."""
    half = at(-1, 1, 1, -1, Transformation={"Scale": {"@x": 0.5, "@y": None}})
    other = at(-1, 1, 1, -1, Transformation={"Translate": {"@x": None, "@y": 1}})
    found = read(frame(half, other)).instances.xyxy / [1920, 1080, 1920, 1080]
    assert found.tolist() == [[0.25, 0, 0.75, 1], [0, -0.5, 1, 0.5]]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "iso-8859-1"])
def test_xml_of_another_encoding(encoding: str) -> None:
    """A document says its encoding itself; it is seen that it is no JSON."""
    said = encoding[:6] if encoding.startswith("utf") else encoding
    text = f'<?xml version="1.0" encoding="{said}"?><Frame UtcTime="2026-11-22T10:00:00Z" a="ü"/>'
    assert decode(text.encode(encoding)).captured_at == 1_795_341_600_000_000


def test_what_is_not_finite_is_null() -> None:
    """JSON that goes out has no NaN."""
    [row] = read(frame(human("Color", INF))).rows
    assert row["onvif"]["Appearance"]["Color"] is None


def test_a_picture_in_the_message_is_not_passed_on() -> None:
    """What a camera attaches to an object would be larger than all else."""
    [row] = read(frame(human("Image", "/9j/4AAQ"))).rows
    assert "Image" not in row["onvif"]["Appearance"]


ONE = {"@UtcTime": STAMP}
BROKEN: list[bytes] = [b"", b"{", b"<", b"null", b"7", b"[]", b"{}", b"<Frame/>", b"\xff\xd8\xff"]
BROKEN += [json.dumps({"Frame": value}).encode() for value in (None, [], 7, "x", {}, [7], [[ONE]])]
BROKEN += [json.dumps([ONE]).encode(), json.dumps(ONE).encode(), frame() + b"x"]
BROKEN += [json.dumps({"UtcTime": STAMP + "Z", "Source": {}, "Data": {"ObjectId": "15"}}).encode()]
BROKEN += [frame(**{"@UtcTime": value}) for value in (None, 1_633_446_807_000, "", "now", NAN)]
BROKEN += [frame(Transformation=value) for value in (7, [], {"Scale": 2})]
BROKEN += [frame(Transformation={"Translate": {"@x": "left"}})]
BROKEN += [XML.replace("tt:Frame", "tt:Picture").encode(), XML.encode()[:-9]]
BROKEN += [XML.replace("UtcTime", "Time").encode(), XML.encode() + XML.encode()]
BROKEN += [b"<MetadataStream><VideoAnalytics/><VideoAnalytics/></MetadataStream>"]
BROKEN += [b"<MetadataStream><Event/></MetadataStream>", b"<MetadataStream/>"]


@pytest.mark.parametrize("payload", BROKEN, ids=range(len(BROKEN)))
def test_no_frame(payload: bytes) -> None:
    """What holds no frame is `malformed`, in few words; events are none."""
    with pytest.raises(FormatError) as info:
        decode(payload)
    assert info.value.reason == "malformed"
    assert len(str(info.value)) < 300


def test_several_frames() -> None:
    """A message is answered by the crops of one frame; it cannot speak of two."""
    two = json.dumps({"Frame": [ONE, ONE]}).encode()
    again = XML.replace("</tt:Frame>", f'</tt:Frame><tt:Frame UtcTime="{STAMP}"/>').encode()
    for payload in (two, again):
        with pytest.raises(FormatError, match="a message speaks of one frame, not of 2"):
            decode(payload)


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"Frame":', '{"MetadataStream":'])
@pytest.mark.parametrize("depth", [900, 20_000, 300_000])
def test_deep_nesting(opening: str, depth: int) -> None:
    """Nesting that could not be read everywhere is `malformed`."""
    nested = opening * depth + "1" + ("]" if opening == "[" else "}") * depth
    for payload in (nested, f'{{"Frame":[{{"@UtcTime":"{STAMP}","Object":[{nested}]}}]}}'):
        with pytest.raises(FormatError):
            decode(payload.encode())


def test_many_objects() -> None:
    """Only so many are read as are wanted; the others are counted."""
    found = read(frame(*[HUMAN] * 500, *[at(0, 0, 1, -1)] * 500), limit=100)
    assert (len(found.rows), found.over_limit, dict(found.instances.refused)) == (100, 900, {})
    objects = XML.partition("<tt:Object ")[2].partition("</tt:Object>")[0]
    text = f"<tt:Object {objects}</tt:Object>"
    found = read(XML.replace(text, text * 1_000).encode(), limit=100)
    assert (len(found.rows), found.over_limit, dict(found.instances.refused)) == (100, 900, {})
