"""Each module of `core` and `formats`: all branches, by its own test file alone."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Say which modules fall short; 1 if one does."""
    modules = [p for folder in ("core", "formats") for p in Path("streamcrop", folder).glob("*.py")]
    short = 0
    for module in sorted(modules):
        name = module.stem.strip("_")
        test = Path("tests", module.parent.name, f"test_{name}.py")
        if not module.read_text(encoding="utf-8").count("\nfrom ") and not test.exists():
            continue  # an __init__ that holds a docstring
        with tempfile.TemporaryDirectory() as folder:
            env = {**os.environ, "COVERAGE_FILE": str(Path(folder, "data"))}
            coverage = [sys.executable, "-m", "coverage"]
            # The project's own settings name a source, beside which --include does not count.
            only = ["--rcfile=/dev/null", "--branch", f"--include={module}"]
            run = [*coverage, "run", *only, "-m", "pytest", "-q", str(test)]
            done = subprocess.run(run, env=env, check=False, capture_output=True, text=True)
            report = [
                *coverage,
                "report",
                "--show-missing",
                "--fail-under=100",
                f"--include={module}",
            ]
            said = subprocess.run(report, env=env, check=False, capture_output=True, text=True)
        if done.returncode or said.returncode:
            short += 1
            print(f"{module} by {test}:\n{done.stdout[-2000:]}\n{said.stdout}{said.stderr}")
    print(f"{len(modules)} modules, {short} not covered by their own tests")
    return min(short, 1)


if __name__ == "__main__":
    sys.exit(main())
