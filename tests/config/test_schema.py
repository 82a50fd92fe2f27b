"""The sections, and what follows from them."""

import pytest

from streamcrop.config.schema import Broker, Crop, Detections, Http, Pairing, Stream, Tap
from streamcrop.config.source import Source
from streamcrop.core.background import CropOptions


def stream(url: str = "clip.mp4", **sections: object) -> Stream:
    """A stream of a source."""
    how = {key: value for key, value in sections.items() if key in {"realtime", "decode"}}
    rest = {key: value for key, value in sections.items() if key not in how}
    return Stream(source=Source(url=url, **how), detections=Detections(topic="d"), **rest)


def test_what_waits_for_room() -> None:
    """A file that is not played at its own pace."""
    assert stream().lossless
    assert not stream(realtime=True).lossless
    assert not stream("rtsp://camera/main").lossless


def test_topics() -> None:
    """Detections, and pictures where they come by MQTT."""
    assert stream().topics == {"d"}
    assert stream("mqtt:pictures/+").topics == {"d", "pictures/+"}


@pytest.mark.parametrize(
    ("url", "key", "expected"),
    [
        ("rtsp://camera/main", "arrival", "arrival is a guess"),
        ("rtsp://camera/main", "pts", "two readers of a camera"),
        ("clip.mp4", "pts", None),
        ("rtsp://camera/main", "utc", None),
    ],
)
def test_caveats(url: str, key: str, expected: str | None) -> None:
    """Keys that may pair with another frame."""
    found = stream(url, pairing=Pairing(key=key)).caveat
    assert found is None if expected is None else found.startswith(expected)


@pytest.mark.parametrize(
    ("url", "sections", "mode"),
    [
        ("mqtt:a", {}, "eager"),
        ("clip.mp4", {}, "eager"),
        ("clip.mp4", {"pairing": Pairing(key="pts")}, "auto"),
        ("clip.mp4", {"pairing": Pairing(key="pts"), "decode": "lazy"}, "lazy"),
        ("rtsp://camera/main", {"tap": Tap()}, "eager"),
        ("rtsp://camera/main", {"tap": Tap(rate=5)}, "auto"),
        ("device:/dev/video0", {"decode": "eager"}, "eager"),
    ],
)
def test_when_pictures_are_decoded(url: str, sections: dict[str, object], mode: str) -> None:
    """Lazily where packets say which frame they are, unless every frame is shown."""
    assert stream(url, **sections).decoding[0] == mode


def test_the_broker_and_the_crop() -> None:
    """They become what runs, or an error."""
    assert Broker(url="mqtts://me:p%40ss@h").address() == ("h", 8883, True, "me", "p@ss")
    with pytest.raises(ValueError, match="Expected mqtt://"):
        Broker(url="mqtt://h/path").address()
    assert Crop(mask_opacity=1, background_color="#fff").options() == CropOptions(1, "#fff")


@pytest.mark.parametrize(
    ("http", "is_local", "is_guarded"),
    [
        (Http(), True, True),
        (Http(host="127.0.0.5"), True, True),
        (Http(host="::1"), True, True),
        (Http(host="LOCALHOST"), True, True),
        (Http(host="0.0.0.0"), False, False),  # noqa: S104  # it is looked at
        (Http(host="192.0.2.7"), False, False),
        (Http(host="localhost.example"), False, False),
        (Http(host="::", token="t"), False, True),  # noqa: S106  # none of anybody
        (Http(host="::", open=True), False, True),
    ],
)
def test_who_can_look(http: Http, is_local: bool, is_guarded: bool) -> None:
    """Beyond this machine it takes a token, or so many words."""
    assert (http.is_local, http.is_guarded) == (is_local, is_guarded)
