"""The values that settings have, and the section that holds them."""

import re
from typing import Annotated, Literal

import msgspec

# MQTT's texts have at most 65,535 bytes, four to a character.
MAX_TEXT = 16_383
MAX_NAME = 256
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*((?:[kmg]i?)?)b?", re.ASCII | re.IGNORECASE)
_TIMES = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_TIME = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*([smhd]?)", re.ASCII | re.IGNORECASE)

# Finite: `.inf` is a number in YAML, and no time that can be waited for.
Positive = Annotated[float, msgspec.Meta(gt=0, lt=1e9)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, lt=1e9)]
# Seconds; a clock that is off by more than a day is to be set.
Offset = Annotated[float, msgspec.Meta(ge=-86_400, le=86_400)]
Count = Annotated[int, msgspec.Meta(ge=1)]
# Readers of JSON descend into it on a stack that has room for a few hundred levels.
Nesting = Annotated[int, msgspec.Meta(ge=8, le=200)]
Quality = Annotated[int, msgspec.Meta(ge=1, le=100)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Protocol = Literal["auto", "5", "3.1.1"]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
Credential = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
# As in a Host header, without its port.
HostName = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
# As in `ffmpeg -hwaccel`, perhaps with a device; what is there is seen where it is opened.
Hardware = Annotated[
    str,
    msgspec.Meta(
        pattern="^(cuda(:[0-9]+)?|(amf|d3d11va|d3d12va|drm|dxva2|mediacodec|ohcodec|opencl|qsv"
        "|vaapi|vdpau|videotoolbox|vulkan)(:.+)?)$"
    ),
]


class Section(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A part of the file; unknown keys are refused."""


class Seconds(float):
    """A time in seconds; in YAML a number or a text like ``24h``."""

    @classmethod
    def parse(cls, value: object) -> "Seconds":
        """Read it.

        Example:
            >>> Seconds.parse("1.5h")
            5400.0
        """
        match = _TIME.fullmatch(str(value).strip())
        if isinstance(value, bool) or not isinstance(value, int | float | str) or not match:
            raise ValueError("Expected a time like 24h, 30m or a number of seconds")
        seconds = cls(float(match[1]) * _TIMES[match[2].lower()])
        if not 0 < seconds < 1e9:
            raise ValueError("Expected a time above 0, and below 30 years")
        return seconds


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
