"""`streamcrop.mqtt.properties`: those that arrive are bounded before they are read."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

from streamcrop.mqtt.properties import MOST, MOST_BYTES, check


def packet(properties: bytes, *, acknowledged: bool = False) -> bytes:
    """A PUBLISH behind its fixed header."""
    size = VariableByteIntegers.encode(len(properties))
    return b"\0\3a/b" + b"\0\7" * acknowledged + size + properties + b"payload"


def text(size: int) -> bytes:
    """A text of so many characters."""
    return size.to_bytes(2, "big") + b"x" * size


ALL = b"\x01\1" + b"\x02\0\0\0\1" + b"\x03" + text(9) + b"\x08" + text(3) + b"\x09" + text(300)
ALL += b"\x0b\xff\xff\x7f" + b"\x23\0\1" + b"\x26" + text(1) + text(200)


@pytest.mark.parametrize("acknowledged", [False, True])
def test_properties_are_counted(*, acknowledged: bool) -> None:
    """Of every kind, and as many as are allowed."""
    said = Properties(PacketTypes.PUBLISH)
    said.unpack(VariableByteIntegers.encode(len(ALL)) + ALL)
    assert MOST % 8 == 0
    check(packet(ALL * (MOST // 8), acknowledged=acknowledged), acknowledged=acknowledged)
    for kind in (b"\x01\1", b"\x0b\x7f", b"\x26\0\0\0\0"):
        more = ALL * (MOST // 8) + kind
        with pytest.raises(ValueError, match="more than 256 properties"):
            check(packet(more, acknowledged=acknowledged), acknowledged=acknowledged)


def test_properties_are_bounded_in_bytes() -> None:
    """Metadata of a crop and what stands beside it find room."""
    crop = b"\x26" + text(8) + text(65_535)
    rest = b"\x26" + text(8) + text(MOST_BYTES - len(crop) - 13)
    check(packet(crop + rest), acknowledged=False)
    with pytest.raises(ValueError, match="131,073 bytes of properties are more than 131,072"):
        check(
            packet(crop + b"\x26" + text(8) + text(MOST_BYTES - len(crop) - 12)), acknowledged=False
        )


def test_what_would_take_minutes() -> None:
    """It is refused in a moment."""
    since = time.process_time()
    for properties in (b"\x26\0\0\0\0" * 1_000_000, b"\x0b\1" * 65_000):
        with pytest.raises(ValueError, match="properties"):
            check(packet(properties), acknowledged=False)
    assert time.process_time() - since < 0.2


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes(found: bytes, acknowledged: bool) -> None:
    """Whatever comes is refused by those who read it, not here, if it is small."""
    check(found[:200], acknowledged=acknowledged)
