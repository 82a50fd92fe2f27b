"""All streams of one configuration: the broker, their life, and the end."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from streamcrop import ledger_file, memory, process, systemd
from streamcrop.build import broker_of, encoders_of
from streamcrop.build.sinks import Elsewhere
from streamcrop.build.streams import Shared, stream_of
from streamcrop.config import Config
from streamcrop.core.values import Change
from streamcrop.errors import BrokerRefusedError, SourceError
from streamcrop.overview import Overview
from streamcrop.presence import Presence
from streamcrop.status import Status

logger = logging.getLogger(__name__)

_CANCEL_AGAIN = 0.2
_AGAIN = 1.0
# So long may what was cancelled take to end, beyond `shutdown_timeout`.
_GRACE = 2.0


class Node:
    """A node.

    Args:
        config: What it is to do.
        part: Whether other processes run other streams of this node; then its status is that of
            its streams.
        ledger_path: Where the ledger is kept while it runs; None: nowhere.

    Attributes:
        streams: The streams, by name.
        refused: Why the broker will not have us.
    """

    def __init__(
        self, config: Config, *, part: bool = False, ledger_path: Path | None = None
    ) -> None:
        self._config = config
        self._ledger_path = ledger_path
        presence = Presence(config.node, ",".join(config.streams) if part else "")
        self._broker = broker_of(
            config, presence, on_change=self._connection_changed, answered=self._answered
        )
        self._encoders = encoders_of()
        self._elsewhere = Elsewhere(config.node, config.streams.values())
        shared = Shared(
            node=config.node,
            broker=self._broker,
            elsewhere=self._elsewhere,
            encoders=self._encoders,
            shutdown_timeout=config.shutdown_timeout,
            limits=config.limits.of_message(),
        )
        self.streams = {
            name: stream_of(name, settings, shared, partial(self._changed, name))
            for name, settings in config.streams.items()
        }
        self._status = Status(config, self._broker, presence, self.streams)
        self._overview = Overview(config, self._broker, self._status, self.streams)
        self._stop = asyncio.Event()
        self.refused: BrokerRefusedError | None = None

    @property
    def ledger(self) -> dict[str, Any]:
        """As in ``--ledger``."""
        return {"streams": {name: s.outcomes.ledger.as_json() for name, s in self.streams.items()}}

    @property
    def problems(self) -> list[str]:
        """The failures that are for good, and the ledger's errors."""
        found = []
        for name, stream in self.streams.items():
            outcomes = stream.outcomes
            if outcomes.failure:
                found.append(f"{name}: {outcomes.failure}")
            found += [f"{name}: the ledger does not add up: {e}" for e in outcomes.ledger.errors()]
        return found + ([str(self.refused)] if self.refused else [])

    def stop(self) -> None:
        """Close the inputs, publish what is in hand within ``shutdown_timeout``, and end."""
        self._stop.set()

    def finish(self) -> None:
        """Let all sources end here, as files do at their end."""
        for stream in self.streams.values():
            stream.finish()

    async def run(self) -> None:
        """Run until the sources end, `stop` is called or the broker refuses us.

        Raises:
            StreamcropError: If the HTTP server cannot listen where it is to.
        """
        async with self._http_server():
            await self._run()

    def _http_server(self) -> contextlib.AbstractAsyncContextManager[Any]:
        """Where people, monitors and publishers come to."""
        http, streams = self._config.web, self._config.streams
        if http is None:
            return contextlib.nullcontext()
        # Without it a node needs 15 MB less.
        from streamcrop.web.server import serve  # noqa: PLC0415

        publishers: dict[str, Any] = {
            name: stream.source
            for name, stream in self.streams.items()
            if streams[name].source.scheme == "whip"
        }
        return serve(http, publishers, self._overview)

    async def _run(self) -> None:
        process.prepare()
        self._status.subscribe()
        connection = asyncio.create_task(self._connect(), name="broker")
        streams = {asyncio.create_task(self._run_stream(name), name=name) for name in self.streams}
        memory_limit = self._config.limits.memory
        beside = [
            asyncio.create_task(_kept_up(name, work), name=name)
            for name, work in (
                ("the status", self._status.run),
                ("what goes elsewhere", self._elsewhere.run),
                ("the ledger", partial(ledger_file.keep, self._ledger_path, lambda: self.ledger)),
                ("systemd", partial(systemd.tell, self._status.summary)),
                ("memory", partial(memory.keep, self.streams.values(), memory_limit)),
            )
        ]
        try:
            await self._until_the_end(connection, streams)
        finally:
            for task in (*beside, *streams):
                task.cancel()
            await asyncio.wait({*beside, *streams}, timeout=_GRACE)
            systemd.notify("STOPPING=1")
            await self._elsewhere.close()
            await self._end_connection(connection)
            self._encoders.shutdown(wait=False, cancel_futures=True)

    async def _connect(self) -> None:
        """Keep the connection; an error that nobody expected costs the connection alone.

        Raises:
            BrokerRefusedError: If the broker will not have us.
        """
        while True:
            try:
                await self._broker.run()
            except BrokerRefusedError:
                raise
            except Exception:
                logger.exception("the connection to the broker failed; it is made anew")
                await asyncio.sleep(_AGAIN)

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
            if connection.done():
                error = connection.exception()
                assert isinstance(error, BrokerRefusedError)  # noqa: S101  # see _connect
                self.refused = error
            elif pending:
                for stream in self.streams.values():
                    stream.stop()
                await asyncio.wait(pending, timeout=self._config.shutdown_timeout)
        finally:
            stop.cancel()

    async def _run_stream(self, name: str) -> None:
        stream = self.streams[name]
        try:
            await stream.run(partial(self._started, name))
        except Exception as error:
            logger.exception("stream %s ended by an error that nobody expected", name)
            said = f"an error that nobody expected ({type(error).__name__}); the log has it"
            stream.outcomes.failure = stream.outcomes.failure or SourceError(said)
        finally:
            reason = str(stream.outcomes.failure or self.refused or "the source has ended")
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

    def _changed(self, name: str, change: Change) -> None:
        self._status.set(name, change.state, change.reason)

    async def _end_connection(self, connection: asyncio.Task[None]) -> None:
        if not connection.done():
            await self._status.farewell()
        while not connection.done():
            # Again, until it is done: on Python 3.11 `wait_for`, which aiomqtt uses, may swallow a
            # cancellation that comes together with its result.
            connection.cancel()
            await asyncio.wait({connection}, timeout=_CANCEL_AGAIN)


async def _kept_up(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do something beside the streams; an error that nobody expected ends it for a second."""
    while True:
        try:
            return await work()
        except Exception:
            logger.exception("%s failed, which costs no more than that; it begins again", name)
            await asyncio.sleep(_AGAIN)
