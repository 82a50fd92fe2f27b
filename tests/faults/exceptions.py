"""Errors that nobody expects, at every stage of the node."""

from functools import partial

from faults.places import PLACES
from faults.row import Promise, Row
from faults.scene import Scene

# Where one message or frame is handled, an error costs that one; elsewhere its stream restarts,
# within so many seconds, and the others go on.
_RESTARTS = 4.0


def _raised(name: str, scene: Scene) -> None:
    with scene.fault():
        scene.hurt(**{"raise": {name: 1}, "number": len(scene.times)})
        scene.wait(0.5)


def _was_raised(name: str, scene: Scene) -> list[str]:
    return [] if f"InjectedError: {name}" in scene.log else ["it was not raised, or not logged"]


ROWS = [
    Row(
        f"an error in: {name}",
        "costs one frame or message, or the stream restarts; logged once; others go on; exit 0",
        partial(_raised, name),
        Promise(recovers=_RESTARTS, gap=_RESTARTS, quiet=False),
        times=2,
        driven=True,
        check=partial(_was_raised, name),
        quick=name == "rendering",
    )
    for name in PLACES
]
