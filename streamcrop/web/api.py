"""The questions of programs: is it alive, is it ready, how much of what, how is each stream."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from streamcrop.web.metrics import CONTENT_TYPE, exposition
from streamcrop.web.past import Figures, Past
from streamcrop.web.view import QueueView, RowView, StreamView, Watched

# Need no token: they are asked by what starts and restarts the node.
PUBLIC = ("/healthz", "/readyz")


class Api:
    """The addresses of programs.

    Args:
        watched: The node.
        past: Its last ten minutes.
    """

    def __init__(self, watched: Watched, past: Past) -> None:
        self._watched = watched
        self._past = past

    def routes(self) -> list[web.RouteDef]:
        """Where programs come to."""
        return [
            web.get("/healthz", self._health),
            web.get("/readyz", self._ready),
            web.get("/metrics", self._metrics),
            web.get("/api/streams", self._streams),
            web.get("/api/streams/{stream}/frames/{frame}", self._story),
        ]

    async def _health(self, _: web.Request) -> web.Response:
        # It is answered by the loop in which everything else runs.
        return web.Response(text="ok\n")

    async def _ready(self, _: web.Request) -> web.Response:
        ills = self._watched.view().ills
        return _json({"ready": not ills, "reasons": ills}, status=503 if ills else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        # The view is of one moment; to write it down, nothing has to wait.
        text = await asyncio.to_thread(exposition, self._watched.view())
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _streams(self, _: web.Request) -> web.Response:
        view, now = self._watched.view(), time.monotonic()
        streams = {
            each.name: stream_json(each, self._past.figures(each, now)) for each in view.streams
        }
        broker = {"address": view.broker, "connected": view.connected}
        return _json({"node": view.node, "broker": broker, "streams": streams})

    async def _story(self, request: web.Request) -> web.Response:
        stream, frame = request.match_info["stream"], request.match_info["frame"]
        said = self._watched.explain(stream, frame)
        if said is None:
            raise web.HTTPNotFound(text="There is no such stream")
        return _json({"stream": stream, "frame": frame, "story": said})


def stream_json(stream: StreamView, figures: Figures) -> dict[str, Any]:
    """A stream, as in ``/api/streams``.

    Args:
        stream: How it is.
        figures: What it did lately.
    """
    return {
        "state": stream.state,
        "reason": stream.reason,
        "key": stream.key,
        **({"caveat": stream.caveat} if stream.caveat else {}),
        "ledger": {name: _row(row) for name, row in stream.rows.items()},
        "sinks": {name: _row(row) for name, row in stream.sinks.items()},
        "rates": {"frames": figures.frames, "crops": figures.crops},
        "latency": {
            name: {"p50": took.p50, "p99": took.p99} for name, took in figures.took.items()
        },
        "since": stream.clock,
        "queues": {name: _queue(queue) for name, queue in stream.queues.items()},
        "health": figures.health,
        "lost_last_minute": figures.lost,
        "reconnects": stream.reconnects,
        "restarts": stream.restarts,
        "clock_offset": stream.clock_offset,
        "notes": stream.notes,
    }


def _row(row: RowView) -> Mapping[str, Any]:
    """As in the ledger's own JSON."""
    success = next(iter(row.outcomes))
    return {row.entry: row.entered, success: row.succeeded, "dropped": row.dropped}


def _queue(queue: QueueView) -> Mapping[str, Any]:
    return {"items": queue.items, "bytes": queue.nbytes, "fill": round(queue.fill, 3)}


def _json(content: object, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content), status=status, content_type="application/json"
    )
