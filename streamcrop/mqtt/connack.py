"""A broker's answer to our CONNECT: what it offers, and what to do where it refuses.

Pure: the codes and properties are those of MQTT 5, 3.2.2, and of MQTT 3.1.1, 3.2.2.3.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

# 268,435,455, the most that a packet's length can say (MQTT 5, 1.5.5), and one byte less for each
# of its own five.
MAX_PACKET = (1 << 28) - 1


class Verdict(Enum):
    """How to go on after a refusal."""

    FINAL = auto()
    AGAIN = auto()
    OTHER_VERSION = auto()
    WITHOUT_RETAIN = auto()
    LOWER_QOS = auto()


# MQTT 5, 3.2.2.2, in its order; the five codes of MQTT 3.1.1 are those of the same meaning here.
# Final is what the same CONNECT would meet again. A code that does not stand here is of a state
# that passes: unspecified, busy, unavailable, quota, rate, use another server.
VERDICTS = {
    0x81: Verdict.FINAL,  # malformed packet
    0x82: Verdict.FINAL,  # protocol error
    0x84: Verdict.OTHER_VERSION,
    0x85: Verdict.FINAL,  # client identifier not valid
    0x86: Verdict.FINAL,  # bad user name or password
    0x87: Verdict.FINAL,  # not authorized
    0x8A: Verdict.FINAL,  # banned
    0x8C: Verdict.FINAL,  # bad authentication method
    0x90: Verdict.FINAL,  # the will's topic name is not accepted
    0x95: Verdict.FINAL,  # packet too large
    0x99: Verdict.FINAL,  # the will's payload is not of its format
    0x9A: Verdict.WITHOUT_RETAIN,  # the will is retained
    0x9B: Verdict.LOWER_QOS,  # the will's QoS
    0x9D: Verdict.FINAL,  # server moved
}


@dataclass(frozen=True, slots=True)
class Offer:
    """The abilities that a broker announces (MQTT 5, 3.2.2.3); 3.1.1 has no word for them.

    Attributes:
        max_packet: The largest packet that it takes, in bytes.
        window: How many messages of QoS 1 it takes before it has acknowledged the first.
        keepalive: Seconds; None: ours is right.
        max_qos: The highest QoS of a message.
        retain: Whether it keeps messages for newcomers.
        wildcards: Whether a topic filter may hold ``+`` and ``#``.
        shared: Whether a topic filter may begin with ``$share``.
        numbers: Whether subscriptions may have identifiers.
        sessions: False: it forgets us as soon as the connection ends.
    """

    max_packet: int = MAX_PACKET
    window: int = 65_535
    keepalive: int | None = None
    max_qos: int = 2
    retain: bool = True
    wildcards: bool = True
    shared: bool = True
    numbers: bool = True
    sessions: bool = True

    @classmethod
    def of(cls, properties: object) -> "Offer":
        """The offer in an object that has the properties as attributes; absent is the default."""
        return cls(
            getattr(properties, "MaximumPacketSize", MAX_PACKET),
            getattr(properties, "ReceiveMaximum", 65_535),
            getattr(properties, "ServerKeepAlive", None),
            getattr(properties, "MaximumQoS", 2),
            bool(getattr(properties, "RetainAvailable", True)),
            bool(getattr(properties, "WildcardSubscriptionAvailable", True)),
            bool(getattr(properties, "SharedSubscriptionAvailable", True)),
            bool(getattr(properties, "SubscriptionIdentifierAvailable", True)),
            bool(getattr(properties, "SessionExpiryInterval", True)),
        )

    def lacks(self, topic: str) -> str | None:
        """Why this topic filter need not be asked for; None: it may be.

        Example:
            >>> Offer(wildcards=False).lacks("cams/+/jpg")
            'it has no wildcard subscriptions'
        """
        if not self.shared and topic.startswith("$share/"):
            return "it has no shared subscriptions"
        if not self.wildcards and {"+", "#"} & {*topic}:
            return "it has no wildcard subscriptions"
        return None


# As OpenSSL says it: the broker's certificate is wrong, or ours in the broker's eyes.
CERTIFICATE = re.compile("CERTIFICATE|UNKNOWN_CA")
# As OpenSSL says that what it met is no TLS, and as a peer ends that takes our first packet for
# rubbish.
_NO_TLS = re.compile(
    "WRONG_VERSION_NUMBER|UNEXPECTED_EOF|EOF occurred|RECORD_LAYER|HTTP_REQUEST|reset by peer"
    "|handshake operation timed out",
    re.IGNORECASE,
)


def other_scheme(said: str, *, tls: bool, ended: bool) -> str:
    """A question, where a failure looks as if one side spoke TLS and the other did not.

    Args:
        said: The failure in words.
        tls: Whether we spoke TLS.
        ended: Whether the connection ended at our first packet.

    Example:
        >>> other_scheme("Connection reset by peer", tls=False, ended=True)
        ' (does this port want mqtts://?)'
    """
    if not tls and ended:
        return " (does this port want mqtts://?)"
    if tls and _NO_TLS.search(said) and not CERTIFICATE.search(said):
        return " (does this port want mqtt://?)"
    return ""
