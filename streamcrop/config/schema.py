"""The sections of the file, but for the source's: what can be said, and its defaults."""

import socket
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import unquote
from uuid import UUID

import msgspec

from streamcrop import addresses
from streamcrop.config.source import PICTURES, PairingKey, Source
from streamcrop.config.types import (
    Bytes,
    Count,
    Credential,
    HostName,
    Name,
    Nesting,
    NotNegative,
    Offset,
    Port,
    Positive,
    Protocol,
    Quality,
    Section,
    Text,
)
from streamcrop.core import limits
from streamcrop.core.background import CropOptions
from streamcrop.core.shape import Border, Fit, Upright
from streamcrop.keys import KEYS, Key

_LIMITS = limits.Limits()


class Broker(Section):
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


class Tap(Section):
    """Frames for detectors."""

    rate: Positive | None = None
    longest_side: Count | None = None
    quality: Quality = 85


class Detections(Section):
    """Where detection messages come from."""

    topic: Text
    format: str = "inference"
    max_message_bytes: Bytes = Bytes(8 << 20)
    max_predictions: Count = 1000


class Pairing(Section):
    """How frame and message agree on a frame."""

    key: PairingKey = "frame_id"
    tolerance: Positive | None = None
    sei_uuid: UUID | None = None
    offset: Offset = 0.0
    confirm: bool = False
    remember: Positive = 60.0
    max_wait: Positive = 2.0
    max_items: Count = 1000
    max_bytes: Bytes = Bytes(256 << 20)

    @property
    def row(self) -> Key:
        """The key's row."""
        return KEYS[self.key]


class Crop(Section):
    """How crops are shaped, and what lies outside the mask; see `CropOptions`."""

    mask_opacity: float = 0.0
    background_color: str | list[int] = "#000000"
    margin: float | str | list[float | str] = 0
    aspect: float | str | None = None
    min_side: float | None = None
    border: Border = "clip"
    size: list[int] | None = None
    fit: Fit = "letterbox"
    fill: str | list[int] = "#727272"
    upright: bool | Upright = False
    align: dict[str, Any] | None = None

    def options(self) -> CropOptions:
        """The same for the core.

        Raises:
            ValueError: If an option is none.
        """
        return CropOptions(**msgspec.structs.asdict(self))


class Output(Section):
    """Where crops go."""

    topic: Text = "streamcrop/{stream}/crops"
    encoding: Literal["jpeg", "png", "webp"] = "jpeg"
    quality: Quality = 90
    qos: Literal[0, 1] = 1
    envelope: Literal["auto", "binary", "json"] = "auto"
    max_inflight: Count = 64
    files: str | None = None


class Limits(Section):
    """What one message or picture may ask for; see `streamcrop.core.limits`."""

    picture_bytes: Bytes = Bytes(_LIMITS.picture_bytes)
    picture_pixels: Count = _LIMITS.picture_pixels
    scans: Count = _LIMITS.scans
    chunks: Count = _LIMITS.chunks
    values: Count = _LIMITS.values
    nesting: Nesting = _LIMITS.nesting
    vertices: Count = _LIMITS.vertices
    runs: Count = _LIMITS.runs
    crop_pixels: Count = _LIMITS.crop_pixels

    def of_message(self) -> limits.Limits:
        """The same for the core."""
        return limits.Limits(*msgspec.structs.astuple(self))


class Http(Section):
    """Where people, monitors and WHIP publishers find the node."""

    host: Text = "127.0.0.1"
    port: Port | None = None
    cert: str | None = None
    key: str | None = None
    token: Text | None = None
    open: bool = False
    hosts: list[HostName] = msgspec.field(default_factory=list)

    @property
    def is_local(self) -> bool:
        """True if nobody but this machine can reach it."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_guarded(self) -> bool:
        """True if strangers cannot look: the machine's own network, a token, or as it was said."""
        return self.is_local or self.token is not None or self.open


class Stream(Section):
    """One video and the messages that speak of it."""

    source: Source
    detections: Detections
    tap: Tap | None = None
    pairing: Pairing = msgspec.field(default_factory=Pairing)
    crop: Crop = msgspec.field(default_factory=Crop)
    output: Output = msgspec.field(default_factory=Output)

    @property
    def lossless(self) -> bool:
        """True if frames wait for room rather than being dropped."""
        return self.source.is_file and not self.source.realtime

    @property
    def topics(self) -> frozenset[str]:
        """The MQTT topics that it can do nothing without."""
        pictures = {self.source.url.partition(":")[2]} if self.source.kind is PICTURES else set()
        return frozenset({self.detections.topic, *pictures})

    @property
    def caveat(self) -> str | None:
        """What is to be known of the pairing key; None: it is to be trusted."""
        row = self.pairing.row
        if caveat := row.caveat or (None if self.source.is_file else row.caveat_live):
            return caveat
        if self.pairing.confirm and self.decoding[0] == "eager":
            return (
                "confirm holds decoded pictures until the camera's next report, 6 s perhaps: "
                "pairing.max_bytes must have room for them (a 1080p picture is 3.1 MB)"
            )
        return None

    @property
    def decoding(self) -> tuple[Literal["auto", "eager", "lazy"], str]:
        """When pictures are decoded, as `Source.decode`, and why so."""
        if not self.source.kind.packets:
            return "eager", "only files, cameras and devices are read as packets"
        if self.source.is_file and self.pairing.row.names:
            return "eager", "only decoding says which picture of a file has which index"
        if self.tap and self.tap.rate is None:
            return "eager", "the tap shows every frame"
        why = {
            "auto": "H.264, H.265 and MJPEG only while pictures are asked for",
            "eager": "as source.decode says",
            "lazy": "H.264, H.265 and MJPEG only when a picture is asked for",
        }
        return self.source.decode, why[self.source.decode]


class Config(Section):
    """A whole node."""

    broker: Broker
    streams: dict[str, Stream]
    node: Name = msgspec.field(default_factory=socket.gethostname)
    limits: Limits = msgspec.field(default_factory=Limits)
    http: Http | bool = msgspec.field(default_factory=Http)
    shutdown_timeout: NotNegative = 10.0

    @property
    def web(self) -> Http | None:
        """Where HTTP is spoken; None: nowhere."""
        return None if isinstance(self.http, bool) else self.http
