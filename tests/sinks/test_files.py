"""Crops into a folder: images, and their metadata as JSON Lines."""

import errno
import json
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from streamcrop.errors import SinkError
from streamcrop.formats.events import Event
from streamcrop.sinks.files import FilesOutlet, Folder


def crop(frame_id: str = "1", detection_id: str = "a", data: bytes = b"picture") -> Event:
    """A crop's event."""
    metadata = json.dumps({"id": f"gate/{frame_id}/{detection_id}", "predictions": []}).encode()
    return Event("t", data, "image/jpeg", {}, metadata, is_crop=True, name=(frame_id, detection_id))


def frame(number: int = 1) -> Event:
    """A frame's metadata."""
    return Event("t", b'{"frame_id":"%d"}' % number, "application/json", {})


def lines(path: Path) -> list[dict[str, Any]]:
    """A JSON Lines file."""
    text = path.read_text(encoding="utf-8")
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_nothing(tmp_path: Path) -> None:
    """The folder is made, and no events are no files."""
    sink = Folder(str(tmp_path / "deep" / "er"), "gate", ".jpg")
    assert sink.write([]) == 0
    assert list((tmp_path / "deep/er/gate").iterdir()) == []


def test_crops_and_frames(tmp_path: Path) -> None:
    """A picture a crop, a line a crop with its metadata and its file, a line a frame."""
    sink = Folder(str(tmp_path), "gate", ".jpg")
    sink.write([crop("7", "a", b"1"), crop("7", "b", b"2"), frame(7)])
    sink.write([crop("8", "a", b"3"), frame(8)])
    assert lines(tmp_path / "gate/crops.jsonl") == [
        {"file": "gate/crops/7/a.jpg", "id": "gate/7/a", "predictions": []},
        {"file": "gate/crops/7/b.jpg", "id": "gate/7/b", "predictions": []},
        {"file": "gate/crops/8/a.jpg", "id": "gate/8/a", "predictions": []},
    ]
    found = [
        (tmp_path / line["file"]).read_bytes() for line in lines(tmp_path / "gate/crops.jsonl")
    ]
    assert found == [b"1", b"2", b"3"]
    assert lines(tmp_path / "gate/frames.jsonl") == [{"frame_id": "7"}, {"frame_id": "8"}]


def test_an_earlier_run(tmp_path: Path) -> None:
    """Lines of an earlier run are kept, its pictures replaced."""
    for data in (b"old", b"new"):
        Folder(str(tmp_path), "gate", ".jpg").write([crop(data=data)])
    assert len(lines(tmp_path / "gate/crops.jsonl")) == 2
    assert (tmp_path / "gate/crops/1/a.jpg").read_bytes() == b"new"


HOSTILE = [
    "a",
    "A b",
    ".",
    "..",
    "...",
    "../../etc",
    "..%2F..%2Fetc",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "a%2Fb",
    "%2E",
    "%2E%2E",
    "~",
    "*?",
    "é",
    "e\u0301",
    "\U0001f600",
    "-rf",
    "CON",
    "crops.jsonl",
    " ",
    "x" * 199,
    "x" * 200,
    "x" * 201,
    "x" * 1024,
    "x" * 1023 + "y",
    "." * 1024,
    "/" * 1024,
    "\U0001f600" * 1024,
    "\U0001f600" * 1023 + "x",
]


def test_hostile_ids(tmp_path: Path) -> None:
    """No ID leaves its folder, each has a file of its own, and its line names it."""
    root = tmp_path / "out"
    sink = Folder(str(root), "gate", ".jpg")
    names = [(one, "a") for one in HOSTILE] + [("f", one) for one in HOSTILE]
    sink.write([crop(*name, data="/".join(name).encode()) for name in names])
    found = lines(root / "gate/crops.jsonl")
    assert [line["id"] for line in found] == [f"gate/{one}/{other}" for one, other in names]
    for line, name in zip(found, names, strict=True):
        path = root / line["file"]
        assert path.read_bytes() == "/".join(name).encode()
        assert path.resolve().parent.parent == root.resolve() / "gate/crops"
    assert len({line["file"].lower() for line in found}) == len(names)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert {path.name for path in (root / "gate").iterdir()} == {"crops", "crops.jsonl"}


TAKEN = ["", "gate", "gate/crops", "gate/crops.jsonl", "gate/crops/1/a.jpg"]


@pytest.mark.parametrize("place", TAKEN)
def test_a_folder_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    """What goes wrong is an error that names the folder; once it is mended, all goes on."""
    root = tmp_path / "out"
    taken = root / place
    if taken.suffix:
        taken.mkdir(parents=True)
    else:
        taken.parent.mkdir(parents=True, exist_ok=True)
        taken.write_bytes(b"")
    sink = Folder(str(root), "gate", ".jpg")
    with pytest.raises(SinkError, match="cannot be written: ") as info:
        sink.write([crop()])
    assert str(info.value).startswith(str(root))
    if taken.is_dir():
        taken.rmdir()
    else:
        taken.unlink()
    assert sink.write([crop()]) == 1
    assert lines(root / "gate/crops.jsonl")
    assert (root / "gate/crops/1/a.jpg").read_bytes() == b"picture"


def test_what_comes_before_a_failure_is_there(tmp_path: Path) -> None:
    """Who calls knows how many are written, and does not write them twice."""
    sink = Folder(str(tmp_path), "gate", ".jpg")
    (tmp_path / "gate/crops/3").mkdir(parents=True)
    (tmp_path / "gate/crops/3/a.jpg").mkdir()
    assert sink.write([crop("1"), frame(1), crop("3"), crop("4")]) == 2
    assert [line["id"] for line in lines(tmp_path / "gate/crops.jsonl")] == ["gate/1/a"]
    assert lines(tmp_path / "gate/frames.jsonl") == [{"frame_id": "1"}]
    assert not (tmp_path / "gate/.part").exists()


@pytest.mark.parametrize("room", [10, 100, 4000, 5000, 9000])
def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """A part of a line that found room is taken back; when there is room again, it comes whole."""
    sink = Folder(str(tmp_path), "gate", ".jpg")
    assert sink.write([frame(1)]) == 1
    write, left = os.write, room

    def full(file: int, data: bytes) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = write(file, data[:left])
        left -= done
        return done

    monkeypatch.setattr(os, "write", full)
    long = Event("t", b'{"text":"%s"}' % (b"x" * 10_000), "application/json", {})
    with pytest.raises(SinkError, match="No space left"):
        sink.write([long])
    assert lines(tmp_path / "gate/frames.jsonl") == [{"frame_id": "1"}]
    monkeypatch.undo()
    assert sink.write([long, frame(2)]) == 2
    assert [len(line) for line in lines(tmp_path / "gate/frames.jsonl")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("torn", "left"),
    [
        (b"", []),
        (b'{"a":1}\n', [{"a": 1}]),
        (b'{"a":1}\n{"b":', [{"a": 1}]),
        (b'{"a":1}\n{"b":2}', [{"a": 1}, {"b": 2}]),
        (b'{"b":"' + b"x" * 200_000, []),
        (b'{"a":1}\n{"b":"' + b"x" * 200_000, [{"a": 1}]),
        (b'{"a":1}\n' * 20_000 + b"{", [{"a": 1}] * 20_000),
    ],
    ids=["empty", "whole", "torn", "no end", "long and alone", "long", "many"],
)
def test_a_line_whose_writer_was_killed(
    tmp_path: Path, torn: bytes, left: list[dict[str, Any]]
) -> None:
    """The next run cuts it off; a line that is whole, and has no end, gets one."""
    path = tmp_path / "gate/frames.jsonl"
    path.parent.mkdir()
    path.write_bytes(torn)
    Folder(str(tmp_path), "gate", ".jpg").write([frame(1), frame(2)])
    assert lines(path) == [*left, {"frame_id": "1"}, {"frame_id": "2"}]


WRITER = """
import sys
from streamcrop.formats.events import Event
from streamcrop.sinks.files import FilesOutlet, Folder
folder = Folder(sys.argv[1], "gate", ".jpg")
for number in range(int(sys.argv[2]), 10**9):
    name = str(number % 50)
    data = name.encode() * 100_000
    metadata = b'{"frame":"%d","text":"%s"}' % (number, b"x" * 40_000)
    folder.write([Event("t", data, "", {}, metadata, is_crop=True, name=(name, "a"))])
    print(number, flush=True)
"""


def test_killed_in_the_middle(tmp_path: Path) -> None:
    """Whenever it is killed, each picture that has its name is whole, and each line."""
    written: list[int] = []
    for run in range(4):
        start = 1000 * run
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path, str(start)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        said = process.stdout.readline()
        time.sleep(random.uniform(0, 0.1))
        process.kill()
        said += process.stdout.read()
        process.wait()
        process.stdout.close()
        written += map(int, said.split())
        for picture in (tmp_path / "gate/crops").glob("*/*"):
            data, name = picture.read_bytes(), picture.parent.name.encode()
            assert data == name * 100_000
    Folder(str(tmp_path), "gate", ".jpg").write([crop("end")])
    found = [int(line["frame"]) for line in lines(tmp_path / "gate/crops.jsonl")[:-1]]
    assert len(found) == len(set(found))
    assert set(written) <= set(found)
    assert len(found) <= len(written) + 4


async def test_in_a_thread(tmp_path: Path) -> None:
    """The loop does not wait for the disk."""
    with ThreadPoolExecutor(1) as threads:
        sink = FilesOutlet(Folder(str(tmp_path), "gate", ".jpg"), threads)
        assert await sink.deliver([crop("1"), frame(1)], again=False) == 2
        await sink.close()
    assert len(lines(tmp_path / "gate/crops.jsonl")) == 1
