"""Breaks what a node lives with, again and again, and prints what was promised and what came of it.

The node is the real one, in a process of its own, with a real mosquitto and a real RTSP camera. Of
each fault the ledger, the exit status, the statuses, the time to the next crop, memory, threads and
descriptors are held against what is promised. Some rows need root (a full disk is a small tmpfs).
"""

import argparse
import shutil
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from faults.row import Row
from faults.rows import ROWS
from faults.scene import Scene
from faults.verdict import finish

_LINE = "{:<52} {:>3}  {:<44} {}"
_WIDE = 44


def play(row: Row, folder: Path, *, times: int | None = None) -> tuple[list[str], str]:
    """Play a row: the promises that were not kept, and what was counted."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with Scene(folder, row) as scene:
        for _ in range(times or row.times):
            if scene.node.poll() is None:
                row.play(scene)
        return finish(scene)


def shown(row: Row, times: int, broken: list[str], counted: str) -> str:
    """A row of the table."""
    verdict = "held" if not broken else "FELL SHORT: " + "; ".join(broken)
    promised = textwrap.wrap(row.promised, _WIDE)
    told = textwrap.wrap(f"{verdict} ({counted})", 90)
    lines = max(len(promised), len(told))
    promised += [""] * (lines - len(promised))
    told += [""] * (lines - len(told))
    return "\n".join(
        _LINE.format(row.name if not at else "", times if not at else "", *pair).rstrip()
        for at, pair in enumerate(zip(promised, told, strict=True))
    )


def main() -> int:
    """Play what the command line asks for; 1 if a promise was not kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few rows, each once")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name holds it")
    parser.add_argument("--list", action="store_true", help="the rows, unplayed")
    parser.add_argument("--logs", type=Path, help="where logs and ledgers are kept")
    options = parser.parse_args()
    rows = [row for row in ROWS if options.only in row.name and (row.quick or not options.quick)]
    if options.list:
        print(*(f"{row.name}: {row.promised}" for row in rows), sep="\n")
        return 0
    logs = options.logs or Path(tempfile.mkdtemp(prefix="faults-"))
    print(_LINE.format("fault", "n", "promised", "counted"))
    since, short = time.monotonic(), 0
    for number, row in enumerate(rows):
        times = 1 if options.quick else row.times
        try:
            broken, counted = play(row, logs / f"{number:02}", times=times)
        except Exception as error:  # noqa: BLE001  # the table goes on
            broken, counted = [f"it broke: {error!s:.500}"], ""
        short += bool(broken)
        print(shown(row, times, broken, counted), flush=True)
    minutes = (time.monotonic() - since) / 60
    print(f"\n{len(rows) - short} of {len(rows)} held, in {minutes:.0f} min. Logs: {logs}")
    return min(short, 1)


if __name__ == "__main__":
    sys.exit(main())
