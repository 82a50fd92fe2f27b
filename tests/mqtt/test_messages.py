"""Messages: their bytes, and what is said beside them."""

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from streamcrop.mqtt.messages import Incoming, Outgoing


@pytest.mark.parametrize(
    ("content_type", "user_properties"),
    [
        ("", []),
        ("image/jpeg", []),
        ("", [("key", "")]),
        ("image/jpeg", [("key", "one"), ("key", "zwölf 😀"), ("long", "x" * 65_535)]),
    ],
)
def test_properties_are_packed_as_paho_does(
    content_type: str, user_properties: list[tuple[str, str]]
) -> None:
    """Their bytes are those of paho's own class, and the packet's bound lies above its size."""
    theirs = Properties(PacketTypes.PUBLISH)
    if content_type:
        theirs.ContentType = content_type
    if user_properties:
        theirs.UserProperty = user_properties
    message = Outgoing("a", b"data", content_type=content_type, user_properties=user_properties)
    assert message.pack() == theirs.pack()
    # Fixed header, topic with its length, packet ID, properties, payload.
    assert message.packet_bytes >= 5 + 3 + 2 + len(theirs.pack()) + 4


def arrived(topic: str, **properties: object) -> Incoming:
    """A message with these properties."""
    said = Properties(PacketTypes.PUBLISH)
    for name, value in properties.items():
        setattr(said, name, value)
    return Incoming.of(aiomqtt.Message(topic, b"data", 1, True, 1, said))


def test_what_is_said_beside_a_message() -> None:
    """User properties, content type and topic; nobody can pretend to be the last two."""
    pretended = [("key", "a"), ("topic", "wrong"), ("content-type", "wrong")]
    message = arrived("cams/a", UserProperty=pretended, ContentType="image/png")
    expected = {"key": "a", "content-type": "image/png", "topic": "cams/a"}
    assert message.properties == expected
    assert (message.payload, message.retained) == (b"data", True)


def test_without_properties() -> None:
    """MQTT 3.1.1 has none."""
    message = Incoming.of(aiomqtt.Message("cams/a", b"", 0, False, 1, None))
    assert message.properties == {"topic": "cams/a"}
    assert message.is_for("cams/+", 1)
    assert not message.is_for("other", 1)


def test_the_number_decides_where_there_is_one() -> None:
    """A topic that matches as well has been sent its own copy."""
    message = arrived("cams/a", SubscriptionIdentifier=2)
    assert message.is_for("cams/a", 2)
    assert not message.is_for("cams/+", 1)
