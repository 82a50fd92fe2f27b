"""Fuzzes one decoder, guided by coverage, in a process of its own: ``python -m fuzz.one --help``.

The process ends with libFuzzer's own end, so that what it found stands in files: for each kind of
error the input, and the traceback beside it.
"""

import argparse
import logging
import sys
import traceback
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["streamcrop", "paho", "aiortc.sdp"]):
    from fuzz.mutations import SHAPES
    from fuzz.target import Target
    from fuzz.targets import TARGETS

# Some inputs are refused because they are longer than any message that has a meaning.
_LONGEST = 8192
# A picture that is refused by its claim alone may claim 300 MB.
_MOST_MEMORY = 2048
# Seconds of an input at which libFuzzer gives up; the target's own limit is one of CPU.
_HANGS = 60


class Findings:
    """What went wrong, once for each line that raised.

    Args:
        folder: Where it is written.
        name: Of the target.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._known: set[str] = set()

    def add(self, error: BaseException, data: bytes) -> None:
        """Keep an input, if its error is a new one."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{type(error).__name__}-{Path(frames[-1].filename).stem}-{frames[-1].lineno}"
        if place not in self._known:
            self._known.add(place)
            path = self._folder / f"{self._name}-{place}"
            path.write_bytes(data)
            path.with_suffix(".txt").write_text("".join(traceback.format_exception(error)))


def fuzz(target: Target, findings: Findings, arguments: list[str]) -> None:
    """Feed it what libFuzzer makes of its seeds, until the runs are done; does not return."""
    mutate = SHAPES[target.shape]

    def run(data: bytes) -> None:
        try:
            target(data)
        except Exception as error:  # noqa: BLE001  # each of them is a finding
            findings.add(error, data)

    def other(data: bytes, most: int, seed: int) -> bytes:
        return mutate(data, Random(seed), lambda given: atheris.Mutate(given, most))[:most]

    atheris.Setup(arguments, run, custom_mutator=other)
    atheris.Fuzz()


def main() -> None:
    """Fuzz one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=TARGETS)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--seconds", type=int, default=0, help="0: as long as it takes")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--findings", type=Path, required=True)
    options = parser.parse_args()
    logging.disable()
    target = TARGETS[options.name]
    for number, seed in enumerate(target.seeds):
        (options.corpus / f"seed-{number}").write_bytes(seed)
    arguments = [
        sys.argv[0],
        str(options.corpus),
        f"-runs={options.runs}",
        f"-max_total_time={options.seconds}",
        f"-max_len={max(_LONGEST, *map(len, target.seeds))}",
        f"-timeout={_HANGS}",
        f"-report_slow_units={_HANGS}",  # by the clock: on a busy machine all are slow
        f"-rss_limit_mb={_MOST_MEMORY}",
        f"-artifact_prefix={options.findings}/{options.name}-",
        "-print_final_stats=1",
    ]
    fuzz(target, Findings(options.findings, options.name), arguments)


if __name__ == "__main__":
    main()
