"""A server of a node's views, and who asks it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from web.views import Watched, node
from yarl import URL

from streamcrop.config import Http
from streamcrop.web.server import serve
from streamcrop.web.view import NodeView


class Ask:
    """Asks: the status, headers and text of the answer; `watched` is the node that is shown."""

    def __init__(self, client: aiohttp.ClientSession, base: str, watched: Watched) -> None:
        self.client = client
        self.base = base
        self.watched = watched

    async def __call__(self, path: object, method: str = "GET", **how: Any) -> tuple[int, Any, str]:
        # As it is written: what is percent-encoded stays so.
        url = URL(f"{self.base}{path}", encoded=True)
        async with self.client.request(method, url, allow_redirects=False, **how) as reply:
            return reply.status, reply.headers, await reply.text()


@asynccontextmanager
async def asking(shown: NodeView | None = None, **http: Any) -> AsyncIterator[Ask]:
    """A server, and a client that keeps no cookies and follows nobody."""
    jar, watched = aiohttp.DummyCookieJar(), Watched(shown or node())
    async with (
        serve(Http(**{"port": 0, **http}), {}, watched) as port,
        aiohttp.ClientSession(cookie_jar=jar) as client,
    ):
        yield Ask(client, f"http://127.0.0.1:{port}", watched)
