"""Why there is no crop of a frame: what a node remembers of its last frames, asked over MQTT."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress

import msgspec

from streamcrop.broker import Broker
from streamcrop.client import Outgoing
from streamcrop.core.values import Frame, Message
from streamcrop.formats.times import rfc3339

_REMEMBERED = 10_000
_MAX_NOTES = 8
_ANSWERS_WITHIN = 5.0


class Question(msgspec.Struct):
    """What is asked of a node."""

    stream: str
    frame_id: str
    reply_to: str


class History:
    """What became of the last frames of a stream, by every name that a frame has."""

    def __init__(self) -> None:
        self._notes: OrderedDict[str, list[str]] = OrderedDict()

    def note(self, frame: Frame, what: str) -> None:
        """Remember something of a frame."""
        captured_at = None if frame.captured_at is None else rfc3339(frame.captured_at)
        self._note((frame.frame_id, frame.sei, captured_at), what)

    def note_message(self, message: Message, reason: str) -> None:
        """Remember that a message did not pair, by the name of the frame that it speaks of."""
        captured_at = None if message.captured_at is None else rfc3339(message.captured_at)
        self._note((message.frame_id, captured_at), f"a message for it ended as {reason}")

    def _note(self, names: Iterable[str | None], what: str) -> None:
        known = [name for name in names if name is not None]
        notes = next((self._notes[name] for name in known if name in self._notes), [])
        if len(notes) < _MAX_NOTES:
            notes.append(what)
        for name in known:
            self._notes[name] = notes
        while len(self._notes) > _REMEMBERED:
            self._notes.popitem(last=False)

    def explain(self, name: str) -> str:
        """What is known of a frame, by its ``frame_id``, SEI or capture time."""
        if name in self._notes:
            return "; ".join(self._notes[name])
        return (
            f"never received, or not among the last {len(self._notes)} names that are remembered; "
            "a corrupt picture has no name"
        )


def topic_of(node: str) -> str:
    """Where a node is asked."""
    return f"streamcrop/node/{node}/explain"


async def ask(broker: Broker, node: str, stream: str, frame_id: str) -> str | None:
    """Ask a running node, the part of it that has the stream; None if it does not answer."""
    reply_to = f"{topic_of(node)}/{secrets.token_hex(8)}"
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def arrive(payload: bytes, _: Mapping[str, str]) -> None:
        if not answer.done():
            answer.set_result(payload)

    broker.subscribe(reply_to, arrive)
    with suppress(TimeoutError):
        async with asyncio.timeout(_ANSWERS_WITHIN), broker.opened():
            question = msgspec.json.encode(Question(stream, frame_id, reply_to))
            await broker.publish(Outgoing(topic_of(node), question))
            return (await answer).decode()
    return None
