"""JSON of strangers: the one door by which it comes in.

The reader of Python takes more than JSON has: ``NaN``, ``Infinity``, numbers of any length.
Whatever comes, here it becomes a value or a `FormatError`. What is no character, a byte that is not
UTF-8 or the half of a surrogate pair, stands as U+FFFD: it costs no more than itself.
"""

import json
import re
from reprlib import Repr
from typing import Annotated, Any, TypeVar

import msgspec

from streamcrop.core.limits import Limits
from streamcrop.errors import FormatError

DEFAULT = Limits()
# More digits than any number that a float tells apart from infinity.
_MAX_DIGITS = 400
# What tells how many values there are, and how deep they lie: both kinds of brackets as one.
_MARKS = bytes.maketrans(b"{}", b"[]")
_NO_MARKS = bytes(set(range(256)) - set(b'[]{},"'))
_TEXT = re.compile(rb'"[^"]*"')
# Python's reader, and what makes one text of another, take as much longer than msgspec's.
_LAX = 2
# Rows that are only told apart cost a third of those that are read: so many times the values may
# stand in a message of which the first rows are read alone.
FAR = 2.5
# So long a message may have few brackets: to count them is a third of the work.
_SHORT = 1 << 14
# Text beyond ASCII takes up to four bytes for each of its own, several times over.
_MAX_LAX_TEXT = 1 << 20
# Written before the text by .NET and PowerShell, and behind it by programs in C.
_BOM, _END = b"\xef\xbb\xbf", b"\0"
UNREADABLE = "\ufffd"
# An escape within a string; a pair of surrogates is one.
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
# A coordinate beyond it would not stay finite when it is scaled.
FARTHEST = 1e300
# NaN is neither above nor below.
Finite: Any = Annotated[float, msgspec.Meta(gt=-FARTHEST, lt=FARTHEST)]
_NO_JSON = "no_json"
_repr = Repr()
_repr.maxstring, _repr.maxlong = 80, 40
T = TypeVar("T")


def shown(value: object) -> str:
    """A value as an error quotes it: short, whatever it is.

    Example:
        >>> shown({"a": [1, 2.5, "x" * 1000]})[:40]
        "{'a': [1, 2.5, 'xxxxxxxxxxxxxxxxxxxxxxxx"
    """
    return f"{_repr.repr(value):.120}"


def check_size(payload: bytes, limits: Limits, *, times: int = 1) -> None:
    """Refuse JSON that would take too much memory, or too deep a stack, without reading it.

    Values are counted by what stands between them: a comma, or a bracket before the first. Lists
    and objects, which take more memory than others, count twice.

    Args:
        payload: JSON; of anything else the count is right up to where it ceases to be JSON.
        limits: How many `values` it may have, at how many levels of `nesting`.
        times: How much longer than strict JSON it takes to be read.

    Raises:
        FormatError: `too_large`.
    """
    values = times * count_values(payload, limits)
    if values > limits.values:
        raise too_large(limits, "values", values)


def count_values(payload: bytes, limits: Limits) -> int:
    """Count the values of JSON as `check_size` does; of a short one, 0.

    Raises:
        FormatError: `too_large`, if they lie too deep in each other, or there are far more texts
            than so many values have.

    Example:
        >>> count_values(b'{"a": [1, 2, 3], "b": "[,,,"}' + b" " * 20_000, Limits())
        8
    """
    # A value is a byte or more.
    few = len(payload) <= min(_SHORT, limits.values // _LAX)
    if few and payload.count(b"[") + payload.count(b"{") <= limits.nesting:
        return 0
    if b"\\" in payload:
        payload = payload.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Each value has a text at most, and one that is its name.
    named = payload.count(b'"') // 4
    if named > FAR * limits.values:
        raise too_large(limits, "values", named)
    # Two quotes beside each other end and begin a text, or the other way round.
    marks = payload.translate(_MARKS, _NO_MARKS).replace(b'""', b"")
    marks = _TEXT.sub(b"", marks) if b'"' in marks else marks
    values = marks.count(b",") + 2 * marks.count(b"[") + 1
    if values > FAR * limits.values:
        raise too_large(limits, "values", values)
    marks = marks.replace(b",", b"")
    depth = 0
    while b"[]" in marks and depth < limits.nesting:
        # The innermost level, of all that there are.
        marks = marks.replace(b"[]", b"")
        depth += 1
    if b"[]" in marks or marks.count(b"[") > limits.nesting:
        raise too_large(limits, "nesting", limits.nesting + 1)
    return values


def too_large(limits: Limits, name: str, count: int) -> FormatError:
    """The error for a message that has more than its limits allow."""
    return FormatError(limits.excess(name, count), reason="too_large", kind=name)


def trimmed(payload: bytes) -> bytes:
    r"""A message without a byte order mark (RFC 8259, 8.1, lets a reader skip it) and C's NUL.

    Example:
        >>> trimmed(b"\xef\xbb\xbf{}\0")
        b'{}'
    """
    return payload.removeprefix(_BOM).rstrip(_END)


def document(payload: bytes, limits: Limits = DEFAULT) -> Any:
    """Read a whole message as JSON, as lax as `lax`.

    Raises:
        FormatError: `malformed`, if it is none, `too_large`, if it has too many values, which count
            twice here, is nested too deep, or has more than a mebibyte and is not of ASCII alone.

    Example:
        >>> document(b'{"a": [1, NaN]}')
        {'a': [1, nan]}
    """
    check_size(payload, limits, times=_LAX)
    text = trimmed(payload)
    if not text.strip():
        raise FormatError("no JSON: it is empty", kind=_NO_JSON)
    if _END in text[:4]:
        raise FormatError("no JSON: it is UTF-16 or no text; JSON is UTF-8", kind=_NO_JSON)
    if len(payload) > _MAX_LAX_TEXT and not (payload.isascii() and _HALF.search(payload) is None):
        msg = f"more than {_MAX_LAX_TEXT:,} bytes, not all of ASCII, have to be strict JSON"
        raise FormatError(msg, reason="too_large", kind="lax_text")
    try:
        found = lax(payload)
    except json.JSONDecodeError as error:
        msg = f"no JSON: {error.msg}, at character {error.pos}"
        raise FormatError(msg, kind=_NO_JSON) from None
    except (RecursionError, ValueError) as error:
        msg = f"no JSON: {error!s:.200}"
        raise FormatError(msg, kind=_NO_JSON) from None
    return found


def convert(value: object, kind: type[T], *, strict: bool = True) -> T:
    """Read a value of a document as what it is to be.

    Args:
        value: As `document` read it.
        kind: A type, as `msgspec` knows them.
        strict: Whether a number may not stand there as text.

    Raises:
        FormatError: `malformed`, if it is anything else.

    Example:
        >>> convert({"a": "7"}, dict[str, int], strict=False)
        {'a': 7}
    """
    try:
        return msgspec.convert(value, kind, strict=strict)
    except UnicodeEncodeError:
        msg = "text with the half of a surrogate pair, which is no character"
        raise FormatError(msg) from None
    except (msgspec.ValidationError, OverflowError, RecursionError) as error:
        msg = f"{error!s:.200}"
        raise FormatError(msg) from None


def known(value: object, kind: type[T]) -> T | None:
    """As `convert`, of what nobody needs: None where it is anything else.

    Example:
        >>> known("7", int), known([], int), known(None, int)
        (7, None, None)
    """
    try:
        return None if value is None else convert(value, kind, strict=False)
    except FormatError:
        return None


def lax(text: bytes) -> Any:
    """JSON in UTF-8, with ``NaN``, ``Infinity`` and numbers of any length, which become infinite.

    What is no character becomes U+FFFD.

    Raises:
        ValueError: If it is none.
        RecursionError: If it is nested too deep.
    """

    def whole(digits: str) -> int | float:
        return int(digits) if len(digits) < _MAX_DIGITS else float("inf")

    characters = trimmed(text).decode(errors="replace")
    if _HALF.search(text):
        characters = _ESCAPE.sub(lambda found: UNREADABLE if found[1] else found[0], characters)
    return json.loads(characters, parse_int=whole)
