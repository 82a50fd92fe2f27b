"""The table of detection formats."""

import pytest

from streamcrop import config, formats
from streamcrop.errors import ConfigError
from streamcrop.formats import inference
from streamcrop.keys import KEYS

EMPTY = {
    "inference": b'{"frame_id": 7, "captured_at": 1795341600, "predictions": []}',
    "axis": b'{"channel_id": 1, "timestamp": "2026-11-22T10:00:00.000000Z"}',
    "onvif": b'{"Frame": [{"@UtcTime": "2026-11-22T10:00:00"}]}',
}
CONFIG = """
broker: {url: "mqtt://127.0.0.1"}
streams:
  gate:
    source: {url: "rtsp://camera.example/1"}
    detections: {topic: detections/gate, format: FORMAT}
    pairing: {key: KEY}
"""


def configured(
    name: str, key: str, *, source: str = "rtsp://camera.example/1"
) -> config.Detections:
    """What the configuration reads; raises `ConfigError`."""
    text = CONFIG.replace("FORMAT", name).replace("KEY", key)
    text = text.replace("rtsp://camera.example/1", source)
    return config.parse(text).streams["gate"].detections


@pytest.mark.parametrize("name", formats.DETECTION_FORMATS)
def test_rows_are_the_configurations_names(name: str) -> None:
    """Each row of the table can be configured."""
    assert configured(name, "utc").format == name


def test_a_name_that_is_no_row() -> None:
    """Another name is refused, and the error lists the rows."""
    with pytest.raises(ConfigError) as info:
        configured("yolo", "utc")
    assert str(info.value) == (
        "$.streams.gate.detections.format: no format 'yolo'; expected one of "
        + ", ".join(formats.DETECTION_FORMATS)
    )


@pytest.mark.parametrize("name", formats.DETECTION_FORMATS)
def test_keys_of_rows_are_keys(name: str) -> None:
    """A row names pairing keys that there are."""
    assert formats.DETECTION_FORMATS[name].keys <= KEYS.keys()


@pytest.mark.parametrize("name", ["axis", "onvif"])
@pytest.mark.parametrize("key", ["sei", "pts", "arrival"])
def test_a_key_that_messages_do_not_say(name: str, key: str) -> None:
    """The error names the format, the key and what to use."""
    with pytest.raises(ConfigError) as info:
        configured(name, key)
    assert str(info.value) == f"$.streams.gate.pairing.key: {name} messages say no {key}: use utc"


@pytest.mark.parametrize("name", ["axis", "onvif"])
def test_frames_do_not_help_where_messages_say_none(name: str) -> None:
    """A tap gives frames an ID, which a camera's own detector never sees."""
    tapped = CONFIG.replace("FORMAT", name).replace("KEY", "frame_id") + "    tap: {}\n"
    with pytest.raises(ConfigError, match=f"{name} messages say no frame_id: use utc"):
        config.parse(tapped)


def test_no_key_would_do() -> None:
    """Where a source and a format share no key, another format is the cure."""
    with pytest.raises(ConfigError, match="axis messages say no pts: use another format"):
        configured("axis", "pts", source="clip.mp4")


@pytest.mark.parametrize("name", formats.DETECTION_FORMATS)
def test_each_row_reads_the_empty_message(name: str) -> None:
    """No predictions is an answer in every format."""
    row = formats.DETECTION_FORMATS[name]
    message = row.decode(EMPTY[name])
    read = row.predictions(message, (8, 6), name="gate/7", limit=10)
    assert message.captured_at == 1_795_341_600_000_000
    assert (read.rows, len(read.instances), read.over_limit) == ([], 0, 0)


def test_inference_is_its_module() -> None:
    """The row holds the module's functions."""
    row = formats.DETECTION_FORMATS["inference"]
    assert (row.decode, row.predictions) == (inference.decode, inference.predictions)
