"""What a run came to: whether each promise was kept, and the numbers."""

import time
from collections.abc import Iterator, Sequence
from math import isinf
from typing import Any

from faults.scene import SETTLES, Scene
from peers import adds_up

# A process that lives has so many threads and descriptors more now and then.
_MORE_THREADS, _MORE_DESCRIPTORS = 3, 6
# SIGTERM: `shutdown_timeout`, the farewell, and what an interpreter takes to end.
_ENDS = 5.0 + 1.0 + 1.0


def finish(scene: Scene) -> tuple[list[str], str]:
    """End the node; the promises that were not kept, and what was counted, in words."""
    now = time.monotonic()
    ran = scene.node.poll() is None
    after = scene.watch.samples[-1] if scene.watch.samples else scene.before
    scene.stop()
    broken = [*_ends(scene), *_ledger(scene), *_flow(scene, now), *_said(scene), *_words(scene)]
    if ran:
        broken += _leaks(scene, after)
    broken += scene.row.check(scene)
    return broken, "; ".join(_numbers(scene, now))


def _numbers(scene: Scene, now: float) -> Iterator[str]:
    begin = scene.times[0][0] if scene.times else scene.steady
    if scene.recoveries:
        yield f"back after {_worst(scene.recoveries)}"
    if scene.row.promise.missing is not None:
        yield f"{scene.witness.missing(scene.steady, now - 3 * SETTLES)} without a crop"
    yield f"yard's gap {scene.witness.gap(begin, now, 'yard'):.1f} s"
    yield f"{scene.watch.peak(begin) - scene.before.rss:+.0f} MiB"
    yield f"exit {scene.code} in {scene.ended:.1f} s"
    yield from scene.counted


def _worst(seconds: Sequence[float]) -> str:
    return "never" if isinf(max(seconds)) else f"{max(seconds):.1f} s"


def _ends(scene: Scene) -> Iterator[str]:
    if scene.code is None:
        yield "SIGTERM did not end it"
    elif scene.code != scene.row.promise.code:
        yield f"exit {scene.code}, not {scene.row.promise.code}"
    if scene.ended > _ENDS:
        yield f"SIGTERM took {scene.ended:.1f} s"


def _ledger(scene: Scene) -> Iterator[str]:
    ledger = scene.ledger()
    if not ledger:
        yield "no ledger"
        return
    for stream, rows in ledger.items():
        yield from (f"{stream}: {each}" for each in unbalanced(rows))
    dropped = {name: row["dropped"] for name, row in ledger["gate"].items() if name != "sinks"}
    for name, reasons in scene.row.promise.counted.items():
        for reason in reasons:
            if not dropped[name].get(reason):
                yield f"no {name} are {reason}"


def unbalanced(rows: dict[str, Any]) -> Iterator[str]:
    """The rows of a stream's ledger that do not add up."""
    sinks = {f"sink {name}": row for name, row in rows["sinks"].items()}
    for name, row in {**rows, **sinks}.items():
        if name != "sinks" and not adds_up(row):
            yield f"{name} do not add up: {row}"


def _flow(scene: Scene, now: float) -> Iterator[str]:
    promise, witness = scene.row.promise, scene.witness
    if witness.wrong:
        yield f"{witness.wrong} crops of another picture"
    if promise.recovers is not None:
        if not scene.recoveries:
            yield "it was not played"
        elif (worst := max(scene.recoveries)) > promise.recovers:
            yield f"back after {_worst([worst])}, not {promise.recovers:g} s"
    if promise.missing is not None:
        missing = witness.missing(scene.steady, now - 3 * SETTLES)
        if missing > promise.missing:
            yield f"{missing} pictures without a crop, not {promise.missing}"
    begin = scene.times[0][0] if scene.times else scene.steady
    if promise.gap is not None and (gap := witness.gap(begin, now, "yard")) > promise.gap:
        yield f"the other stream stood still for {gap:.1f} s"


def _said(scene: Scene) -> Iterator[str]:
    begin = scene.times[0][0] if scene.times else scene.steady
    said = iter(scene.witness.said(begin))
    for wanted in scene.row.promise.states:
        if wanted not in said:
            yield f"no status {wanted}: {scene.witness.said(begin)}"
            return


def _words(scene: Scene) -> Iterator[str]:
    log = scene.log
    states = [each.reason for each in scene.witness.states.get("gate", [])]
    everything = "\n".join((log, *states, *scene.witness.notes.values()))
    for text in scene.row.promise.says:
        if text not in everything:
            yield f"nothing says {text!r}"
    if scene.row.promise.quiet and "Traceback" in log:
        yield "a traceback in the log"


def _leaks(scene: Scene, after: Any) -> Iterator[str]:
    before, (end, worst) = scene.before, scene.row.promise.rss
    if after.rss - before.rss > end:
        yield f"{after.rss - before.rss:.0f} MiB more than before"
    begin = scene.times[0][0] if scene.times else scene.steady
    if (peak := scene.watch.peak(begin) - before.rss) > worst:
        yield f"at the worst {peak:.0f} MiB more"
    if after.threads > before.threads + _MORE_THREADS:
        yield f"{after.threads} threads, {before.threads} before"
    if after.descriptors > before.descriptors + _MORE_DESCRIPTORS:
        yield f"{after.descriptors} descriptors, {before.descriptors} before"
