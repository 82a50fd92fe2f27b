"""The ledger: every frame, message, prediction and crop ends in exactly one named outcome."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from streamcrop.core.values import Reason
from streamcrop.stream.ledger import ROWS, Ledger, LossReport, Row

# The README's table, held here a second time so that a new row is a decision.
CLOSED_LIST = {
    "frames": "queue_full not_tapped no_key ambiguous corrupt expired pairing_full overload "
    "closed failed",
    "messages": "too_large malformed no_key queue_full duplicate late stale expired ambiguous "
    "pairing_full overload closed failed",
    "predictions": "malformed not_finite outside_frame bad_mask over_limit no_shape filtered "
    "not_chosen",
    "crops": "encoding_failed too_large not_acknowledged closed failed spool_full spool_expired",
    "sink": "encoding_failed too_large not_acknowledged closed failed spool_full spool_expired",
}


def test_the_list_is_closed() -> None:
    """The reasons of each row are those of the contract; a new one is a decision."""
    assert {name: set(row[2]) for name, row in ROWS.items()} == {
        name: set(reasons.split()) for name, reasons in CLOSED_LIST.items()
    }


def test_every_reason_has_a_row() -> None:
    """No reason exists that nothing can end with."""
    assert frozenset().union(*(row[2] for row in ROWS.values())) == set(Reason)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_unknown_reasons_are_refused(name: str) -> None:
    """A loss under a name that nobody looks for is a broken program."""
    row = Row(name)
    for reason in {*Reason, "gone"} - ROWS[name][2]:
        with pytest.raises(ValueError, match=f"is no reason for {name}"):
            row.drop(reason)
    for reason in ROWS[name][2]:
        row.drop(reason)
    assert row.dropped.total() == len(ROWS[name][2])


def test_empty_adds_up() -> None:
    """Nothing in, nothing out: no error, and all rows are there."""
    ledger = Ledger()
    assert ledger.errors() == []
    assert ledger.as_json() == {
        "frames": {"received": 0, "paired": 0, "dropped": {}},
        "messages": {"received": 0, "paired": 0, "dropped": {}},
        "predictions": {"received": 0, "cropped": 0, "dropped": {}},
        "crops": {"made": 0, "published": 0, "dropped": {}},
        "sinks": {},
    }


def full() -> Ledger:
    """The ledger of the contract's example."""
    ledger = Ledger()
    ledger.frames.enter(230)
    ledger.frames.succeed(228)
    ledger.frames.drop(Reason.EXPIRED, 2)
    ledger.messages.enter(231)
    ledger.messages.succeed(228)
    ledger.messages.drop(Reason.MALFORMED)
    ledger.messages.drop("duplicate", 2)
    ledger.predictions.enter(693)
    ledger.predictions.succeed(690)
    ledger.predictions.drop(Reason.OUTSIDE_FRAME, 2)
    ledger.predictions.drop(Reason.NOT_FINITE, 1)
    ledger.predictions.drop(Reason.BAD_MASK, 0)
    ledger.crops.enter(690)
    ledger.crops.succeed(690)
    sink = ledger.sinks["mqtt"] = Row("sink")
    sink.enter(690)
    sink.succeed(690)
    return ledger


def test_json_is_the_contracts() -> None:
    """The JSON has the contract's form; a reason that never occurred is absent."""
    expected = json.loads("""{
      "frames":     {"received":230,"paired":228,"dropped":{"expired":2}},
      "messages":   {"received":231,"paired":228,"dropped":{"malformed":1,"duplicate":2}},
      "predictions":{"received":693,"cropped":690,"dropped":{"outside_frame":2,"not_finite":1}},
      "crops":      {"made":690,"published":690,"dropped":{}},
      "sinks":      {"mqtt":{"taken":690,"delivered":690,"spooled":0,"dropped":{}}}}""")
    assert json.loads(json.dumps(full().as_json())) == expected
    assert full().errors() == []


@pytest.mark.parametrize("name", [*sorted(ROWS.keys() - {"sink"}), "sink mqtt"])
def test_what_has_not_ended_is_an_error(name: str) -> None:
    """Each row is checked for itself, and one that ended twice is as wrong as none."""
    for count in (1, -1):
        ledger = full()
        row = ledger.sinks["mqtt"] if name == "sink mqtt" else getattr(ledger, name)
        row.enter(count)
        assert row.missing == count
        assert any(error.startswith(f"{name}: {row.entered} ") for error in ledger.errors())


def test_pairs_have_two_sides() -> None:
    """As many frames as messages are paired."""
    ledger = full()
    ledger.frames.enter()
    ledger.frames.succeed()
    assert ledger.errors() == ["pairs: 229 frames, 228 messages"]


def test_cropped_predictions_are_crops() -> None:
    """Each prediction that counts as cropped made one crop."""
    ledger = full()
    ledger.crops.enter()
    ledger.crops.drop(Reason.NOT_ACKNOWLEDGED)
    assert ledger.errors() == ["690 cropped, 691 crops made"]


def spooling() -> Ledger:
    """A ledger with a second sink, and a spool that serves both."""
    ledger = full()
    sink = ledger.sinks["s3"] = Row("sink")
    sink.enter(690)
    for row in (ledger.crops, sink):
        row.spools = True
        row.inherited = 7
        row.spooled = 5
        row.succeeded = 688
        row.drop(Reason.SPOOL_EXPIRED, 4)
    return ledger


def test_the_spool_adds_up() -> None:
    """Made and inherited are published, spooled and dropped; a row without one says less."""
    ledger = spooling()
    assert ledger.errors() == []
    found = ledger.as_json()
    assert found["crops"] == {
        "made": 690,
        "inherited": 7,
        "published": 688,
        "spooled": 5,
        "dropped": {"spool_expired": 4},
    }
    assert found["sinks"]["s3"] == {
        "taken": 690,
        "inherited": 7,
        "delivered": 688,
        "spooled": 5,
        "dropped": {"spool_expired": 4},
    }
    assert "inherited" not in found["sinks"]["mqtt"]
    ledger.sinks["s3"].spooled += 1
    assert ledger.errors() == [
        "sink s3: 690 taken + 7 inherited, but 688 delivered + 6 spooled + 4 dropped"
    ]


def test_the_text_of_other_sinks() -> None:
    """Those behind the first one have lines of their own, and the spool stands in them."""
    lines = str(spooling()).splitlines()
    assert [line.split()[0] for line in lines[3:]] == ["crops", "s3"]
    assert lines[4].endswith("lost      4 =  spool_expired 4  spooled 5 (7 inherited)")


def test_text() -> None:
    """The text has a line a row, with all losses by name."""
    lines = str(full()).splitlines()
    assert [line.split()[0] for line in lines] == ["frames", "messages", "predictions", "crops"]
    assert lines[0].split() == [
        "frames",
        "received",
        "230",
        "paired",
        "228",
        "lost",
        "2",
        "=",
        "expired",
        "2",
    ]
    assert lines[1].endswith("=  duplicate 2  malformed 1")
    assert lines[3].split() == ["crops", "made", "690", "published", "690", "lost", "0"]


@pytest.fixture
def said() -> list[str]:
    """What was logged."""
    return []


@pytest.fixture
def log(said: list[str]) -> Callable[..., None]:
    """A logger's method."""
    return lambda text, *values: said.append(text % values)


def test_losses_are_said_once(said: list[str], log: Callable[..., Any]) -> None:
    """A report says what is new since the last one, all in one line, and nothing for nothing."""
    ledger = Ledger()
    report = LossReport("gate", ledger)
    report.say(log)
    ledger.frames.drop(Reason.EXPIRED, 3)
    ledger.messages.drop(Reason.EXPIRED)
    report.say(log)
    report.say(log)
    ledger.frames.drop(Reason.EXPIRED, 2)
    report.say(log)
    assert said == [
        "stream gate lost: 3 frames expired, 1 messages expired",
        "stream gate lost: 2 frames expired",
    ]


def test_losses_go_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Losses are warnings of this module's logger."""
    ledger = Ledger()
    ledger.crops.drop(Reason.TOO_LARGE)
    LossReport("gate", ledger).say()
    assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [
        ("streamcrop.stream.ledger", "WARNING", "stream gate lost: 1 crops too_large")
    ]
