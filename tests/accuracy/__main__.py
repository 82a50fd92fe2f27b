"""How often does a crop come from the wrong frame? ``python -m tests.accuracy --help``."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does
    from accuracy.table import main  # the path is known only now

    sys.exit(main())
