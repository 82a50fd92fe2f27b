"""Crops into a folder: images, and their metadata as JSON Lines.

```
DIR/gate/crops/1234/5f0c….jpg     the picture
DIR/gate/crops.jsonl              a line a crop: its metadata, and "file", the picture's path in DIR
DIR/gate/frames.jsonl             a line a frame: the frame's metadata
```
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import msgspec

from streamcrop.core.values import Reason
from streamcrop.errors import SinkError
from streamcrop.formats.events import Event
from streamcrop.notes import unexpected
from streamcrop.sinks import Ended

# A name on the common file systems has 255 bytes.
_MAX_NAME = 200


class Folder:
    """The place of one stream's events. An earlier run's lines are kept, its pictures replaced.

    Args:
        folder: Is made where it is missing.
        stream: The stream's name.
        suffix: Of the pictures' names, with the dot.

    Raises:
        SinkError: In `write`, if the folder cannot be made or written.
    """

    def __init__(self, folder: str, stream: str, suffix: str) -> None:
        self._root = Path(folder)
        self._stream = stream
        self._suffix = suffix

    def write(self, events: Iterable[Event]) -> None:
        """Write events; a line is there once its picture is."""
        lines: dict[str, list[bytes]] = {"crops": [], "frames": []}
        try:
            (self._root / self._stream).mkdir(parents=True, exist_ok=True)
            for event in events:
                if not event.is_crop:
                    lines["frames"].append(event.data)
                    continue
                frame_id, detection_id = (_file_name(part) for part in event.name)
                path = Path(self._stream, "crops", frame_id, detection_id + self._suffix)
                (self._root / path).parent.mkdir(parents=True, exist_ok=True)
                (self._root / path).write_bytes(event.data)
                head = msgspec.json.encode({"file": path.as_posix()})
                lines["crops"].append(head[:-1] + b"," + event.metadata[1:])
            for name, texts in lines.items():
                with (self._root / self._stream / f"{name}.jsonl").open("ab") as file:
                    file.writelines(text + b"\n" for text in texts)
        except OSError as error:
            msg = f"{self._root}: cannot be written: {error}"
            raise SinkError(msg) from None


class FilesSink:
    """Writes events into a folder, in a thread.

    Args:
        folder: The folder.
        threads: Where it is written.
        on_end: Is told how each event ended.
        say: Is told what went wrong: the kind of note, and a sentence.
    """

    name = "files"

    def __init__(
        self, folder: Folder, *, threads: Executor, on_end: Ended, say: Callable[[str, str], None]
    ) -> None:
        self._folder = folder
        self._threads = threads
        self._on_end = on_end
        self._say = say

    async def put(self, events: Sequence[Event]) -> None:
        """See `Sink`."""
        reason: Reason | None = Reason.FAILED
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._threads, self._folder.write, events)
            reason = None
        except asyncio.CancelledError:
            reason = Reason.CLOSED
            raise
        except SinkError as error:
            self._say("files", str(error))
        except Exception as error:  # noqa: BLE001  # nobody knows which; it costs these events
            self._say("failed", unexpected("writing files", error))
        finally:
            for event in events:
                self._on_end(event, reason)

    async def drain(self) -> None:
        """See `Sink`; nothing waits here."""

    async def abort(self) -> None:
        """See `Sink`; nothing waits here."""


def _file_name(text: str) -> str:
    """A name that no ID can use to leave its folder, and two IDs do not share."""
    name = quote(text, safe=" ,=@")
    if name in {".", ".."} or len(name) > _MAX_NAME:
        return name.replace(".", "%2E")[:_MAX_NAME] + "~" + sha256(text.encode()).hexdigest()[:16]
    return name
