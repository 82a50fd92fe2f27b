"""Kills a node, the broker of its crops, or both, again and again: is all that was spooled there?

``python -m tests.spool_kills --times 300``
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does
    from spool_kills.run import main  # the path is known only now

    sys.exit(main())
