"""Fuzzes decoders of outside bytes, guided by coverage, and prints what that came to.

Each decoder runs in a process of its own, for so many inputs: `--runs` times its share, since some
cost a thousand times what others do. A finding is an error that the decoder does not document, a
broken promise, more than two seconds of CPU, or the end of the process. Its input and traceback
stand in `--findings`; it becomes a test (`tests/test_total.py`) and is mended.

Needs `atheris` (the dependency group `fuzz`).
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fuzz.targets import TARGETS

_TESTS = Path(__file__).parents[1]
_LINE = "{:<14}{:>10} {:>9} {:>8} {:>8} {:>9}  {}"
_STATS = re.compile(r"stat::(\w+):\s+(\d+)")
_COVERED = re.compile(r"cov: (\d+) .*corp: (\d+)")


@dataclass(frozen=True)
class Outcome:
    """What fuzzing one decoder came to."""

    name: str
    runs: int
    rate: int
    covered: int
    corpus: int
    findings: list[Path]

    def __str__(self) -> str:
        found = ", ".join(path.name for path in self.findings) or "none"
        share = f"{TARGETS[self.name].share:g}"
        numbers = self.runs, self.rate, self.covered, self.corpus
        return _LINE.format(self.name, numbers[0], share, *numbers[1:], found)


def fuzz(name: str, options: argparse.Namespace, findings: Path) -> Outcome:
    """Fuzz one decoder in a process of its own."""
    runs = max(1, round(options.runs * TARGETS[name].share))
    with tempfile.TemporaryDirectory() as temporary:
        corpus = (options.corpus or Path(temporary)) / name
        corpus.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "fuzz.one", name, "--runs", str(runs)]
        command += ["--corpus", str(corpus), "--findings", str(findings)]
        command += ["--seconds", str(options.seconds)]
        path = os.pathsep.join((str(_TESTS), str(_TESTS.parent)))
        with (findings / f"{name}.log").open("w+") as log:
            code = subprocess.run(
                command, env={**os.environ, "PYTHONPATH": path}, stderr=log, check=False
            ).returncode
            log.seek(0)
            said = log.read()
    stats = {key: int(value) for key, value in _STATS.findall(said)}
    covered, kept = (_COVERED.findall(said) or [(0, 0)])[-1]
    found = sorted(path for path in findings.glob(f"{name}-*") if path.suffix != ".txt")
    if code and not found:
        found = [findings / f"{name}.log"]
    done, rate = (
        stats.get(f"{key}", 0) for key in ("number_of_executed_units", "average_exec_per_sec")
    )
    return Outcome(name, done, rate, int(covered), int(kept), found)


def main() -> int:
    """Fuzz what the command line asks for; 1 if there is a finding."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--runs", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--seconds", type=int, default=0, help="at most, each; 0: no limit")
    parser.add_argument(
        "--corpus", type=Path, help="kept there, and gone on from; default: nowhere"
    )
    parser.add_argument("--findings", type=Path, help="default: a new folder")
    options = parser.parse_args()
    if unknown := set(options.target) - TARGETS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: none of {', '.join(TARGETS)}")
    findings = options.findings or Path(tempfile.mkdtemp(prefix="fuzz-"))
    findings.mkdir(parents=True, exist_ok=True)
    head = ("inputs", "share", "1/s", "covered", "corpus", "findings")
    print(_LINE.format("decoder", *head))
    bad = 0
    for name in options.target or TARGETS:
        outcome = fuzz(name, options, findings)
        print(outcome, flush=True)
        bad += len(outcome.findings)
    print(f"\n{bad} findings" if bad else "\nNothing was found.", f"Logs: {findings}", sep="\n")
    return min(bad, 1)
