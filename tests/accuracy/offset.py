"""By how much the capture times of two streams of one camera differ, as their pixels tell.

Says ``pairing.offset``: the seconds to add to a detector's times. Reads on until it is killed, so
that the camera's media live and keep their latencies.
"""

import argparse
import threading
from datetime import datetime
from statistics import median

from accuracy import ffmpeg

_ENOUGH = 60


def main() -> None:
    """Read both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("node", help="URL of what the node reads")
    parser.add_argument("detector", help="URL of what the detector reads")
    urls = parser.parse_args()
    times: dict[str, dict[int, float]] = {"node": {}, "detector": {}}
    found: list[float] = []

    def read(side: str) -> None:
        options = argparse.Namespace(
            url=getattr(urls, side),
            transport="tcp",
            key="utc",
            media_time=False,
            unnamed=True,
            names=0,
        )
        for seen in ffmpeg.read(options):
            if seen:
                taken = datetime.fromisoformat(seen.key["captured_at"])
                times[side][seen.number] = taken.timestamp()
            both = set(times["node"]) & set(times["detector"])
            if side == "detector" and len(both) >= _ENOUGH and not found:
                found.extend(times["node"][each] - times["detector"][each] for each in both)
                print(f"{median(found):.6f} {max(found) - min(found):.6f}", flush=True)

    threads = [threading.Thread(target=read, args=(side,)) for side in times]
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    main()
