"""`streamcrop.core.limits`: what one message or picture may ask for."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.core.limits import Budget, Limits


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_every_excess_has_words(name: str) -> None:
    """They say how many there are, which setting says how many there may be, and what helps."""
    said = Limits(**{name: 1000}).excess(name, 12_345)
    assert said.startswith("12,345 ")
    assert f" are more than limits.{name}, 1,000: " in said
    assert said.endswith(", or raise it")


@given(st.lists(st.integers(0, 20)), st.integers(1, 40))
def test_a_budget_is_never_exceeded(asked: list[int], most: int) -> None:
    """What is given adds up to the bound at most, and what is refused would have exceeded it."""
    budget = Budget(Limits(runs=most), "runs")
    given_so_far = first = 0
    for count in asked:
        if budget.take(count):
            given_so_far += count
        else:
            assert given_so_far + count > most
            first = first or given_so_far + count
            assert budget.excess.startswith(f"{first} runs of masks")
        assert given_so_far <= most
