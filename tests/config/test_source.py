"""Where frames come from: each kind has its settings and keys."""

from typing import Any

import msgspec
import pytest

from streamcrop.config.source import SCHEMES, Kind, Source

URLS = {
    "": "clip.mp4",
    "file": "file:///data/clip.mp4",
    "rtsp": "rtsp://camera/main",
    "rtsps": "rtsps://camera/main",
    "device": "device:/dev/video0",
    "whip": "whip:",
    "whep": "whep:https://server/whep",
    "mqtt": "mqtt:cameras/gate",
}
# A value of each setting that is not its default.
SET: dict[str, Any] = {
    "realtime": True,
    "loop": True,
    "hwaccel": "cuda",
    "transport": "udp",
    "connect_timeout": 7.0,
    "stall_timeout": 7.0,
    "ca": "ca.pem",
    "tls_verify": False,
    "token": "s3cret",
    "frame_id": "level:1",
}
HEEDED = {
    "": {"realtime", "loop", "hwaccel"},
    "file": {"realtime", "loop", "hwaccel"},
    "rtsp": {"hwaccel", "transport", "connect_timeout", "stall_timeout"},
    "rtsps": {"hwaccel", "connect_timeout", "stall_timeout", "ca", "tls_verify"},
    "device": {"hwaccel", "stall_timeout"},
    "whip": {"token", "connect_timeout", "stall_timeout"},
    "whep": {"token", "connect_timeout", "stall_timeout", "ca", "tls_verify"},
    "mqtt": {"frame_id"},
}


def test_every_setting_is_spoken_of() -> None:
    """A new one has a value here, and a source that heeds it."""
    names = {field.name for field in msgspec.structs.fields(Source)}
    assert names == {*SET, "url", "decode"}
    assert set.union(*HEEDED.values()) == set(SET)
    assert set(URLS) == set(HEEDED) == set(SCHEMES)


@pytest.mark.parametrize("scheme", URLS)
@pytest.mark.parametrize("setting", SET)
def test_a_setting_of_another_kind(scheme: str, setting: str) -> None:
    """It is found where it is not heeded; at its default it changes nothing."""
    source = Source(url=URLS[scheme], **{setting: SET[setting]})
    assert source.scheme == scheme
    assert source.foreign() == (None if setting in HEEDED[scheme] else setting)
    default = next(f.default for f in msgspec.structs.fields(Source) if f.name == setting)
    assert Source(url=URLS[scheme], **{setting: default}).foreign() is None


@pytest.mark.parametrize("scheme", URLS)
def test_what_is_right(scheme: str) -> None:
    """A usual address passes, and its scheme in capitals, too."""
    source = Source(url=URLS[scheme])
    source.check()
    source.check_frame_id()
    assert source.kind is SCHEMES[scheme]
    assert isinstance(source.kind, Kind)
    assert Source(url=source.url.replace(scheme, scheme.upper(), 1)).kind is source.kind
    assert source.is_file == (scheme in {"", "file"})
    assert source.kind.packets == (scheme in {"", "file", "rtsp", "rtsps", "device"})


@pytest.mark.parametrize("url", ["cam:1.mp4", "rtmp:1.mp4", "a", "-", "c:a", ":a", "rtsp.mp4"])
def test_paths(url: str) -> None:
    """Only the schemes that a source has are schemes."""
    source = Source(url=url)
    source.check()
    assert (source.scheme, source.path) == ("", url)


@pytest.mark.parametrize("place", ["name", "property:", "level:", "level:1.5", "level:99999"])
def test_no_place_of_a_frame_id(place: str) -> None:
    """A property has a name, a level a number."""
    with pytest.raises(ValueError, match="Expected property:NAME, or level:N"):
        Source(url="mqtt:a", frame_id=place).check_frame_id()
