"""From a file's text to its sections."""

import os
import re
from pathlib import Path
from typing import Any

import msgspec
import yaml

from streamcrop import addresses
from streamcrop.config.checks import check
from streamcrop.config.schema import Config, Stream
from streamcrop.config.types import MAX_NAME
from streamcrop.config.words import explained
from streamcrop.errors import ConfigError

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_NAME_OF_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")
# An address with a password, or a password, is expected there, and is never repeated.
_SECRET_KEYS = {"url", "username", "password", "token", "secret"}
_STREAM_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_NAME}}}")
# No text of MQTT, no path and no UTF-8 holds them (MQTT 5, 1.5.4).
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key that is given twice: one of the two would be lost."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    line = key.start_mark.line + 1
                    raise yaml.YAMLError(
                        f"line {line}: the key {addresses.quoted(key.value)} is given twice"
                    )
                seen.add((key.tag, key.value))
        return node


def load(path: str | Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: Names the file, the key path and what was expected.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    try:
        return parse(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse(text: str) -> Config:
    """Read a configuration.

    Raises:
        ConfigError: Names the key path and what was expected.
    """
    try:
        tree = yaml.load(text, _Loader)  # noqa: S506  # _Loader is a SafeLoader
        tree = _expanded(tree, "$")
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        # A mark's own text would quote the line, and with it perhaps a password.
        mark = getattr(error, "problem_mark", None)
        # What the parser quotes may be a password.
        problem = re.sub(r"(['\"]).*\1", "…", str(getattr(error, "problem", "")))
        what = f"line {mark.line + 1}: {problem}" if mark else addresses.redacted(str(error))
        raise ConfigError(f"no YAML: {what}") from None
    if not isinstance(tree, dict):
        raise ConfigError("expected a mapping with the keys broker and streams")
    sections = tree.get("streams")
    is_empty = sections is None and "streams" in tree
    # Each stream is read on its own, so that an error can name it.
    head = tree | {"streams": {}} if isinstance(sections, dict) or is_empty else tree
    config: Config = _convert(head, Config, "$")
    if not sections:
        what = (
            "write gate: {source: {url: clip.mp4}, detections: {topic: detections/gate}} below it"
        )
        raise ConfigError(f"$.streams: expected at least one stream: {what}")
    for name, section in sections.items():
        if not _STREAM_NAME.fullmatch(name):
            raise ConfigError(
                f"$.streams: {addresses.quoted(name)} is not 1 to 256 letters, digits, _ or -"
            )
        config.streams[name] = _convert(section, Stream, f"$.streams.{name}")
    check(config)
    return config


def _expanded(value: Any, path: str) -> Any:  # a YAML tree
    """Replace ``${NAME}`` by the environment's value, and refuse what no setting may be.

    After it, nothing but what stands in an address or a credential is secret.
    """
    if isinstance(value, dict):
        if not all(isinstance(key, str) and not _NO_TEXT.search(key) for key in value):
            raise ConfigError(f"{path}: expected keys that are text; put 1, yes or null in quotes")
        if any(addresses.has_login(key) for key in value):
            raise ConfigError(f"{path}: an address with a password stands where a key belongs")
        return {key: _expanded(part, f"{path}.{key}") for key, part in value.items()}
    if isinstance(value, list):
        return [_expanded(part, f"{path}[{row}]") for row, part in enumerate(value)]
    if not isinstance(value, str):
        return value
    text = from_environment(value, path)
    if path.rpartition(".")[2] not in _SECRET_KEYS and addresses.has_login(text):
        raise ConfigError(f"{path}: an address with a password belongs into a key `url` alone")
    return text


def from_environment(text: str, path: str) -> str:
    """A text with the environment's values in place of each ``${NAME}``.

    Args:
        text: A setting, or an argument of the command line.
        path: What it is called, for the error.

    Raises:
        ConfigError: If a variable is not set, or there is a NUL or a lone surrogate in the text.

    Example:
        >>> from_environment("rtsp://me:${NOBODYS}@camera/sub", "$.url")
        Traceback (most recent call last):
        streamcrop.errors.ConfigError: $.url: the environment has no variable 'NOBODYS': set it
    """
    try:
        text = _VARIABLE.sub(lambda match: os.environ[match[1]], text)
    except (KeyError, ValueError) as error:
        name = error.args[0]
        if not _NAME_OF_VARIABLE.fullmatch(name):
            raise ConfigError(f"{path}: ${{NAME}} holds no name of a variable") from None
        raise ConfigError(f"{path}: the environment has no variable {name!r}: set it") from None
    if _NO_TEXT.search(text):
        raise ConfigError(f"{path}: expected text without NUL and lone surrogates")
    return text


def _convert(tree: Any, kind: type[msgspec.Struct], path: str) -> Any:  # a YAML tree, a section
    try:
        return msgspec.convert(tree, kind, dec_hook=lambda kind, value: kind.parse(value))
    except (msgspec.ValidationError, OverflowError) as error:
        raise ConfigError(explained(error, kind, path)) from None
