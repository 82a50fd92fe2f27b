"""The tests mirror the package."""

from pathlib import Path

import pytest

import streamcrop

PACKAGE = Path(streamcrop.__file__).parent
MODULES = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]


@pytest.mark.parametrize(
    "module", [m for m in MODULES if not m.stem.startswith("__") and m.parts[0] != "demo"], ids=str
)
def test_each_module_has_a_test_file_of_its_name(module: Path) -> None:
    """What `streamcrop/x/y.py` does is held by `tests/x/test_y.py`."""
    assert (Path(__file__).parent / module.parent / f"test_{module.name}").is_file()


def test_what_is_public_can_be_had() -> None:
    """Each name of the package is there, and no other."""
    for name in streamcrop.__all__:
        assert getattr(streamcrop, name)
    with pytest.raises(AttributeError, match="has no attribute 'cut'"):
        _ = streamcrop.cut
