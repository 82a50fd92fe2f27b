"""Who is let in: by the name that he asks for, the page that sent him, and the token that he has.

A page of another site, open in the browser of somebody who can reach the node, can send it
requests, and after DNS rebinding read the answers, too: then the Host header holds that site's
name. So the node answers under its addresses, ``localhost`` and the names that it was told, and
takes no request that a page of another origin sent. Where a stream has a token of its own, the
token alone decides: publishers may come from pages of any origin, under any name.
"""

import asyncio
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Collection
from ipaddress import ip_address

from aiohttp import hdrs, web
from yarl import URL

from streamcrop.rates import Rates

# Bytes of a request's body, and seconds for it. An offer of a browser has some 7 kB, and nothing
# else that is sent to us is as long.
MAX_BODY, BODY_TIMEOUT = 64 << 10, 5.0
COOKIE = "streamcrop"
# Wrong tokens of one address: in a second, and at once.
_WRONG, _WRONG_AT_ONCE = 1, 20
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::[0-9]{1,5})?")
_MONTH = 30 * 86_400

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Admission:
    """Lets requests in.

    Args:
        token: What page and API want to be shown; None: nothing.
        guarded: False: they are for nobody, since anybody can reach them.
        hosts: Names of the node.
        public: Paths that need no token.
        files: Paths of files that are anybody's, under whatever name the node is asked.
        own: The token that a request's stream has for itself.
    """

    def __init__(
        self,
        *,
        token: str | None,
        guarded: bool,
        hosts: Collection[str] = (),
        public: Collection[str] = (),
        files: Collection[str] = (),
        own: Callable[[web.Request], str | None] = lambda _: None,
    ) -> None:
        self._token = token
        self._guarded = guarded
        self._hosts = {name.lower() for name in hosts} | {"localhost"}
        self._public = public
        self._files = files
        self._own = own
        self._wrong = Rates(_WRONG, _WRONG_AT_ONCE)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request in that may come, once its body is there."""
        self._check(request)
        if (size := request.content_length or 0) > MAX_BODY:
            raise web.HTTPRequestEntityTooLarge(MAX_BODY, size)
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                # It is kept; who handles the request does not wait for anybody.
                await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="The request's body took too long") from None
        return await handler(request)

    def _check(self, request: web.Request) -> None:
        """Let it in, or raise what refuses it."""
        if request.path in self._files:
            return
        if own := self._own(request):
            if request.method in {hdrs.METH_POST, hdrs.METH_DELETE} and not self._shows(
                request, own
            ):
                raise _unauthorized("Expected the stream's token")
            return
        self._check_names(request)
        if request.path in self._public:
            return
        if not self._guarded:
            raise web.HTTPForbidden(
                text="Anybody could look here: set http.token, or in so many words http.open: true"
            )
        if self._token is not None and not self._shows(request, self._token):
            if "text/html" in request.headers.get(hdrs.ACCEPT, ""):
                raise web.HTTPSeeOther("/login")
            raise _unauthorized("Expected http.token, as a bearer token or by the form at /login")

    def _check_names(self, request: web.Request) -> None:
        host = request.headers.get(hdrs.HOST)
        # Without one (HTTP/1.0) it is no browser's.
        if host is not None and not self._is_ours(host):
            raise web.HTTPMisdirectedRequest(
                text="The node is not known by this name: ask by its address, or add it to "
                "http.hosts"
            )
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and not self._is_same(origin, host):
            raise web.HTTPForbidden(text="A page of another site sent this request")

    def _is_ours(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        name = found[1].lower().strip("[]") if found else ""
        return name in self._hosts or _is_address(name)

    def _is_same(self, origin: str, host: str | None) -> bool:
        try:
            url = URL(origin)
            return url.authority.lower() == (host or "").lower() or url.host in self._hosts - {
                "localhost"
            }
        except ValueError:
            return False

    def _shows(self, request: web.Request, wanted: str) -> bool:
        """True if the request has the token.

        Raises:
            HTTPTooManyRequests: If its address has tried too often.
        """
        address = request.remote
        if not self._wrong.allows(address, 0):
            raise web.HTTPTooManyRequests(
                text="Too many wrong tokens came from this address", headers={"Retry-After": "5"}
            )
        scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        cookie = request.cookies.get(COOKIE, "")
        right = (scheme.lower() == "bearer" and _equal(given.strip(), wanted)) or (
            wanted == self._token and _equal(cookie, session_of(wanted))
        )
        if not right and (given or cookie):
            self._wrong.allows(address)
        return right

    def login(self, request: web.Request, given: str) -> web.Response | None:
        """The response that lets a browser in whose form has the token; None: it has another."""
        wanted = self._token or ""
        address = request.remote
        if not self._wrong.allows(address, 0):
            raise web.HTTPTooManyRequests(
                text="Too many wrong tokens came from this address", headers={"Retry-After": "5"}
            )
        if not _equal(given.strip(), wanted):
            self._wrong.allows(address)
            return None
        response = web.Response(status=303, headers={hdrs.LOCATION: "/"})
        response.set_cookie(
            COOKIE,
            session_of(wanted),
            max_age=_MONTH,
            httponly=True,
            samesite="Strict",
            secure=request.secure,
        )
        return response


def session_of(token: str) -> str:
    """The text that a browser keeps in place of the token, from which the token cannot be told."""
    return hmac.new(token.encode(), b"streamcrop page", hashlib.sha256).hexdigest()


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _unauthorized(text: str) -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(text=text, headers={"WWW-Authenticate": "Bearer"})
