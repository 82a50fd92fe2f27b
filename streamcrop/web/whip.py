"""WHIP (RFC 9725): video from whoever publishes to us, and a page with which a browser does.

Without trickle ICE: the answer has all candidates, and PATCH is refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from aiohttp import web

from streamcrop.errors import FormatError, SourceError
from streamcrop.rates import Rates

SDP = "application/sdp"
# Offers in a second, and at once: of one address, and to one stream. An answer takes some 10 ms.
_OF_ONE, _TO_ONE, _AT_ONCE = 5, 10, 30
_CROSS_ORIGIN = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Location"}
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "86400",
    "Accept-Post": SDP,
}


class Endpoint(Protocol):
    """The place that publishers come to.

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


class Whip:
    """The addresses of all publishers.

    Args:
        endpoints: By the name in ``/whip/{name}``.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self._endpoints = endpoints
        self._page = Path(__file__).with_name("publish.html").read_text(encoding="utf-8")
        self._of_one, self._to_one = Rates(_OF_ONE, _AT_ONCE), Rates(_TO_ONE, _AT_ONCE)

    def routes(self) -> list[web.RouteDef]:
        """Where publishers come to."""
        return [
            web.get("/whip/{stream}", self._show, allow_head=False),
            web.post("/whip/{stream}", self._open),
            web.options("/whip/{stream}", self._preflight),
            web.delete("/whip/{stream}/{session}", self._close),
            web.options("/whip/{stream}/{session}", self._preflight),
        ]

    def token(self, request: web.Request) -> str | None:
        """The token that a request has to show for the stream that it names; None: none."""
        if not request.path.startswith("/whip/"):
            return None
        endpoint = self._endpoints.get(request.match_info.get("stream", ""))
        return endpoint.token if endpoint else None

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let pages of other origins read the answer where a token decides."""
        if self.token(request) is not None:
            response.headers.update(_CROSS_ORIGIN)

    async def _show(self, request: web.Request) -> web.Response:
        self._endpoint(request)
        return web.Response(text=self._page, content_type="text/html")

    async def _preflight(self, request: web.Request) -> web.Response:
        self._endpoint(request)
        # Nobody of another origin comes so far without a token.
        return web.Response(status=204, headers=_PREFLIGHT)

    async def _open(self, request: web.Request) -> web.Response:
        endpoint = self._endpoint(request)
        stream = request.match_info["stream"]
        if request.content_type != SDP:
            raise web.HTTPUnsupportedMediaType(text=f"Expected {SDP}", headers={"Accept-Post": SDP})
        if not (self._of_one.allows(request.remote) and self._to_one.allows(stream)):
            raise web.HTTPTooManyRequests(
                text="Too many offers; try again in a second", headers={"Retry-After": "1"}
            )
        try:
            session, answer = await endpoint.open((await request.read()).decode())
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
            found = await self._endpoint(request).close(request.match_info["session"])
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
