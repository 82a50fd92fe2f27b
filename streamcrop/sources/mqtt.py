"""Pictures over MQTT: crops and tapped frames of another node, snapshots of a camera."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from streamcrop.core.limits import Limits
from streamcrop.core.values import Change, Frame, Note, Reason
from streamcrop.errors import FormatError
from streamcrop.formats.events import CROP_TYPE, FRAME_TYPE, read
from streamcrop.formats.heads import as_frame_id
from streamcrop.formats.lineage import lineage_of
from streamcrop.formats.times import microseconds
from streamcrop.mqtt.broker import Broker
from streamcrop.notes import excerpt, unexpected
from streamcrop.queues import BoundedQueue
from streamcrop.sources import Item
from streamcrop.sources.pictures import still

# What may wait to be decoded.
_MAX_WAITING, _MAX_BYTES = 64, 64 << 20
# What is kept of a picture that is too large, for people.
_BEGINNING = 100
# So many pictures are known again when they come twice.
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class _Picture:
    """As it came; of one that is too large its beginning, and how large it was."""

    payload: bytes
    properties: Mapping[str, str]
    arrived: int
    size: int


class MqttSource:
    """The pictures that are published on a topic: JPEG, PNG or WebP.

    A picture comes as it is, or in an event of a streamcrop node, in either mode. A crop's frame
    ID is its event's ``id``, and its lineage goes on from there; a tapped frame's is its own.

    Args:
        broker: The connection; is told of the topic here, so before it runs.
        topic: A topic filter.
        frame_id: Where the ID of any other picture stands, or of all where it is said:
            ``property:NAME``, a user property or what an event says under this name, or
            ``level:N``, a level of the topic, from 0, or from -1 at its end. None: the user
            property ``frame_id``.
        unnamed: Whether a picture without an ID counts, named by the time of its arrival.
        limits: What one picture may ask for.

    Hands out `Frame`s, a `Note` of what is wrong with a picture, and a `Reason` for every one that
    is none: `no_key` without an ID, `corrupt`, `failed`, `ambiguous` for one that comes again,
    `queue_full` for the oldest where they come faster than they are decoded, and `closed` for those
    that wait when it is stopped.
    """

    def __init__(
        self,
        broker: Broker,
        topic: str,
        *,
        frame_id: str | None = None,
        unnamed: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self._topic = topic
        self._place, _, self._name = (frame_id or "").partition(":")
        self._unnamed = unnamed
        self._limits = limits or Limits()
        self._lost: Counter[Reason] = Counter()
        self._known: deque[int] = deque(maxlen=_REMEMBERED)
        self._waiting: BoundedQueue[_Picture] = BoundedQueue(
            max_items=_MAX_WAITING,
            max_bytes=_MAX_BYTES,
            size=lambda picture: len(picture.payload),
            overflow="drop_oldest",
            on_drop=self._lose,
        )
        broker.subscribe(topic, self._arrive, failed=self._fail)

    def attend(self) -> None:
        """See `FrameSource.attend`; nothing waits here anyway."""

    def stop(self) -> None:
        """See `FrameSource.stop`."""
        self._waiting.close()
        self._waiting.clear()

    async def frames(self) -> AsyncGenerator[Item]:
        """See `FrameSource.frames`."""
        yield Change("running", "subscribed")
        async for picture in self._waiting:
            for reason in self._losses():
                yield reason
            try:
                items = await asyncio.to_thread(self._read, picture)
            except asyncio.CancelledError:
                # Told of when frames are read again.
                self._lost[Reason.FAILED] += 1
                raise
            for item in items:
                yield item
        for reason in self._losses():
            yield reason

    def _arrive(self, payload: bytes, properties: Mapping[str, str]) -> None:
        size = len(payload)
        if size > self._limits.picture_bytes:
            payload = payload[:_BEGINNING]
        self._waiting.put_nowait(_Picture(payload, properties, time.time_ns() // 1000, size))

    def _fail(self, _: Exception) -> None:
        self._lost[Reason.FAILED] += 1

    def _lose(self, _: _Picture) -> None:
        self._lost[Reason.CLOSED if self._waiting.closed else Reason.QUEUE_FULL] += 1

    def _losses(self) -> Iterator[Reason]:
        lost, self._lost = self._lost, Counter()
        return lost.elements()

    def _read(self, picture: _Picture) -> list[Item]:
        """The items that a message comes to; if something is wrong with it, that in words, too."""
        try:
            return self._frame(picture)
        except FormatError as error:
            is_broken = error.reason in {Reason.MALFORMED, Reason.TOO_LARGE}
            reason = Reason.CORRUPT if is_broken else Reason(error.reason)
            # At least once: that a picture comes again is no news.
            notes = [] if reason == Reason.AMBIGUOUS else [self._note(reason, error, picture)]
            return [*notes, reason]
        except Exception as error:  # noqa: BLE001  # nobody knows which; it costs this picture
            return [Note("failed", unexpected("reading a picture", error)), Reason.FAILED]

    def _note(self, kind: str, error: FormatError, picture: _Picture) -> Note:
        return Note(kind, f"{self._topic}: {error}; it begins with {excerpt(picture.payload)}")

    def _frame(self, picture: _Picture) -> list[Item]:
        """The frame, and a note where its time is none."""
        if picture.size > self._limits.picture_bytes:
            raise FormatError(
                self._limits.excess("picture_bytes", picture.size), reason=Reason.CORRUPT
            )
        data, said = _opened(picture, self._limits)
        frame_id = self._frame_id(said, picture)
        known = _identity(said, frame_id, picture)
        if known in self._known:
            msg = "a picture that came already"
            raise FormatError(msg, reason=Reason.AMBIGUOUS)
        lineage = None if said.get("lineage") is None else lineage_of(said["lineage"])
        pixels = still(data, self._limits)
        if lineage and (lineage[-1].width, lineage[-1].height) != pixels.resolution_wh:
            width, height = pixels.resolution_wh
            msg = (
                f"a picture of {width} x {height}, which is another size than its lineage ends with"
            )
            raise FormatError(msg)
        self._known.append(known)
        frame = Frame(frame_id, pixels, arrived=picture.arrived, lineage=lineage)
        try:
            return [replace(frame, captured_at=_captured_at(said))]
        except FormatError as error:
            return [self._note("unread", error, picture), frame]

    def _frame_id(self, said: Mapping[str, Any], picture: _Picture) -> str:
        """A picture's name.

        Raises:
            FormatError: `no_key`, if it has none that can be one.
        """
        name = self._name or ("frame_id" if said.get("lineage") is None else "id")
        try:
            if self._place == "level":
                return as_frame_id(picture.properties["topic"].split("/")[int(name)])
            return as_frame_id(said[name])
        except (FormatError, IndexError, KeyError) as error:
            if self._unnamed:
                return str(picture.arrived)
            why = str(error) if isinstance(error, FormatError) else "there is none"
            msg = f"no frame ID at {self._place or 'property'}:{name}: {why}"
            raise FormatError(msg, reason=Reason.NO_KEY) from None


def _identity(said: Mapping[str, Any], frame_id: str, picture: _Picture) -> int:
    """The identity that copies of a picture share: of an event its names, else all that counts.

    A broker hands a retained picture out again at each new connection. It is a hash, as a name may
    be as long as a message.
    """
    names = said.get("source"), said.get("id")
    if "specversion" in said and all(isinstance(name, str) for name in names):
        return hash(names)
    # Of two pictures of a scene in which nothing moves the times differ, if they are said.
    topic, captured_at = picture.properties["topic"], str(said.get("captured_at"))
    return hash((topic, frame_id, captured_at, picture.payload))


def _opened(picture: _Picture, limits: Limits) -> tuple[bytes, Mapping[str, Any]]:
    """A picture's bytes, and all that is said of it.

    Raises:
        FormatError: If it is a broken event.
    """
    payload, properties = picture.payload, picture.properties
    if properties.get("type") not in {CROP_TYPE, FRAME_TYPE} and payload[:1] != b"{":
        return payload, properties
    event = read(payload, properties, limits)
    return event.data, {**properties, **event.metadata, **event.attributes}


def _captured_at(said: Mapping[str, Any]) -> int | None:
    """When a picture was taken: as it says itself, else the event's time.

    Raises:
        FormatError: If what it says is no time.
    """
    name = "time" if said.get("captured_at") is None else "captured_at"
    try:
        return None if said.get(name) is None else microseconds(said[name])
    except FormatError as error:
        msg = f"{name}: {error}"
        raise FormatError(msg) from None
