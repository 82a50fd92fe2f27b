"""Looks for inputs that a decoder does not survive: ``python -m tests.fuzz --help``."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does
    from fuzz.table import main  # the path is known only now

    sys.exit(main())
