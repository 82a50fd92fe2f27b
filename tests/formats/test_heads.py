"""`streamcrop.formats.heads`: which frame an inference response speaks of."""

import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.core.limits import Limits
from streamcrop.core.values import Message
from streamcrop.errors import FormatError
from streamcrop.formats.heads import decode

BOX = {"x": 5, "y": 4, "width": 2, "height": 4}


def encoded(*rows: object, **fields: Any) -> bytes:
    """A message as a detector writes it."""
    return json.dumps({"frame_id": 1, **fields, "predictions": list(rows)}).encode()


def refusal(payload: bytes) -> str:
    """The reason for which a message is refused."""
    with pytest.raises(FormatError) as info:
        decode(payload)
    return info.value.reason


def fault(name: str, **fields: Any) -> str:
    """What is said of an attribute, which costs nothing else."""
    message = decode(encoded(BOX, **fields))
    assert getattr(message, name) is None
    assert set(message.faults) == {name}
    return message.faults[name]


# Which frame


@pytest.mark.parametrize(
    ("fields", "frame_id"),
    [
        ({}, None),
        ({"frame_id": "1234"}, "1234"),
        ({"frame_id": 7}, "7"),
        ({"frame_id": "7"}, "7"),
        ({"frame_id": -3}, "-3"),
        ({"frame_id": 0}, "0"),
        ({"frame_id": "gäte/1 x"}, "gäte/1 x"),
        ({"frame_id": "x" * 1024}, "x" * 1024),
        ({"frame_id": 10**30}, "1" + 30 * "0"),
        ({"inference_metadata": {"frame_id": 42}}, "42"),
        ({"video_metadata": {"frame_number": 43}}, "43"),
        ({"inference_metadata": {"source_id": 0}, "video_metadata": {"frame_number": 43}}, "43"),
        ({"inference_metadata": {"frame_id": 42}, "video_metadata": {"frame_number": 43}}, "42"),
        ({"frame_id": 41, "inference_metadata": {"frame_id": 42}}, "41"),
        ({"inference_metadata": None, "video_metadata": None}, None),
        ({"frame_id": None}, None),
        ({"frame_id": None, "inference_metadata": {"frame_id": 42}}, "42"),
        ({"frame_id": None, "video_metadata": {"frame_number": 43}}, "43"),
        ({"inference_metadata": {"frame_id": None}, "video_metadata": {"frame_number": 3}}, "3"),
        ({"video_metadata": {"frame_number": None}}, None),
        ({"inference_metadata": [1], "video_metadata": "frame_number"}, None),
        ({"inference_metadata": {}, "video_metadata": {}}, None),
        ({"id": "gate/1/a"}, None),
        ({"id": "gate/1/a", "frame_id": 1, "lineage": []}, "gate/1/a"),
        ({"id": "gate/1/a", "frame_id": 1, "lineage": None}, "1"),
        ({"id": None, "frame_id": 1, "lineage": []}, None),
        ({"frame_id": 1, "lineage": [{"id": "gate/1"}]}, None),
    ],
)
def test_frame_id(fields: dict[str, Any], frame_id: str | None) -> None:
    """The first place that says a frame ID wins; with `lineage` it is the message's `id`."""
    assert decode(json.dumps({**fields, "predictions": []}).encode()).frame_id == frame_id


BAD_IDS: list[object] = [True, False, 1.5, 7.0, "", "x" * 1025, "a\nb", "\x00", "a\u202eb"]
# Of these names something could not be read, in which they may differ.
BAD_IDS += ["\ud800", "gate-\udfff", "gate-\ufffd"]
BAD_IDS += [[], ["7"], {}, {"frame_id": 7}, 10**1024]


@pytest.mark.parametrize("value", BAD_IDS, ids=range(len(BAD_IDS)))
@pytest.mark.parametrize(
    ("place", "said"),
    [
        (lambda value: {"frame_id": value, "inference_metadata": {"frame_id": 42}}, "frame_id"),
        (lambda value: {"inference_metadata": {"frame_id": value}}, "inference_metadata.frame_id"),
        (lambda value: {"video_metadata": {"frame_number": value}}, "video_metadata.frame_number"),
        (lambda value: {"lineage": [], "id": value, "frame_id": "1"}, "id"),
    ],
)
def test_bad_frame_id(place: Callable[[object], dict[str, Any]], said: str, value: object) -> None:
    """A frame ID that is none is a fault wherever it stands, and no other is taken instead."""
    message = decode(json.dumps({**place(value), "predictions": []}).encode())
    assert message.frame_id is None
    assert message.faults["frame_id"].startswith(f"$.{said}: a frame ID is 1 to 1024 printable")
    assert len(message.faults["frame_id"]) < 300


# The head


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'[{"frame_id": 3, "predictions": []}]',
        b"7",
        b'"predictions"',
        b"{}",
        b'{"frame_id": 1}',
        b'{"frame_id": 1, "predictions": []} x',
        b'{"frame_id": 1, "predictions": [}',
        b'{"frame_id": 1, "predictions": [1 2]}',
        b"\xff\xd8\xff\xe0 a picture",
        b"\x00",
    ],
)
def test_broken_json(payload: bytes) -> None:
    """What is no JSON object with predictions is `malformed`, and nothing worse."""
    assert refusal(payload) == "malformed"


@pytest.mark.parametrize("value", [None, {}, {"0": BOX}, "[]", 7, True, float("nan")])
def test_predictions_are_a_list(value: object) -> None:
    """Predictions that are no list are `malformed`, also where the JSON is not strict."""
    for extra in ({}, {"score": float("nan")}):
        payload = json.dumps({"frame_id": 1, **extra, "predictions": value}).encode()
        assert refusal(payload) == "malformed"


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":[', '{"predictions":'])
@pytest.mark.parametrize("depth", [20_000, 300_000])
@pytest.mark.parametrize("nan", ["", "NaN,"])
def test_deep_nesting(opening: str, depth: int, nan: str) -> None:
    """Nesting that would exhaust the stack is `too_large`, in strict JSON and in other."""
    closing = "".join("]" if sign == "[" else "}" for sign in reversed(opening) if sign in "[{")
    nested = opening * depth + "1" + closing * depth
    for payload in (nested, f'{{"frame_id": 1, "predictions": [{nan}{nested}]}}'):
        assert refusal(payload.encode()) == "too_large"


def test_more_values_than_any_message() -> None:
    """A message whose values would take many times its bytes is refused before it is read."""
    most = Limits(values=1001)
    # The message itself and its list are values, too.
    payload = b'{"predictions": [%b0]}' % (b"0," * 996)
    assert decode(payload, most).strict
    # Of rows the first are read, and so many may stand behind them.
    assert decode(payload.replace(b"[", b"[0,[],"), most).strict
    for more in (b'{"image": [%b0], "predictions": []}' % (b"0," * 1000), b'{"n": [%b]' % payload):
        with pytest.raises(FormatError, match=r"^1,00\d values") as info:
            decode(more, most)
        assert info.value.reason == "too_large"
    with pytest.raises(FormatError, match=r"^3,001 values") as info:
        decode(b'{"predictions": [%b0]}' % (b"0," * 2996), most)
    assert info.value.reason == "too_large"


@pytest.mark.parametrize(
    ("image", "resolution_wh"),
    [
        (None, None),
        ({}, None),
        ({"width": None, "height": None}, None),
        ({"width": 1280, "height": None}, None),
        ({"height": 720}, None),
        ({"width": 1280, "height": 720}, (1280, 720)),
        ({"width": 1280.0, "height": 720.0}, (1280, 720)),
        ({"width": 65_535, "height": 1}, (65_535, 1)),
        ({"width": "1280", "height": "720.0"}, (1280, 720)),
        ([{"width": 1280, "height": 720}], (1280, 720)),
        ([None], None),
        ([], None),
    ],
)
def test_image_size(image: object, resolution_wh: tuple[int, int] | None) -> None:
    """The message's image size is known, or null as inference writes it, or absent."""
    assert decode(encoded(image=image)).resolution_wh == resolution_wh
    assert decode(b'{"predictions": []}').resolution_wh is None


BAD_SIDES: list[Any] = [0, -1, 65_536, 10**9, 10**400, 0.5, 1e-300, True, [1], {}]
BAD_SIDES += ["", "0", "-1", "wide", "1e3", "1280px", "\u0661", "9" * 10_000]


@pytest.mark.parametrize("side", [*BAD_SIDES, float("nan"), float("inf"), float("-inf")])
def test_bad_image_size(side: object) -> None:
    """A size that is that of no image is `malformed`: it would scale every number to nonsense."""
    assert refusal(encoded(BOX, image={"width": side, "height": 720})) == "malformed"
    assert refusal(encoded(BOX, image={"width": 1280, "height": side})) == "malformed"


@pytest.mark.parametrize("image", [7, "1280x720", [1280, 720], True, [7], [{}, {}]])
def test_image_is_an_object(image: object) -> None:
    """Anything but an object is `malformed`."""
    assert refusal(encoded(image=image)) == "malformed"


def test_times() -> None:
    """Media time and capture time come along as they are."""
    message = decode(encoded(pts=11106000, time_base="1/90000", captured_at="2026-11-22T10:00:00Z"))
    assert message.pts == 11106000
    assert message.time_base == Fraction(1, 90000)
    assert message.captured_at == 1795341600_000000
    assert decode(encoded(captured_at=1795341600.5)).captured_at == 1795341600_500000
    assert decode(encoded(captured_at="1795341600.5")).captured_at == 1795341600_500000
    assert "RFC 3339" in fault("captured_at", captured_at="yesterday")
    message = decode(encoded(pts=None, time_base=None, captured_at=None))
    assert (message.pts, message.time_base, message.captured_at) == (None, None, None)
    assert decode(encoded(time_base="1")).time_base == 1


BAD_TIME_BASES: list[Any] = ["", "x", "1/0", "0/1", "-1/25", "1/", "/1", "nan", "1_0/3", "0.04"]
BAD_TIME_BASES += [
    "1e999999999",
    "1e-999999999",
    "9" * 100_000,
    "1/90000\n",
    "\u0661/\u0663",
    0.04,
    25,
]


@pytest.mark.parametrize("value", BAD_TIME_BASES, ids=range(len(BAD_TIME_BASES)))
def test_bad_time_base(value: object) -> None:
    """A time base is a positive fraction in text, and its reading costs nothing."""
    assert fault("time_base", time_base=value).startswith("$.time_base: a time base is a fraction")


@pytest.mark.parametrize(
    "value", ["7.0", 1.5, 12.0, True, [], float("nan"), "", "x", 2**63, 10**400]
)
def test_bad_pts(value: object) -> None:
    """Media time is an integer of 64 bits."""
    assert fault("pts", pts=value).startswith("$.pts: media time is an integer")


@pytest.mark.parametrize("value", [0, -7, 2**63 - 1, -(2**63)])
def test_pts(value: int) -> None:
    """It may stand there as text."""
    assert decode(encoded(pts=value)).pts == decode(encoded(pts=str(value))).pts == value


@pytest.mark.parametrize(
    ("value", "session"), [(None, None), ("a b", "a b"), (7, "7"), ("x" * 256, "x" * 256)]
)
def test_session(value: object, session: str | None) -> None:
    """A session has a name or a number."""
    assert decode(encoded(session=value)).session == session
    assert decode(encoded()).session is None


@pytest.mark.parametrize("value", ["", "x" * 257, "a\n", 1.5, True, [], {}, float("nan"), 10**300])
def test_bad_session(value: object) -> None:
    """One that is none is a fault."""
    assert fault("session", session=value).startswith("$.session: a session is 1 to 256 printable")


BAD_TIMES: list[Any] = ["", 1790000000123, "9999-12-31T23:59:59-23:59", -1, True, [], {}]


@pytest.mark.parametrize("value", BAD_TIMES)
def test_bad_times(value: object) -> None:
    """A time that is none costs nothing until it is needed."""
    said = fault("captured_at", captured_at=value)
    assert said.startswith("$.captured_at: a time is RFC 3339 text or seconds")


@pytest.mark.parametrize("note", [{}, {"note": float("nan")}])
def test_every_fault_is_said(note: dict[str, Any]) -> None:
    """One does not hide another, also where the JSON is not strict; what is right is read."""
    message = decode(
        encoded(frame_id=2.0, pts=12.0, time_base="1/90000", captured_at="", session=[], **note)
    )
    assert set(message.faults) == {"frame_id", "pts", "captured_at", "session"}
    assert (message.time_base, message.strict) == (Fraction(1, 90000), not note)


def test_unknown_fields_of_the_head() -> None:
    """What a detector adds to its message does not matter."""
    message = decode(encoded(BOX, time=0.1, visualization=None, extra={"a": [1, {}]}))
    assert (message.frame_id, message.strict) == ("1", True)


@given(st.binary(max_size=64))
def test_bytes_of_any_kind(payload: bytes) -> None:
    """Bytes that are no JSON are `malformed`."""
    assert refusal(payload) == "malformed"


keys = st.sampled_from([*Message.__dataclass_fields__, "image", "predictions", "width", "height"])
value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda child: st.lists(child, max_size=3) | st.dictionaries(keys, child, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(keys, value), st.none() | st.lists(value, max_size=2))
def test_a_message_or_an_error(fields: dict[str, Any], rows: object) -> None:
    """No value makes `decode` raise anything else; a fault stands in place of a value."""
    payload = json.dumps({**fields, **({} if rows is None else {"predictions": rows})}).encode()
    try:
        message = decode(payload)
    except FormatError:
        return
    for name, said in message.faults.items():
        assert getattr(message, name) is None
        assert 0 < len(said) < 400
