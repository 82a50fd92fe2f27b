"""The node's own words: the state of each stream, its ledger and notes, losses, and answers."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec

from streamcrop.addresses import redacted
from streamcrop.config import Config
from streamcrop.errors import PacketRefusedError, PacketTooLargeError
from streamcrop.mqtt.broker import Broker
from streamcrop.mqtt.messages import Outgoing
from streamcrop.presence import Presence
from streamcrop.stream.history import Answering, topic_of
from streamcrop.stream.ledger import LossReport, Overload
from streamcrop.stream.supervision import Stream

logger = logging.getLogger(__name__)

_REPORT_EVERY = 1.0
_STATUS_EVERY = 5
# How long the last words may take when the broker is gone.
_FAREWELL = 1.0
# So many answers may be on their way at once.
_MAX_ANSWERS = 16


class Status:
    """The node's own words.

    Args:
        config: The node's.
        broker: Where they go.
        presence: Of this process.
        streams: The streams, by name.
    """

    def __init__(
        self, config: Config, broker: Broker, presence: Presence, streams: Mapping[str, Stream]
    ) -> None:
        self._node = config.node
        self._broker = broker
        self._presence = presence
        self._streams = streams
        self._needs = {name: stream.topics for name, stream in config.streams.items()}
        self._states = dict.fromkeys(streams, ("starting", "the node starts"))
        self._logged = dict(self._states)
        self._refused: dict[str, str] = {}
        self._heard = asyncio.Event()
        self._overloads = {name: Overload(s.outcomes.ledger) for name, s in streams.items()}
        self._ills: dict[str, str] = {}
        self._losses = [LossReport(name, s.outcomes.ledger) for name, s in streams.items()]
        self._ticks = 0
        self._due: set[str] = set()
        self._is_due = asyncio.Event()
        self._answering = Answering(config.node, self._story)
        self._answers: set[asyncio.Task[None]] = set()

    def subscribe(self) -> None:
        """Hear questions, and what others say of us."""
        self._broker.subscribe(topic_of(self._node), self._answer)
        # What was said before we came, our first word replaces anyhow.
        self._broker.subscribe(self._presence.topic, self._presence.hear, retained=lambda *_: None)

    async def run(self) -> None:
        """Say everything when it is due, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self._say_states, self._say_presence, self._report):
                tasks.create_task(_never_ending(work), name=work.__name__)

    def connection_changed(self, up: bool) -> None:  # noqa: FBT001  # a callback's argument
        """The broker was connected, or lost."""
        if up:
            self._presence.doubt()
            # Who starts tells it himself, before he goes on.
            self._soon(name for name, (state, _) in self._states.items() if state != "starting")

    def answered(self, topic: str, why: str | None) -> None:
        """The broker refuses a topic, or grants it after that."""
        text = f"the broker refuses {topic}: {why}"
        self._refused.pop(topic, None)
        concerned = [name for name, topics in self._needs.items() if topic in topics]
        if why is None:
            logger.info("the broker grants %s", topic)
        elif concerned:
            self._refused[topic] = text
        else:
            logger.warning("%s", text)
        self._heard.set()
        for name in concerned:
            if why is not None:
                self._streams[name].outcomes.notes.say("subscription", text)
            self._changed(name)

    async def until_granted(self, name: str) -> None:
        """Wait until the broker lets a stream hear all that it needs."""
        while self._refusals(name):
            self._heard.clear()
            await self._heard.wait()

    def set(self, name: str, state: str, reason: str) -> None:
        """A stream is in another state."""
        self._states[name] = (state, reason)
        self._changed(name)

    async def tell(self, name: str) -> None:
        """Publish the status of a stream."""
        error = await self._publish(self.message(name))
        if error:
            notes = self._streams[name].outcomes.notes
            notes.say("refused_status", f"the broker refuses the status: {error}")

    async def farewell(self) -> None:
        """The last status of each stream, and that the node is gone; not for long."""
        for task in self._answers:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                for name in self._streams:
                    await self.tell(name)
                await self._publish(self._presence.message("offline"))

    def message(self, name: str) -> Outgoing:
        """The status of a stream, as it is now."""
        state, reason = self.shown(name)
        stream = self._streams[name]
        outcomes = stream.outcomes
        troubles = {s.name: redacted(s.trouble) for s in stream.sinks if s.trouble}
        status = {
            "state": state,
            "reason": redacted(reason),
            "node": self._node,
            "ledger": outcomes.ledger.as_json(),
            **({"tap": stream.tap.counts} if stream.tap and stream.tap.counts else {}),
            **({"sinks": troubles} if troubles else {}),
            **({"restarts": outcomes.restarts} if outcomes.restarts else {}),
            **({"notes": notes} if (notes := outcomes.notes.as_json()) else {}),
        }
        return Outgoing(
            f"streamcrop/{name}/status",
            msgspec.json.encode(status),
            retain=True,
            content_type="application/json",
        )

    def summary(self) -> str:
        """How the node is, in a line."""
        states = Counter(self.shown(name)[0] for name in self._streams)
        broker = "connected to" if self._broker.connected else "without"
        counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        return f"{broker} the broker; streams: {counts}"

    def _refusals(self, name: str) -> list[str]:
        return [self._refused[topic] for topic in self._needs[name] if topic in self._refused]

    def shown(self, name: str) -> tuple[str, str]:
        """State and reason; who hears nothing does not run."""
        state, reason = self._states[name]
        ills = self._refusals(name)
        if name in self._ills:
            ills.append(self._ills[name])
        if state in {"starting", "running"} and ills:
            return "degraded", "; ".join(ills)
        return state, reason

    def _changed(self, name: str) -> None:
        if (shown := self.shown(name)) != self._logged[name]:
            self._logged[name] = shown
            logger.info("stream %s: %s: %s", name, *shown)
            self._soon([name])

    def _soon(self, names: Iterable[str]) -> None:
        self._due.update(names)
        self._is_due.set()

    async def _say_states(self) -> None:
        await self._is_due.wait()
        self._is_due.clear()
        due, self._due = sorted(self._due), set()
        # Each is made when it is sent, and the next when it has arrived: an older status must not
        # replace a newer one.
        await asyncio.gather(*(self.tell(name) for name in due))

    async def _say_presence(self) -> None:
        await self._presence.doubted()
        await self._send(self._presence.message("online"))

    async def _report(self) -> None:
        """Losses to the log once a second, the ledger to the broker now and then."""
        await asyncio.sleep(_REPORT_EVERY)
        self._ticks += 1
        for report in self._losses:
            report.say()
        for name, overload in self._overloads.items():
            was = self._ills.pop(name, None)
            if said := overload.look():
                self._ills[name] = said
            if bool(said) != bool(was):
                # Not each second: the numbers differ always.
                self._changed(name)
        if self._ticks % _STATUS_EVERY == 0 and self._broker.connected:
            self._soon(self._streams)

    def _answer(self, payload: bytes, _: Mapping[str, str]) -> None:
        if len(self._answers) < _MAX_ANSWERS and (answer := self._answering.answer(payload)):
            task = asyncio.create_task(self._send(answer))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)

    def _story(self, stream: str, frame_id: str) -> str | None:
        if (asked := self._streams.get(stream)) is None:
            return None
        return asked.outcomes.history.explain(frame_id, asked.outcomes.notes)

    async def _send(self, message: Outgoing) -> None:
        if error := await self._publish(message):
            logger.warning("the broker refuses %s: %s", message.topic, error)

    async def _publish(self, message: Outgoing) -> Exception | None:
        """Publish our own words; a broker that does not take them is no reason to stop."""
        try:
            await self._broker.publish(message)
        except (PacketRefusedError, PacketTooLargeError) as error:
            return error
        return None


async def _never_ending(work: Callable[[], Awaitable[None]]) -> None:
    """Do something again and again; an error that nobody thought of makes nobody mute."""
    while True:
        try:
            await work()
        except Exception:
            logger.exception("the status could not be said; it is tried again")
            await asyncio.sleep(_REPORT_EVERY)
