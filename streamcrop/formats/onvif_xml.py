"""ONVIF metadata in XML, read as what it is in JSON (Analytics Service Specification, 5.5.3)."""

from typing import Any
from xml.parsers import expat

from streamcrop.errors import FormatError
from streamcrop.formats.documents import MAX_VALUES, trimmed

_MAX_DEPTH = 100
_ONVIF = "http://www.onvif.org/"
# No character of an XML document.
_SEPARATOR = "\x1f"


def read_xml(payload: bytes) -> Any:
    """Read a document; nothing in it is expanded or fetched.

    Raises:
        FormatError: `malformed`, if it is none, has a document type, or is larger or deeper than
            any message.

    Example:
        >>> read_xml(b'<a b="1"><c>2</c><c d="3">4</c><e/></a>')
        {'a': {'@b': '1', 'c': ['2', {'@d': '3', '#text': '4'}], 'e': None}}
    """
    if payload.count(b"<") + payload.count(b"=") >= MAX_VALUES:
        msg = f"more than {MAX_VALUES:,} values"
        raise FormatError(msg)
    document = _Element({})
    open_elements = [document]

    def start(_: str, attributes: dict[str, str]) -> None:
        if len(open_elements) > _MAX_DEPTH:
            msg = "XML that is nested too deep"
            raise FormatError(msg)
        open_elements.append(_Element(attributes))

    def end(name: str) -> None:
        element = open_elements.pop()
        open_elements[-1].children.setdefault(_key(name), []).append(element.value())

    def text(part: str) -> None:
        open_elements[-1].text.append(part)

    def refuse(*_: object) -> None:
        msg = "XML with a document type"
        raise FormatError(msg)

    parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
    parser.namespace_prefixes = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text, refuse
    if b"\0" not in payload[:4]:  # else it is UTF-16
        payload = trimmed(payload).lstrip()
    try:
        parser.Parse(payload, True)  # noqa: FBT003  # it has no name
    except (expat.ExpatError, LookupError, ValueError) as error:
        msg = f"no XML: {error}"
        raise FormatError(msg) from None
    return document.value()


class _Element:
    def __init__(self, attributes: dict[str, str]) -> None:
        self.attributes = {f"@{_key(name)}": value for name, value in attributes.items()}
        self.children: dict[str, list[Any]] = {}
        self.text: list[str] = []

    def value(self) -> Any:
        found: dict[str, Any] = dict(self.attributes)
        for name, values in self.children.items():
            found[name] = values if len(values) > 1 else values[0]
        text = "".join(self.text).strip()
        if found and text:
            found["#text"] = text
        return found or text or None


def _key(name: str) -> str:
    """A name with its prefix, if that is none of ONVIF's."""
    match name.split(_SEPARATOR):
        case [uri, local, prefix] if not uri.startswith(_ONVIF):
            return f"{prefix}:{local}"
        case [_, local, *_]:
            return local
    return name
