"""The exception tree."""

import inspect

from streamcrop import errors
from streamcrop.core.values import Reason


def test_the_tree_is_drawn() -> None:
    """Each exception stands in the module's drawing and has the one root."""
    tree = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert len(tree) == 9
    for kind in tree:
        assert issubclass(kind, errors.StreamcropError)
        assert kind.__name__ in str(errors.__doc__)


def test_siblings_are_told_apart() -> None:
    """No branch is caught by its neighbour's name."""
    kinds = errors.StreamcropError.__subclasses__()
    for kind in kinds:
        others = tuple(other for other in kinds if other is not kind)
        assert not issubclass(kind, others)


def test_format_errors_carry_a_reason_of_the_ledger() -> None:
    """Bytes that are not what they say are `malformed`, unless something better is known."""
    assert Reason(errors.FormatError("no JSON").reason) is Reason.MALFORMED
    error = errors.FormatError("a NaN", reason="not_finite")
    assert (str(error), error.reason, error.kind) == ("a NaN", "not_finite", "not_finite")
    assert errors.FormatError("no JSON", kind="no_json").kind == "no_json"
