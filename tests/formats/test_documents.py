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

from streamcrop.core.limits import Limits
from streamcrop.errors import FormatError
from streamcrop.formats.documents import (
    UNREADABLE,
    Finite,
    check_size,
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
        (gzip.compress(b'{"a": 1}', mtime=0), "it is UTF-16 or no text; JSON is UTF-8"),
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


@pytest.mark.parametrize(
    ("payload", "values"),
    [
        (b"7", 1),
        (b"[1,2,3,4,5,6,7,8,9]", 11),
        (b"[1,2,3,4,5,6,7,8,9,10]", 12),
        (b'{"a":1,"b":[2,{"c":3}],"d":"x"}', 10),
        (b"[[[]]" + b",[[]]" * 4 + b"]", 27),
        # What stands in a text is none.
        (rb'["[,,{,{,{[[[","\\","],[[[{\"[[[","a\"]]]],,,,,,,,,,"]', 6),
        (b'[{"[[[[":",,,,,,,,"},"",{"]]]]":"x,"}]', 9),
    ],
)
def test_values_are_counted_before_they_are_read(payload: bytes, values: int) -> None:
    """The count is that of the values, and a message that has more than it may is refused."""
    for most in (values, values + 1, 100):
        check_size(payload, Limits(values=most, nesting=3))
        assert document(payload, Limits(values=2 * most, nesting=3)) == json.loads(payload)
    if values > 1:
        with pytest.raises(FormatError, match=f"^{values} values in one message") as info:
            check_size(payload, Limits(values=values - 1, nesting=3))
        assert info.value.reason == "too_large"
        with pytest.raises(FormatError, match=f"^{2 * values} values in one message"):
            document(payload, Limits(values=2 * values - 1, nesting=3))


@given(
    st.recursive(
        st.none() | st.integers() | st.text(alphabet='[]{},:"\\\ud83d\ue000ab'),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='[{,"\\a'), inner),
    ),
    st.booleans(),
)
def test_size(value: object, ascii_only: bool) -> None:
    """Values and levels are those that are there, whatever text is between them."""
    payload = json.dumps(value, ensure_ascii=ascii_only).encode(errors="replace")

    def size(part: object) -> tuple[int, int]:
        inner = [*part.values()] if isinstance(part, dict) else part
        if not isinstance(inner, list):
            return 1, 0
        sizes = [size(each) for each in inner]
        # Twice, and once more for what an empty one does not hold.
        counts = sum(count for count, _ in sizes) + 2 + (not inner)
        return counts, 1 + max((depth for _, depth in sizes), default=0)

    values, depth = size(value)
    check_size(payload, Limits(values=values, nesting=max(1, depth)))
    with pytest.raises(FormatError, match="levels of nesting" if depth else "values"):
        check_size(payload, Limits(values=values if depth else 0, nesting=depth - 1))


def test_texts_are_counted_before_they_are_looked_at() -> None:
    """No value has more than one text and a name."""
    with pytest.raises(FormatError, match="values in one message"):
        check_size(b'"["' * 1000, Limits(values=100))


def test_text_that_is_not_of_ascii_is_read_as_strict_json_alone() -> None:
    """In Python it takes up to four bytes for each of its own, several times over."""
    for text in ("\U0001f600", "\\ud83d\\ude00"):
        payload = f'["{text}", NaN, "'.encode()
        assert len(document(payload + b"x" * 1_000_000 + b'"]')) == 3
        with pytest.raises(FormatError, match="have to be strict JSON") as info:
            document(payload + b"x" * 2_000_000 + b'"]')
        assert info.value.reason == "too_large"
    assert len(document(b'["%b"]' % (b"x" * 2_000_000))) == 1


@pytest.mark.parametrize("depth", [1_000, 300_000])
def test_deep_nesting(depth: int) -> None:
    """Nesting that would exhaust a stack is refused."""
    for closing in (b"]" * depth, b""):
        with pytest.raises(FormatError, match="levels of nesting") as info:
            document(b"[" * depth + closing, Limits(values=7 * depth))
        assert info.value.reason == "too_large"


def test_nesting_that_is_allowed_and_exhausts_the_stack() -> None:
    """Whoever raises the limit beyond what Python's reader follows gets an error all the same."""
    depth = 5000
    with pytest.raises(FormatError, match=r"no JSON: .*recursion"):
        document(b"[" * depth + b"]" * depth, Limits(values=7 * depth, nesting=depth))


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
