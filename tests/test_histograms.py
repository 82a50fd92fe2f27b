"""How long something took."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.histograms import BOUNDS, Histogram, quantile

TIMES = st.lists(st.floats(0, 60), min_size=1, max_size=200)


@given(TIMES)
def test_each_is_counted_where_it_belongs(times: list[float]) -> None:
    """A bound itself belongs below it, as Prometheus' `le` says."""
    taken = Histogram()
    for seconds in times:
        taken.observe(seconds)
    at_most = np.cumsum(taken.counts)[:-1]
    assert at_most.tolist() == [sum(t <= bound for t in times) for bound in BOUNDS]
    assert sum(taken.counts) == len(times)
    assert taken.total == pytest.approx(sum(times))


@given(TIMES, st.floats(0, 1))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(times: list[float], part: float) -> None:
    """It is no further off than its bucket is wide."""
    taken = Histogram()
    for seconds in times:
        taken.observe(seconds)
    found = quantile(taken.counts, part)
    rank = max(1, int(np.ceil(part * len(times) - 1e-9)))
    true = sorted(times)[rank - 1]
    edges = [0.0, *BOUNDS, float("inf")]
    row = int(np.searchsorted(BOUNDS, true))
    assert edges[row] - 1e-6 <= found <= edges[row + 1] + 1e-6


def test_nothing_has_no_quantile() -> None:
    """And a clock that was set back makes no time negative."""
    taken = Histogram()
    assert quantile(taken.counts, 0.5) is None
    taken.observe(-5)
    assert taken.total == 0
    assert quantile(taken.counts, 0.99) <= BOUNDS[0]


def test_beyond_the_last_bound() -> None:
    """It is that long at least."""
    taken = Histogram()
    taken.observe(1000)
    assert quantile(taken.counts, 0.5) == BOUNDS[-1]
