"""All benchmarks, by one command: ``python -m tests.benchmarks [--plot FILE]``."""

import argparse
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does

from benchmarks.report import Row, machine, plot  # the path is known only now

# Where each part is measured; imported when it is, for `core` runs where little else is installed.
PARTS = {
    "core": "core:measure",
    "jpeg": "jpeg:measure",
    "lazy": "lazy:measure",
    "publish": "publish:measure",
    "latency": "latency:measure",
    "webrtc": "webrtc:measure",
    "pipeline": "pipeline:measure",
    "stages": "stages:measure",
    "node": "node:measure",
    "scaling": "node:scaling",
    "sizing": "sizing:measure",
    "many": "sizing:many",
}


def _part(name: str) -> Callable[..., list[Row]]:
    module, _, function = PARTS[name].partition(":")
    found: Callable[..., list[Row]] = getattr(import_module(f"benchmarks.{module}"), function)
    return found


def main() -> None:
    """Measure, print a table and draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = f"of {', '.join(PARTS)}; default: all"
    parser.add_argument("part", nargs="*", metavar="PART", help=parts)
    parser.add_argument("--quick", action="store_true", help="a few runs, to see that it works")
    parser.add_argument("--plot", type=Path, help="where to draw the figures, as a PNG")
    parser.add_argument("--folder", type=Path, help="where clips are kept; default: nowhere")
    options = parser.parse_args()
    if unknown := set(options.part) - PARTS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: none of {', '.join(PARTS)}")
    print(machine(), flush=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        for part in options.part or PARTS:
            found = _part(part)(options.folder or Path(temporary), quick=options.quick)
            print(*found, sep="\n", flush=True)
            rows += found
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
