"""Crops into a folder: images, and their metadata as JSON Lines."""

import json
from pathlib import Path
from typing import Any

import pytest

from streamcrop.errors import SinkError
from streamcrop.formats.events import Event
from streamcrop.sinks.files import Folder


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
    """The folder is made, and no events are no lines."""
    sink = Folder(str(tmp_path / "deep" / "er"), "gate", ".jpg")
    sink.write([])
    assert lines(tmp_path / "deep/er/gate/crops.jsonl") == []
    assert lines(tmp_path / "deep/er/gate/frames.jsonl") == []


def test_crops_and_frames(tmp_path: Path) -> None:
    """A picture a crop, a line a crop with its metadata and its file, a line a frame."""
    sink = Folder(str(tmp_path), "gate", ".jpg")
    sink.write([crop("7", "a", b"1"), crop("7", "b", b"2"), frame(7)])
    sink.write(iter([crop("8", "a", b"3"), frame(8)]))
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
    sink.write(crop(*name, data="/".join(name).encode()) for name in names)
    found = lines(root / "gate/crops.jsonl")
    assert [line["id"] for line in found] == [f"gate/{one}/{other}" for one, other in names]
    for line, name in zip(found, names, strict=True):
        path = root / line["file"]
        assert path.read_bytes() == "/".join(name).encode()
        assert path.resolve().parent.parent == root.resolve() / "gate/crops"
    assert len({line["file"].lower() for line in found}) == len(names)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert {path.name for path in (root / "gate").iterdir()} == {
        "crops",
        "crops.jsonl",
        "frames.jsonl",
    }


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file in the folder's place is refused, by its name."""
    (tmp_path / "taken").write_bytes(b"")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "deeper"):
        with pytest.raises(SinkError, match=r"taken.*: cannot be written: "):
            Folder(str(folder), "gate", ".jpg").write([crop()])


@pytest.mark.parametrize("place", ["gate/crops", "gate/crops.jsonl", "gate/crops/1/a.jpg"])
def test_a_folder_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    """What goes wrong while writing is an error that names the folder, not a lost crop."""
    sink = Folder(str(tmp_path), "gate", ".jpg")
    taken = tmp_path / place
    taken.parent.mkdir(parents=True, exist_ok=True)
    if taken.suffix:
        taken.mkdir()
    else:
        taken.write_bytes(b"")
    with pytest.raises(SinkError, match="cannot be written: ") as info:
        sink.write([crop()])
    assert str(info.value).startswith(str(tmp_path))
