"""A broker's answers in words: why it refuses a connection, a topic, a message, or hangs up."""

from dataclasses import dataclass

from aiomqtt import MqttError
from paho.mqtt.reasoncodes import ReasonCode

from streamcrop.addresses import redacted

__all__ = ["FINAL", "EndedError", "LostError", "MqttError", "Refusal", "RefusedError", "in_words"]

# MQTT 5, 3.9.3: the filter is invalid; shared or wildcard subscriptions are not supported.
FINAL = {0x8F, 0x9E, 0xA2}
_UNSPECIFIED = 0x80
# So much of what a broker adds to its reasons is repeated.
_MAX_EXPLAINED = 200


def in_words(reason_code: object, explained: str) -> str:
    """A reason, with what the broker adds to it, printable, without a login, and not without end.

    Example:
        >>> in_words("Quota exceeded", "100 a day")
        'Quota exceeded (100 a day)'
    """
    text = redacted("".join(c if c.isprintable() else " " for c in explained[:_MAX_EXPLAINED]))
    return f"{reason_code} ({text})" if text else str(reason_code)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the broker does not let us hear a topic.

    Attributes:
        final: Whether asking again on this connection would not help.
    """

    why: str
    final: bool = False

    def __str__(self) -> str:
        return self.why if self.final else f"{self.why}; asked again each minute"


class EndedError(MqttError):
    """The connection ended at our first packet."""


class LostError(MqttError):
    """The connection ended.

    Attributes:
        code: The code with which the broker ended it (MQTT 5, 3.14.2.1); 0 where it said none.
    """

    def __init__(self, cause: BaseException | None) -> None:
        self.code = int(getattr(getattr(cause, "rc", 0), "value", 0))
        # paho's word for no word.
        silent = cause is None or self.code == _UNSPECIFIED
        super().__init__("it ended without a word" if silent else str(cause))


class RefusedError(MqttError):
    """The broker refuses the connection.

    Attributes:
        code: Its code, one of MQTT 5 also with 3.1.1.
    """

    def __init__(self, code: ReasonCode, explained: str = "") -> None:
        super().__init__(in_words(code, explained))
        self.code: int = code.value
