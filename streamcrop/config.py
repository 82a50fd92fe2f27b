"""The configuration: typed, strict, and telling where it is wrong. It knows nothing that runs."""

import os
import re
import socket
import string
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import unquote
from uuid import UUID

import msgspec
import yaml

from streamcrop import addresses
from streamcrop.core.background import CropOptions
from streamcrop.errors import ConfigError
from streamcrop.formats import DETECTION_FORMATS

TOPIC_FIELDS = {"stream", "frame_id", "detection_id", "class"}
# By scheme: what a source is called, and the keys that it provides without a tap.
# Those that are to be trusted first.
PairingKey = Literal["frame_id", "sei", "utc", "pts", "arrival"]
SOURCES = {
    "": ("file", {"frame_id", "sei", "pts"}),
    "file": ("file", {"frame_id", "sei", "pts"}),
    "rtsp": ("camera", {"sei", "utc", "pts", "arrival"}),
    "rtsps": ("camera", {"sei", "utc", "pts", "arrival"}),
    "device": ("device", {"arrival"}),
    "whip": ("WebRTC publisher", {"sei", "arrival"}),
    "whep": ("WebRTC stream", {"sei", "arrival"}),
    "mqtt": ("MQTT image", {"frame_id", "utc", "arrival"}),
}
# The schemes whose frames come as packets of a stream.
_PACKETS = {"", "file", "rtsp", "rtsps", "device"}
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*((?:[kmg]i?)?)b?", re.ASCII | re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_NAME_OF_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")
# An address with a password, or a password, is expected there, and is never repeated.
_SECRET_KEYS = {"url", "username", "password", "token"}
_MAX_NAME = 256
_STREAM_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{_MAX_NAME}}}")
_ID_PLACE = re.compile(r"property:.+|level:-?[0-9]{1,4}")
# No text of MQTT, no path and no UTF-8 holds them (MQTT 5, 1.5.4).
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_SHARED = re.compile(r"\$share/[^/+#]+/.+")
# MQTT's texts have at most 65,535 bytes, four to a character; mosquitto takes 200 levels.
_MAX_TEXT = 16_383
_MAX_LEVELS = 200
# A frame_id of 1,024 characters, each of four bytes, percent-encoded.
_LONGEST_FIELD = "x" * 1024 * 4 * 3

# Finite: `.inf` is a number in YAML, and no time that can be waited for.
Positive = Annotated[float, msgspec.Meta(gt=0, lt=1e9)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, lt=1e9)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Protocol = Literal["auto", "5", "3.1.1"]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=_MAX_TEXT)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=_MAX_NAME)]
# As in `ffmpeg -hwaccel`, perhaps with a device; what is there is seen where it is opened.
Hardware = Annotated[
    str,
    msgspec.Meta(
        pattern="^(cuda(:[0-9]+)?|(amf|d3d11va|d3d12va|drm|dxva2|mediacodec|ohcodec|opencl|qsv"
        "|vaapi|vdpau|videotoolbox|vulkan)(:.+)?)$"
    ),
]
Credential = Annotated[str, msgspec.Meta(max_length=_MAX_TEXT)]


class Bytes(int):
    """A size in bytes; in YAML a number or a text like ``8MiB``."""

    @classmethod
    def parse(cls, value: object) -> "Bytes":
        """Read it.

        Example:
            >>> Bytes.parse("8MiB")
            8388608
        """
        match = _SIZE.fullmatch(str(value).strip())
        if isinstance(value, bool) or not isinstance(value, int | str) or not match:
            raise ValueError("Expected a size like 8MiB or a number of bytes")
        size = cls(float(match[1]) * _UNITS[match[2].lower()])
        if size < 1:
            raise ValueError("Expected a size above 0")
        return size


class _Section(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A part of the file; unknown keys are refused."""


class Broker(_Section):
    """The connection to the broker."""

    url: Text
    protocol: Protocol = "auto"
    username: Credential | None = None
    password: Credential | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def address(self) -> tuple[str, int, bool, str | None, str | None]:
        """``(host, port, tls, username, password)``.

        Raises:
            ValueError: If the URL is none of a broker; its text does not hold the password.
        """
        form = "mqtt://[USER[:PASSWORD]@]HOST[:PORT] or mqtts://..."
        url = addresses.server(self.url, form)
        if url.scheme not in {"mqtt", "mqtts"} or url.path.strip("/") or url.query or url.fragment:
            raise ValueError(f"Expected {form}; {addresses.SIGNS}")
        tls = url.scheme == "mqtts"
        username = self.username or (unquote(url.username) if url.username else None)
        password = self.password or (unquote(url.password) if url.password else None)
        return url.hostname or "", url.port or (8883 if tls else 1883), tls, username, password


class Source(_Section):
    """Where frames come from."""

    url: Text
    realtime: bool = False
    loop: bool = False
    decode: Literal["auto", "eager", "lazy"] = "auto"
    hwaccel: Hardware | None = None
    transport: Literal["tcp", "udp"] = "tcp"
    connect_timeout: Positive = 5.0
    stall_timeout: Positive = 3.0
    ca: str | None = None
    tls_verify: bool = True
    token: Text | None = None
    frame_id: Text | None = None

    @property
    def scheme(self) -> str:
        """The URL's scheme if a source has it; empty for a path, which may hold colons."""
        scheme = self.url.partition(":")[0].lower()
        return scheme if ":" in self.url and scheme in SOURCES else ""

    def check(self) -> None:
        """Look at the URL.

        Raises:
            ValueError: If no source has its scheme, or a part is missing; its text does not hold
                the password.
        """
        rest = self.url.partition(":")[2]
        match self.scheme:
            case "":
                self._check_path()
            case "file":
                addresses.file_path(self.url)
            case "rtsp" | "rtsps":
                addresses.server(self.url, f"{self.scheme}://[USER:PASSWORD@]HOST[:PORT]/PATH")
            case "whep":
                form = "whep:http://[USER:PASSWORD@]HOST[:PORT]/PATH or whep:https://..."
                if addresses.server(rest, form).scheme not in {"http", "https"}:
                    raise ValueError(f"Expected {form}")
            case "mqtt":
                if rest.startswith("//"):
                    raise ValueError("Expected mqtt:TOPIC; the broker's address is broker.url")
                check_filter(rest)
            case "device" if not rest:
                raise ValueError("Expected a device like device:/dev/video0")
        if self.scheme in {"mqtt", "device", "whip"} and addresses.has_login(self.url):
            raise ValueError("Expected no address with a password behind this scheme")

    def _check_path(self) -> None:
        try:
            addresses.check_path(self.url)
        except ValueError as error:
            raise ValueError(
                f"{error}: expected a path, file:///..., rtsp://[USER:PASSWORD@]HOST/..., "
                "rtsps://, device:/dev/video0, whip:, whep:https://... or mqtt:TOPIC"
            ) from None

    def check_hwaccel(self) -> None:
        """Look at whether there is anything to decode on hardware.

        Raises:
            ValueError: If there is not.
        """
        if self.hwaccel and self.scheme not in _PACKETS:
            msg = f"a {SOURCES[self.scheme][0]} is decoded in software: leave it out"
            raise ValueError(msg)

    def check_frame_id(self) -> None:
        """Look at the place of the frame ID.

        Raises:
            ValueError: If there is no such place.
        """
        if self.frame_id and not _ID_PLACE.fullmatch(self.frame_id):
            msg = "Expected property:NAME, or level:N for a level of the topic, from 0 or from -1"
            raise ValueError(msg)

    @property
    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.scheme in {"", "file"}

    @property
    def path(self) -> str:
        """The path of a file."""
        return addresses.file_path(self.url) if self.scheme == "file" else self.url


class Tap(_Section):
    """Frames for detectors."""

    rate: Positive | None = None
    longest_side: Count | None = None
    quality: Annotated[int, msgspec.Meta(ge=1, le=100)] = 85


class Detections(_Section):
    """Where detection messages come from."""

    topic: Text
    format: str = "inference"
    max_message_bytes: Bytes = Bytes(8 << 20)
    max_predictions: Count = 1000


class Pairing(_Section):
    """How frame and message agree on a frame."""

    key: PairingKey = "frame_id"
    tolerance: Positive | None = None
    sei_uuid: UUID | None = None
    max_wait: Positive = 2.0
    max_items: Count = 1000
    max_bytes: Bytes = Bytes(256 << 20)


class Crop(_Section):
    """What lies outside the mask."""

    mask_opacity: float = 0.0
    background_color: str | list[int] = "#000000"

    def options(self) -> CropOptions:
        """The same for the core."""
        return CropOptions(self.mask_opacity, self.background_color)


class Output(_Section):
    """Where crops go."""

    topic: Text = "streamcrop/{stream}/crops"
    encoding: Literal["jpeg", "png", "webp"] = "jpeg"
    quality: Annotated[int, msgspec.Meta(ge=1, le=100)] = 90
    qos: Literal[0, 1] = 1
    envelope: Literal["auto", "binary", "json"] = "auto"
    max_inflight: Count = 64
    files: str | None = None


class Http(_Section):
    """Where WHIP publishers find the node."""

    host: Text = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8088
    cert: str | None = None
    key: str | None = None


class Stream(_Section):
    """One video and the messages that speak of it."""

    source: Source
    detections: Detections
    tap: Tap | None = None
    pairing: Pairing = msgspec.field(default_factory=Pairing)
    crop: Crop = msgspec.field(default_factory=Crop)
    output: Output = msgspec.field(default_factory=Output)

    @property
    def lossless(self) -> bool:
        """Whether frames wait for room rather than being dropped."""
        return self.source.is_file and not self.source.realtime

    @property
    def topics(self) -> frozenset[str]:
        """The MQTT topics that it can do nothing without."""
        pictures = {self.source.url.partition(":")[2]} if self.source.scheme == "mqtt" else set()
        return frozenset({self.detections.topic, *pictures})

    @property
    def caveat(self) -> str | None:
        """What is to be known of the pairing key; None: it is to be trusted."""
        if self.pairing.key == "arrival":
            return "arrival is a guess: a crop may be of a neighbouring frame"
        if self.pairing.key == "pts" and not self.source.is_file:
            return (
                "two readers of a camera count media time each from its own beginning: with pts "
                "crops will be of other frames, unless one reader hands its frames on to the other"
            )
        return None

    @property
    def decoding(self) -> tuple[Literal["auto", "eager", "lazy"], str]:
        """When pictures are decoded, as `Source.decode`, and why so."""
        if self.source.scheme not in _PACKETS:
            return "eager", "only files, cameras and devices are read as packets"
        if self.source.is_file and self.pairing.key == "frame_id":
            return "eager", "only decoding says which picture of a file has which index"
        if self.tap and self.tap.rate is None:
            return "eager", "the tap shows every frame"
        why = {
            "auto": "H.264, H.265 and MJPEG only while pictures are asked for",
            "eager": "as source.decode says",
            "lazy": "H.264, H.265 and MJPEG only when a picture is asked for",
        }
        return self.source.decode, why[self.source.decode]


class Config(_Section):
    """A whole node."""

    broker: Broker
    streams: dict[str, Stream]
    node: Name = msgspec.field(default_factory=socket.gethostname)
    http: Http = msgspec.field(default_factory=Http)
    shutdown_timeout: NotNegative = 10.0


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key that is given twice: one of the two would be lost."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    line = key.start_mark.line + 1
                    raise yaml.YAMLError(f"line {line}: the key {key.value!r} is given twice")
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
    # Each stream is read on its own, so that an error can name it.
    head = tree | {"streams": {}} if isinstance(sections, dict) else tree
    config: Config = _convert(head, Config, "$")
    if not sections:
        raise ConfigError("$.streams: expected at least one stream")
    if not config.node.isprintable() or set("+#/") & set(config.node):
        raise ConfigError("$.node: expected printable characters without + # /")
    for name, section in sections.items():
        if not _STREAM_NAME.fullmatch(name):
            raise ConfigError(f"$.streams: {name!r:.80} is not 1 to 256 letters, digits, _ or -")
        config.streams[name] = _convert(section, Stream, f"$.streams.{name}")
        _check_stream(config.streams[name], f"$.streams.{name}")
        if (config.streams[name].output.envelope, config.broker.protocol) == ("binary", "3.1.1"):
            what = "binary needs MQTT 5, and broker.protocol is 3.1.1: use auto"
            raise ConfigError(f"$.streams.{name}.output.envelope: {what}")
    _at("$.broker.url", config.broker.address)
    for name, part in (("broker", config.broker), ("http", config.http)):
        if (part.cert is None) != (part.key is None):
            raise ConfigError(f"$.{name}: cert and key belong together")
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
        return [_expanded(part, f"{path}[{at}]") for at, part in enumerate(value)]
    if not isinstance(value, str):
        return value

    try:
        text = _VARIABLE.sub(lambda match: os.environ[match[1]], value)
    except (KeyError, ValueError) as error:
        name = error.args[0]
        if not _NAME_OF_VARIABLE.fullmatch(name):
            raise ConfigError(f"{path}: ${{NAME}} holds no name of a variable") from None
        raise ConfigError(f"{path}: the environment has no variable {name!r}: set it") from None
    if _NO_TEXT.search(text):
        raise ConfigError(f"{path}: expected text without NUL and lone surrogates")
    if path.rpartition(".")[2] not in _SECRET_KEYS and addresses.has_login(text):
        raise ConfigError(f"{path}: an address with a password belongs into a key `url` alone")
    return text


def _convert(tree: Any, kind: type, path: str) -> Any:  # a YAML tree, a section
    try:
        return msgspec.convert(tree, kind, dec_hook=lambda _, value: Bytes.parse(value))
    except (msgspec.ValidationError, OverflowError) as error:
        what, _, where = str(error).partition(" - at `$")
        raise ConfigError(f"{path}{where.rstrip('`')}: {what}") from None


def _at(path: str, check: Any) -> None:  # any callable
    try:
        check()
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None


def _check_stream(stream: Stream, path: str) -> None:
    """What types cannot say: combinations that nothing could serve."""
    _at(f"{path}.crop", stream.crop.options)
    _at(f"{path}.output.topic", lambda: check_topic(stream.output.topic, TOPIC_FIELDS))
    _at(f"{path}.detections.topic", lambda: check_filter(stream.detections.topic))
    _at(f"{path}.source.url", stream.source.check)
    _at(f"{path}.source.hwaccel", stream.source.check_hwaccel)
    _at(f"{path}.source.frame_id", stream.source.check_frame_id)
    _at(f"{path}.detections.format", lambda: check_choice(stream.detections.format))
    _at(f"{path}.pairing.key", lambda: check_key(stream))
    _at(f"{path}.source.decode", lambda: check_decoding(stream))


def check_choice(name: str) -> None:
    """Check a detection format's name.

    Raises:
        ValueError: If there is no such format.
    """
    if name not in DETECTION_FORMATS:
        msg = f"no format {name!r}; expected one of {', '.join(DETECTION_FORMATS)}"
        raise ValueError(msg)


def check_key(stream: Stream) -> None:
    """Check that frames and messages both have the key by which they are paired.

    Raises:
        ValueError: If one of them has not; its text says what would do.
    """
    key, says = stream.pairing.key, DETECTION_FORMATS[stream.detections.format].keys
    what, has = SOURCES[stream.source.scheme]
    has = has | ({"frame_id"} if stream.tap else set())
    if key not in has:
        tap = "" if stream.tap else ", or add a tap, whose frames carry a frame_id"
        msg = f"a {what} has no {key}: use {_either(has & says or has)}{tap}"
        raise ValueError(msg)
    if key not in says:
        msg = (
            f"{stream.detections.format} messages say no {key}: use "
            f"{_either(has & says) or 'another format'}"
        )
        raise ValueError(msg)


def _either(keys: set[str]) -> str:
    return " or ".join(key for key in get_args(PairingKey) if key in keys)


def check_decoding(stream: Stream) -> None:
    """Check that frames can be decoded lazily if they are to be.

    Raises:
        ValueError: If they cannot.
    """
    mode, why = stream.decoding
    if stream.source.decode == "lazy" and mode != "lazy":
        msg = f"nothing would be decoded lazily here: {why}; use auto"
        raise ValueError(msg)


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
    if len(filled.encode()) > 4 * _MAX_TEXT:
        raise ValueError(f"Expected a topic of at most {4 * _MAX_TEXT} bytes, its fields filled in")
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
            raise ValueError(f"Expected a topic filter; the level {level!r} is none")


def _check_levels(topic: str) -> None:
    if not topic.isprintable():
        raise ValueError("Expected a topic of printable characters: brokers refuse others")
    if topic.count("/") >= _MAX_LEVELS:
        raise ValueError(f"Expected a topic of at most {_MAX_LEVELS} levels: brokers refuse more")
