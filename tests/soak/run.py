"""Lets a node run for long, with more to do than it can, while camera and broker come and go.

One stream has a real camera, one a clip whose tap is answered; beside them two streams ask for
twice the crops that the node makes. Every twenty seconds a camera or a broker is killed or hangs
for some seconds. It ends with a verdict and a picture: memory within 5 % from the second third to
the last, threads and descriptors as they were, a ledger that adds up, no crop of a wrong picture,
crops again soon after each fault, half of the camera's within 0.6 s of their message, exit 0.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from faults import brokers, cameras
from faults.row import Promise, Row
from faults.scene import Scene
from faults.verdict import finish
from soak.load import TIMES, Load, settings
from soak.plot import plot

_EVERY = 20.0
_PLAYS = [cameras.killed, brokers.killed, cameras.hung, brokers.hung]
# The share by which memory may grow from the second third to the last.
_FLAT = 0.05
# The load is set once in ten seconds, and the broker is away now and then.
_NEAR = 0.7
# Seconds from a message to its crop, half of the time: 0.5 more than undisturbed.
_FRESH = 0.6
_PROMISE = Promise(recovers=10.0, gap=None, rss=(2000.0, 2000.0))


class Soak:
    """One long run.

    Args:
        scene: Its parts.
        streams: How many ask for too much.
    """

    def __init__(self, scene: Scene, streams: int) -> None:
        self.scene = scene
        self.faults: list[tuple[float, float, str]] = []
        self._names = [f"load{number}" for number in range(streams)]
        self.load = Load(scene, streams)

    def run(self, minutes: float) -> None:
        """Let it all happen."""
        end = time.monotonic() + 60 * minutes
        plays = cycle(_PLAYS)
        while (left := end - time.monotonic()) > 0 and self.scene.node.poll() is None:
            self.scene.wait(min(left, _EVERY))
            if end - time.monotonic() > _EVERY and self.scene.node.poll() is None:
                play = next(plays)
                play(self.scene)
                name = f"{play.__module__} {play.__name__}"
                self.faults.append((*self.scene.times[-1], name))
        self.load.close()

    def problems(self) -> Iterator[str]:
        """What is not as it is to be, but for what a row of faults looks at."""
        samples = self.scene.watch.samples
        third = len(samples) // 3
        first, last = (
            statistics.median(s.rss for s in part)
            for part in (samples[third : 2 * third], samples[2 * third :])
        )
        if last > first * (1 + _FLAT):
            yield f"memory grew from {first:.0f} to {last:.0f} MiB"
        age = statistics.median(crop.age for crop in self.scene.witness.crops["gate"])
        behind = statistics.quantiles(self.scene.witness.behind, n=20)[-1]
        self.scene.counted.append(f"the detector itself up to {behind:.1f} s late (p95)")
        if age > _FRESH:
            yield f"half of the camera's crops are older than {age:.1f} s"
        ledger = self.scene.ledger()
        made = sum(ledger[name]["crops"]["published"] for name in self._names if name in ledger)
        times = self.load.asked / made if made else float("inf")
        if not TIMES - _NEAR < times < TIMES + _NEAR:
            yield f"it was asked for {times:.1f} times what it did, not {TIMES:g}"
        self.scene.counted.append(
            f"{times:.1f} times what it could do; {first:.0f} to {last:.0f} MiB; {age:.2f} s old"
        )


def main() -> int:
    """Soak; 1 if the verdict is bad."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10, help="default: %(default)g")
    parser.add_argument("--streams", type=int, default=2, help="that ask for too much; default: 2")
    parser.add_argument("--memory", help="limits.memory, as in the configuration")
    parser.add_argument("--plot", type=Path, default=Path("soak.png"), help="default: %(default)s")
    parser.add_argument("--logs", type=Path, help="where logs and ledger are kept")
    options = parser.parse_args()
    logs = options.logs or Path(tempfile.mkdtemp(prefix="soak-"))
    folder = logs / "run"
    folder.mkdir(parents=True, exist_ok=True)

    def wanted(_: Scene) -> dict[str, object]:
        limits = {"limits": {"memory": options.memory}} if options.memory else {}
        return {"streams": settings(logs, options.streams), **limits}

    row = Row("soak", "", lambda _: None, _PROMISE, settings=wanted)
    with Scene(folder, row) as scene:
        soak = Soak(scene, options.streams)
        soak.run(options.minutes)
        broken, counted = finish(scene)
        broken += soak.problems()
        verdict = "held" if not broken else "FELL SHORT: " + "; ".join(broken)
        numbers = "; ".join((counted, *scene.counted[-2:], f"{len(soak.faults)} faults"))
        said = f"{options.minutes:g} minutes: {verdict}"
        plot(options.plot, scene.watch.samples, scene.witness, soak.load.done, soak.faults, said)
    print(f"{said}\n{numbers}\nPicture: {options.plot}. Logs: {logs}")
    return int(bool(broken))
