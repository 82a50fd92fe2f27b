"""SEI of H.264 and H.265, read undecoded: IDs in user data, and recovery points."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from uuid import UUID

import msgspec

from streamcrop.formats.heads import MAX_FRAME_ID

# H.264, table D-1 and H.265, table D-1: the same numbers.
_USER_DATA_UNREGISTERED, _RECOVERY_POINT = 5, 6
# A number as long as 32 bits, Exp-Golomb coded, has at most 65.
_LONGEST = 9
# Encoders that write their settings into the stream: x264 and x265.
_SETTINGS = {
    UUID("dc45e9bd-e6d9-48b7-962c-d820d923eeef"),
    UUID("2ca2de09-b517-47db-bb55-a4fe7fc2fc4e"),
}


class _Named(msgspec.Struct):
    frame_id: str | int


_named = msgspec.json.Decoder(_Named)


def frame_id(units: Iterable[bytes], uuid: UUID | None = None) -> str | None:
    r"""The ID that the SEI of a picture carries.

    Args:
        units: Its SEI units, without their headers; see `nal.sei_units`.
        uuid: Whose user data counts; None: anybody's but the settings of x264 and x265.

    Returns:
        The payload as text: what stands under ``frame_id`` where it is a JSON object, hexadecimal
        where it is no text, the UUID itself where it is empty. None where there is no user data,
        where there are several that differ, and where it is longer than a frame ID may be.

    Example:
        >>> frame_id([b"\x05\x12" + b"0123456789abcdef" + b"42" + b"\x80"])
        '42'
    """
    found = {
        _text(name, payload)
        for name, payload in _user_data(units)
        if (name == uuid if uuid else name not in _SETTINGS)
    }
    return found.pop() if len(found) == 1 else None


def recovery_count(units: Iterable[bytes], codec: str) -> int | None:
    r"""How many pictures a recovery point counts until all is refreshed; None: there is none.

    Args:
        units: The SEI units before a picture, without their headers.
        codec: ``h264``: recovery_frame_cnt, ue(v) (D.1.8); ``hevc``: recovery_poc_cnt, se(v)
            (D.2.8), where a point before the picture counts as 0.

    Example:
        >>> recovery_count([b"\x06\x02\x09\xc4\x80"], "h264")
        18
    """
    for unit in units:
        for number, payload in _messages(_unescaped(unit)):
            if number == _RECOVERY_POINT:
                count = _exp_golomb(payload)
                if count is not None and codec == "hevc":
                    count = (count + 1) // 2 if count % 2 else 0
                return count
    return None


def _unescaped(unit: bytes) -> bytes:
    """Without emulation prevention (7.4.1)."""
    return unit.replace(b"\0\0\3", b"\0\0")


def _exp_golomb(data: bytes) -> int | None:
    """The number that bits begin with, ue(v) (H.264, 9.1); None where they end before it does."""
    data = data[:_LONGEST]
    bits = f"{int.from_bytes(data):0{8 * len(data)}b}" if data else ""
    zeros = bits.find("1")
    code = bits[zeros : 2 * zeros + 1]
    return int(code, 2) - 1 if zeros >= 0 and len(code) == zeros + 1 else None


def _user_data(units: Iterable[bytes]) -> Iterator[tuple[UUID, bytes]]:
    for unit in units:
        for number, payload in _messages(_unescaped(unit)):
            if number == _USER_DATA_UNREGISTERED and len(payload) >= 16:
                yield UUID(bytes=payload[:16]), payload[16:]


def _messages(unit: bytes) -> Iterator[tuple[int, bytes]]:
    """The SEI messages of a unit, ``(payloadType, payload)`` (H.264, 7.3.2.3.1)."""
    at = 0
    while at + 2 < len(unit):
        numbers = []
        for _ in ("type", "size"):
            number = 0
            while at < len(unit) and unit[at] == 0xFF:
                number, at = number + 255, at + 1
            number += unit[at] if at < len(unit) else 0
            numbers.append(number)
            at += 1
        kind, size = numbers
        if at + size > len(unit):
            return
        yield kind, unit[at : at + size]
        at += size


def _text(uuid: UUID, payload: bytes) -> str | None:
    payload = payload.rstrip(b"\0")
    if not payload:
        return str(uuid)
    text = payload.decode(errors="replace")
    with suppress(msgspec.DecodeError, RecursionError, ValueError):
        text = str(_named.decode(payload).frame_id)
    found = text if text.isprintable() and "\ufffd" not in text else payload.hex()
    return found if 0 < len(found) <= MAX_FRAME_ID else None
