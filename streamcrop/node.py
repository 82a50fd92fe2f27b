"""All streams of one configuration: the broker, their life, their status, and the end."""

import asyncio
import contextlib
import gc
import logging
import re
import sys
from collections.abc import Coroutine, Iterable, Mapping
from functools import partial
from typing import Any

import cv2
import msgspec

from streamcrop.addresses import redacted
from streamcrop.broker import Address, Broker, Will
from streamcrop.client import Outgoing, PacketRefusedError, PacketTooLargeError
from streamcrop.config import Config
from streamcrop.core.values import Change
from streamcrop.errors import BrokerRefusedError, ConfigError
from streamcrop.explain import Question, topic_of
from streamcrop.inputs import SOURCES
from streamcrop.pipeline import Pipeline
from streamcrop.sources import FrameSource
from streamcrop.stats import LossReport

logger = logging.getLogger(__name__)

_REPORT_EVERY = 1.0
_STATUS_EVERY = 5
# How long the last words may take when the broker is gone.
_FAREWELL = 1.0
_CANCEL_AGAIN = 0.2
_LOOP_WAITS = 0.001
_COLLECT_AFTER = 10_000, 20, 50


def address_of(config: Config) -> Address:
    """The broker's address, from the URL and what stands beside it."""
    host, port, tls, username, password = config.broker.address()
    broker = config.broker
    # Crops in user properties need MQTT 5: then there is nothing to fall back to.
    binary = any(stream.output.envelope == "binary" for stream in config.streams.values())
    protocol = "5" if binary and broker.protocol == "auto" else broker.protocol
    return Address(
        host, port, tls, username, password, protocol, broker.ca, broker.cert, broker.key
    )


class Node:
    """A node.

    Args:
        config: What it is to do.
        part: Whether other processes run other streams of this node; then its status is that of
            its streams.

    Attributes:
        pipelines: The streams, by name.
        refused: Why the broker will not have us.
    """

    def __init__(self, config: Config, *, part: bool = False) -> None:
        self._config = config
        streams = f"/{','.join(config.streams)}" if part else ""
        self._node_topic = f"streamcrop/node/{config.node}{streams}/status"
        self._broker = Broker(
            address_of(config),
            name=config.node,
            will=Will(self._node_topic, self._presence("offline")),
            max_inflight=sum(stream.output.max_inflight for stream in config.streams.values()) + 8,
            on_change=self._connection_changed,
        )
        self._sources = {name: self._source(name) for name in config.streams}
        self.pipelines = {
            name: Pipeline(
                config.node,
                name,
                stream,
                self._sources[name],
                self._broker,
                on_change=partial(self._connection_of, name),
            )
            for name, stream in config.streams.items()
        }
        self._states = dict.fromkeys(self.pipelines, ("starting", "the node starts"))
        self._stop = asyncio.Event()
        self._side_tasks: set[asyncio.Task[None]] = set()
        self.refused: BrokerRefusedError | None = None

    def _source(self, name: str) -> FrameSource:
        stream = self._config.streams[name]
        try:
            return SOURCES[stream.source.scheme](stream, self._broker)
        except ConfigError as error:
            raise ConfigError(f"$.streams.{name}.{error}") from None

    @property
    def ledger(self) -> dict[str, Any]:
        """As in ``--ledger``."""
        return {
            "streams": {name: p.outcomes.ledger.as_json() for name, p in self.pipelines.items()}
        }

    @property
    def problems(self) -> list[str]:
        """What went wrong for good; the ledger's errors too."""
        found = [
            f"{name}: {p.outcomes.failure}"
            for name, p in self.pipelines.items()
            if p.outcomes.failure
        ]
        for name, pipeline in self.pipelines.items():
            found += [
                f"{name}: the ledger does not add up: {e}"
                for e in pipeline.outcomes.ledger.errors()
            ]
        return found + ([str(self.refused)] if self.refused else [])

    def stop(self) -> None:
        """Close the inputs, publish what is in hand within ``shutdown_timeout``, and end."""
        self._stop.set()

    def finish(self) -> None:
        """Let all sources end here, as files do at their end."""
        for pipeline in self.pipelines.values():
            pipeline.finish()

    async def run(self) -> None:
        """Run until the sources end, `stop` is called or the broker refuses us.

        Raises:
            StreamcropError: If the HTTP server cannot listen where it is to.
        """
        async with self._http_server():
            await self._run()

    def _http_server(self) -> contextlib.AbstractAsyncContextManager[Any]:
        """Where publishers come to, if a stream waits for one."""
        streams = self._config.streams
        publishers: dict[str, Any] = {
            name: source
            for name, source in self._sources.items()
            if streams[name].source.scheme == "whip"
        }
        if not publishers:
            return contextlib.nullcontext()
        from streamcrop.http import serve  # noqa: PLC0415  # an extra

        http = self._config.http
        return serve(publishers, host=http.host, port=http.port, cert=http.cert, key=http.key)

    async def _run(self) -> None:
        # Each stream has its threads; OpenCV's own would only fight them for the cores.
        cv2.setNumThreads(1)
        # Nor shall a thread that computes hold up the loop for longer, nor a search for cycles of
        # objects, of which no frame leaves any.
        sys.setswitchinterval(_LOOP_WAITS)
        gc.freeze()
        gc.set_threshold(*_COLLECT_AFTER)
        for pipeline in self.pipelines.values():
            pipeline.subscribe()
        self._broker.subscribe(topic_of(self._config.node), self._explain)
        connection = asyncio.create_task(self._broker.run(), name="broker")
        streams = {
            asyncio.create_task(self._run_stream(name), name=name) for name in self.pipelines
        }
        report = asyncio.create_task(self._report(), name="report")
        try:
            await self._until_the_end(connection, streams)
        finally:
            report.cancel()
            for task in streams:
                task.cancel()
            await asyncio.gather(report, *streams, return_exceptions=True)
            await self._say_farewell(connection)
        for task in streams:
            if not task.cancelled() and (error := task.exception()):
                raise error

    async def _until_the_end(
        self, connection: asyncio.Task[None], streams: set[asyncio.Task[None]]
    ) -> None:
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            pending = set(streams)
            while pending and not stop.done() and not connection.done():
                done, _ = await asyncio.wait(
                    {*pending, stop, connection}, return_when=asyncio.FIRST_COMPLETED
                )
                pending -= done
                if any(task.exception() for task in done & streams):
                    return
            if connection.done():
                error = connection.exception()
                if isinstance(error, BrokerRefusedError):
                    self.refused = error
                    return
                await connection
            if pending:
                for pipeline in self.pipelines.values():
                    pipeline.stop()
                await asyncio.wait(pending, timeout=self._config.shutdown_timeout)
        finally:
            stop.cancel()

    async def _run_stream(self, name: str) -> None:
        pipeline = self.pipelines[name]
        try:
            await pipeline.run(self._started(name))
        finally:
            reason = str(pipeline.outcomes.failure or "the source has ended")
            if self._stop.is_set():
                reason = "the node was stopped"
            self._set_state(name, "ended", reason)

    async def _started(self, name: str) -> None:
        """Subscribed, and everybody who waits for the stream knows that it runs."""
        await self._broker.wait_until_up()
        await self._tell(self._status(name))
        if self._config.streams[name].source.is_file:
            self._states[name] = ("running", "subscribed")
        await self._tell(self._status(name))

    def _connection_of(self, name: str, change: Change) -> None:
        self._set_state(name, change.state, change.reason)

    def _set_state(self, name: str, state: str, reason: str) -> None:
        reason = redacted(reason)
        if self._states[name] == (state, reason):
            return
        self._states[name] = (state, reason)
        logger.info("stream %s: %s: %s", name, state, reason)
        self._publish_soon([name])

    def _connection_changed(self, up: bool) -> None:  # noqa: FBT001  # a callback's argument
        if up:
            self._publish_soon(self.pipelines, online=True)

    def _publish_soon(self, names: Iterable[str], *, online: bool = False) -> None:
        async def publish() -> None:
            if online:
                payload = self._presence("online")
                await self._tell(Outgoing(self._node_topic, payload, retain=True))
            for name in names:
                # Made when it is sent: an older status must not replace a newer one.
                await self._tell(self._status(name))

        self._beside(publish())

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._side_tasks.add(task)
        task.add_done_callback(self._side_tasks.discard)

    def _explain(self, payload: bytes, _: Mapping[str, str]) -> None:
        topic = topic_of(self._config.node)
        try:
            question = msgspec.json.decode(payload, type=Question)
        except msgspec.DecodeError:
            return
        if not re.fullmatch(rf"{re.escape(topic)}/\w+", question.reply_to):
            # Nobody has the node publish elsewhere.
            return
        if pipeline := self.pipelines.get(question.stream):
            said = pipeline.outcomes.history.explain(question.frame_id)
            self._beside(self._tell(Outgoing(question.reply_to, said.encode(), qos=0)))

    def _status(self, name: str) -> Outgoing:
        state, reason = self._states[name]
        pipeline = self.pipelines[name]
        status = {
            "state": state,
            "reason": reason,
            "node": self._config.node,
            "ledger": pipeline.outcomes.ledger.as_json(),
            **({"tap": pipeline.tap.counts} if pipeline.tap.counts else {}),
            **({"notes": notes} if (notes := pipeline.outcomes.notes.as_json()) else {}),
        }
        return Outgoing(
            f"streamcrop/{name}/status",
            msgspec.json.encode(status),
            retain=True,
            content_type="application/json",
        )

    def _presence(self, state: str) -> bytes:
        return msgspec.json.encode({"state": state, "node": self._config.node})

    async def _report(self) -> None:
        """Losses to the log once a second, the ledger to the broker now and then."""
        reports = [LossReport(name, p.outcomes.ledger) for name, p in self.pipelines.items()]
        tick = 0
        while True:
            await asyncio.sleep(_REPORT_EVERY)
            tick += 1
            for report in reports:
                report.say()
            if tick % _STATUS_EVERY == 0 and self._broker.connected and not self._side_tasks:
                self._publish_soon(self.pipelines)

    async def _say_farewell(self, connection: asyncio.Task[None]) -> None:
        """The last status of each stream, and that the node is gone."""
        if not connection.done():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FAREWELL):
                    for name in self.pipelines:
                        await self._tell(self._status(name))
                    offline = Outgoing(self._node_topic, self._presence("offline"), retain=True)
                    await self._tell(offline)
        tasks = {connection, *self._side_tasks}
        while tasks:
            for task in tasks:
                # Again, until it is done: on Python 3.11 `wait_for`, which aiomqtt uses, may
                # swallow a cancellation that comes together with its result.
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=_CANCEL_AGAIN)

    async def _tell(self, message: Outgoing) -> None:
        """Publish a status; a broker that does not take it is no reason to stop."""
        try:
            await self._broker.publish(message)
        except (PacketRefusedError, PacketTooLargeError) as error:
            logger.warning("the broker does not take %s: %s", message.topic, error)
