"""Crops for programs: the newest of a stream, and each one's picture."""

from urllib.parse import quote

import msgspec
from aiohttp import web

from streamcrop.web.recent import Recent
from streamcrop.web.view import Watched

_MOST = 100


class Crops:
    """The addresses of crops.

    Args:
        watched: Knows the streams.
        recent: Knows the crops.
    """

    def __init__(self, watched: Watched, recent: Recent) -> None:
        self._watched = watched
        self._recent = recent

    def routes(self) -> list[web.RouteDef]:
        """Where programs come to."""
        return [
            web.get("/api/streams/{stream}/crops", self._list),
            web.get("/api/streams/{stream}/crops/{id}.jpg", self._picture),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        stream = request.match_info["stream"]
        if stream not in {each.name for each in self._watched.view().streams}:
            raise web.HTTPNotFound(text="There is no such stream")
        text = request.query.get("limit", "20")
        if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= _MOST):
            raise web.HTTPBadRequest(text=f"limit: expected 1 to {_MOST}")
        found = self._recent.newest(stream, int(text), request.query.get("class"))
        return web.Response(body=msgspec.json.encode(found), content_type="application/json")

    async def _picture(self, request: web.Request) -> web.Response:
        event = self._recent.find(request.match_info["stream"], request.match_info["id"])
        if event is None:
            raise web.HTTPNotFound(text="This crop is not, or no longer, known")
        # The same ID is always the same picture.
        kept = {"Cache-Control": "private, max-age=600"}
        return web.Response(body=event.data, content_type=event.content_type, headers=kept)


def picture_path(stream: str, crop_id: str) -> str:
    """Where a crop's picture is; the ID is percent-encoded whole."""
    return f"/api/streams/{quote(stream, safe='')}/crops/{quote(crop_id, safe='')}.jpg"
