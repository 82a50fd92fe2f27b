"""A sink's account: its own row, and the crops' row for the sink whose deliveries are published."""

from streamcrop.core.values import Reason
from streamcrop.formats.events import Event
from streamcrop.stream.accounts import SinkAccount
from streamcrop.stream.ledger import Row

CROP, OTHER = Event("t", b"", "", {}, is_crop=True), Event("t", b"", "", {})


def test_both_rows_add_up() -> None:
    """Each thing that a sink tells counts in both, what it takes in its own alone."""
    own, crops = Row("sink"), Row("crops")
    account = SinkAccount([own, crops], lambda reason: reason)
    account.inherits(3)
    crops.enter(6)
    account.taken(6)
    for reason in (None, None, Reason.TOO_LARGE):
        account.ended(CROP, reason)
        account.ended(OTHER, reason)
    account.spooled(3)
    account.spooled(-1)
    account.ended(CROP, None)
    account.spooled(-2)
    account.lost(Reason.SPOOL_FULL, 2)
    for row, entered in ((own, "taken"), (crops, "made")):
        found = row.as_json()
        assert (found[entered], found["inherited"], found["spooled"]) == (6, 3, 3)
        assert found["dropped"] == {"spool_full": 2, "too_large": 1}
        assert row.succeeded == 3
        assert row.missing == 0


def test_a_row_of_its_own() -> None:
    """A sink behind the first one does not touch the crops."""
    own = Row("sink")
    account = SinkAccount([own], lambda _: Reason.FAILED)
    account.taken(1)
    account.ended(CROP, Reason.CLOSED)
    assert own.as_json() == {"taken": 1, "delivered": 0, "spooled": 0, "dropped": {"failed": 1}}
