"""Breaks all around a node and counts what that costs: ``python -m tests.faults --help``."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does
    from faults.table import main  # the path is known only now

    sys.exit(main())
