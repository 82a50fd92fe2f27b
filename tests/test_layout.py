"""The tests mirror the package, and its docstrings begin with their subject."""

import ast
import re
from pathlib import Path

import pytest

import streamcrop

PACKAGE = Path(streamcrop.__file__).parent
MODULES = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]


@pytest.mark.parametrize(
    "module", [m for m in MODULES if not m.stem.startswith("__") and m.parts[0] != "demo"], ids=str
)
def test_each_module_has_a_test_file_of_its_name(module: Path) -> None:
    """The behaviour of `streamcrop/x/y.py` is held by `tests/x/test_y.py`."""
    assert (Path(__file__).parent / module.parent / f"test_{module.name}").is_file()


def test_what_is_public_can_be_had() -> None:
    """Each name of the package is there, and no other."""
    for name in streamcrop.__all__:
        assert getattr(streamcrop, name)
    with pytest.raises(AttributeError, match="has no attribute 'cut'"):
        _ = streamcrop.cut


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_docstrings_begin_with_their_subject(module: Path) -> None:
    """None begins with "What" or "Whether": a noun says at once which thing is meant."""
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    texts = [
        (node.lineno, node.value.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
    assert [at for at, text in texts if re.match(r"\s*(What|Whether)\b", text)] == []
