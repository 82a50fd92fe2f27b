"""Faults of the folder that crops are written to."""

import json
import shutil
import subprocess
from pathlib import Path

from faults.row import Promise, Row
from faults.scene import Scene

_SIZE = "4m"
_AWAY = 4.0
_STILL = 1.5


def _folder(scene: Scene) -> Path:
    return scene.folder / "crops"


def _written(scene: Scene) -> dict[str, object]:
    _folder(scene).mkdir(exist_ok=True)
    return {"streams": {"gate": {"output": {"files": str(_folder(scene))}}}}


def _mounted(scene: Scene) -> dict[str, object]:
    folder = _folder(scene)
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder)], check=True
    )
    scene._stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
    return _written(scene)


def _full(scene: Scene) -> None:
    """Nothing more can be written, until somebody makes room."""
    filler = _folder(scene) / "filler"
    with scene.fault():
        with filler.open("wb") as file:
            while True:
                try:
                    file.write(bytes(1 << 14))
                    file.flush()
                except OSError:
                    break
        scene.wait(_AWAY)
        _count_still(scene)
        for each in (_folder(scene) / "gate" / "crops").iterdir():
            shutil.rmtree(each, ignore_errors=True)
        filler.unlink()
    scene.kept["lines"] = _lines(scene)
    scene.wait(_AWAY)


def _replaced(scene: Scene) -> None:
    """A file stands where the folder was, which nobody can write into, not even root."""
    folder, away = _folder(scene), scene.folder / "away"
    with scene.fault():
        folder.rename(away)
        folder.touch()
        scene.wait(_AWAY)
        _count_still(scene)
        folder.unlink()
        away.rename(folder)
    scene.kept["lines"] = _lines(scene)
    scene.wait(_AWAY)


def _count_still(scene: Scene) -> None:
    end = scene.watch.samples[-1].at
    gap = scene.witness.gap(end - _AWAY, end, "gate")
    scene.kept["still"] = max(gap, scene.kept.get("still", 0.0))
    scene.counted.append(f"MQTT stood still for {gap:.1f} s")


def _lines(scene: Scene) -> int:
    path = _folder(scene) / "gate" / "crops.jsonl"
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def _whole(scene: Scene) -> list[str]:
    """MQTT went on; files come again; no line and no picture is torn."""
    still = scene.kept["still"]
    found = [] if still <= _STILL else [f"MQTT stood still for {still:.1f} s"]
    if _lines(scene) <= scene.kept["lines"]:
        found.append("no file is written any more")
    gate = _folder(scene) / "gate"
    for name in ("crops.jsonl", "frames.jsonl"):
        for line in (gate / name).read_bytes().splitlines() if (gate / name).exists() else ():
            try:
                json.loads(line)
            except ValueError:
                found.append(f"a torn line in {name}: {line[:60]!r}")
    pictures = [path for path in (gate / "crops").rglob("*.jpg") if path.is_file()]
    torn = [path for path in pictures if not path.read_bytes().endswith(b"\xff\xd9")]
    return found + [f"{len(torn)} torn pictures"] * bool(torn)


_PROMISE = Promise(recovers=1.0, says=("crops: cannot be",), rss=(60.0, 150.0))
_WORDS = "MQTT goes on; said and counted; written again within 4 s of room; nothing torn"
ROWS = [
    Row("disk full", _WORDS, _full, _PROMISE, settings=_mounted, check=_whole, root=True, times=2),
    Row(
        "folder cannot be written",
        _WORDS,
        _replaced,
        _PROMISE,
        settings=_written,
        check=_whole,
        times=2,
    ),
]
