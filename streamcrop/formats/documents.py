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

from streamcrop.errors import FormatError

# A value of Python takes up to 30 times its text: what 8 MiB of honest numbers do not reach.
MAX_VALUES = 1_000_000
# More digits than any number that a float tells apart from infinity.
_MAX_DIGITS = 400
# A message is read and written again in several places, under call stacks of any depth: what is
# nested so deep that only some of them could is refused at the first.
_HEADROOM = 250
_OPENING, _CLOSING = b"[" * _HEADROOM, b"]" * _HEADROOM
# Written before the text by .NET and PowerShell, and behind it by programs in C.
_BOM, _END = b"\xef\xbb\xbf", b"\0"
UNREADABLE = "\ufffd"
# An escape within a string; a pair of surrogates is one.
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
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


def check_count(payload: bytes) -> None:
    """Refuse what would take too much memory.

    Raises:
        FormatError: `malformed`, if it has too many values.
    """
    if len(payload) > MAX_VALUES and payload.count(b",") >= MAX_VALUES:
        msg = f"more than {MAX_VALUES:,} values"
        raise FormatError(msg)


def trimmed(payload: bytes) -> bytes:
    r"""A message without a byte order mark (RFC 8259, 8.1, lets a reader skip it) and C's NUL.

    Example:
        >>> trimmed(b"\xef\xbb\xbf{}\0")
        b'{}'
    """
    return payload.removeprefix(_BOM).rstrip(_END)


def padded(payload: bytes) -> bytes:
    """A message deeper than it is: where this can be read, it can be read under any call stack."""
    return _OPENING + payload + _CLOSING


def document(payload: bytes) -> Any:
    """Read a whole message as JSON, as lax as `lax`, if it can be read anywhere and again.

    Raises:
        FormatError: `malformed`, if it is none, has too many values or is nested too deep.

    Example:
        >>> document(b'{"a": [1, NaN]}')
        {'a': [1, nan]}
    """
    check_count(payload)
    payload = trimmed(payload)
    if not payload.strip():
        raise FormatError("no JSON: it is empty", kind=_NO_JSON)
    if _END in payload[:4]:
        raise FormatError("no JSON: it is UTF-16 or no text; JSON is UTF-8", kind=_NO_JSON)
    try:
        found = lax(padded(payload))
        for _ in range(_HEADROOM):
            [found] = found
    except json.JSONDecodeError as error:
        msg = f"no JSON: {error.msg}, at character {max(0, error.pos - _HEADROOM)}"
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
    if _HALF.search(characters):
        characters = _ESCAPE.sub(lambda found: UNREADABLE if found[1] else found[0], characters)
    return json.loads(characters, parse_int=whole)
