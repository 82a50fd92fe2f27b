"""Crops into a folder: images, and their metadata as JSON Lines.

```
DIR/gate/crops/1234/5f0c….jpg     the picture
DIR/gate/crops.jsonl              a line a crop: its metadata, and "file", the picture's path in DIR
DIR/gate/frames.jsonl             a line a frame: the frame's metadata
```

A picture is whole wherever its name is: it is written under a hidden one, then renamed. A line is
there once its picture is; where one could not be written whole, nothing of it stays.
"""

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import msgspec

from streamcrop.errors import SinkError
from streamcrop.formats.events import Event

# A name on the common file systems has 255 bytes.
_MAX_NAME = 200
_HIDDEN = ".part"
_BLOCK = 1 << 16


class Folder:
    """The place of one stream's events. An earlier run's lines are kept, its pictures replaced.

    Args:
        folder: Is made where it is missing.
        stream: The stream's name.
        suffix: Of the pictures' names, with the dot.
    """

    def __init__(self, folder: str, stream: str, suffix: str) -> None:
        self._root = Path(folder)
        self._stream = stream
        self._place = self._root / stream
        self._suffix = suffix
        # Those whose last line is known to be whole.
        self._whole: set[Path] = set()

    def write(self, events: Sequence[Event]) -> int:
        """Write events, one after the other.

        Returns:
            How many; those that follow could not be written.

        Raises:
            SinkError: If not even the first could be written.
        """
        done = 0
        try:
            self._place.mkdir(parents=True, exist_ok=True)
            for event in events:
                self._write(event)
                done += 1
        except OSError as error:
            if not done:
                raise SinkError(f"{self._root}: cannot be written: {error}") from None
        return done

    def _write(self, event: Event) -> None:
        if not event.is_crop:
            self._append(self._place / "frames.jsonl", event.data)
            return
        frame_id, detection_id = (file_name(part) for part in event.name)
        path = Path(self._stream, "crops", frame_id, detection_id + self._suffix)
        (self._root / path).parent.mkdir(parents=True, exist_ok=True)
        hidden = self._place / _HIDDEN
        try:
            hidden.write_bytes(event.data)
            hidden.replace(self._root / path)
        except OSError:
            # On a full disk it would keep the room that a smaller one needs.
            with suppress(OSError):
                hidden.unlink()
            raise
        head = msgspec.json.encode({"file": path.as_posix()})
        self._append(self._place / "crops.jsonl", head[:-1] + b"," + event.metadata[1:])

    def _append(self, path: Path, line: bytes) -> None:
        """Append a line, whole or not at all."""
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            if path not in self._whole:
                _mend(file)
            # Until the line is there: a disk that is full takes a part of it.
            self._whole.discard(path)
            _write_whole(file, line + b"\n")
            self._whole.add(path)
        finally:
            os.close(file)


class FilesOutlet:
    """Writes events into a folder, in a thread.

    Args:
        folder: The folder.
        threads: Where it is written.
    """

    batch = 64

    def __init__(self, folder: Folder, threads: Executor) -> None:
        self._folder = folder
        self._threads = threads

    def take(self, event: Event) -> Event:
        """See `Outlet`."""
        return event

    async def deliver(self, events: Sequence[Event], *, again: bool) -> int:  # noqa: ARG002  # a picture is replaced
        """See `Outlet`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._folder.write, events)

    async def close(self) -> None:
        """See `Outlet`; each file is closed once it is written."""


def _write_whole(file: int, line: bytes) -> None:
    """Write all of it, or nothing.

    Raises:
        OSError: If there is no room for it.
    """
    size = os.fstat(file).st_size
    written = 0
    try:
        while written < len(line):
            written += os.write(file, line[written:])
    except OSError:
        os.ftruncate(file, size)
        raise


def _mend(file: int) -> None:
    """End the last line, or cut it off if its writer was killed in the middle of it."""
    end = os.fstat(file).st_size
    start = end
    while start:
        start = max(0, start - _BLOCK)
        block = os.pread(file, _BLOCK, start)
        if (found := block.rfind(b"\n")) >= 0:
            start += found + 1
            break
    if start == end:
        return
    try:
        msgspec.json.decode(os.pread(file, end - start, start))
    except msgspec.DecodeError:
        os.ftruncate(file, start)
    else:
        os.write(file, b"\n")


def file_name(text: str) -> str:
    """A name that no ID can use to leave its folder, and two IDs do not share.

    Example:
        >>> file_name("a/b"), file_name("..")
        ('a%2Fb', '%2E%2E~5ec1f7e700f37c3d')
    """
    name = quote(text, safe=" ,=@")
    if name in {".", ".."} or len(name) > _MAX_NAME:
        return name.replace(".", "%2E")[:_MAX_NAME] + "~" + sha256(text.encode()).hexdigest()[:16]
    return name
