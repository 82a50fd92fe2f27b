"""A short form of `python -m tests.faults`: some faults, each once, on a machine that is busy."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest
from faults.driver import place
from faults.places import PLACES
from faults.row import Promise, Row
from faults.rows import ROWS
from faults.table import play

pytestmark = [pytest.mark.e2e, pytest.mark.real_time]
_AT_A_TIME = 3
# The table says how soon and how few; here it has to happen, and without its cure a fault would
# cost 30 pictures and more.
_PATIENCE, _MORE = 8.0, 3
_NAMES = [
    "camera killed for 3 s",
    "broker killed for 3 s, its sessions lost",
    "broker refuses us from now on",
    "SIGTERM under load",
    "folder cannot be written",
    "an error in: rendering",
]


def _patient(row: Row) -> Row:
    promise: Promise = row.promise
    recovers = None if promise.recovers is None else promise.recovers * _PATIENCE
    gap = None if promise.gap is None else promise.gap * _PATIENCE
    missing = None if promise.missing is None else promise.missing * _MORE
    return replace(row, promise=replace(promise, recovers=recovers, gap=gap, missing=missing))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[tuple[list[str], str]]]:
    """What the rows come to, some of them at a time, for they mostly wait."""
    folder = tmp_path_factory.mktemp("faults")
    rows = {row.name: _patient(row) for row in ROWS}
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        return {
            name: threads.submit(play, rows[name], folder / str(number), times=1)
            for number, name in enumerate(_NAMES)
        }


@pytest.mark.parametrize("name", _NAMES)
def test_a_fault_costs_what_is_promised(
    name: str, outcomes: dict[str, Future[tuple[list[str], str]]]
) -> None:
    """Ledger, exit status, statuses, recovery, memory, threads and descriptors are as promised."""
    broken, counted = outcomes[name].result()
    assert not broken, counted


@pytest.mark.parametrize("name", PLACES)
def test_each_place_where_an_error_is_raised_is_there(name: str) -> None:
    """Or its row would break in the long form."""
    owner, last, _ = place(name)
    assert callable(getattr(owner, last))
