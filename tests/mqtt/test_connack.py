"""The table of refusals, and what a broker offers."""

from types import SimpleNamespace

import pytest

from streamcrop.mqtt.connack import MAX_PACKET, VERDICTS, Offer, Verdict, other_scheme


def test_what_is_not_said_is_there() -> None:
    """Without properties, as in MQTT 3.1.1, a broker can do everything."""
    assert Offer.of(None) == Offer()
    assert Offer().max_packet == MAX_PACKET == 268_435_455


def test_what_is_said_is_heeded() -> None:
    """Each property of MQTT 5, 3.2.2.3 has its place."""
    said = SimpleNamespace(
        MaximumPacketSize=2000,
        ReceiveMaximum=10,
        ServerKeepAlive=3,
        MaximumQoS=0,
        RetainAvailable=0,
        WildcardSubscriptionAvailable=0,
        SharedSubscriptionAvailable=0,
        SubscriptionIdentifierAvailable=0,
    )
    offer = Offer.of(said)
    assert (offer.max_packet, offer.window, offer.keepalive, offer.max_qos) == (2000, 10, 3, 0)
    assert not any((offer.retain, offer.wildcards, offer.shared, offer.numbers))


@pytest.mark.parametrize(
    ("offer", "topic", "lack"),
    [
        (Offer(), "$share/a/cams/+", None),
        (Offer(wildcards=False), "cams/front", None),
        (Offer(wildcards=False), "cams/+", "wildcard"),
        (Offer(wildcards=False), "cams/#", "wildcard"),
        (Offer(shared=False), "$share/a/cams", "shared"),
        (Offer(shared=False), "a/$share/b", None),
    ],
)
def test_a_topic_that_cannot_be_had(offer: Offer, topic: str, lack: str | None) -> None:
    """What it needs is named."""
    said = offer.lacks(topic)
    assert said is None if lack is None else lack in str(said)


@pytest.mark.parametrize("code", [0x80, 0x83, 0x88, 0x89, 0x97, 0x9C, 0x9F, 0])
def test_what_passes_is_tried_again(code: int) -> None:
    """Busy, unavailable, over a quota: the same CONNECT may be taken later."""
    assert code not in VERDICTS


@pytest.mark.parametrize("code", [0x81, 0x82, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x90, 0x95, 0x9D])
def test_what_does_not_pass_is_final(code: int) -> None:
    """Asking again would be answered alike."""
    assert VERDICTS[code] is Verdict.FINAL


@pytest.mark.parametrize(
    ("said", "tls", "ended", "hint"),
    [
        ("it ended the connection", False, True, "mqtts://?"),
        ("Connection refused", False, False, ""),
        ("[Errno 104] Connection reset by peer", True, False, "mqtt://?"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", True, False, "mqtt://?"),
        ("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred", True, False, "mqtt://?"),
        ("_ssl.c:989: The handshake operation timed out", True, False, "mqtt://?"),
        ("[Errno 111] Connection refused", True, False, ""),
        ("timed out", True, False, ""),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] EOF occurred", True, False, ""),
        ("it ended the connection", True, True, ""),
    ],
)
def test_the_other_scheme_is_asked_for_only_where_it_fits(
    said: str, tls: bool, ended: bool, hint: str
) -> None:
    """Neither where nobody listens, nor for a certificate, nor behind a handshake."""
    found = other_scheme(said, tls=tls, ended=ended)
    assert hint in found
    assert bool(found) is bool(hint)
