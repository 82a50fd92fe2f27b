"""The sinks of a stream, by its part of the configuration; and what those of all streams share."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Executor

import msgspec

from streamcrop import config
from streamcrop.backoff import Backoff
from streamcrop.build import address_at
from streamcrop.errors import BrokerRefusedError, ConfigError, SinkError
from streamcrop.formats.images import ENCODINGS
from streamcrop.mqtt.broker import Broker
from streamcrop.sinks import Outlet, Sink
from streamcrop.sinks.broker import BrokerOutlet
from streamcrop.sinks.files import FilesOutlet, Folder
from streamcrop.sinks.keeping import Keeping, WaitingRoom
from streamcrop.sinks.mqtt import Envelope, MqttSink
from streamcrop.sinks.retrying import Retrying
from streamcrop.sinks.spool import Key, Spool
from streamcrop.sinks.webhook import WebhookOutlet
from streamcrop.stream.outcomes import Outcomes

logger = logging.getLogger(__name__)

# To one server at once; a connection each.
_MAX_POSTS = 16
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 30.0


class Elsewhere:
    """The brokers, beyond the detections' own, and the spools that the sinks of all streams share.

    Args:
        node: Its name, for the log.
        streams: The settings of all streams.
    """

    def __init__(self, node: str = "", streams: Iterable[config.Stream] = ()) -> None:
        self._node = node
        self._outputs = [stream.output for stream in streams]
        self._brokers: dict[bytes, Broker] = {}
        self._keepings: dict[str, tuple[Spool, Keeping]] = {}
        self._said: list[Callable[[str, str], None]] = []
        self._hurried: list[Callable[[], None]] = []

    def broker(self, wanted: config.Broker, say: Callable[[str, str], None]) -> Broker:
        """The connection to another broker; one for all streams that say the same of it.

        Args:
            wanted: What is said of it.
            say: Is told if the broker will not have us.
        """
        name = msgspec.json.encode(wanted)
        self._said.append(say)
        if name not in self._brokers:
            outputs = [output for output in self._outputs if output.broker == wanted]
            self._brokers[name] = Broker(
                address_at(wanted, outputs),
                name=f"{self._node} output",
                max_inflight=sum(output.max_inflight for output in outputs),
                on_change=self._changed,
            )
        return self._brokers[name]

    def spool(self, wanted: config.Spool) -> tuple[Spool, Keeping]:
        """A spool, open; one for all streams that name its file.

        Raises:
            ConfigError: If it cannot be used.
        """
        if wanted.path not in self._keepings:
            try:
                spool = Spool(
                    wanted.path,
                    max_bytes=wanted.max_bytes,
                    max_age=wanted.max_age,
                    order=wanted.order,
                )
            except SinkError as error:
                raise ConfigError(f"output.spool.path: {error}") from None
            self._keepings[wanted.path] = spool, Keeping(spool)
        return self._keepings[wanted.path]

    def hurry(self, sink: Retrying) -> None:
        """Have a sink try again as soon as a broker is there."""
        self._hurried.append(sink.hurry)

    async def run(self) -> None:
        """Keep the connections up until cancelled; a broker that refuses us is asked again."""
        async with asyncio.TaskGroup() as tasks:
            for broker in self._brokers.values():
                tasks.create_task(self._connect(broker), name="output broker")

    async def close(self) -> None:
        """Commit what is to be kept, and let go of the spools."""
        for _, keeping in self._keepings.values():
            try:
                await keeping.close()
            except SinkError as error:
                logger.warning("the spool: %s", error)

    async def _connect(self, broker: Broker) -> None:
        backoff = Backoff(_FIRST_DELAY, _LONGEST_DELAY)
        while True:
            try:
                await broker.run()
            except BrokerRefusedError as error:
                for say in self._said:
                    say("output_broker", f"{error}; it is asked again")
            except Exception:
                logger.exception("the connection to another broker failed; it is made anew")
            await asyncio.sleep(backoff.delay())

    def _changed(self, up: bool) -> None:  # noqa: FBT001  # a callback's argument
        if up:
            for hurry in self._hurried:
                hurry()


class Sinks:
    """The sinks of one stream.

    Args:
        name: The stream's name.
        settings: Its part of the configuration.
        broker: The detections' own.
        elsewhere: What is shared.
        outcomes: Counts what became of the crops.
        threads: The stream's own.
        end_within: How long sinks may take at the end, in seconds.

    Attributes:
        envelope: Makes messages for the broker to which crops go.

    Raises:
        ConfigError: If a file that is named cannot be used.
    """

    def __init__(
        self,
        name: str,
        settings: config.Stream,
        *,
        broker: Broker,
        elsewhere: Elsewhere,
        outcomes: Outcomes,
        threads: Executor,
        end_within: float,
    ) -> None:
        self._name = name
        self._settings = settings
        self._output = output = settings.output
        self._elsewhere = elsewhere
        self._outcomes = outcomes
        self._say = outcomes.notes.say
        self._threads = threads
        self._end_within = end_within
        self._broker = broker
        if output.broker:
            self._broker = elsewhere.broker(output.broker, self._say)
        self.envelope = Envelope(self._broker, output.envelope)

    def build(self) -> list[Sink]:
        """Those that are on; last the one that waits for its broker, so that no other does."""
        rows: dict[str, Callable[[str], Sink]] = {
            "mqtt": self._mqtt,
            "files": self._files,
            "s3": self._s3,
            "webhook": self._webhook,
        }
        sinks = [rows[name](name) for name in self._output.sinks]
        return sorted(sinks, key=lambda sink: isinstance(sink, MqttSink))

    def _mqtt(self, name: str) -> Sink:
        output = self._output
        if name in output.spooling and output.spool:
            outlet = BrokerOutlet(self._broker, self.envelope, output.qos)
            sink = self._retrying(name, outlet, output.max_inflight)
            self._elsewhere.hurry(sink)
            return sink
        return MqttSink(
            self._broker,
            envelope=self.envelope,
            qos=output.qos,
            max_inflight=output.max_inflight,
            on_end=self._outcomes.account(name).ended,
            say=self._say,
        )

    def _files(self, name: str) -> Sink:
        suffix = ENCODINGS[self._output.encoding].suffix
        folder = Folder(str(self._output.files), self._name, suffix)
        # One at a time: its lines have an order.
        return self._retrying(name, FilesOutlet(folder, self._threads), 1)

    def _s3(self, name: str) -> Sink:
        try:
            from streamcrop.sinks.s3 import S3Outlet  # noqa: PLC0415  # an extra
        except ModuleNotFoundError as error:
            what = f"s3 needs {error.name}: pip install 'streamcrop[s3]'"
            raise ConfigError(f"output.s3: {what}") from None
        settings = self._output.s3
        assert settings  # noqa: S101  # it is on
        outlet = S3Outlet(
            *settings.place(),
            endpoint=settings.endpoint,
            region=settings.region,
            allow_http=settings.allow_http,
            key=settings.key,
            stream=self._name,
            suffix=ENCODINGS[self._output.encoding].suffix,
        )
        return self._retrying(name, outlet, min(_MAX_POSTS, self._output.max_inflight))

    def _webhook(self, name: str) -> Sink:
        settings = self._output.webhook
        assert settings  # noqa: S101  # it is on
        outlet = WebhookOutlet(settings.url, key=settings.key(), timeout=settings.timeout)
        return self._retrying(name, outlet, min(_MAX_POSTS, self._output.max_inflight))

    def _retrying(self, name: str, outlet: Outlet, max_inflight: int) -> Retrying:
        output, account = self._output, self._outcomes.account(name)
        waiting = None
        if name in output.spooling and output.spool:
            key = Key(self._name, name)
            spool, keeping = self._elsewhere.spool(output.spool)
            account.inherits(spool.owed(key))
            rate = output.spool.rate
            waiting = WaitingRoom(keeping, key, rate=rate, account=account, say=self._say)
        return Retrying(
            name,
            outlet,
            max_inflight=max_inflight,
            max_waiting=output.max_inflight,
            account=account,
            say=self._say,
            end_within=self._end_within,
            stopping=self._outcomes.ending.is_set,
            waiting=waiting,
            spills=not self._settings.lossless,
        )
