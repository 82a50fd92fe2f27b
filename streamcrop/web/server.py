"""HTTP: where WHIP publishers come to us."""

import asyncio
import errno
import hmac
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from aiohttp import web
from yarl import URL

from streamcrop.errors import ConfigError, FormatError, SourceError, StreamcropError

logger = logging.getLogger(__name__)

SDP = "application/sdp"
# An offer of a browser has some 7 kB, an answer no more.
_MAX_SDP = 64 << 10
_BODY_TIMEOUT = 5.0
# How long requests may go on when the server ends.
_LAST_REQUESTS = 0.3
_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location",
    "Cache-Control": "no-store",
}
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "86400",
    "Accept-Post": SDP,
}
_PAGE = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


class Endpoint(Protocol):
    """What publishers come to.

    Attributes:
        token: What they have to know; None: nothing.
    """

    token: str | None

    async def open(self, offer: str) -> tuple[str, str]:
        """Begin a session: its name, and the answer to the offer.

        Raises:
            FormatError: If nothing can be done with the offer.
            SourceError: If nobody is to publish now.
        """
        ...

    async def close(self, session: str) -> bool:
        """End a session; whether there was one.

        Raises:
            SourceError: If another publisher's has taken its place.
        """
        ...


@asynccontextmanager
async def serve(
    endpoints: Mapping[str, Endpoint],
    *,
    host: str,
    port: int,
    cert: str | None = None,
    key: str | None = None,
) -> AsyncIterator[int]:
    """Let publishers in by WHIP (RFC 9725), and give browsers a page that publishes.

    Without trickle ICE: the answer has all candidates, and PATCH is refused.

    Args:
        endpoints: By the name in ``/whip/{name}``.
        host: The address to listen on.
        port: 0: any that is free.
        cert: File of the certificate, for HTTPS.
        key: File of its private key.

    Yields:
        The port.

    Raises:
        StreamcropError: If it cannot listen there.
    """
    app = web.Application(client_max_size=_MAX_SDP)
    app.add_routes(_Whip(endpoints).routes())
    app.on_response_prepare.append(_add_headers)
    context = _tls(cert, key) if cert and key else None
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_LAST_REQUESTS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, ssl_context=context).start()
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            what = "http.port: another program listens" if taken else "http.host: cannot listen"
            why = "choose another" if taken else error.strerror
            raise StreamcropError(f"{what} on {host}, port {port}: {why}") from None
        port = runner.addresses[0][1]
        for name in endpoints:
            where = URL.build(scheme="https" if context else "http", host=host, port=port)
            logger.info("publish by WHIP, or with a browser: %s", where / "whip" / name)
        yield port
    finally:
        await runner.cleanup()


class _Whip:
    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self._endpoints = endpoints
        self._page = Path(__file__).with_name("publish.html").read_text(encoding="utf-8")

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/whip/{stream}", self._show, allow_head=False),
            web.post("/whip/{stream}", self._open),
            web.options("/whip/{stream}", self._preflight),
            web.delete("/whip/{stream}/{session}", self._close),
            web.options("/whip/{stream}/{session}", self._preflight),
        ]

    async def _show(self, request: web.Request) -> web.Response:
        self._endpoint(request)
        return web.Response(text=self._page, content_type="text/html", headers=_PAGE)

    async def _preflight(self, request: web.Request) -> web.Response:
        self._endpoint(request)
        return web.Response(status=204, headers=_PREFLIGHT)

    async def _open(self, request: web.Request) -> web.Response:
        endpoint = self._admitted(request)
        if request.content_type != SDP:
            raise web.HTTPUnsupportedMediaType(text=f"Expected {SDP}", headers={"Accept-Post": SDP})
        try:
            async with asyncio.timeout(_BODY_TIMEOUT):
                offer = (await request.read()).decode()
            session, answer = await endpoint.open(offer)
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        except UnicodeDecodeError:
            raise web.HTTPBadRequest(text="Expected an SDP in UTF-8") from None
        except FormatError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        except SourceError as error:
            raise web.HTTPServiceUnavailable(
                text=str(error), headers={"Retry-After": "1"}
            ) from None
        location = {"Location": f"{request.path}/{session}"}
        return web.Response(status=201, text=answer, content_type=SDP, headers=location)

    async def _close(self, request: web.Request) -> web.Response:
        try:
            found = await self._admitted(request).close(request.match_info["session"])
        except SourceError as error:
            raise web.HTTPGone(text=str(error)) from None
        if not found:
            raise web.HTTPNotFound(text="There is no such session")
        return web.Response()

    def _endpoint(self, request: web.Request) -> Endpoint:
        endpoint = self._endpoints.get(request.match_info["stream"])
        if endpoint is None:
            raise web.HTTPNotFound(text="There is no such stream to publish to")
        return endpoint

    def _admitted(self, request: web.Request) -> Endpoint:
        endpoint = self._endpoint(request)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        wanted, given = (endpoint.token or "").encode(), token.strip().encode("utf-8", "replace")
        right = scheme.lower() == "bearer" and hmac.compare_digest(given, wanted)
        if endpoint.token is not None and not right:
            headers = {"WWW-Authenticate": "Bearer"}
            raise web.HTTPUnauthorized(text="Expected the stream's token", headers=headers)
        return endpoint


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


def _tls(cert: str, key: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except OSError as error:  # of which ssl.SSLError is one
        raise ConfigError(
            f"http.cert, http.key: {cert} cannot be used: {error.strerror or error}"
        ) from None
    return context
