"""A broker's answers in words."""

from aiomqtt import MqttCodeError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from streamcrop.mqtt.answers import LostError, Refusal, RefusedError, in_words


def test_what_a_broker_adds_is_printable_and_not_long() -> None:
    """It may say anything, and goes into logs and the status."""
    assert in_words("Banned", "") == "Banned"
    said = in_words("Banned", "by\x1b[31m\n" + "x" * 1000)
    assert said.isprintable()
    assert len(said) < 220
    assert in_words("Server moved", "mqtt://me:s3cret@b:1883") == "Server moved (…@b:1883)"


def test_a_refusal_says_whether_it_is_asked_again() -> None:
    """Not where that would not help."""
    assert str(Refusal("no")) == "no; asked again each minute"
    assert str(Refusal("no", final=True)) == "no"


def test_a_refused_connection_has_its_code() -> None:
    """And the broker's words."""
    error = RefusedError(ReasonCode(PacketTypes.CONNACK, identifier=0x8A), "ask the owner")
    assert (error.code, str(error)) == (0x8A, "Banned (ask the owner)")


def test_how_a_connection_ended() -> None:
    """With the broker's code, or without a word, which paho calls an unspecified error."""

    def ended(code: int) -> LostError:
        return LostError(MqttCodeError(ReasonCode(PacketTypes.DISCONNECT, identifier=code)))

    assert ended(0x9A).code == 0x9A
    assert "Retain not supported" in str(ended(0x9A))
    for silent in (ended(0x80), LostError(None)):
        assert str(silent) == "it ended without a word"
    assert LostError(OSError("broken pipe")).code == 0
    assert "broken pipe" in str(LostError(OSError("broken pipe")))
