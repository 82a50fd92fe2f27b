"""Where frames come from: a row for each kind of source, and the section that names one."""

import re
from dataclasses import dataclass
from typing import Literal

import msgspec

from streamcrop import addresses
from streamcrop.config.topics import check_filter
from streamcrop.config.types import Hardware, Positive, Section, Text

# Those that are to be trusted first.
PairingKey = Literal["frame_id", "sei", "utc", "pts", "arrival"]
_ID_PLACE = re.compile(r"property:.+|level:-?[0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class Kind:
    """The traits that sources of some schemes have in common.

    Attributes:
        name: For people, behind an article.
        keys: The pairing keys that it provides without a tap.
        settings: Those of `Source` that it heeds, beside ``url`` and ``decode``.
        packets: Whether its frames come as packets of a stream.
    """

    name: str
    keys: frozenset[PairingKey]
    settings: frozenset[str]
    packets: bool = False


def _kind(name: str, keys: str, settings: str, *, packets: bool = False) -> Kind:
    found: frozenset[PairingKey] = frozenset(keys.split())  # type: ignore[arg-type]  # as the names
    return Kind(name, found, frozenset(settings.split()), packets)


_LIVE = "connect_timeout stall_timeout"
FILE = _kind("file", "frame_id sei pts", "realtime loop hwaccel", packets=True)
CAMERA = _kind("camera", "sei utc pts arrival", f"hwaccel transport {_LIVE}", packets=True)
TLS_CAMERA = _kind(
    "camera by TLS", "sei utc pts arrival", f"hwaccel ca tls_verify {_LIVE}", packets=True
)
DEVICE = _kind("device", "arrival", "hwaccel stall_timeout", packets=True)
PUBLISHER = _kind("WebRTC publisher", "sei arrival", f"token {_LIVE}")
SERVER = _kind("WebRTC stream", "sei arrival", f"token ca tls_verify {_LIVE}")
PICTURES = _kind("MQTT image", "frame_id utc arrival", "frame_id")
# By scheme; a path has none.
SCHEMES = {
    "": FILE,
    "file": FILE,
    "rtsp": CAMERA,
    "rtsps": TLS_CAMERA,
    "device": DEVICE,
    "whip": PUBLISHER,
    "whep": SERVER,
    "mqtt": PICTURES,
}


class Source(Section):
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
        return scheme if ":" in self.url and scheme in SCHEMES else ""

    @property
    def kind(self) -> Kind:
        """Its row."""
        return SCHEMES[self.scheme]

    def foreign(self) -> str | None:
        """The name of a setting that is made and that no source of this kind heeds."""
        heeded = self.kind.settings | {"url", "decode"}
        for field in msgspec.structs.fields(self):
            if field.name not in heeded and getattr(self, field.name) != field.default:
                return field.name
        return None

    def check(self) -> None:
        """Look at the URL.

        Raises:
            ValueError: If no source has its scheme, or a part is missing; its text does not hold
                the password.
        """
        rest = self.url.partition(":")[2]
        if self.scheme == "mqtt" and rest.startswith("//"):
            raise ValueError("Expected mqtt:TOPIC; the broker's address is broker.url")
        if self.scheme in {"mqtt", "device", "whip"} and addresses.has_login(self.url):
            raise ValueError("Expected no address with a password behind this scheme")
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
                check_filter(rest)
            case "device" if not rest:
                raise ValueError("Expected a device like device:/dev/video0")

    def _check_path(self) -> None:
        try:
            addresses.check_path(self.url)
        except ValueError as error:
            raise ValueError(
                f"{error}: expected a path, file:///..., rtsp://[USER:PASSWORD@]HOST/..., "
                "rtsps://, device:/dev/video0, whip:, whep:https://... or mqtt:TOPIC"
            ) from None

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
        """True if it is a file."""
        return self.scheme in {"", "file"}

    @property
    def path(self) -> str:
        """The path of a file."""
        return addresses.file_path(self.url) if self.scheme == "file" else self.url
