"""Lets a node run for long while all around it flaps: ``python -m tests.soak --help``."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does
    from soak.run import main  # the path is known only now

    sys.exit(main())
