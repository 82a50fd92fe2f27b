"""Why there is no crop of a frame: what a node remembers of its last frames, asked over MQTT."""

import asyncio
import logging
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import islice

import msgspec

from streamcrop.core.values import Frame, Message
from streamcrop.errors import FormatError
from streamcrop.formats.documents import convert, document
from streamcrop.formats.times import rfc3339
from streamcrop.mqtt.broker import Broker
from streamcrop.mqtt.messages import Outgoing
from streamcrop.notes import Notes
from streamcrop.rates import Rate

logger = logging.getLogger(__name__)

_REMEMBERED = 10_000
_MAX_NOTES = 8
_ANSWERS_WITHIN = 5.0
# A question is no longer than this, and so many of them are answered in a second.
_LONGEST_QUESTION, _ANSWERS_A_SECOND = 16_384, 20
# That there were more is logged so often, in seconds.
_SAID_EVERY = 60.0
_PAIRED, _WAITS = "paired ", "received, waits"
# So many names are looked at for frames that were lost lately.
_LATELY = 500


class Question(msgspec.Struct):
    """A question to a node, about one frame."""

    stream: str
    frame_id: str
    reply_to: str


class History:
    """The stories of a stream's last frames, by every name that a frame has."""

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
            # A message may name two frames, and must not give one the other's story.
            self._notes.setdefault(name, notes)
        while len(self._notes) > _REMEMBERED:
            self._notes.popitem(last=False)

    def lost(self, most: int) -> list[tuple[str, str]]:
        """The last frames that were not paired, newest first: a name and the story of each.

        Args:
            most: How many at most.
        """
        found: dict[int, tuple[str, str]] = {}
        for name, story in islice(reversed(self._notes.items()), _LATELY):
            if any(each.startswith(_PAIRED) for each in story) or story[-1].startswith(_WAITS):
                continue
            if len(found) == most and id(story) not in found:
                break
            # Of its names the first that it got, its ID, comes last here.
            found[id(story)] = name, "; ".join(story)
        return list(found.values())

    def explain(self, name: str, notes: Notes | None = None) -> str:
        """The story of a frame, by its ``frame_id``, SEI or capture time.

        Args:
            name: One of its names.
            notes: Of its stream; they are added unless the frame was paired.
        """
        story = self._notes.get(name)
        if story is None:
            said = (
                f"never received, or not among the last {len(self._notes)} names that are "
                "remembered; a corrupt picture has no name"
            )
        else:
            said = "; ".join(story)
        if notes is None or any(each.startswith(_PAIRED) for each in story or ()):
            return said
        known = [f"\n  {n['kind']} ({n['count']} times): {n['text']}" for n in notes.as_json()]
        return said + (f"\nof its stream:{''.join(known)}" if known else "")


class Answering:
    """Answers questions: any bytes are one answer or none, and no more than so many a second.

    Args:
        node: The node's name.
        story: What is known of a frame, by stream and name; None: the stream is not ours.
        clock: Seconds, on any monotonic clock.

    Example:
        >>> answering = Answering("edge", lambda stream, name: f"{stream}/{name}: received")
        >>> topic = "streamcrop/node/edge/explain"
        >>> question = '{"stream":"gate","frame_id":"7","reply_to":"%s/abc"}' % topic
        >>> answering.answer(question.encode()).payload
        b'gate/7: received'
        >>> answering.answer(b"[" * 100_000)
    """

    def __init__(
        self,
        node: str,
        story: Callable[[str, str], str | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Nobody has the node publish elsewhere.
        self._reply_to = re.compile(rf"{re.escape(topic_of(node))}/[A-Za-z0-9_]{{1,64}}")
        self._story = story
        self._rate = Rate(_ANSWERS_A_SECOND, _ANSWERS_A_SECOND, clock)
        self._said = Rate(1 / _SAID_EVERY, 1, clock)

    def answer(self, payload: bytes) -> Outgoing | None:
        """The answer to a question; None: it gets none."""
        if len(payload) > _LONGEST_QUESTION or not self._has_time():
            return None
        try:
            question = convert(document(payload), Question)
        except FormatError:
            return None
        if not self._reply_to.fullmatch(question.reply_to):
            return None
        said = self._story(question.stream, question.frame_id)
        if said is None:
            return None
        return Outgoing(question.reply_to, said.encode(errors="backslashreplace"), qos=0)

    def _has_time(self) -> bool:
        if self._rate.allows():
            return True
        if self._said.allows():
            most = f"more than {_ANSWERS_A_SECOND} questions a second"
            logger.warning("explain: %s are asked; the others get no answer", most)
        return False


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
