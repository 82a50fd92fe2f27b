"""`streamcrop.formats.rows`: what a message found, in pixels of the frame."""

import json
import string
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from predicted import BOX, FULL, SQUARE, encoded, read, region

from streamcrop.core.values import Message, Predictions, Reason
from streamcrop.errors import FormatError
from streamcrop.formats.coordinates import Point, moved
from streamcrop.formats.inference import decode, predictions
from streamcrop.formats.rows import read_row


def refusal(payload: bytes) -> str:
    """The reason for which a message is refused."""
    with pytest.raises(FormatError) as info:
        decode(payload)
    return info.value.reason


# Rows


def deeper(frames: int, call: Callable[[], Any]) -> Any:
    """Call under a deeper stack."""
    return call() if frames == 0 else deeper(frames - 1, call)


@pytest.mark.parametrize("nan", ["", '"b": NaN, '])
def test_nesting_that_is_read_can_be_read_again(nan: str) -> None:
    """Rows are read in a thread of another stack depth, and written: what passed must not fail."""
    passed = 0
    for depth in (10, 61, 62, 63, 1000):
        row = f'{{{nan}"a": {"[" * depth}{"]" * depth}}}'
        try:
            message = decode(f'{{"predictions": [{row}, {json.dumps(BOX)}]}}'.encode())
        except FormatError:
            assert depth > 61
            continue
        passed += 1

        def again(message: Message = message) -> Predictions:
            return predictions(message, (20, 10), name="gate/1", limit=9)

        found = deeper(150, again)
        assert set(found.instances.refused) == {0}
        deeper(150, lambda rows=found.rows: json.dumps(rows))
    assert passed


def test_no_predictions() -> None:
    """Nothing found is an answer."""
    found = read(encoded())
    assert (found.rows, found.over_limit, found.instances.masks) == ([], 0, ())
    assert found.instances.xyxy.shape == (0, 4)
    assert read(encoded(score=float("nan"))).rows == []


def test_box_by_its_centre() -> None:
    """A box is given by its centre; it is neither rounded nor clipped."""
    found = read(encoded(BOX, {"x": -3.5, "y": 100, "width": 1, "height": 0.5}))
    assert found.instances.xyxy.tolist() == [[4, 2, 6, 6], [-4, 99.75, -3, 100.25]]
    assert not found.instances.refused
    assert found.instances.masks == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NaN", "malformed"),
        ("7", "malformed"),
        ("null", "malformed"),
        ("[]", "malformed"),
        ('"x"', "malformed"),
        ("{}", "malformed"),
        ('{"x":1,"y":1,"width":1}', "malformed"),
        ('{"x":"one","y":1,"width":1,"height":1}', "malformed"),
        ('{"x":"","y":1,"width":1,"height":1}', "malformed"),
        ('{"x":"nan","y":1,"width":1,"height":1}', "not_finite"),
        ('{"x":"1e400","y":1,"width":1,"height":1}', "malformed"),
        ('{"x":true,"y":1,"width":1,"height":1}', "malformed"),
        ('{"x":null,"y":1,"width":1,"height":1}', "malformed"),
        ('{"x":[1],"y":1,"width":1,"height":1}', "malformed"),
        ('{"x":NaN,"y":1,"width":1,"height":1}', "not_finite"),
        ('{"x":1,"y":Infinity,"width":1,"height":1}', "not_finite"),
        ('{"x":1,"y":1,"width":-Infinity,"height":1}', "not_finite"),
        ('{"x":1,"y":1,"width":1,"height":1e400}', "not_finite"),
        ('{"x":1,"y":1,"width":1,"height":-1e400}', "not_finite"),
        ('{"x":1e301,"y":1,"width":1,"height":1}', "not_finite"),
        ('{"x":1' + "0" * 4999 + ',"y":1,"width":1,"height":1}', "not_finite"),
        ('{"x":1,"y":1,"width":1,"height":1,"points":[{"x":NaN,"y":1}]}', "not_finite"),
        ('{"x":1,"y":1,"width":1,"height":1,"points":7}', "malformed"),
        ('{"x":1,"y":1,"width":1,"height":1,"points":[[1,2],[3,4],[5,6]]}', "malformed"),
        ('{"x":1,"y":1,"width":1,"height":1,"points":[{"x":1,"y":1}]}', "bad_mask"),
        ('{"x":1,"y":1,"width":1,"height":1,"points":[{"x":1,"y":1},{"x":2,"y":1}]}', "bad_mask"),
        ('{"x":1,"y":1,"width":1,"height":1,"points":"null"}', "malformed"),
        ('{"x":1,"y":1,"width":1,"height":1,"points":[null,null,null]}', "malformed"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_bad_row_costs_itself_only(text: str, reason: str, *, strict: bool) -> None:
    """A row that is wrong is refused with its reason; its neighbours are cut."""
    good = json.dumps(BOX)
    more = "" if strict else '"note": NaN, '
    found = read(f'{{"frame_id":1,{more}"predictions":[{good},{text},{good}]}}'.encode())
    assert found.instances.refused == {1: Reason(reason)}
    assert found.instances.xyxy[[0, 2]].tolist() == [[4, 2, 6, 6]] * 2
    assert len(found.instances.detection_id) == len(found.rows) == 3
    assert found.rows[1] == {}
    assert found.rows[0]["x"] == found.rows[2]["x"] == 5


FAR = '{"offset_x":1e301,"offset_y":1,"width":1,"height":1}'
UNNEEDED: list[tuple[str, dict[str, Any]]] = [
    ('"confidence": NaN', {"confidence": None}),
    ('"score": -Infinity, "n": 7', {"score": None, "n": 7}),
    ('"a": [{"b": 1e999, "c": ["NaN", 1.5]}]', {"a": [{"b": None, "c": ["NaN", 1.5]}]}),
    ('"score": 1' + "0" * 4999, {"score": None}),
    ('"class": null, "points": null, "rle": null, "keypoints": null, "box": null', {"class": None}),
    ('"keypoints": [{"x": 1}, {"x": 2, "y": 3}]', {"keypoints": [(None, None), (2, 3)]}),
    ('"keypoints": [{"x": NaN, "y": 3, "c": NaN}]', {"keypoints": [(None, None)]}),
    ('"keypoints": [{"x": 1, "y": 1e301}]', {"keypoints": [(None, None)]}),
    ('"landmarks": [{"x": "1.5", "y": 3}]', {"landmarks": [(1.5, 3)]}),
    ('"rect": [["1", 2]]', {"rect": [[1, 2]]}),
    ('"keypoints": 7', {}),
    ('"polygon": [[1, 2, 3]]', {}),
    ('"xyxyxyxy": [[-1e301, 2]]', {}),
    ('"parent_origin": []', {}),
    ('"parent_origin": {"offset_x": 1}', {}),
    ('"root_parent_origin": ' + FAR, {}),
]


@pytest.mark.parametrize(("more", "expected"), UNNEEDED, ids=range(len(UNNEEDED)))
@pytest.mark.parametrize("strict", [True, False])
def test_what_nobody_needs_costs_nothing(
    more: str, expected: dict[str, Any], *, strict: bool
) -> None:
    """What is not finite is null, joints keep their place, what cannot be moved is left out."""
    note = "" if strict else '"note": NaN, '
    row = json.dumps(BOX)[:-1] + ", " + more + "}"
    found = read(f'{{{note}"predictions": [{json.dumps(BOX)}, {row}]}}'.encode())
    assert not found.instances.refused
    assert found.instances.xyxy.tolist() == [[4, 2, 6, 6]] * 2
    got = found.rows[1]
    json.dumps(got, allow_nan=False)
    for key, value in expected.items():
        if key in {"keypoints", "landmarks"}:
            assert [(joint["x"], joint["y"]) for joint in got[key]] == value
        else:
            assert got[key] == value
    if not expected:
        key = more.split('"')[1]
        assert key not in got
        assert found.said == {
            "unread": f"$.predictions[1]: {key}: left out, since what it says could not be moved"
        }


def test_numbers_as_text() -> None:
    """A text that is a number is read as one, and is one in what goes out."""
    texts = {key: str(value) for key, value in BOX.items()}
    points = [{key: str(value) for key, value in point.items()} for point in SQUARE]
    for more in ({}, {"n": float("nan")}):
        found = read(encoded({**texts, "points": points, **more}, {**BOX, "points": SQUARE}))
        assert found.instances.xyxy.tolist() == [[4, 2, 6, 6]] * 2
        assert region(found, 0).sum() == region(found, 1).sum() == 25
        text, plain = found.rows
        assert {**text, **more} == {**plain, "detection_id": text["detection_id"], **more} or more
        assert text["points"] == SQUARE
        assert (text["x"], text["height"]) == (5, 4)
    mixed = read(encoded({**BOX, "points": [*SQUARE[:3], {"x": "1", "y": 5}]}))
    assert mixed.rows[0]["points"] == SQUARE


def test_reasons_in_words() -> None:
    """Of each kind the first is said, with the row and the place in it."""
    far = {**BOX, "rle": {"size": [1, 1], "counts": [1]}}
    found = read(encoded(BOX, {**BOX, "x": "left"}, 7, {**BOX, "y": float("nan")}, far, far))
    assert found.said == {
        "prediction_malformed": "Expected `float`, got `str` - at `$.predictions[1].x`",
        "prediction_not_finite": "$.predictions[3]: a coordinate is not finite",
        "prediction_bad_mask": "$.predictions[4]: an RLE of (1, 1) does not fit "
        "the message's image",
    }
    assert "missing required field `x`" in read(encoded({}, BOX)).said["prediction_malformed"]
    assert read(encoded(BOX)).said == {}
    strict = read(b'{"predictions": [{"class": "\xff"}]}')
    assert "missing required field `x`" in strict.said["prediction_malformed"]


RELATIVE = {"x": 0.5, "y": 0.5, "width": 0.5, "height": 1}


@pytest.mark.parametrize(
    ("rows", "image", "is_said"),
    [
        ([RELATIVE], None, True),
        ([RELATIVE, RELATIVE, {}], {"width": 20, "height": 10}, True),
        ([RELATIVE], {"width": 1, "height": 1}, False),
        ([RELATIVE, BOX], None, False),
        ([{**RELATIVE, "height": 1.5}], None, False),
        ([{}], None, False),
        ([], None, False),
    ],
)
def test_relative_coordinates_are_guessed_at(
    rows: list[object], image: object, *, is_said: bool
) -> None:
    """Boxes that are all below a pixel are cut as they are said, with a hint."""
    found = read(encoded(*rows, image=image))
    assert ("relative coordinates? say image 1 x 1" in found.said.get("tiny_boxes", "")) is is_said


def test_whole_rows_of_long_numbers() -> None:
    """A row that is no object but a number of any length is still one row."""
    found = read(b'{"predictions": [1e400, 1' + b"0" * 5000 + b", Infinity, %s]}" % b'{"x": 1}')
    assert set(found.instances.refused.values()) == {Reason.MALFORMED}


@pytest.mark.parametrize("note", ["1", "NaN"])
@pytest.mark.parametrize("digits", [310, 399, 400, 4300, 5000])
def test_coordinates_of_many_digits(digits: int, note: str) -> None:
    """A coordinate that no float holds costs its row, however long it is."""
    row = '{"x": 1%s, "y": 1, "width": 1, "height": 1}' % ("0" * (digits - 1))
    found = read(f'{{"note": {note}, "predictions": [{row}, {json.dumps(BOX)}]}}'.encode())
    assert set(found.instances.refused) == {0}


@pytest.mark.parametrize("note", [b"", b'"note": NaN, '])
def test_bytes_that_are_no_text(note: bytes) -> None:
    """A byte that is not UTF-8, or the half of a surrogate pair, costs itself only."""
    row = json.dumps(BOX).encode()[:-1]
    halves = row + rb', "class": "a\ud800", "\udfff": 1, "detection_id": "\ude00"}'
    rows = row + b', "class": "caf\xe9"}', halves, row + b"}"
    found = read(b'{%b"predictions": [%b]}' % (note, b",".join(rows)))
    assert not found.instances.refused
    assert [each.get("class") for each in found.rows] == ["caf\ufffd", "a\ufffd", BOX.get("class")]
    assert found.rows[1]["\ufffd"] == 1


def test_a_row_that_is_too_deep() -> None:
    """Where it cannot be written again it is refused, whoever hands it in."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(FormatError, match="recursion"):
        read_row({**BOX, "deep": deep})


@pytest.mark.parametrize("missing", ["null", '""', "NaN", "-Infinity", "1e400"])
def test_an_id_that_says_nothing_is_made(missing: str) -> None:
    """A detection whose ID is not said, or no number, gets one."""
    row = json.dumps(BOX)[:-1]
    text = f'{{"predictions": [{row}, "detection_id": {missing}}}, {row}}}]}}'
    found = read(text.encode())
    assert not found.instances.refused
    assert all(len(one) == 36 for one in found.instances.detection_id)


def test_long_integers_are_kept() -> None:
    """Integers that no float can hold are kept where they are no coordinates."""
    found = read(encoded({**BOX, "tracker_id": 2**70, "n": 10**390}))
    assert (found.rows[0]["tracker_id"], found.rows[0]["n"]) == (2**70, 10**390)


@pytest.mark.parametrize("count", [9_999, 10_001])
def test_limit(count: int) -> None:
    """The first rows are read, the rest is counted."""
    row = json.dumps(BOX)
    for tail in ("", ", NaN"):
        payload = f'{{"predictions": [{", ".join([row] * count)}{tail}]}}'.encode()
        found = read(payload, limit=10)
        assert len(found.rows) == len(found.instances) == 10
        assert found.over_limit == count + bool(tail) - 10
        assert not found.instances.refused


def test_limit_is_not_reached() -> None:
    """Exactly as many as the limit are all read."""
    assert read(encoded(BOX, BOX), limit=2).over_limit == 0
    assert read(encoded(BOX, BOX), limit=1).over_limit == 1


def test_places_that_are_relative_beside_a_box_in_pixels() -> None:
    """They are left out, and only they, whatever makes the row be looked at; it is said."""
    joints = [{"x": 0.5, "y": 0.4}]
    rows = [{**BOX, "keypoints": joints, "rect": [[4, 2], [6, 6]]}, {**BOX, "landmarks": joints}]
    for score in (0.5, float("nan")):
        found = read(encoded(*({**row, "score": score} for row in rows)))
        assert [row.keys() & {"keypoints", "rect", "landmarks"} for row in found.rows] == [
            {"rect"},
            set(),
        ]
        assert found.said["unread"].startswith("$.predictions[0]: keypoints: left out, since")


# What of a row's coordinates is looked at one by one.
MORE = [
    "segmentation",
    "segments",
    "bbox",
    "box",
    "xyxy",
    *(f"{c}{n}" for c in "xy" for n in "1234"),
]
number = st.floats(-1e5, 1e5) | st.integers(-100_000, 100_000)
pair = st.tuples(number, number).map(list)
point = st.fixed_dictionaries({"x": number, "y": number}, optional={"confidence": number})
origin_of = st.fixed_dictionaries(
    dict.fromkeys(("offset_x", "offset_y", "width", "height"), number)
)
moving_row = st.fixed_dictionaries(
    dict.fromkeys(("x", "y", "width", "height"), number),
    optional={
        "points": st.lists(point, max_size=4),
        "keypoints": st.lists(point, max_size=4),
        "polygon": st.lists(pair, max_size=4),
        "rect": st.lists(pair, max_size=4),
        "xyxyxyxy": st.lists(pair, max_size=4),
        "landmarks": st.lists(point, max_size=4),
        "parent_origin": origin_of,
        "root_parent_origin": origin_of,
        "class": st.text(max_size=4),
    },
)
keys = st.sampled_from([*FULL, *MORE, "rle", "rle_mask", "size", "counts"]) | st.text(max_size=2)
leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(string.printable)
json_value = st.recursive(
    leaf,
    lambda child: st.lists(child, max_size=4) | st.dictionaries(keys, child, max_size=4),
    max_leaves=8,
)
almost = st.builds(
    lambda row, more: {**row, **more}, moving_row, st.dictionaries(keys, json_value, max_size=3)
)
rle_like = st.fixed_dictionaries(
    {"size": st.lists(st.integers(0, 30), max_size=3), "counts": st.lists(number) | st.text()}
)
masked = st.builds(lambda row, rle: {**row, "rle": rle}, moving_row, rle_like | json_value)


@given(
    st.lists(moving_row | almost | masked | json_value, max_size=4) | json_value,
    st.fixed_dictionaries(
        {},
        optional={
            "frame_id": json_value,
            "image": json_value
            | st.fixed_dictionaries({"width": st.integers(1, 40), "height": st.integers(1, 40)}),
            "lineage": json_value,
        },
    ),
)
def test_nothing_but_format_errors(rows: object, fields: dict[str, Any]) -> None:
    """No value makes `decode` raise anything else, or `predictions` anything at all."""
    payload = json.dumps({**fields, "predictions": rows}).encode()
    try:
        message = decode(payload)
    except FormatError:
        return
    found = predictions(message, (20, 10), name="gate/1", limit=3)
    assert isinstance(rows, list)
    assert len(found.rows) + found.over_limit == len(rows)
    kept = [row for at, row in enumerate(found.rows) if at not in found.instances.refused]
    json.dumps(msgspec.to_builtins(kept), allow_nan=False)
    for at, mask in enumerate(found.instances.masks):
        if mask is not None and at not in found.instances.refused:
            assert mask.region((2, 1, 12, 9), (20, 10)).shape == (8, 10)


@given(st.lists(moving_row | almost | masked, max_size=4))
def test_at_once_and_one_by_one(rows: list[dict[str, Any]]) -> None:
    """Rows are read the same whether all are right or one behind them is wrong."""
    alone, beside = read(encoded(*rows)), read(encoded(*rows, 7))
    # Where all are right vertices stay what they were read as.
    assert msgspec.to_builtins(beside.rows) == [*msgspec.to_builtins(alone.rows), {}]
    assert beside.instances.detection_id == [*alone.instances.detection_id, ""]
    assert beside.instances.xyxy[:-1].tolist() == alone.instances.xyxy.tolist()
    assert beside.instances.refused == {**alone.instances.refused, len(rows): Reason.MALFORMED}


VERTICES = '[{"x":1,"y":2.5},{"x":4.0,"y":-0.0},{"x":12345678901,"y":6}]'


@pytest.mark.parametrize(
    ("points", "is_typed"),
    [
        (VERTICES, True),
        (VERTICES.replace("[{", " [ {  ").replace(":", " : "), True),
        ('[{"x":1,"x":7,"y":2},{"x":4,"y":2},{"x":4,"y":6}]', True),
        ('[{"y":2,"x":1},{"x":4,"y":2},{"x":4,"y":6}]', False),
        ('[{"x":1,"y":2,"z":3},{"x":4,"y":2},{"x":4,"y":6}]', False),
        ('[{"x":1,"y":2},{"x":4,"y":2},{"x":4,"y":6,"visible":true}]', False),
        (f'[{{"x":1,"y":2}},{{"x":4,"y":2}},{{"x":{10**30},"y":6}}]', False),
    ],
)
@pytest.mark.parametrize("image", [{"width": 20, "height": 10}, {"width": 10, "height": 10}])
def test_vertices_are_written_as_they_came(
    points: str, is_typed: bool, image: dict[str, int]
) -> None:
    """Numbers stay whole or not, keys in their order; and the neighbours' rows are the same."""
    box = {"note": [1], **BOX, "class": "a"}
    rows = (
        f'{json.dumps(box)[:-1]},"points":{points},"last":{{"points":[1]}}}}',
        json.dumps({**box, "points": []}),
        json.dumps({**box, "points": None, "confidence": 0.5}),
        json.dumps(box),
    )
    payload = f'{{"image":{json.dumps(image)},"predictions":[{",".join(rows)}]}}'.encode()
    found = read(payload).rows
    assert (type(found[0]["points"][0]) is Point) == is_typed
    for text, row in zip(rows, found, strict=True):
        expected = json.loads(text)
        written = msgspec.json.decode(msgspec.json.encode(row))
        scaled = expected if image["width"] == 20 else moved(expected, scale=(2.0, 1.0))
        assert json.dumps(written) == json.dumps({**scaled, "detection_id": row["detection_id"]})


@pytest.mark.parametrize("text", ["\U0001f600", "\\ud83d\\ude00"])
def test_a_row_of_long_text(text: str) -> None:
    """In Python it takes four times its bytes, several times over: it is refused, and no other."""
    row = json.dumps({**BOX, "class": "?"}).replace("?", text)
    long_one = row.replace("class", "x" * (1 << 20))
    found = read(f'{{"predictions": [{row}, {long_one}, {row}]}}'.encode())
    assert dict(found.instances.refused) == {1: "over_limit"}
    assert found.said["prediction_long_text"].startswith("$.predictions[1]: a prediction of more")
    plain = json.dumps({**BOX, "class": "x" * (1 << 20)})
    assert not read(f'{{"predictions": [{plain}]}}'.encode()).instances.refused
