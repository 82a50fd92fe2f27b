"""`streamcrop.formats.times`: capture times as messages write them."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.errors import FormatError
from streamcrop.formats.times import microseconds, rfc3339

# 2026-11-22T10:00:00Z
TEN = 1_795_341_600_000_000
# 0001-01-01 and 9999-12-31, from 1970.
FIRST, LAST = -62_135_596_800_000_000, 253_402_300_799_999_999


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("2026-11-22T10:00:00Z", 0),
        ("2026-11-22T10:00:00", 0),
        ("2026-11-22t10:00:00z", 0),
        ("2026-11-22 10:00:00", 0),
        ("2026-11-22 10:00:00 Z", 0),
        ("2026-11-22T10:00:00+00:00", 0),
        ("2026-11-22T10:00:00-00:00", 0),
        ("2026-11-22T11:00:00+01:00", 0),
        ("2026-11-22T11:00:00 +0100", 0),
        ("2026-11-21T22:30:00-11:30", 0),
        ("2026-11-22T10:00:00.5Z", 500_000),
        ("2026-11-22T10:00:00.123Z", 123_000),
        ("2026-11-22T10:00:00.123456Z", 123_456),
        ("2026-11-22T10:00:00.000001", 1),
        ("2026-11-22T10:00:00,5Z", 500_000),
        ("2026-11-22 11:00:00.5+01", 500_000),
        ("2026-11-22 10:00:00.5 UTC", 500_000),
        ("2026-11-22 10:00:00 GMT", 0),
        (" 2026-11-22T10:00:00Z\r\n", 0),
        (" 1795341600.5 ", 500_000),
        ("2026-11-22T11:00:00.25+01:00", 250_000),
    ],
)
def test_text(text: str, after: int) -> None:
    """RFC 3339, and what is near it; without an offset it is UTC."""
    assert microseconds(text) == TEN + after


@pytest.mark.parametrize("digits", ["1234569", "12345699999999999999", "1234561" + "0" * 5000])
def test_more_digits_are_cut(digits: str) -> None:
    """Nothing is rounded up to a time that was not yet."""
    assert microseconds(f"2026-11-22T10:00:00.{digits}Z") == TEN + 123_456


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (1_795_341_600_500, ": milliseconds? divide by 1,000"),
        ("1795341600500", ": milliseconds? divide by 1,000"),
        (1.7953416005e15, ": microseconds? divide by 1,000,000"),
        (1_795_341_600_500_000_000, ": nanoseconds? divide by 1,000,000,000"),
        (10**400, ""),
        (-5, ""),
        (float("nan"), ""),
        ("now", ""),
    ],
)
def test_other_units_are_guessed_at(value: object, hint: str) -> None:
    """A number of today in another unit is not taken, and what to do is said."""
    with pytest.raises(FormatError) as info:
        microseconds(value)
    _, _, said = str(info.value).partition(", not ")
    assert said.partition(":")[2] == hint[1:]


@pytest.mark.parametrize(
    ("leap", "same"),
    [
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2016-12-31T23:59:60.75Z", "2017-01-01T00:00:00.75Z"),
        ("2017-01-01T00:59:60+01:00", "2017-01-01T00:00:00Z"),
    ],
)
def test_leap_second(leap: str, same: str) -> None:
    """It is the second after it, as in POSIX."""
    assert microseconds(leap) == microseconds(same)


def test_before_1970() -> None:
    """Text may name any time of the calendar."""
    assert microseconds("1969-12-31T23:59:59.25Z") == -750_000
    assert microseconds("0001-01-01T00:00:00Z") == FIRST
    assert microseconds("9999-12-31T23:59:59.999999Z") == LAST


BAD: list[Any] = ["", "now", "2026-11-22", "10:00:00", "2026-11-22T10:00Z", "2026-11-22T10:00:00."]
BAD += ["2026-02-30T10:00:00Z", "2026-13-01T10:00:00Z", "2026-11-22T24:00:01Z"]
BAD += ["2026-11-22T10:60:00Z", "2026-11-22T10:60:60Z", "2026-11-22T10:00:61Z"]
BAD += ["2026-11-22T10:00:00+25:00", "2026-11-22T10:00:00+25", "0000-01-01T00:00:00Z"]
BAD += ["9999-12-31T23:59:60Z", "26-11-22T10:00:00Z", "2026-11-22T10:00:00+1"]
BAD += [
    "2026-11-22T10:00:00Z\nx",
    "\u0662026-11-22T10:00:00Z",
    "1795341600123",
    "-1",
    "1e9",
    "9" * 10_000,
]
BAD += ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+00:01", "9999-12-31T23:00:00.5-01:00"]
BAD += [-1, -0.001, 32_503_680_000, 1_795_341_600_000, 10**400, float("nan"), float("inf")]
BAD += [float("-inf"), True, False, None, [], {}, b"2026-11-22T10:00:00Z", datetime.now(UTC)]


@pytest.mark.parametrize("value", BAD, ids=range(len(BAD)))
def test_what_is_no_time(value: object) -> None:
    """Anything else is `malformed`; milliseconds are not taken for seconds."""
    with pytest.raises(FormatError, match="a time is RFC 3339 text or seconds") as info:
        microseconds(value)
    assert info.value.reason == "malformed"
    assert len(str(info.value)) < 200


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, 0),
        (0.0, 0),
        (1_795_341_600, TEN),
        (1_795_341_600.5, TEN + 500_000),
        (1_607_123_962.08, 1_607_123_962_080_000),
        (32_503_679_999, 32_503_679_999_000_000),
        ("0", 0),
        ("1795341600", TEN),
        ("1795341600.25", TEN + 250_000),
    ],
)
def test_seconds(seconds: float | str, expected: int) -> None:
    """A number is seconds since 1970 UTC, also as text."""
    assert microseconds(seconds) == expected


@given(st.integers(FIRST, LAST))
def test_there_and_back(time: int) -> None:
    """What is written is read as it was."""
    assert microseconds(rfc3339(time)) == time


@given(st.integers(0, 4_000_000_000_000_000))
def test_float_seconds_keep_a_microsecond(time: int) -> None:
    """A float of this century still tells one microsecond from the next."""
    assert abs(microseconds(time / 1e6) - time) <= 1


@given(st.datetimes(timezones=st.timezones()))
def test_the_same_as_datetime(time: datetime) -> None:
    """Offsets are read as Python reads them."""
    if time.utcoffset() is not None and not time.utcoffset().seconds % 60:
        whole = (time - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
        assert microseconds(time.isoformat()) == pytest.approx(whole * 1e6, abs=100)


edge = st.builds(
    "{}T{}{}".format,
    st.sampled_from(["0001-01-01", "0001-01-02", "9999-12-30", "9999-12-31", "0000-12-31"]),
    st.times().map(str),
    st.sampled_from(["", "Z", "+00:01", "-00:01", "+23:59", "-23:59", "+1200", "-1200"]),
)


@given(st.text(alphabet="0123456789-:.TZ +", max_size=40) | edge)
def test_any_text_is_a_time_or_malformed(text: str) -> None:
    """Nothing else happens, and what is read can be written."""
    with suppress(FormatError):
        assert microseconds(rfc3339(microseconds(text))) == microseconds(text)


def test_written() -> None:
    """UTC, six digits."""
    assert rfc3339(0) == "1970-01-01T00:00:00.000000Z"
    assert rfc3339(TEN + 50) == "2026-11-22T10:00:00.000050Z"
