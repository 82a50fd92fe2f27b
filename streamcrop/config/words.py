"""The words for a file that is wrong: msgspec's, and what to write where they do not say it."""

import re
from typing import Any, get_args, get_origin

import msgspec

from streamcrop.config.output import S3, Broker, Spool, Webhook
from streamcrop.config.schema import Config, Detections, Stream
from streamcrop.config.source import Source

# Of the sections that need something, the least.
_LEAST: dict[type[msgspec.Struct], str] = {
    Config: "{broker: {url: ...}, streams: {gate: {source: {url: ...}, detections: {topic: ...}}}}",
    Broker: "{url: 'mqtt://127.0.0.1:1883'}",
    Stream: "{source: {url: clip.mp4}, detections: {topic: detections/gate}}",
    Source: "{url: clip.mp4}",
    Detections: "{topic: detections/gate}",
    S3: "{url: 's3://bucket/prefix'}",
    Webhook: "{url: 'https://example.org/crops'}",
    Spool: "{path: /var/lib/streamcrop/spool.db}",
}
_NO_SECTION = re.compile(r"Expected `(?:bool \| )?object(?: \| null)?`, got `(\w+)`")
_QUOTED = re.compile("(enum value |unknown field ).*[:@].*", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")


def explained(error: Exception, kind: type[msgspec.Struct], path: str) -> str:
    """The place, what is wrong there, and for a section what it may hold.

    Args:
        error: What msgspec raised.
        kind: The section that was read.
        path: Where it stands.

    Example:
        >>> try:
        ...     msgspec.convert({"source": 7}, Stream)
        ... except msgspec.ValidationError as error:
        ...     explained(error, Stream, "$.streams.gate")
        '$.streams.gate.source: Expected keys below it, got `int`: write source: {url: clip.mp4}'
    """
    what, at, where = str(error).rpartition(" - at `$")
    what, where = (what, where.rstrip("`")) if at else (where, "")
    # What it quotes may be an address that stands in the wrong place, or a part of one.
    what = _QUOTED.sub(r"\1…", what)
    place = path + where
    section = _section_at(kind, where)
    if section and (found := _NO_SECTION.fullmatch(what) or _MISSING.fullmatch(what)):
        name = place.rpartition(".")[2]
        if found.re is _NO_SECTION:
            got = "and there are none" if found[1] == "null" else f"got `{found[1]}`"
            what = f"Expected keys below it, {got}"
        what = f"{what}: {_to_write(section, name)}"
    return f"{place}: {what}"


def _to_write(section: type[msgspec.Struct], name: str) -> str:
    if least := _LEAST.get(section):
        return f"write {least}" if name == "$" else f"write {name}: {least}"
    keys = ", ".join(field.name for field in msgspec.structs.fields(section))
    return f"leave {name} out, or give it one of {keys}"


def _section_at(kind: type[msgspec.Struct], where: str) -> type[msgspec.Struct] | None:
    """The section at a path like ``.source``; None where no section is expected."""
    found: type[msgspec.Struct] | None = kind
    for name in where.split(".")[1:]:
        if found is None:
            return None
        types = {field.name: field.type for field in msgspec.structs.fields(found)}
        found = _section_in(types.get(name))
    return found


def _section_in(kind: Any) -> type[msgspec.Struct] | None:
    """The section in ``Section`` or ``Section | None``; a mapping of sections is none."""
    if get_origin(kind) is dict:
        return None
    for each in get_args(kind) or (kind,):
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            return each
    return None
