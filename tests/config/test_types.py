"""The values that settings have."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.config.types import (
    Bytes,
    Hardware,
    NotNegative,
    Port,
    Positive,
    Quality,
    Seconds,
    Section,
)


@given(st.integers(1, 10**12), st.sampled_from(["", "k", "Ki", "MB", "MiB", " gib", "G"]))
def test_sizes(count: int, unit: str) -> None:
    """A number times its unit, in thousands or in 1024."""
    name = unit.strip().lower()
    base = 1024 if "i" in name else 1000
    power = " kmg".index(name[0]) if name else 0
    assert Bytes.parse(f"{count}{unit}") == int(float(count) * base**power)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("24h", 86_400), ("1.5 m", 90), ("7D", 604_800), ("30s", 30), (60, 60), (0.5, 0.5), ("2", 2)],
)
def test_times(text: object, expected: float) -> None:
    """A number, perhaps with its unit."""
    assert Seconds.parse(text) == expected


@pytest.mark.parametrize(
    "value",
    [True, None, [], "", "1w", "-1", "0", 0, -5, "1e3", float("inf"), float("nan"), "40000d"],
)
def test_no_times(value: object) -> None:
    """Neither another type nor nothing is a time, nor what cannot be waited for."""
    with pytest.raises(ValueError, match="Expected a time"):
        Seconds.parse(value)


@pytest.mark.parametrize("value", [True, None, 1.5, [], "", "8 apples", "-1", "0", 0, "0.1", "1e3"])
def test_no_sizes(value: object) -> None:
    """Neither another type nor nothing is a size."""
    with pytest.raises(ValueError, match="Expected a size"):
        Bytes.parse(value)


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (Positive, [1e-9, 1, 1e8], [0, -1, float("inf"), float("nan")]),
        (NotNegative, [0, 1], [-1e-9, float("inf"), float("nan")]),
        (Port, [0, 65535], [-1, 65536, "1"]),
        (Quality, [1, 100], [0, 101, 1.5]),
        (Hardware, ["cuda", "cuda:1", "vaapi:/dev/dri/renderD128"], ["", "cuda:", "gpu", 7]),
    ],
)
def test_numbers_and_texts(kind: object, right: list[object], wrong: list[object]) -> None:
    """Each has its bounds."""
    for value in right:
        assert msgspec.convert(value, kind) == value
    for value in wrong:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(value, kind)


def test_a_section_is_strict() -> None:
    """A key that it does not know is refused."""

    class Made(Section):
        a: int = 1

    assert msgspec.convert({"a": 2}, Made).a == 2
    with pytest.raises(msgspec.ValidationError, match="unknown field `b`"):
        msgspec.convert({"b": 2}, Made)
