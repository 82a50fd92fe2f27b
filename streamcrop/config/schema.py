"""The sections of the file, but for the source's: what can be said, and its defaults."""

import socket
from ipaddress import ip_address
from typing import Any, Literal
from uuid import UUID

import msgspec

from streamcrop.config.output import Broker, Output
from streamcrop.config.source import PICTURES, PairingKey, Source
from streamcrop.config.types import (
    Bytes,
    Count,
    HostName,
    Name,
    Nesting,
    NotNegative,
    Offset,
    Port,
    Positive,
    Quality,
    Section,
    Text,
)
from streamcrop.core import limits
from streamcrop.core.background import CropOptions
from streamcrop.core.choice import PerTrack, Rule
from streamcrop.core.filters import Anchor, Filter
from streamcrop.core.shape import Border, Fit, Upright
from streamcrop.keys import KEYS, Key

_LIMITS = limits.Limits()


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


class Select(Section):
    """Which predictions become crops; see `core.filters.Filter` and `core.choice.Rule`."""

    classes: list[str] | None = None
    not_classes: list[str] | None = None
    min_confidence: float = 0
    min_size: list[float] | None = None
    max_size: list[float] | None = None
    zones: dict[str, list[list[float]]] | None = None
    zone_anchor: Anchor = "foot"
    per_track: PerTrack = "every"
    interval: float = 2.0
    lost_after: float = 2.0
    max_age: float = 60.0

    def interest(self) -> Filter:
        """Which rows are of interest.

        Raises:
            ValueError: If an option is none.
        """
        return Filter(
            self.classes,
            self.not_classes,
            self.min_confidence,
            self.min_size,
            self.max_size,
            self.zones,
            self.zone_anchor,
        )

    def rule(self) -> Rule:
        """Which crops of a track are chosen.

        Raises:
            ValueError: If a time is none.
        """
        return Rule(self.per_track, self.interval, self.lost_after, self.max_age)

    @property
    def takes_all(self) -> bool:
        """True if each row becomes a crop."""
        return self.per_track == "every" and self.interest() == Filter()


class Limits(Section):
    """The bounds of all memory, and of one message or picture; see `streamcrop.core.limits`."""

    memory: Bytes = Bytes(1 << 30)
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
        _, *of_message = msgspec.structs.astuple(self)
        return limits.Limits(*of_message)


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
    select: Select = msgspec.field(default_factory=Select)
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
        """The warning that belongs to the pairing key; None: it is to be trusted."""
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
