"""Which source a stream reads from."""

import sys
from pathlib import Path

import msgspec
import pytest
from fakes import FakeBroker

from streamcrop import config
from streamcrop.build.sources import _SOURCES, source_of
from streamcrop.errors import ConfigError
from streamcrop.sources.mqtt import MqttSource
from streamcrop.sources.threads import Threaded
from streamcrop.sources.webrtc import WhepSource, WhipSource


def stream(url: str, key: str = "arrival") -> config.Stream:
    """A stream's settings."""
    tree = {"source": {"url": url}, "detections": {"topic": "d"}, "pairing": {"key": key}}
    return msgspec.convert(tree, config.Stream, dec_hook=lambda kind, value: kind(value))


def test_a_row_for_each_kind_of_the_configuration() -> None:
    """What the configuration accepts is what can be opened."""
    assert set(_SOURCES) == set(config.SCHEMES.values())


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("clip.mp4", Threaded),
        ("file:///srv/clip.mp4", Threaded),
        ("rtsp://camera/main", Threaded),
        ("rtsps://camera/main", Threaded),
        ("device:/dev/video0", Threaded),
        ("mqtt:cameras/gate", MqttSource),
        ("whip:", WhipSource),
        ("whep:https://server/whep", WhepSource),
    ],
)
@pytest.mark.parametrize("key", ["frame_id", "sei", "utc"])
def test_sources(url: str, kind: type, key: str) -> None:
    """Each scheme has its source, which opens nothing before it is read."""
    broker = FakeBroker()
    settings = stream(url, key)
    source = source_of(settings, broker)
    assert isinstance(source, kind)
    assert set(broker.handlers) == ({"cameras/gate"} if kind is MqttSource else set())


@pytest.mark.parametrize("url", ["rtsps://camera/main", "whep:https://server/whep"])
def test_certificates_to_trust(url: str, tmp_path: Path) -> None:
    """A file that is missing or holds none is named before anything is asked."""
    settings = stream(url)
    for settings.source.ca in (str(tmp_path / "none.pem"), __file__):
        with pytest.raises(ConfigError, match=r"^source\.ca: \S+ cannot be used: "):
            source_of(settings, FakeBroker())
    settings.source.tls_verify = False
    source_of(settings, FakeBroker())


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where aiortc is not installed, the error says what to install."""
    for module in ("webrtc", "session", "aiortc_parts"):
        monkeypatch.delitem(sys.modules, f"streamcrop.sources.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "aiortc", None)
    with pytest.raises(ConfigError, match=r"pip install 'streamcrop\[webrtc\]'"):
        source_of(stream("whip:"), FakeBroker())
