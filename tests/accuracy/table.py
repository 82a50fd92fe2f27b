"""Runs scenarios and prints what they came to.

Ways to name a frame: `frame_id` (the tap), `sei`, and capture time three times: `utc`, whose
messages say the media time as well; `utc-confirm` and `utc-plain`, whose messages do not, with and
without `pairing.confirm`. `pts` and `arrival` are only reported.

The bars: no crop of a wrong frame, in any scenario; by `utc-plain` at most those of one interval of
reports each time that the camera's clock was set. At least 99.9 % of the frames that node and
detector both keyed give a right crop, where nothing is lost on purpose. "Keyed" are the frames that
were spoken of between the first and the last that the node paired, in each run of the camera;
messages that the node refused as `ambiguous` have a column of their own.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from accuracy.judge import Verdict
from accuracy.scenario import ALL, Result, Size
from accuracy.scenarios import SCENARIOS
from accuracy.stage import Stage

_HEAD = (
    *("scenario", "frames", "messages", "keyed", "right", "wrong", "ambiguous", "unreadable"),
    "unpaired",
)
_LINE = "{:<29} {:>7} {:>8} {:>7} {:>7} {:>6} {:>9} {:>10}  {}"


def _row(name: str, result: Result) -> str:
    verdict, ledger = result.verdict, result.ledger
    remarks = [
        f"{side}: " + ", ".join(f"{reason} {n}" for reason, n in ledger[side]["dropped"].items())
        for side in ("frames", "messages")
        if ledger[side]["dropped"]
    ]
    if verdict.wrong and verdict.turns:
        by_turn = (f"{seconds * 1000:+.0f} ms {n}" for seconds, n in verdict.wrong_by_turn if n)
        remarks.append("wrong behind " + ", ".join(by_turn))
    received = (ledger[side]["received"] for side in ("frames", "messages"))
    keyed, crops = verdict.keyed, verdict.crops
    ambiguous = ledger["messages"]["dropped"].get("ambiguous", 0)
    right = len(verdict.right & keyed)
    counts = (len(keyed), right, crops["wrong"], ambiguous, crops["unreadable"])
    return _LINE.format(name, *received, *counts, "; ".join(remarks))


async def _play(name: str, way: str, options: argparse.Namespace, logs: Path) -> Result:
    size = Size(options.frames, options.rate, options.width)
    folder = logs / way / name
    folder.mkdir(parents=True, exist_ok=True)

    def progress(verdict: Verdict) -> None:
        if sys.stderr.isatty():
            crops = ", ".join(f"{n} {what}" for what, n in sorted(verdict.crops.items()))
            line = f"{way} {name}: {len(verdict.published)} of {size.frames}: {crops}"
            print(f"\r{line:<79}", end="\r", file=sys.stderr, flush=True)

    how = {"reader": options.reader, "seed": options.seed, "progress": progress}
    async with Stage(folder, SCENARIOS[name], way, size, **how) as stage:
        return await stage.run()


async def _play_all(options: argparse.Namespace, logs: Path) -> list[str]:
    """Print the tables; returns the bars that were missed."""
    room, missed = asyncio.Semaphore(options.jobs), []

    async def play(name: str, way: str) -> Result | Exception:
        async with room:
            try:
                return await _play(name, way, options, logs)
            except (RuntimeError, OSError) as error:
                return error

    for way in options.way or ALL:
        names = [name for name in options.scenario or SCENARIOS if way in SCENARIOS[name].ways]
        print(f"\n{way}\n{_LINE.format(*_HEAD)}")
        runs = [asyncio.create_task(play(name, way)) for name in names]
        for name, run in zip(names, runs, strict=True):
            result = await run
            if isinstance(result, Exception):
                print(f"{name} broke: {result}")
                missed.append(f"{way} {name}: broke")
                continue
            print(_row(name, result), flush=True)
            missed += [f"{way} {name}: {problem}" for problem in result.problems]
    return missed


def main() -> int:
    """Run what the command line asks for; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--way", "--key", action="append", choices=ALL, help="default: all")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="default: all")
    parser.add_argument(
        "--reader",
        choices=["gstreamer", "ffmpeg"],
        default="gstreamer",
        help="of the detector by capture time, where no packets are lost; default: %(default)s",
    )
    parser.add_argument("--frames", type=int, default=300, help="spoken of by the detector, a run")
    parser.add_argument("--rate", type=int, default=30, help="frames a second")
    parser.add_argument("--width", type=int, default=640, help="of the pictures, a multiple of 160")
    parser.add_argument("--seed", type=int, default=1, help="for what is left to chance")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--logs", type=Path, help="where logs and ledgers are kept")
    options = parser.parse_args()
    logs = options.logs or Path(tempfile.mkdtemp(prefix="accuracy-"))
    missed = asyncio.run(_play_all(options, logs))
    print("\n" + ("\n".join(missed) or "All bars are met."), f"Logs: {logs}", sep="\n")
    return min(len(missed), 1)
