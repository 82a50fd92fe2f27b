"""Parcels: the bytes of PUBLISH packets, against those that paho makes."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from streamcrop.mqtt.messages import Outgoing
from streamcrop.mqtt.packets import ACKNOWLEDGED, Parcel, Terms, checked

PROTOCOLS = {"5": mqtt.MQTTv5, "3.1.1": mqtt.MQTTv311}
texts = st.text(st.characters(exclude_characters="+#\0", exclude_categories=["Cs"]), max_size=200)
messages = st.builds(
    Outgoing,
    texts.filter(bool),
    st.binary(max_size=20_000),
    st.just(1),
    st.booleans(),
    content_type=st.sampled_from(["", "image/jpeg"]),
    user_properties=st.lists(st.tuples(texts, texts), max_size=3),
)


class Mute:
    """A socket that is never written to."""

    def close(self) -> None:
        pass


def by_paho(message: Outgoing, version: str, qos: int, number: int, *, again: bool) -> bytes:
    """The packet that paho makes of a message."""
    client: Any = mqtt.Client(CallbackAPIVersion.VERSION2, "a", protocol=PROTOCOLS[version])
    client._sock = Mute()
    client.on_socket_register_write = lambda *_: None
    topic, properties = message.topic.encode(), message if version == "5" else None
    client._send_publish(
        number, topic, message.payload, qos, message.retain, again, properties=properties
    )
    return bytes(client._out_packet[0]["packet"])


@given(st.lists(messages, min_size=1, max_size=4), st.sampled_from(["5", "3.1.1"]), st.booleans())
def test_packets_are_as_paho_makes_them(
    parcel: Sequence[Outgoing], version: str, again: bool
) -> None:
    """Of both QoS and versions, with identifiers, and said to be sent again."""
    for max_qos in (0, 1):
        packed = Parcel.of(parcel, Terms(version, max_qos))
        expected = []
        for at, message in enumerate(parcel):
            if max_qos:
                packed.number(at, 1000 + at, again=again)
            dup = bool(max_qos) and again
            expected.append(by_paho(message, version, max_qos, 1000 + at, again=dup))
            assert packed.packet_bytes(at) == len(expected[-1])
        assert bytes(packed.data) == b"".join(expected)
        assert packed.starts[-1] == len(packed.data)


def test_a_parcel_is_packed_anew_for_another_connection() -> None:
    """With the messages of its version, and without what the broker cannot do."""
    parcel = Parcel(
        lambda version: [Outgoing("a", version.encode(), retain=True), Outgoing("b", b"")], Terms()
    )
    parcel.number(0, 7, again=False)
    parcel.numbers[1] = ACKNOWLEDGED
    before = bytes(parcel.data)
    parcel.suit(Terms())
    assert (parcel.data, parcel.numbers) == (before, [7, ACKNOWLEDGED])
    parcel.suit(Terms("3.1.1", 0, retain=False))
    assert bytes(parcel.data) == b"0\x08\0\x01a3.1.10\x03\0\x01b"
    assert (parcel.qos, parcel.numbers) == (0, [0, ACKNOWLEDGED])


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0", "x" * 65_536])
def test_what_is_no_topic_is_not_packed(topic: str) -> None:
    """A broker would end the connection."""
    with pytest.raises(ValueError, match="cannot have the topic"):
        Parcel.of([Outgoing(topic, b"")], Terms())
    with pytest.raises(ValueError, match="cannot have the topic"):
        checked(Outgoing(topic, b""))
