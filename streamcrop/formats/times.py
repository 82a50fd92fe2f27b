"""Capture times: microseconds since 1970 UTC, and the ways in which messages write them."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from streamcrop.errors import FormatError
from streamcrop.formats.documents import shown

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# RFC 3339, 5.6, but the offset may be missing (ONVIF, Roboflow): then it is UTC, as the keys say.
# It may also be whole hours (PostgreSQL), or a word (Go, Ruby).
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:[.,](\d+))?"
    r"\s*([Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
_UTC = {"", "Z", "UTC", "GMT"}
# Seconds in text.
_NUMBER = re.compile(r"\d{1,20}(?:\.\d{1,18})?", re.ASCII)
# Before 3000-01-01: a larger number counts milliseconds or nanoseconds.
_LAST_SECOND = 32_503_680_000
# What `rfc3339` can write: an offset can name a time in the year 10000, or before the year 1.
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999


def microseconds(value: object) -> int:
    """Read a capture time.

    Args:
        value: RFC 3339 text, UTC where it names no offset, any number of digits behind the second
            (cut, not rounded); or seconds since 1970 UTC, as a number or in text.

    Raises:
        FormatError: `malformed`, if it is neither, or `rfc3339` could not write it again.

    Example:
        >>> microseconds("2026-11-22T10:00:00.123456Z"), microseconds(1795341600.5)
        (1795341600123456, 1795341600500000)
    """
    hint, value = "", value.strip() if isinstance(value, str) else value
    if isinstance(value, str) and (match := _RFC3339.fullmatch(value)):
        date, time, fraction, offset = match.groups("")
        # A leap second is no time that `datetime` knows; it is the first one of the next minute.
        leap = time.endswith(":60")
        zone = "Z" if offset.upper() in _UTC else offset
        clock = f"{date}T{time[:-2] + '59' if leap else time}{zone}"
        try:
            whole = datetime.fromisoformat(clock) + timedelta(seconds=leap) - _EPOCH
        except (OverflowError, ValueError):
            pass
        else:
            found = whole // _MICROSECOND + int(fraction[:6].ljust(6, "0"))
            if _FIRST <= found <= _LAST:
                return found
    else:
        seconds = float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value
        if isinstance(seconds, int | float) and not isinstance(seconds, bool):
            if 0 <= seconds < _LAST_SECOND:
                return round(seconds * 1_000_000)
            hint = _counts(seconds)
    msg = f"a time is RFC 3339 text or seconds since 1970, not {shown(value)}{hint}"
    raise FormatError(msg)


def _counts(number: float) -> str:
    """A guess at the unit of a number that is no time in seconds; in the years 2001 to 2286."""
    for factor, unit in ((10**3, "milliseconds"), (10**6, "microseconds"), (10**9, "nanoseconds")):
        if 10**9 * factor <= number < 10**10 * factor:
            return f": {unit}? divide by {factor:,}"
    return ""


@lru_cache(maxsize=16)  # all crops of a frame say the same
def rfc3339(time: int) -> str:
    """Write a capture time; the inverse of `microseconds`.

    Example:
        >>> rfc3339(1795341600123456)
        '2026-11-22T10:00:00.123456Z'
    """
    return (_EPOCH + time * _MICROSECOND).isoformat(timespec="microseconds").replace("+00:00", "Z")
