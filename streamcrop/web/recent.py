"""The newest crops of each stream, as they were delivered, for people to see."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from streamcrop.formats.events import Event

# Crops of one stream, and bytes of all.
_OF_ONE, _MAX_BYTES = 400, 16 << 20
# Crops that wait for a page that is slow; older ones it does not see.
_WAITING = 12


class Listener:
    """The newest crops that have come since it was last asked."""

    def __init__(self) -> None:
        self._came: deque[tuple[str, Event]] = deque(maxlen=_WAITING)
        self._any = asyncio.Event()

    def put(self, stream: str, event: Event) -> None:
        """Tell it of a crop."""
        self._came.append((stream, event))
        self._any.set()

    async def take(self) -> tuple[str, Event]:
        """The oldest crop that it was told of; waits for one."""
        while not self._came:
            self._any.clear()
            await self._any.wait()
        return self._came.popleft()


class Recent:
    """Remembers crops, within bounds in number and bytes.

    Example:
        >>> recent = Recent()
        >>> event = Event("crops", b"picture", "image/jpeg", {"id": "gate/7/a"}, b'{"pts": 7}')
        >>> recent.add("gate", event)
        >>> recent.newest("gate", 5)
        [{'pts': 7}]
    """

    def __init__(self) -> None:
        self._crops: OrderedDict[tuple[str, str], Event] = OrderedDict()
        self._counts: dict[str, int] = {}
        self._nbytes = 0
        self._listeners: set[Listener] = set()

    def add(self, stream: str, event: Event) -> None:
        """Remember a crop; one under the same ID takes the place of the one before."""
        key = stream, event.attributes.get("id", "")
        self._forget(key)
        self._crops[key] = event
        self._counts[stream] = self._counts.get(stream, 0) + 1
        self._nbytes += event.nbytes
        if self._counts[stream] > _OF_ONE:
            self._forget(next(each for each in self._crops if each[0] == stream))
        while self._nbytes > _MAX_BYTES and len(self._crops) > 1:
            self._forget(next(iter(self._crops)))
        for listener in self._listeners:
            listener.put(stream, event)

    def _forget(self, key: tuple[str, str]) -> None:
        if event := self._crops.pop(key, None):
            self._counts[key[0]] -= 1
            self._nbytes -= event.nbytes

    def find(self, stream: str, crop_id: str) -> Event | None:
        """A crop by its ID; None: it is not known any more."""
        return self._crops.get((stream, crop_id))

    def newest(self, stream: str | None, limit: int, label: str | None = None) -> list[Any]:
        """The metadata of the newest crops, newest first.

        Args:
            stream: Its name; None: all.
            limit: How many at most.
            label: The class that they have; None: any.
        """
        found: list[Any] = []
        for (name, _), event in reversed(self._crops.items()):
            if len(found) >= limit:
                break
            if stream is None or name == stream:
                metadata = msgspec.json.decode(event.metadata)
                if label is None or label_of(metadata) == label:
                    found.append(metadata)
        return found

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """Be told of crops for a while."""
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)


def prediction_of(metadata: Any) -> dict[str, Any]:
    """The prediction that a crop was cut for, as its metadata has it; empty where there is none."""
    rows = metadata.get("predictions")
    first = rows[0] if isinstance(rows, list) and rows else None
    return first if isinstance(first, dict) else {}


def label_of(metadata: Any) -> str:
    """The class of a crop, as text."""
    return str(prediction_of(metadata).get("class", ""))
