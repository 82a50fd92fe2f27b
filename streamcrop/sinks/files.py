"""Crops into a folder: images, and their metadata as JSON Lines.

```
DIR/gate/crops/1234/5f0c….jpg     the picture
DIR/gate/crops.jsonl              a line a crop: its metadata, and "file", the picture's path in DIR
DIR/gate/frames.jsonl             a line a frame: the frame's metadata
```
"""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import msgspec

from streamcrop.errors import SinkError
from streamcrop.formats.events import Event

# A name on the common file systems has 255 bytes.
_MAX_NAME = 200


class FilesSink:
    """Writes one stream's events. An earlier run's lines are kept, its pictures replaced.

    Args:
        folder: Is made where it is missing.
        stream: The stream's name.
        suffix: Of the pictures' names, with the dot.

    Raises:
        SinkError: Here and in `write`, if the folder cannot be written.
    """

    def __init__(self, folder: str, stream: str, suffix: str) -> None:
        self._root = Path(folder)
        self._stream = stream
        self._suffix = suffix
        try:
            (self._root / stream).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"{folder}: cannot be made: {error}"
            raise SinkError(msg) from None

    def write(self, events: Iterable[Event]) -> None:
        """Write events; a line is there once its picture is."""
        lines: dict[str, list[bytes]] = {"crops": [], "frames": []}
        try:
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


def _file_name(text: str) -> str:
    """A name that no ID can use to leave its folder, and two IDs do not share."""
    name = quote(text, safe=" ,=@")
    if name in {".", ".."} or len(name) > _MAX_NAME:
        return name.replace(".", "%2E")[:_MAX_NAME] + "~" + sha256(text.encode()).hexdigest()[:16]
    return name
