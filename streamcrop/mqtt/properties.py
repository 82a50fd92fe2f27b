"""The properties of a PUBLISH that arrives, bounded before they are read.

paho copies what is left of them for each that it reads: 26,000 in 128 KiB took 1.6 s, and four
times as many bytes take sixteen times as long (2026-11-28).
"""

# Identifiers (MQTT 5, 2.2.2.2), with the bytes of what follows, or how many texts do.
_BYTES = {0x01: 1, 0x02: 4, 0x23: 2}
_TEXTS = {0x03: 1, 0x08: 1, 0x09: 1, 0x26: 2}
_NUMBER = 0x0B
# A crop has a dozen, of which one may take 64 KiB.
MOST, MOST_BYTES = 256, 1 << 17


def check(packet: bytes, *, acknowledged: bool) -> None:
    r"""Refuse what would take long to be read.

    Args:
        packet: A PUBLISH of MQTT 5, behind its fixed header.
        acknowledged: Whether it has a packet identifier, as at QoS 1 and 2.

    Raises:
        ValueError: If there are too many properties, or they are too long. What else may be wrong
            with them is for others to find.

    Example:
        >>> check(b"\0\1t" + b"\5" + b"\x26\0\0\0\0", acknowledged=False)
    """
    at = 2 + int.from_bytes(packet[:2], "big") + 2 * acknowledged
    size, at = _number(packet, at)
    if size > MOST_BYTES:
        raise ValueError(f"{size:,} bytes of properties are more than {MOST_BYTES:,}")
    end, count = at + size, 0
    while at < min(end, len(packet)):
        kind = packet[at]
        at += 1
        count += 1
        if count > MOST:
            raise ValueError(f"more than {MOST} properties")
        if kind == _NUMBER:
            _, at = _number(packet, at)
            continue
        at += _BYTES.get(kind, 0)
        for _ in range(_TEXTS.get(kind, 0)):
            at += 2 + int.from_bytes(packet[at : at + 2], "big")


def _number(packet: bytes, at: int) -> tuple[int, int]:
    """A number of up to four bytes (MQTT 5, 1.5.5), and where the next byte is."""
    value = shift = 0
    for byte in packet[at : at + 4]:
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if byte < 0x80:
            break
    return value, at
