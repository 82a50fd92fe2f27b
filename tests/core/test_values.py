"""`streamcrop.core.values`: plain values."""

from dataclasses import FrozenInstanceError
from fractions import Fraction

import numpy as np
import pytest

from streamcrop.core.pixels import ArrayPixels
from streamcrop.core.values import Frame, Instances, Message, Predictions, Reason


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_its_own_name(reason: Reason) -> None:
    """A reason's text is its name in lower case, as the ledger writes it."""
    assert str(reason) == reason.name.lower()
    assert Reason(reason.value) is reason


def test_values_need_only_what_names_them() -> None:
    """Times and sizes are optional, so that a source need not invent them."""
    frame = Frame("7", ArrayPixels(np.zeros((2, 3, 3), np.uint8)))
    message = Message(b"{}")
    predictions = Predictions([], Instances(np.empty((0, 4)), []))
    assert (frame.pts, frame.time_base, frame.captured_at) == (None, None, None)
    assert (message.frame_id, message.resolution_wh, message.strict) == (None, None, True)
    assert (message.pts, message.time_base, message.captured_at) == (None, None, None)
    assert predictions.over_limit == 0
    assert Frame("7", frame.pixels, 3, Fraction(1, 90_000)).time_base == Fraction(1, 90_000)


def test_values_are_frozen() -> None:
    """A value that travels through a node is not changed on its way."""
    message = Message(b"{}", "7")
    with pytest.raises(FrozenInstanceError):
        message.frame_id = "8"


@pytest.mark.parametrize("count", [0, 1, 5])
def test_instances_are_as_many_as_their_boxes(count: int) -> None:
    """The length of a struct of arrays is that of its boxes."""
    instances = Instances(np.zeros((count, 4)), [""] * count)
    assert len(instances) == count
    assert instances.masks == ()
    assert instances.refused == {}


def test_instances_do_not_share_what_they_refuse() -> None:
    """The default of ``refused`` belongs to one value alone."""
    first, second = (Instances(np.zeros((1, 4)), ["a"]) for _ in range(2))
    assert first.refused is not second.refused
