"""The node as its page and its metrics show it: one moment of all streams, as plain values."""

from collections.abc import Mapping
from functools import partial

from streamcrop import __version__
from streamcrop.addresses import redacted
from streamcrop.config import Config
from streamcrop.mqtt.broker import Broker
from streamcrop.status import Status
from streamcrop.stream.ledger import ROWS, Row
from streamcrop.stream.supervision import Stream
from streamcrop.web.recent import Recent
from streamcrop.web.view import NodeView, QueueView, RowView, StreamView, TimesView

# Frames that are shown as lost.
_LOST = 8


class Overview:
    """The node as a page may know it; see `streamcrop.web.view.Watched`.

    Args:
        config: The node's.
        broker: The detections'.
        status: Knows the states.
        streams: The streams, by name.

    Attributes:
        recent: The newest crops, if there is a page to show them.
    """

    def __init__(
        self, config: Config, broker: Broker, status: Status, streams: Mapping[str, Stream]
    ) -> None:
        self._config = config
        self._broker = broker
        self._status = status
        self._streams = streams
        host, port, *_ = config.broker.address()
        self._address = f"{host}:{port}"
        self.recent = Recent()
        if config.web:
            for name, stream in streams.items():
                stream.outcomes.delivered = partial(self.recent.add, name)

    def view(self) -> NodeView:
        """How the node is now."""
        return NodeView(
            node=self._config.node,
            version=__version__,
            broker=self._address,
            connected=self._broker.connected,
            streams=[self._stream(name, stream) for name, stream in self._streams.items()],
            spool=self._spooled(),
        )

    def lost(self, stream: str) -> list[tuple[str, str]]:
        """The last frames of a stream that were not paired: a name and the story of each."""
        return self._streams[stream].outcomes.history.lost(_LOST)

    def explain(self, stream: str, name: str) -> str | None:
        """The story of a frame, by one of its names; None: there is no such stream."""
        if (asked := self._streams.get(stream)) is None:
            return None
        return asked.outcomes.history.explain(name, asked.outcomes.notes)

    def _spooled(self) -> int | None:
        """How many crops wait on disk; None: nothing would."""
        sinks = [
            row for each in self._streams.values() for row in each.outcomes.ledger.sinks.values()
        ]
        waiting = [row.spooled for row in sinks if row.spools]
        return sum(waiting) if waiting else None

    def _stream(self, name: str, stream: Stream) -> StreamView:
        settings, outcomes = self._config.streams[name], stream.outcomes
        measures = outcomes.measures
        state, reason = self._status.shown(name)
        return StreamView(
            name=name,
            state=state,
            reason=redacted(reason),
            failed=outcomes.failure is not None,
            key=settings.pairing.key,
            caveat=settings.caveat,
            topic=settings.detections.topic,
            format=settings.detections.format,
            tapped=settings.tap is not None,
            live=not settings.source.is_file,
            rows={row.name: _row(row) for row in outcomes.ledger.rows},
            sinks={sink: _row(row) for sink, row in outcomes.ledger.sinks.items()},
            queues={name: QueueView(*fill) for name, fill in stream.fills().items()},
            times={
                name: TimesView(tuple(each.counts), each.total)
                for name, each in measures.times.items()
            },
            clock=measures.since,
            reconnects=measures.reconnects,
            restarts=outcomes.restarts,
            clock_offset=measures.clock_offset,
            notes=outcomes.notes.as_json(),
        )


def _row(row: Row) -> RowView:
    entry, success, reasons = ROWS[row.name]
    losses = {str(reason): row.dropped[str(reason)] for reason in sorted(reasons)}
    return RowView(entry, row.entered, {success: row.succeeded, **losses})
