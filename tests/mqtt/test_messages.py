"""Messages: their bytes, and what is said beside them."""

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

from streamcrop.mqtt.messages import (
    LONGEST,
    Incoming,
    Outgoing,
    forgetting,
    length_of,
    numbered,
    wishes,
)


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
    return Incoming.of(topic, b"data", said, retained=True)


def test_what_is_said_beside_a_message() -> None:
    """User properties, content type and topic; nobody can pretend to be the last two."""
    pretended = [("key", "a"), ("topic", "wrong"), ("content-type", "wrong")]
    message = arrived("cams/a", UserProperty=pretended, ContentType="image/png")
    expected = {"key": "a", "content-type": "image/png", "topic": "cams/a"}
    assert message.properties == expected
    assert (message.payload, message.retained) == (b"data", True)


def test_without_properties() -> None:
    """MQTT 3.1.1 has none."""
    message = Incoming.of("cams/a", b"", None, retained=False)
    assert message.properties == {"topic": "cams/a"}
    assert message.is_for("cams/+", 1)
    assert not message.is_for("other", 1)


def test_the_number_decides_where_there_is_one() -> None:
    """A topic that matches as well has been sent its own copy."""
    message = arrived("cams/a", SubscriptionIdentifier=2)
    assert message.is_for("cams/a", 2)
    assert not message.is_for("cams/+", 1)


@pytest.mark.parametrize("topic", ["", "a/#", "+"])
def test_what_cannot_be_a_topic(topic: str) -> None:
    """A broker that sends it is wrong."""
    with pytest.raises(ValueError, match="topic"):
        arrived(topic)


@pytest.mark.parametrize("count", [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, LONGEST])
def test_a_length(count: int) -> None:
    """As paho writes it; no length is longer than four bytes say."""
    assert length_of(count) == VariableByteIntegers.encode(count)
    with pytest.raises(ValueError, match="no length"):
        length_of(LONGEST + 1)


def test_what_we_wish_of_a_broker() -> None:
    """Its bytes: a session of so many seconds, and no packet beyond so many bytes."""
    assert wishes(120, None).pack() == b"\x05\x11\0\0\0\x78"
    assert wishes(120, 1 << 20).pack() == b"\x0a\x11\0\0\0\x78\x27\0\x10\0\0"


def test_what_a_subscription_and_a_goodbye_say() -> None:
    """Their bytes: a number; that nothing is to be kept."""
    assert numbered(200).pack() == b"\x03\x0b\xc8\x01"
    assert forgetting().pack() == b"\x05\x11\0\0\0\0"
