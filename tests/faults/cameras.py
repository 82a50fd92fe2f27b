"""Faults of cameras."""

import time

from faults.row import Promise, Row
from faults.scene import Scene

_AWAY, _HANGS = 3.0, 5.0
_LOST = ("reconnecting", "running")


def killed(scene: Scene) -> None:
    """It is not there for a while."""
    with scene.fault():
        scene.camera.kill()
        scene.wait(_AWAY)
        scene.camera.start()


def hung(scene: Scene) -> None:
    """It holds its connections and sends nothing."""
    with scene.fault():
        scene.camera.freeze()
        scene.wait(_HANGS)
        scene.camera.thaw()


def _resized(scene: Scene) -> None:
    widths = [320, 1280, 640]
    with scene.fault():
        scene.camera.kill()
        width = widths[len(scene.times) % len(widths)]
        scene.camera.start("--width", str(width), "--height", str(width * 3 // 4))


def _gone(scene: Scene) -> None:
    """It goes while the broker is away, and both come back."""
    with scene.fault():
        scene.broker.kill()
        scene.camera.kill()
        scene.wait(_AWAY)
        scene.camera.start()
        time.sleep(0.5)
        scene.broker.start()


ROWS = [
    Row(
        "camera killed for 3 s",
        "crops again within 2 s of its return; the status says so; the other stream goes on",
        killed,
        Promise(states=_LOST, recovers=2.0),
        quick=True,
    ),
    Row(
        "camera hangs for 5 s (SIGSTOP)",
        "given up after stall_timeout; crops again within 2 s of its return",
        hung,
        Promise(states=_LOST, recovers=2.0),
    ),
    Row(
        "camera comes back in another size",
        "crops of the new size within 2 s",
        _resized,
        Promise(states=_LOST, recovers=2.0),
    ),
    Row(
        "camera and broker both go, and come back",
        "crops again within 3 s of the later",
        _gone,
        Promise(recovers=3.0, gap=None),
        times=2,
    ),
]
