"""Faults of the broker, and of what stands before it."""

import os

from faults.row import Promise, Row
from faults.scene import Scene
from lying_broker import PUBLISH, text

_AWAY, _HANGS, _LONG = 3.0, 5.0, 60.0
# A detector that speaks while its own connection comes back, and a picture in each encoder.
_FEW = 5
# Larger than crops and statuses are, smaller than the tapped pictures of yard; and tries.
_LARGEST = 3000
_HALVINGS = 20


def killed(scene: Scene) -> None:
    """It ends at once, and knows nobody when it comes again."""
    with scene.fault():
        scene.broker.kill()
        scene.wait(_AWAY)
        scene.broker.start()


def _killed_for_long(scene: Scene) -> None:
    with scene.fault():
        scene.broker.kill()
        scene.wait(_LONG)
        scene.broker.start()
    scene.wait(5)  # the detector's own queue has to be answered


def _ended(scene: Scene) -> None:
    """In order, so that it writes its sessions."""
    with scene.fault():
        scene.broker.process.terminate()
        scene.broker.process.wait()
        scene.wait(_AWAY)
        scene.broker.start()


def hung(scene: Scene) -> None:
    """It holds its connections and says nothing."""
    with scene.fault():
        scene.broker.freeze()
        scene.wait(_HANGS)
        scene.broker.thaw()


def _moved(scene: Scene) -> None:
    """The same port at another address, which the name then says."""
    here, there = (f"127.0.0.{2 + len(scene.times) + more}" for more in (0, 1))
    with scene.fault():
        scene.broker.kill()
        config = scene.broker._config
        config.write_text(config.read_text().replace(f" {here}\n", f" {there}\n"))
        scene.hurt(hosts={"broker.test": there})
        scene.broker.start()


def _by_name(scene: Scene) -> dict[str, object]:
    """The broker listens at a second address, by which the node alone knows it."""
    scene.broker.kill()
    with scene.broker._config.open("a") as config:
        config.write(f"listener {scene.port} 127.0.0.2\n")
    scene.broker.start()
    scene.hurt(hosts={"broker.test": "127.0.0.2"})
    return {"broker": {"url": f"mqtt://broker.test:{scene.port}"}}


def _refused(scene: Scene) -> None:
    """It comes back with users, and does not know ours."""
    scene.broker.kill()
    config = scene.broker._config
    config.write_text(config.read_text().replace("allow_anonymous true", "allow_anonymous false"))
    scene.broker.start()
    scene.until(lambda: False, 10)
    scene.code = scene.node.poll()


def _rubbish(scene: Scene) -> None:
    """Bytes that are no packet, a packet that never ends, and one that nobody may send."""
    for data in (os.urandom(300), b"\x30\xff\xff\xff\x7f" + b"x" * 1000, b"\xf0\0", b"\x10\0"):
        with scene.fault():
            scene.between.inject(data)


def _unreadable(scene: Scene) -> None:
    """Messages that paho cannot read, each of a right size."""
    with scene.fault():
        body = text("detections/gate") + b"\xff\xff\xff\x7f" + b"{}"
        scene.between.inject(bytes([PUBLISH << 4, len(body)]) + body)
        body = text("a/#") + b"\0"
        scene.between.inject(bytes([PUBLISH << 4, len(body)]) + body)


def _half_deaf(scene: Scene) -> None:
    """It keeps the connection, and nothing arrives any more."""
    with scene.fault():
        scene.between.silent = True
        scene.wait(_HANGS)
        scene.between.silent = False


def _hangs_up(scene: Scene) -> None:
    """It hangs up at a size that it never announced: crops are smaller, tapped pictures are not."""
    before = scene.witness.count(scene.steady - 2, scene.steady)
    with scene.fault():
        scene.between.largest = _LARGEST
        scene.wait(10)
        begin = scene.watch.samples[-1].at
        scene.wait(4)
        rate = scene.witness.count(begin, begin + 4, "yard") / 4
        scene.counted.append(
            f"{scene.between.hung_up} hang-ups, yard {rate:.1f}/s, {before} before"
        )
        scene.between.largest = 0


def _few_hang_ups(scene: Scene) -> list[str]:
    count = scene.between.hung_up
    return [] if count <= _HALVINGS else [f"{count} hang-ups"]


ROWS = [
    Row(
        "broker killed for 3 s, its sessions lost",
        f"crops again within 1.5 s; at most {_FEW} pictures of a detector that queues are lost",
        killed,
        Promise(recovers=1.5, missing=_FEW, gap=None),
        quick=True,
    ),
    Row(
        "broker killed for 60 s",
        f"the same; what waits is bounded by max_bytes; at most {_FEW} lost",
        _killed_for_long,
        Promise(recovers=1.5, missing=_FEW, gap=None, rss=(100.0, 600.0)),
        times=1,
    ),
    Row(
        "broker hangs for 5 s (SIGSTOP)",
        f"crops again within 1 s; at most {_FEW} lost",
        hung,
        Promise(recovers=1.0, missing=_FEW, gap=None),
        quick=True,
    ),
    Row(
        "broker ends in order, comes back with its sessions",
        f"crops again within 1.5 s; at most {_FEW} lost",
        _ended,
        Promise(recovers=1.5, missing=_FEW, gap=None),
        broker=("persistence true", "persistence_location {}/"),
    ),
    Row(
        "broker moves to another address",
        "crops again within 3 s: the name is asked again",
        _moved,
        Promise(recovers=3.0, gap=None),
        times=2,
        driven=True,
        settings=_by_name,
    ),
    Row(
        "broker refuses us from now on",
        "exit 1 at once, and says why, with the broker's host; the ledger is there",
        _refused,
        Promise(recovers=None, code=1, gap=None, says=("refuses", "Not authorized")),
        times=1,
        quick=True,
    ),
    Row(
        "broker sends what is no MQTT",
        "the connection ends and comes again: crops within 1.5 s each time",
        _rubbish,
        Promise(recovers=1.5, gap=3.0),
        lies=True,
    ),
    Row(
        "broker sends messages that cannot be read",
        "each costs itself: no reconnection, no traceback",
        _unreadable,
        Promise(recovers=0.5, says=("cannot be read",)),
        lies=True,
    ),
    Row(
        "broker keeps the connection and passes on nothing",
        f"crops again within 1 s; at most {_FEW} lost",
        _half_deaf,
        Promise(recovers=1.0, missing=_FEW, gap=None),
        lies=True,
    ),
    Row(
        "broker hangs up at a size that it did not announce",
        f"a size that was refused twice is too_large from then on: at most {_HALVINGS} hang-ups",
        _hangs_up,
        Promise(recovers=1.5, gap=None),
        times=1,
        lies=True,
        check=_few_hang_ups,
    ),
]
