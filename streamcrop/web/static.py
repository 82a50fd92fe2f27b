"""The files that pages are made of: read once, at the start, and never from elsewhere."""

from pathlib import Path

from aiohttp import web

PATH = "/static/"
_KINDS = {".css": "text/css", ".js": "text/javascript"}
_HOUR = {"Cache-Control": "max-age=3600"}


class Static:
    """The files in the folder ``static`` beside this module."""

    def __init__(self) -> None:
        folder = Path(__file__).with_name("static")
        self._files = {
            each.name: (each.read_bytes(), _KINDS[each.suffix])
            for each in folder.iterdir()
            if each.suffix in _KINDS
        }

    @property
    def paths(self) -> list[str]:
        """Where they are."""
        return [PATH + name for name in self._files]

    def routes(self) -> list[web.RouteDef]:
        """Where browsers get them."""
        return [web.get(PATH + "{name}", self._show)]

    async def _show(self, request: web.Request) -> web.Response:
        found = self._files.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound(text="There is no such file")
        body, kind = found
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=_HOUR)
