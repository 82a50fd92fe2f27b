"""All benchmarks, by one command: ``python -m tests.benchmarks [--plot FILE]``."""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does

from benchmarks import (  # the path is known only now
    core,
    jpeg,
    lazy,
    node,
    pipeline,
    publish,
    sizing,
)
from benchmarks.report import Row, machine, plot

PARTS = {
    "core": core.measure,
    "jpeg": jpeg.measure,
    "lazy": lazy.measure,
    "publish": publish.measure,
    "pipeline": pipeline.measure,
    "node": node.measure,
    "scaling": node.scaling,
    "sizing": sizing.measure,
    "many": sizing.many,
}


def main() -> None:
    """Measure, print a table and draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "part", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all"
    )
    parser.add_argument("--quick", action="store_true", help="a few runs, to see that it works")
    parser.add_argument("--plot", type=Path, help="where to draw the figures, as a PNG")
    parser.add_argument("--folder", type=Path, help="where clips are kept; default: nowhere")
    options = parser.parse_args()
    print(machine(), flush=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        for part in options.part or PARTS:
            found = PARTS[part](options.folder or Path(temporary), quick=options.quick)
            print(*found, sep="\n", flush=True)
            rows += found
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
