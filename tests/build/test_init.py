"""`streamcrop.build`: what a node has one of."""

import pytest

from streamcrop import config
from streamcrop.build import max_packet_of

MEBIBYTE = 1 << 20


def node(*streams: tuple[str, int], **limits: int) -> config.Config:
    """A configuration of streams, each with its URL and its largest message."""
    found = {
        f"s{number}": config.Stream(
            source=config.Source(url=url),
            detections=config.Detections(topic="d", max_message_bytes=config.Bytes(most)),
        )
        for number, (url, most) in enumerate(streams)
    }
    bounds = config.Limits(**{name: config.Bytes(most) for name, most in limits.items()})
    return config.Config(broker=config.Broker(url="mqtt://h"), streams=found, limits=bounds)


@pytest.mark.parametrize(
    ("streams", "expected"),
    [
        ([("clip.mp4", 8 * MEBIBYTE)], 32 * MEBIBYTE),
        ([("clip.mp4", 1000), ("rtsp://h/s", 3000), ("whip:", 2000)], 12_000),
        ([("clip.mp4", 1000), ("mqtt:pictures", 10)], 4 * 5 * MEBIBYTE),
        ([("mqtt:pictures", 6 * MEBIBYTE)], 24 * MEBIBYTE),
        ([("clip.mp4", 64 * MEBIBYTE)], None),
    ],
)
def test_largest_packet(streams: list[tuple[str, int]], expected: int | None) -> None:
    """Four times the largest bound, of pictures where any come; None where MQTT has no larger."""
    assert max_packet_of(node(*streams, picture_bytes=5 * MEBIBYTE)) == expected
