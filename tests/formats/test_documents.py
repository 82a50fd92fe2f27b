"""`streamcrop.formats.documents`: the one door by which JSON comes in."""

import gzip
import json
import math
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.errors import FormatError
from streamcrop.formats.documents import (
    MAX_VALUES,
    UNREADABLE,
    Finite,
    check_count,
    convert,
    document,
    known,
    lax,
    shown,
)


@pytest.mark.parametrize("value", [None, 7, [], [1], [[1]], {}, {"a": 1}, {"a": [{}, None]}, "],["])
def test_document(value: object) -> None:
    """Any JSON is read, as it is."""
    assert document(json.dumps(value).encode()) == value


@pytest.mark.parametrize("text", ["", "1,2", "],[", "[1],[2]", "]", "[", "{", "1]2[", "[],", "nan"])
def test_what_is_no_document(text: str) -> None:
    """What only looks like JSON inside of brackets is none."""
    with pytest.raises(FormatError, match="no JSON"):
        document(text.encode())


@pytest.mark.parametrize(
    ("text", "where"), [("{'a': 1}", 1), ('{"a": }', 6), ("nonsense", 0), ('{"a": 1} x', 9)]
)
def test_an_error_says_where(text: str, where: int) -> None:
    """The place is one of the message as it came."""
    with pytest.raises(FormatError, match=rf"at character {where}$"):
        document(text.encode())


def test_more_than_json() -> None:
    """What Python writes as JSON is read, and numbers of any length cost nothing."""
    found = document(b'{"a": NaN, "b": [Infinity, 1' + b"0" * 5000 + b'], "c": 1e999}')
    assert math.isnan(found["a"])
    assert (found["b"], found["c"]) == ([math.inf, math.inf], math.inf)
    assert document(b"1" + b"0" * 390) == 10**390


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ('{"a": 1}'.encode("utf-16"), "it is UTF-16 or no text; JSON is UTF-8"),
        ('{"a": 1}'.encode("utf-16-be"), "it is UTF-16 or no text; JSON is UTF-8"),
        (gzip.compress(b'{"a": 1}'), "it is UTF-16 or no text; JSON is UTF-8"),
        (b"\xff\xd8\xff\xe0", "Expecting value, at character 0"),
        (b"", "it is empty"),
        (b"\xef\xbb\xbf \r\n\0", "it is empty"),
    ],
)
def test_bytes_that_are_no_text(payload: bytes, said: str) -> None:
    """JSON is UTF-8 (RFC 8259, 8.1); what is something else is told so."""
    with pytest.raises(FormatError, match=f"no JSON: {said}"):
        document(payload)


@pytest.mark.parametrize("payload", [b'\xef\xbb\xbf{"a": 1}', b'{"a": 1}\0', b'{"a": 1}\r\n\0\0'])
def test_what_programs_put_around_it(payload: bytes) -> None:
    """A byte order mark before it, and C's NUL behind it, are none of it."""
    assert document(payload) == lax(payload) == {"a": 1}
    with pytest.raises(FormatError, match="at character 0"):
        document(b"\xef\xbb\xbf" + payload.replace(b"{", b"\xef\xbb\xbf{"))


@pytest.mark.parametrize("text", ["caf\u00e9".encode("latin-1"), b"\xed\xa0\x80", b"\xff", b"\xc3"])
def test_bytes_that_are_no_characters(text: bytes) -> None:
    """They cost what they are, and neither the text that they stand in nor its neighbours."""
    found = document(b'{"a": "%b", "%b": 1, "b": 2}' % (text, text))
    assert found["b"] == 2
    assert UNREADABLE in found["a"]
    assert convert(found, dict[str, object]) == found


@pytest.mark.parametrize("half", [r"\ud800", r"\uDFFF", r"a\udbffb", r"\ude00\ud83d"])
def test_half_of_a_pair_of_surrogates(half: str) -> None:
    """It is no character, and costs what it is."""
    found = document(b'{"a": "%b", "%b": 1, "b": 1}' % (half.encode(), half.encode()))
    assert found["b"] == 1
    assert UNREADABLE in found["a"]
    assert found[found["a"]] == 1
    assert convert(found, dict[str, object]) == found
    same = rb'["\ud83d\ude00", "\\ud800", "\\\ud83d\ude00", "\uD83D\uDE00x\n\"", "\u00e9", "\\"]'
    assert document(same) == json.loads(same)
    halves = rb'["\\\ud800\\", "\ud800\ud83d\ude00", "\ud83d\\ude00"]'
    assert document(halves) == ["\\\ufffd\\", "\ufffd\U0001f600", "\ufffd\\ude00"]


@pytest.mark.parametrize("value", ["a\udbffb", {"a": "x", "\udfff": 1}])
def test_a_value_of_halves_is_an_error(value: object) -> None:
    """Whoever hands them in, they become no text."""
    with pytest.raises(FormatError, match="half of a surrogate pair"):
        convert(value, Named, strict=False)


class Named(msgspec.Struct):
    """A part of a message."""

    a: str
    n: int | None = None
    f: float | None = None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": 7}, "`$.a`"),
        ({"a": "x", "n": "7"}, "`$.n`"),
        ({"a": "x", "f": 10**400}, "`$.f`"),
        ([], "Expected `object`"),
        ({}, "missing required field `a`"),
    ],
)
def test_what_is_something_else(value: object, said: str) -> None:
    """An error says where."""
    with pytest.raises(FormatError) as info:
        convert(value, Named)
    assert said in str(info.value)


@pytest.mark.parametrize(
    ("value", "expected"), [(None, None), (7, 7), ("7.5", 7.5), ([], None), (math.nan, None)]
)
def test_what_nobody_needs(value: object, expected: float | None) -> None:
    """It is known, or it is not; it is no error."""
    assert known(value, Finite) == expected


def test_numbers_as_text() -> None:
    """Where they are allowed they are read."""
    assert convert({"a": "x", "n": "7"}, Named, strict=False).n == 7


def test_more_values_than_any_message() -> None:
    """A message whose values would take many times its bytes is refused before it is read."""
    with pytest.raises(FormatError, match="more than 1,000,000 values"):
        document(b"[%b]" % (b"0," * MAX_VALUES + b"0"))
    check_count(b"0," * (MAX_VALUES - 1) + b"0")


@pytest.mark.parametrize("depth", [1_000, 300_000])
def test_deep_nesting(depth: int) -> None:
    """Nesting that would exhaust a stack is refused."""
    with pytest.raises(FormatError, match="no JSON"):
        document(b"[" * depth + b"]" * depth)


@pytest.mark.parametrize(
    "value", ["x" * 10**6, [["x" * 10**6] * 9] * 9, {"a": {"b": [1] * 10**5}}, 10**4000, None, -1.5]
)
def test_shown(value: object) -> None:
    """What an error quotes is short, whatever came."""
    assert 0 < len(shown(value)) <= 120
    assert shown("a\nb") == r"'a\nb'"


json_text = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda child: st.lists(child) | st.dictionaries(st.text(st.characters()), child),
)


@given(json_text)
def test_what_is_written_is_read(value: Any) -> None:
    """A document, or an error, and so is what is made of it."""
    with suppress(FormatError):
        convert(document(json.dumps(value).encode()), Named, strict=False)


@given(st.binary() | st.text('{}[]":,\\ud8f0e1 ').map(str.encode))
def test_any_bytes(payload: bytes) -> None:
    """Nothing but a value or an error comes out."""
    with suppress(FormatError):
        document(payload)
