"""What each loss means."""

import pytest

from streamcrop.stream.ledger import ROWS
from streamcrop.web.meanings import meaning


@pytest.mark.parametrize(
    ("row", "reason"), [(row, str(why)) for row, (*_, reasons) in ROWS.items() for why in reasons]
)
def test_every_loss_has_a_sentence(row: str, reason: str) -> None:
    """A person who sees the word is told what it means."""
    assert meaning(row, reason).endswith(".")


def test_the_row_decides_where_it_matters() -> None:
    """An expired frame lacks a message, an expired message a frame."""
    assert meaning("frames", "expired") != meaning("messages", "expired")
    assert meaning("frames", "nobody knows") == ""
