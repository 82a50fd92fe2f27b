"""Coverage of `core` and `formats`, kept apart by the test file at work; a plugin of pytest.

One run measures what a run of each test file alone would: what a module's own tests leave out,
another's cannot make up for.
"""

import io
import os
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from coverage import Coverage
from coverage.exceptions import NoDataError

# Where each process writes what it saw.
FOLDER = "OWN_TESTS_FOLDER"
MODULES = sorted(p for room in ("core", "formats") for p in Path("streamcrop", room).glob("*.py"))
# Of lines that run when a module is imported, which each test file would do.
_IMPORT = "import"


def test_of(module: Path) -> Path:
    """The test file that a module answers to."""
    return Path("tests", module.parent.name, f"test_{module.stem.strip('_')}.py")


def _coverage() -> Coverage:
    return Coverage(
        data_file=str(Path(os.environ[FOLDER], "data")),
        data_suffix=True,
        config_file=False,
        branch=True,
        include=list(map(str, MODULES)),
    )


class OwnTests:
    """Says which test file is at work, be it collected or run."""

    def __init__(self) -> None:
        self._coverage = _coverage()
        self._coverage.start()
        self._coverage.switch_context(_IMPORT)
        self._path: Path | None = None
        names = (".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in MODULES)
        parts = (part for name in names for part in vars(import_module(name)).values())
        self._cached = [part for part in parts if hasattr(part, "cache_clear")]

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[None]:
        """A test file is imported, which calls what its parameters need."""
        if isinstance(collector, pytest.Module):
            self._at_work(collector.path)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """With its fixtures."""
        self._at_work(item.path)
        return (yield)

    def pytest_unconfigure(self) -> None:
        """Write down what was seen."""
        self._coverage.stop()
        self._coverage.save()

    def _at_work(self, path: Path) -> None:
        if path == self._path:
            return
        self._path = path
        # What another file had computed would be run by nobody else.
        for function in self._cached:
            function.cache_clear()
        self._coverage.switch_context(str(path.relative_to(Path.cwd())))


def pytest_configure(config: pytest.Config) -> None:
    """Begin before a test file or conftest imports what is measured."""
    config.pluginmanager.register(OwnTests())


def main() -> int:
    """Say which modules fall short; 1 if one does."""
    coverage = _coverage()
    coverage.combine()
    short = 0
    for module in MODULES:
        test, said = test_of(module), io.StringIO()
        contexts = [f"^{re.escape(context)}$" for context in (_IMPORT, str(test))]
        try:
            done = coverage.report(
                [str(module)], contexts=contexts, show_missing=True, file=said, precision=2
            )
        except NoDataError:
            continue  # an __init__ that holds a docstring
        if done < 100:
            short += 1
            print(f"{module} by {test}:\n{said.getvalue()}")
    print(f"{len(MODULES)} modules, {short} not covered by their own tests")
    return min(short, 1)


if __name__ == "__main__":
    sys.exit(main())
