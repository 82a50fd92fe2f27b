"""All streams of one configuration: the broker, their life, and the end."""

import asyncio
import contextlib
import gc
import sys
from functools import partial
from typing import Any

import cv2

from streamcrop.build import source_of
from streamcrop.config import Config
from streamcrop.core.values import Change
from streamcrop.errors import BrokerRefusedError, ConfigError
from streamcrop.mqtt.broker import Address, Broker
from streamcrop.presence import Presence
from streamcrop.sources import FrameSource
from streamcrop.status import Status
from streamcrop.stream.pipeline import Pipeline

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
        presence = Presence(config.node, ",".join(config.streams) if part else "")
        self._broker = Broker(
            address_of(config),
            name=config.node,
            instance=presence.instance,
            will=presence.will,
            max_inflight=sum(stream.output.max_inflight for stream in config.streams.values()) + 8,
            on_change=self._connection_changed,
            answered=self._answered,
        )
        self._sources = {name: self._source(name) for name in config.streams}
        self.pipelines = {
            name: Pipeline(
                config.node,
                name,
                stream,
                self._sources[name],
                self._broker,
                limits=config.limits.of_message(),
                on_change=partial(self._connection_of, name),
            )
            for name, stream in config.streams.items()
        }
        self._status = Status(config, self._broker, presence, self.pipelines)
        self._stop = asyncio.Event()
        self.refused: BrokerRefusedError | None = None

    def _source(self, name: str) -> FrameSource:
        stream = self._config.streams[name]
        try:
            return source_of(stream, self._broker)
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
        from streamcrop.web.server import serve  # noqa: PLC0415  # an extra

        http = self._config.web
        assert http  # noqa: S101  # publishers without it are refused where the file is checked
        return serve(http, publishers)

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
        self._status.subscribe()
        connection = asyncio.create_task(self._broker.run(), name="broker")
        streams = {
            asyncio.create_task(self._run_stream(name), name=name) for name in self.pipelines
        }
        status = asyncio.create_task(self._status.run(), name="status")
        try:
            await self._until_the_end(connection, streams)
        finally:
            status.cancel()
            for task in streams:
                task.cancel()
            await asyncio.gather(status, *streams, return_exceptions=True)
            await self._end_connection(connection)
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
            reason = str(pipeline.outcomes.failure or self.refused or "the source has ended")
            if self._stop.is_set():
                reason = "the node was stopped"
            self._status.set(name, "ended", reason)

    async def _started(self, name: str) -> None:
        """Subscribed, and everybody who waits for the stream knows that it runs."""
        await self._broker.wait_until_up()
        await self._status.tell(name)
        stream = self._config.streams[name]
        if stream.lossless:
            # A file waits for who is to answer, as it does while the broker is away.
            await self._status.until_granted(name)
        if stream.source.is_file:
            self._status.set(name, "running", "subscribed")
        await self._status.tell(name)

    def _connection_changed(self, up: bool) -> None:  # noqa: FBT001  # a callback's argument
        self._status.connection_changed(up)

    def _answered(self, topic: str, why: str | None) -> None:
        self._status.answered(topic, why)

    def _connection_of(self, name: str, change: Change) -> None:
        self._status.set(name, change.state, change.reason)

    async def _end_connection(self, connection: asyncio.Task[None]) -> None:
        if not connection.done():
            await self._status.farewell()
        while not connection.done():
            # Again, until it is done: on Python 3.11 `wait_for`, which aiomqtt uses, may swallow a
            # cancellation that comes together with its result.
            connection.cancel()
            await asyncio.wait({connection}, timeout=_CANCEL_AGAIN)
