"""Each module of `core` and `formats`: all branches, by its own test file alone.

Arguments are those of pytest.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Run the tests of both once, then say which modules fall short; not 0 if one does."""
    with tempfile.TemporaryDirectory() as folder:
        plugins = Path(__file__).parent / "plugins"
        path = os.pathsep.join(filter(None, (str(plugins), os.environ.get("PYTHONPATH"))))
        env = {**os.environ, "PYTHONPATH": path, "OWN_TESTS_FOLDER": folder}
        tests = ["pytest", "-q", "-p", "own_tests", "tests/core", "tests/formats", *sys.argv[1:]]
        for program in (tests, ["own_tests"]):
            done = subprocess.run([sys.executable, "-m", *program], env=env, check=False)
            if done.returncode:
                break
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
