"""The libraries into whose insides we reach, at both ends of what `pyproject.toml` allows.

``python -m tests.versions [mqtt|webrtc ...]`` runs the tests of each with every pair of its lowest
and highest versions, ``--quick`` only the check that is made at start. Each pair is installed into
a folder that stands before this environment's own packages.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from itertools import chain, product
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Part(NamedTuple):
    """What reaches into libraries: which, the check at start, and the tests."""

    libraries: tuple[str, ...]
    check: str
    tests: tuple[str, ...]


PARTS = {
    "mqtt": Part(("aiomqtt", "paho-mqtt"), "streamcrop.mqtt.check", ("tests/mqtt",)),
    "webrtc": Part(
        ("aiortc",),
        "streamcrop.sources.aiortc_parts",
        ("tests/sources/test_aiortc_parts.py", "tests/sources/test_session.py"),
    ),
}


def allowed(library: str) -> str:
    """What `pyproject.toml` allows of a library, as pip takes it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *chain.from_iterable(extras)]
    [found] = [each for each in wanted if re.match(rf"{library}\b(?!-)", each)]
    return str(found)


def lowest(requirement: str) -> str:
    """The lowest version that a requirement allows, as a requirement.

    Example:
        >>> lowest("paho-mqtt>=2.1,<2.3")
        'paho-mqtt==2.1'
    """
    name, _, rest = requirement.partition(">=")
    return f"{name}=={rest.partition(',')[0]}"


def _installed(folder: Path) -> str:
    names = [each.name.removesuffix(".dist-info") for each in folder.glob("*.dist-info")]
    return ", ".join(sorted(names))


def run(part: Part, *, quick: bool) -> list[tuple[str, bool]]:
    """Try every pair: what was installed, and whether all went well."""
    ends = [(lowest(allowed(name)), allowed(name)) for name in part.libraries]
    results: dict[str, bool] = {}
    for wanted in product(*ends):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", name]
            subprocess.run([*pip, *wanted], check=True)
            if (found := _installed(folder)) in results:
                # The lowest is the highest.
                continue
            line = f"from {part.check} import check; check()"
            command = ["-c", line] if quick else ["-m", "pytest", "-q", *part.tests]
            paths = os.pathsep.join((name, str(ROOT)))
            env = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
            done = subprocess.run([sys.executable, *command], cwd=ROOT, env=env, check=False)
            results[found] = not done.returncode
    return [*results.items()]


def main() -> None:
    """Try all, print a table; exit status 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="only the check at start")
    options = parser.parse_args()
    if unknown := set(options.part) - PARTS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: none of {', '.join(PARTS)}")
    rows = [row for name in options.part or PARTS for row in run(PARTS[name], quick=options.quick)]
    for found, fine in rows:
        print(f"{found:50} {'works' if fine else 'FAILS'}")
    sys.exit(not all(fine for _, fine in rows))


if __name__ == "__main__":
    main()
