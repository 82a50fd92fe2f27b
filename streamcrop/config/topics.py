"""Topics: the filters that are subscribed to, and the templates that are published to."""

import re
import string

from streamcrop.addresses import quoted
from streamcrop.config.types import MAX_TEXT

_SHARED = re.compile(r"\$share/[^/+#]+/.+")
# mosquitto takes no more.
_MAX_LEVELS = 200
# A frame_id of 1,024 characters, each of four bytes, percent-encoded.
_LONGEST_FIELD = "x" * 1024 * 4 * 3


def check_topic(topic: str, fields: set[str]) -> None:
    """Check a template to publish to.

    Raises:
        ValueError: If it is no topic or has a field that is not among ``fields``.
    """
    known = ", ".join(f"{{{field}}}" for field in sorted(fields))
    try:
        parts = list(string.Formatter().parse(topic))
    except ValueError as error:
        raise ValueError(f"Expected a topic with the fields {known}: {error}") from None
    for _, field, spec, conversion in parts:
        if field is not None and (field not in fields or spec or conversion):
            raise ValueError(f"The topic has an unknown field {{{field}}}; known are {known}")
    if set("+#") & set(topic):
        raise ValueError("A topic to publish to has no wildcards")
    filled = topic.format_map(dict.fromkeys(fields, _LONGEST_FIELD))
    if len(filled.encode()) > 4 * MAX_TEXT:
        raise ValueError(f"Expected a topic of at most {4 * MAX_TEXT} bytes, its fields filled in")
    _check_levels(topic)


def check_filter(topic: str) -> None:
    """Check a topic filter to subscribe to (MQTT 5, 4.7.1).

    Raises:
        ValueError: If a wildcard does not stand alone in its level, ``#`` is not the last, or
            ``$share`` lacks a group or a filter.
    """
    _check_levels(topic)
    levels = topic.split("/")
    if levels[0] == "$share" and not _SHARED.fullmatch(topic):
        raise ValueError("Expected $share/GROUP/FILTER")
    for at, level in enumerate(levels):
        alone = level in {"+", "#"} or not set("+#") & set(level)
        if not alone or (level == "#" and at < len(levels) - 1):
            raise ValueError(f"Expected a topic filter; the level {quoted(level)} is none")


def _check_levels(topic: str) -> None:
    if not topic.isprintable():
        raise ValueError("Expected a topic of printable characters: brokers refuse others")
    if topic.count("/") >= _MAX_LEVELS:
        raise ValueError(f"Expected a topic of at most {_MAX_LEVELS} levels: brokers refuse more")
