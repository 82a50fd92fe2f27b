"""Runs scenarios and prints what they came to.

The bars, for the keys that promise the right frame (`frame_id`, `sei`, `utc`): no crop of a wrong
frame, in any scenario; at least 99.9 % of the frames that node and detector both keyed give a right
crop, where nothing is lost on purpose. `pts` and `arrival` are only reported.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from accuracy.judge import Verdict
from accuracy.scenarios import ALL, SCENARIOS
from accuracy.stage import Result, Size, Stage

_HEAD = ("scenario", "frames", "messages", "keyed", "right", "wrong", "unreadable", "unpaired")
_LINE = "{:<20} {:>8} {:>8} {:>8} {:>8} {:>6} {:>10}  {}"


def _row(name: str, result: Result) -> str:
    verdict, ledger = result.verdict, result.ledger
    unpaired = [
        f"{side}: " + ", ".join(f"{reason} {n}" for reason, n in ledger[side]["dropped"].items())
        for side in ("frames", "messages")
        if ledger[side]["dropped"]
    ]
    received = (ledger[side]["received"] for side in ("frames", "messages"))
    keyed, crops = verdict.keyed, verdict.crops
    right = len(verdict.right & keyed)
    counts = (*received, len(keyed), right, crops["wrong"], crops["unreadable"])
    return _LINE.format(name, *counts, "; ".join(unpaired))


async def _play(name: str, key: str, size: Size, folder: Path) -> Result:
    def progress(verdict: Verdict) -> None:
        if sys.stderr.isatty():
            crops = ", ".join(f"{n} {what}" for what, n in sorted(verdict.crops.items()))
            line = f"{key} {name}: {len(verdict.published)} of {size.frames}: {crops}"
            print(f"\r{line:<79}", end="\r", file=sys.stderr, flush=True)

    async with Stage(folder, SCENARIOS[name], key, size, progress) as stage:
        return await stage.run()


def main() -> int:
    """Run what the command line asks for; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key", action="append", choices=ALL, help="default: all")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="default: all")
    parser.add_argument("--frames", type=int, default=300, help="spoken of by the detector, a run")
    parser.add_argument("--rate", type=int, default=30, help="frames a second")
    parser.add_argument("--width", type=int, default=640, help="of the pictures, a multiple of 160")
    parser.add_argument("--logs", type=Path, help="where logs and ledgers are kept")
    options = parser.parse_args()
    size = Size(options.frames, options.rate, options.width)
    logs = options.logs or Path(tempfile.mkdtemp(prefix="accuracy-"))
    missed = []
    for key in options.key or ALL:
        print(f"\n{key}\n{_LINE.format(*_HEAD)}")
        for name in options.scenario or SCENARIOS:
            if key not in SCENARIOS[name].keys:
                continue
            folder = logs / key / name
            folder.mkdir(parents=True, exist_ok=True)
            result = asyncio.run(_play(name, key, size, folder))
            print(_row(name, result), flush=True)
            missed += [f"{key} {name}: {problem}" for problem in result.problems]
    print("\n" + ("\n".join(missed) or "All bars are met."), f"Logs: {logs}", sep="\n")
    return min(len(missed), 1)
