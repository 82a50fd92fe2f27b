"""Faults of the node's own process, of its clock, and of those who ask it by HTTP."""

import json
import signal
import socket
import time
from contextlib import ExitStack, suppress
from random import Random

from faults.row import Promise, Row
from faults.scene import SETTLES, Scene, clip
from peers import free_port, wait_until

_LEDGER_AGE = 6.0
_HALF_OPEN, _TIMES_OUT = 300, 25.0
_HOUR = 3600.0


def _killed(scene: Scene) -> None:
    """At any moment, and started again."""
    scene.wait(Random(len(scene.times)).uniform(5, 7))
    with scene.fault():
        scene.node.kill()
        scene.node.wait()
        scene.watch.close()
        path = scene.folder / "ledger.json"
        age = time.time() - path.stat().st_mtime if path.exists() else float("inf")
        frames = scene.ledger().get("gate", {}).get("frames", {}).get("received", 0)
        scene.kept.setdefault("ages", []).append((age, frames))
        with suppress(TimeoutError):
            wait_until(lambda: scene.witness.presence[-1:] == ["offline"], 1.0)
        scene.kept.setdefault("offline", []).append(scene.witness.presence[-1])
        path.unlink(missing_ok=True)
        scene.start_node()


def _remembered(scene: Scene) -> list[str]:
    found = [
        f"the ledger was {age:.0f} s old, with {frames} frames"
        for age, frames in scene.kept["ages"]
        if age > _LEDGER_AGE or not frames
    ]
    if {*scene.kept["offline"]} != {"offline"}:
        found.append(f"its will did not say offline: {scene.kept['offline']}")
    scene.counted.append(
        "ledgers " + ", ".join(f"{age:.1f} s old" for age, _ in scene.kept["ages"])
    )
    return found


def _stopped(scene: Scene) -> None:
    with scene.fault():
        scene.node.send_signal(signal.SIGSTOP)
        time.sleep(5)
        scene.node.send_signal(signal.SIGCONT)


def _loaded(scene: Scene) -> None:
    """SIGTERM while all that it can do is asked of it."""
    scene.stop()


def _much(scene: Scene) -> dict[str, object]:
    """Two clips as fast as they can be read, whose crops nobody asks for, and their taps."""
    stream = {
        "source": {"url": str(clip(scene.folder.parent)), "loop": True},
        "tap": {},
        "pairing": {"max_wait": 1},
    }
    return {
        "streams": {
            name: {**stream, "detections": {"topic": f"detections/{name}"}}
            for name in ("busy1", "busy2")
        }
    }


def _without_broker(scene: Scene) -> None:
    scene.broker.freeze()
    scene.wait(SETTLES)
    scene.stop()
    scene.broker.thaw()


def _stepped(scene: Scene) -> None:
    with scene.fault():
        for ahead in (_HOUR, 0.0, -_HOUR, 0.0):
            scene.hurt(clock=ahead)
            scene.wait(2)


def _went_on(scene: Scene) -> list[str]:
    begin, end = scene.times[0][0], scene.times[-1][1]
    gap = scene.witness.gap(begin, end, "gate")
    return [] if gap < 1.5 else [f"gate stood still for {gap:.1f} s"]


def _listens(scene: Scene) -> dict[str, object]:
    scene.kept["http"] = free_port()
    return {
        "http": {"host": "127.0.0.1", "port": scene.kept["http"]},
        "streams": {
            "phone": {
                "source": {"url": "whip:"},
                "detections": {"topic": "detections/phone"},
                "pairing": {"key": "sei"},
            }
        },
    }


def _half_open(scene: Scene) -> None:
    """Requests that are begun and never ended."""
    with ExitStack() as open_ones, scene.fault():
        for _ in range(_HALF_OPEN):
            where = "127.0.0.1", scene.kept["http"]
            client = open_ones.enter_context(socket.create_connection(where))
            client.sendall(b"POST /whip/phone HTTP/1.1\r\nHost: a\r\nContent-")
        scene.wait(2 * SETTLES)
        scene.until(lambda: _few_open(scene), _TIMES_OUT)
        held = scene.watch.samples[-1].descriptors - scene.before.descriptors
        scene.kept["held"] = held
        scene.counted.append(f"{held} of {_HALF_OPEN} held")


def _few_open(scene: Scene) -> bool:
    return scene.watch.samples[-1].descriptors < scene.before.descriptors + _HALF_OPEN // 10


def _let_go(scene: Scene) -> list[str]:
    held = scene.kept["held"]
    return [] if held < _HALF_OPEN // 10 else [f"{held} requests are held after {_TIMES_OUT:g} s"]


def _is_json(scene: Scene) -> list[str]:
    json.loads((scene.folder / "ledger.json").read_text())
    return []


ROWS = [
    Row(
        "node killed (SIGKILL) at any moment",
        "its will says offline; the ledger on disk is at most 5 s old; crops after its restart",
        _killed,
        Promise(recovers=5.0, gap=None, rss=(500.0, 500.0)),
        check=_remembered,
        quick=True,
    ),
    Row(
        "node stopped for 5 s (SIGSTOP)",
        "crops again within 2 s",
        _stopped,
        Promise(recovers=2.0, gap=8.0, rss=(100.0, 300.0)),
    ),
    Row(
        "SIGTERM under load",
        "ends within shutdown_timeout and 2 s; the ledger adds up",
        _loaded,
        Promise(recovers=None, gap=None),
        times=1,
        settings=_much,
        check=_is_json,
        quick=True,
    ),
    Row(
        "SIGTERM while the broker hangs",
        "ends within shutdown_timeout and 2 s; the ledger adds up",
        _without_broker,
        Promise(recovers=None, gap=None),
        times=1,
        check=_is_json,
    ),
    Row(
        "clock of the machine steps by an hour, both ways",
        "nothing is noticed",
        _stepped,
        Promise(recovers=1.0),
        driven=True,
        check=_went_on,
        times=1,
    ),
    Row(
        f"{_HALF_OPEN} HTTP requests that do not end",
        "let go after their timeouts; crops go on",
        _half_open,
        Promise(recovers=1.0),
        settings=_listens,
        check=_let_go,
        times=1,
    ),
]
