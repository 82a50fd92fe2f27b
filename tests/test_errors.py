"""The exception tree."""

import inspect
from importlib import metadata

from streamcrop import errors
from streamcrop.core.values import Reason


def test_the_tree_is_drawn() -> None:
    """Each exception stands in the module's drawing and has the one root."""
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    tree = [kind for kind in classes if kind.__module__ == errors.__name__]
    assert len(tree) == 11
    for kind in tree:
        assert issubclass(kind, errors.StreamcropError)
        assert kind.__name__ in str(errors.__doc__)


def test_siblings_are_told_apart() -> None:
    """No branch is caught by its neighbour's name."""
    kinds = errors.StreamcropError.__subclasses__()
    for kind in kinds:
        others = tuple(other for other in kinds if other is not kind)
        assert not issubclass(kind, others)


def test_a_library_of_other_insides_is_named_with_its_versions() -> None:
    """The one that is there, and those that are known to work; one that is missing, too."""
    error = errors.LibraryError({"msgspec": "0.1 to 0.2", "nosuch-library": "1"}, "no Struct")
    found = f"msgspec {metadata.version('msgspec')} (known to work: 0.1 to 0.2)"
    missing = "nosuch-library (not installed) (known to work: 1)"
    assert str(error) == f"this cannot work with {found}, {missing}: no Struct"


def test_format_errors_carry_a_reason_of_the_ledger() -> None:
    """Bytes that are not what they say are `malformed`, unless something better is known."""
    assert Reason(errors.FormatError("no JSON").reason) is Reason.MALFORMED
    error = errors.FormatError("a NaN", reason="not_finite")
    assert (str(error), error.reason, error.kind) == ("a NaN", "not_finite", "not_finite")
    assert errors.FormatError("no JSON", kind="no_json").kind == "no_json"
