"""The state and the crops, as they come: Server-Sent Events, so many a second and no more.

Each client has a place of its own, in which the newest crops wait; one that does not read loses
older ones, and after a while its connection. None of them holds up anything else.
"""

import asyncio
import time
from typing import Any

import msgspec
from aiohttp import web

from streamcrop.formats.events import Event
from streamcrop.web.crops import picture_path
from streamcrop.web.past import Past
from streamcrop.web.recent import Listener, Recent, label_of, prediction_of
from streamcrop.web.view import Watched

# Clients at once; a page that is not seen closes its own.
_MOST = 32
# Seconds between two states, between two crops, and for what was sent to be taken.
_STATUS_EVERY, _CROP_EVERY, _TAKEN = 2.0, 0.2, 5.0
_HEADERS = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}


class Events:
    """The address of events.

    Args:
        watched: The node.
        past: Its last ten minutes.
        recent: Its newest crops.
    """

    def __init__(self, watched: Watched, past: Past, recent: Recent) -> None:
        self._watched = watched
        self._past = past
        self._recent = recent
        self._clients = 0

    def routes(self) -> list[web.RouteDef]:
        """Where clients listen."""
        return [web.get("/api/events", self._tell, allow_head=False)]

    async def _tell(self, request: web.Request) -> web.StreamResponse:
        if self._clients >= _MOST:
            raise web.HTTPServiceUnavailable(
                text=f"{_MOST} pages listen already", headers={"Retry-After": "10"}
            )
        response = web.StreamResponse(headers=_HEADERS)
        self._clients += 1
        try:
            await response.prepare(request)
            with self._recent.listening() as listener:
                await self._tell_of_all(response, listener)
        except (TimeoutError, ConnectionError):
            # It does not read, or is gone; what it was sent need not be kept for it.
            if request.transport:
                request.transport.abort()
        finally:
            self._clients -= 1
        return response

    async def _tell_of_all(self, response: web.StreamResponse, listener: Listener) -> None:
        due = 0.0
        while True:
            if (now := time.monotonic()) >= due:
                await _send(response, "status", self._status(now))
                due = now + _STATUS_EVERY
            try:
                async with asyncio.timeout(due - now if due > now else _STATUS_EVERY):
                    stream, event = await listener.take()
            except TimeoutError:
                continue
            await _send(response, "crop", crop_json(stream, event))
            await asyncio.sleep(_CROP_EVERY)

    def _status(self, now: float) -> dict[str, Any]:
        view = self._watched.view()
        streams = {}
        for each in view.streams:
            figures = self._past.figures(each, now)
            streams[each.name] = {
                "state": each.state,
                "reason": each.reason,
                "well": each.is_well,
                "frames": figures.frames,
                "crops": figures.crops,
                "health": figures.health,
            }
        return {"node": view.node, "broker": {"connected": view.connected}, "streams": streams}


def crop_json(stream: str, event: Event) -> dict[str, Any]:
    """A crop as it is told of.

    Args:
        stream: Its name.
        event: The crop's.
    """
    metadata = msgspec.json.decode(event.metadata)
    row = prediction_of(metadata)
    return {
        "stream": stream,
        "id": event.attributes.get("id", ""),
        "frame_id": event.name[0],
        "detection_id": event.name[1],
        "class": label_of(metadata),
        "confidence": row.get("confidence"),
        "tracker_id": row.get("tracker_id"),
        "captured_at": metadata.get("captured_at"),
        "picture": picture_path(stream, event.attributes.get("id", "")),
    }


async def _send(response: web.StreamResponse, kind: str, content: object) -> None:
    data = msgspec.json.encode(content)
    async with asyncio.timeout(_TAKEN):
        await response.write(b"event: %s\ndata: %s\n\n" % (kind.encode(), data))
