"""A broker's answers in words: why it refuses a connection, a topic, a message, or hangs up."""

import contextlib
from dataclasses import dataclass

from aiomqtt import MqttError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from streamcrop.addresses import redacted

__all__ = [
    "FINAL",
    "EndedError",
    "LostError",
    "MqttError",
    "Refusal",
    "RefusedError",
    "in_words",
    "puback",
    "refusal",
    "unknown_version",
]

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


def refusal(code: int, explained: str) -> str:
    """An acknowledgement's code in MQTT's words, with what the broker adds; empty: it is none.

    Example:
        >>> refusal(0x97, "a day"), refusal(0x95, ""), refusal(0xF0, ""), refusal(0x10, "")
        ('Quota exceeded (a day)', 'Packet too large', 'code 0xf0', '')
    """
    return in_words(_named(code), explained) if code >= 0x80 else ""


def _named(code: int) -> str:
    # Brokers send those of other packets as well.
    for kind in (PacketTypes.PUBACK, PacketTypes.DISCONNECT):
        with contextlib.suppress(Exception):  # KeyError, and others by paho's version
            return str(ReasonCode(kind, identifier=code))
    return f"code {code:#x}"


def puback(body: memoryview) -> tuple[int, int, str] | None:
    r"""A PUBACK's identifier, code, and what the broker adds (MQTT 5, 3.4); None: it has none.

    Example:
        >>> puback(memoryview(b"\x07\xd2\x97\x05\x1f\0\x02no"))
        (2002, 151, 'no')
    """
    if len(body) < 2:
        return None
    code, added = body[2] if len(body) > 2 else 0, ""
    if len(body) > 3:
        properties = Properties(PacketTypes.PUBACK)  # type: ignore[no-untyped-call]  # paho's
        with contextlib.suppress(Exception):  # it raises what it likes
            properties.unpack(bytes(body[3:]))  # type: ignore[no-untyped-call]  # paho's
        added = str(getattr(properties, "ReasonString", ""))
    return body[0] << 8 | body[1], code, added


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


class SilentError(MqttError):
    """The broker does not answer any more.

    Attributes:
        code: As if it had ended the connection for our silence (MQTT 5, 3.14.2.1).
    """

    code = 0x8D


class RefusedError(MqttError):
    """The broker refuses the connection.

    Attributes:
        code: Its code, one of MQTT 5 also with 3.1.1.
    """

    def __init__(self, code: ReasonCode, explained: str = "") -> None:
        super().__init__(in_words(code, explained))
        self.code: int = code.value


def unknown_version() -> RefusedError:
    """The refusal of a broker that does not speak our version."""
    return RefusedError(ReasonCode(PacketTypes.CONNACK, identifier=0x84))
