"""ONVIF metadata in XML, as it is in JSON."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.core.limits import Limits
from streamcrop.errors import FormatError
from streamcrop.formats.onvif_xml import read_xml

MANY = Limits(values=1_000_000)
TT = 'xmlns:tt="http://www.onvif.org/ver10/schema"'


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<a/>", None),
        ("<a></a>", None),
        ("<a> \n </a>", None),
        ("<a>text</a>", "text"),
        ("<a> text\n</a>", "text"),
        ('<a name="value"/>', {"@name": "value"}),
        ('<a name="value">text</a>', {"@name": "value", "#text": "text"}),
        ("<a><b>1</b><c>2</c></a>", {"b": "1", "c": "2"}),
        ("<a><b>1</b><b>2</b></a>", {"b": ["1", "2"]}),
        ("<a><b>1</b><c/><b>2</b></a>", {"b": ["1", "2"], "c": None}),
        ("<a><b/><b/></a>", {"b": [None, None]}),
        ("<a>x<b/>y</a>", {"b": None, "#text": "xy"}),
        ("<a><![CDATA[<b>]]>&amp;&#x41;&lt;</a>", "<b>&A<"),
        ("<a><!-- <b/> --><?pi x?>1</a>", "1"),
    ],
)
def test_rules(text: str, value: object) -> None:
    """The table of the specification, rule by rule."""
    assert read_xml(text.encode()) == {"a": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f'<tt:a {TT} tt:x="1" y="2"/>', {"a": {"@x": "1", "@y": "2"}}),
        (f"<o:a {TT.replace(':tt', ':o')}/>", {"a": None}),
        ('<a xmlns="http://www.onvif.org/ver10/schema"><b/></a>', {"a": {"b": None}}),
        ('<fc:a xmlns:fc="http://www.onvif.org/ver20/analytics/humanface"/>', {"a": None}),
        (f'<tt:a {TT} xmlns:acme="urn:acme"><acme:b/></tt:a>', {"a": {"acme:b": None}}),
        (f'<tt:a {TT} xmlns:acme="urn:acme" acme:b="1"/>', {"a": {"@acme:b": "1"}}),
        ('<a xmlns="urn:acme"/>', {"a": None}),
        ('<x:a xmlns:x="urn:a b c"/>', {"x:a": None}),
        ('<a xml:lang="en"/>', {"a": {"@xml:lang": "en"}}),
    ],
)
def test_namespaces(text: str, value: object) -> None:
    """Prefixes of ONVIF's namespaces are dropped, whatever they are called; others stay."""
    assert read_xml(text.encode()) == value


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "cp1252"])
def test_encodings(encoding: str) -> None:
    """A document says its encoding itself."""
    name = "utf-8" if encoding == "utf-8-sig" else encoding
    text = f'<?xml version="1.0" encoding="{name}"?><a>tür</a>'
    assert read_xml(text.encode(encoding)) == {"a": "tür"}


@pytest.mark.parametrize(
    "text", [b"<a/>\0", b'\r\n<?xml version="1.0"?><a/>', b"\xef\xbb\xbf\n<a/>\n\0"]
)
def test_what_programs_put_around_it(text: bytes) -> None:
    """Blanks before it, and C's NUL behind it, are none of it."""
    assert read_xml(text) == {"a": None}


BOMB = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;">]><a>&y;</a>'
BROKEN: list[Any] = [b"", b" ", b"<", b"<a>", b"<a></b>", b"<a/><b/>", b"text", b"<a>&x;</a>"]
BROKEN += [b"<tt:a/>", b'<a b="1" b="2"/>', b"<a>\0</a>", b"<a>\xff</a>", b"\xff\xfe<", b"{}"]
BROKEN += [BOMB.encode(), BOMB.encode("utf-16"), b"<!DOCTYPE a><a/>"]
BROKEN += [b'<!DOCTYPE a SYSTEM "file:///etc/hostname"><a/>']
BROKEN += [b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>']
BROKEN += [
    b'<?xml version="1.0" encoding="none"?><a/>',
    b'<?xml version="1.0" encoding="hex"?><a/>',
]
BROKEN += [b'<?xml version="1.0" encoding="utf-7"?><a/>', b"\xff\xfe<\0a", b"\0<\xd8"]
BROKEN += [b"<a b='" + b"x" * 100_000, b"<a tt:b=''/>", b"<x:a xmlns:y='urn:y'/>"]


@pytest.mark.parametrize("payload", BROKEN, ids=range(len(BROKEN)))
def test_broken(payload: bytes) -> None:
    """What is no XML or refers to anything is `malformed`."""
    with pytest.raises(FormatError) as info:
        read_xml(payload)
    assert info.value.reason == "malformed"
    assert len(str(info.value)) < 200


def test_depth() -> None:
    """As many levels are read as are allowed, and no more."""
    limits = Limits(nesting=100)
    found = read_xml(b"<a>" * 100 + b"x" + b"</a>" * 100, limits)
    for _ in range(100):
        found = found["a"]
    assert found == "x"
    for depth in (101, 10_000):
        with pytest.raises(FormatError, match="levels of nesting") as info:
            read_xml(b"<a>" * depth + b"</a>" * depth, limits)
        assert info.value.reason == "too_large"


@pytest.mark.parametrize("part", [b"<a/>", b'<a b="1"/>', b"<!---->", b"a='1' "])
def test_more_values_than_any_message(part: bytes) -> None:
    """A document whose values would take many times its bytes is refused before it is read."""
    payload = b"<r>" + part * 180_000 + b"</r>"
    with pytest.raises(FormatError, match=r"more than limits\.values, 300,000") as info:
        read_xml(payload)
    assert info.value.reason == "too_large"


@pytest.mark.parametrize("part", [b"x<a/>", b"<a>&amp;</a>"])
def test_a_large_document(part: bytes) -> None:
    """What it takes grows with the size, not with its square: that would end in the timeout."""
    count = 60_000 // part.count(b"<")
    assert len(read_xml(b"<r>" + part * count + b"</r>", MANY)["r"]["a"]) == count


def test_names_cost_nothing() -> None:
    """Neither a long address nor many prefixes are copied for each element that they hold for."""
    uri = b"<r xmlns:p='" + b"u" * 4_000_000 + b"'>" + b"<p:a/>" * 30_000 + b"</r>"
    assert len(read_xml(uri, MANY)["r"]["p:a"]) == 30_000
    prefixes = b" ".join(b"xmlns:n%d=''" % number for number in range(30_000))
    inner = b"<a xmlns:q=''/>" * 25_000
    assert len(read_xml(b"<r %b>%b</r>" % (prefixes, inner), MANY)["r"]["a"]) == 25_000


@given(st.binary() | st.text(alphabet="<>/ab=\"'&;!?[]-:\n").map(str.encode))
def test_garbage(payload: bytes) -> None:
    """Whatever comes is read or `malformed`."""
    try:
        found = read_xml(payload)
    except FormatError:
        return
    assert len(found) == 1
