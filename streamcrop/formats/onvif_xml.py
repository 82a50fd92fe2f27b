"""ONVIF metadata in XML, read as what it is in JSON (Analytics Service Specification, 5.5.3)."""

from collections.abc import Mapping
from typing import Any
from xml.parsers import expat

from streamcrop.core.limits import Limits
from streamcrop.errors import FormatError
from streamcrop.formats.documents import DEFAULT, trimmed

_ONVIF = "http://www.onvif.org/"
# A tag and an attribute take as long to read as so many values of JSON.
_TAG, _ATTRIBUTE = 6, 4
_DOCTYPE = b"<!DOCTYPE"
_UTF_16 = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"<\0": "utf-16-le", b"\0<": "utf-16-be"}


def read_xml(payload: bytes, limits: Limits = DEFAULT) -> Any:
    """Read a document; nothing in it is expanded or fetched.

    Args:
        payload: It, in UTF-8, UTF-16 or what it says itself.
        limits: How many `values` it may have, and at how many levels of `nesting`. A tag counts as
            six values, an attribute as four.

    Raises:
        FormatError: `malformed`, if it is none or has a document type; `too_large`.

    Example:
        >>> read_xml(b'<a b="1"><c>2</c><c d="3">4</c><e/></a>')
        {'a': {'@b': '1', 'c': ['2', {'@d': '3', '#text': '4'}], 'e': None}}
    """
    payload, encoding = _as_bytes_of_ascii(payload)
    # Within it a name may stand for any length of text, and expat would expand it.
    if _DOCTYPE in payload:
        msg = "XML with a document type"
        raise FormatError(msg)
    values = _TAG * payload.count(b"<") + _ATTRIBUTE * payload.count(b"=")
    if values > limits.values:
        raise FormatError(limits.excess("values", values), reason="too_large", kind="values")
    reader = _Reader(limits)
    # Namespaces are resolved by us: expat would copy an address, which may be as long as the
    # message, for each name that has it.
    parser = expat.ParserCreate(encoding)
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(payload, True)  # noqa: FBT003  # it has no name
    except (expat.ExpatError, LookupError, ValueError) as error:
        msg = f"no XML: {error!s:.100}"
        raise FormatError(msg) from None
    return reader.document.value()


def _as_bytes_of_ascii(payload: bytes) -> tuple[bytes, str | None]:
    """A document in an encoding that has ASCII's bytes, and which, if it does not say so itself."""
    name = _UTF_16.get(payload[:2])
    if name is None:
        return trimmed(payload).lstrip(), None
    try:
        return payload.decode(name).rstrip("\0").encode(), "utf-8"
    except UnicodeError as error:
        msg = f"no XML: {error!s:.100}"
        raise FormatError(msg) from None


class _Reader:
    """A tree that is built of what expat finds."""

    def __init__(self, limits: Limits) -> None:
        self.document = _Element({}, ())
        self._limits = limits
        self._open = [self.document]

    def start(self, _: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        outer = self._open[-1]
        if len(self._open) > self._limits.nesting:
            said = self._limits.excess("nesting", len(self._open))
            raise FormatError(said, reason="too_large", kind="nesting")
        self._open.append(_Element(attributes, outer.names))

    def end(self, name: str) -> None:
        """It ends."""
        element = self._open.pop()
        key = element.key(name)
        self._open[-1].children.setdefault(key, []).append(element.value())

    def text(self, part: str) -> None:
        """Between tags."""
        self._open[-1].text.append(part)


class _Element:
    """An element that has begun.

    Attributes:
        names: By prefix, whether its namespace is one of ONVIF's: of each level that declares any,
            the innermost first.
    """

    __slots__ = ("attributes", "children", "names", "text")

    def __init__(self, attributes: dict[str, str], names: tuple[Mapping[str, bool], ...]) -> None:
        declared = [name for name in attributes if name == "xmlns" or name.startswith("xmlns:")]
        if declared:
            uris = {name.partition(":")[2]: attributes.pop(name) for name in declared}
            names = ({name: uri.startswith(_ONVIF) for name, uri in uris.items()}, *names)
        self.names = names
        self.attributes = {f"@{self.key(name)}": value for name, value in attributes.items()}
        self.children: dict[str, list[Any]] = {}
        self.text: list[str] = []

    def key(self, name: str) -> str:
        """A name with its prefix, if that is none of ONVIF's."""
        prefix, colon, local = name.partition(":")
        if not colon:
            return name
        for names in self.names:
            if prefix in names:
                return local if names[prefix] else name
        if prefix == "xml":
            return name
        msg = f"no XML: the prefix {prefix!r:.40} has no namespace"
        raise FormatError(msg)

    def value(self) -> Any:
        """As JSON has it."""
        found: dict[str, Any] = dict(self.attributes)
        for name, values in self.children.items():
            found[name] = values if len(values) > 1 else values[0]
        text = "".join(self.text).strip()
        if found and text:
            found["#text"] = text
        return found or text or None
