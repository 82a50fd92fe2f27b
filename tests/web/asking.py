"""A server of a node's views, and who asks it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from web.views import Watched, node

from streamcrop.config import Http
from streamcrop.web.server import serve
from streamcrop.web.view import NodeView

Ask = Callable[..., Awaitable[tuple[int, Any, str]]]


@asynccontextmanager
async def asking(shown: NodeView | None = None, **http: Any) -> AsyncIterator[Ask]:
    """Status, headers and text of what is asked; keeps no cookies and follows nobody."""
    jar = aiohttp.DummyCookieJar()
    async with (
        serve(Http(**{"port": 0, **http}), {}, Watched(shown or node())) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}", cookie_jar=jar) as client,
    ):

        async def ask(path: str, method: str = "GET", **how: Any) -> tuple[int, Any, str]:
            async with client.request(method, path, allow_redirects=False, **how) as reply:
                return reply.status, reply.headers, await reply.text()

        yield ask
