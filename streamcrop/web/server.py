"""HTTP: one server for publishers, people and monitors; it listens, and puts its parts together."""

import asyncio
import errno
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web
from yarl import URL

from streamcrop.config import Http
from streamcrop.errors import ConfigError, StreamcropError
from streamcrop.web.admission import MAX_BODY, Admission
from streamcrop.web.api import PUBLIC, Api
from streamcrop.web.crops import Crops
from streamcrop.web.events import Events
from streamcrop.web.gate import IDLE, Gate, bind
from streamcrop.web.login import PATH, Login
from streamcrop.web.page import Page
from streamcrop.web.past import STEP, Past
from streamcrop.web.static import Static
from streamcrop.web.view import Watched
from streamcrop.web.whip import Endpoint, Whip

logger = logging.getLogger(__name__)

PORT = 8088
_CLOSED = (
    "http: at %s anybody could look: page, API and metrics are closed until you set http.token, or "
    "in so many words http.open: true"
)
# How long requests may go on when the server ends.
_LAST_REQUESTS = 0.3
# How long the rest of a body is read that nobody wants.
_LINGER = 1.0
# A part of the program may say otherwise.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    # With less a form's Origin would be null, as that of a page of another site may be.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


@asynccontextmanager
async def serve(
    http: Http, publishers: Mapping[str, Endpoint], watched: Watched, *, gate: Gate | None = None
) -> AsyncIterator[int | None]:
    """Let people, programs and publishers in.

    Args:
        http: Where to listen, and who is let in.
        publishers: By the name in ``/whip/{name}``.
        watched: The node that is shown.
        gate: Who gets a connection; None: the usual one.

    Yields:
        The port; None where another program has the default one and nobody needs ours.

    Raises:
        StreamcropError: If it cannot listen where it was told to.
    """
    gate, tls = gate or Gate(), _tls(http)
    listeners = await _bind(http, needed=bool(publishers))
    if listeners is None:
        yield None
        return
    past = Past()
    runner = web.AppRunner(
        _app(http, publishers, watched, past, gate),
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=IDLE,
        lingering_time=_LINGER,
        shutdown_timeout=_LAST_REQUESTS,
    )
    await runner.setup()
    assert runner.server  # noqa: S101  # it is there after setup
    remembering = asyncio.create_task(_remember(past, watched), name="http past")
    try:
        async with gate.accepting(listeners, runner.server, tls):
            port = listeners[0].getsockname()[1]
            base = URL.build(scheme="https" if tls else "http", host=http.host, port=port)
            if http.is_guarded:
                logger.info("see it: %s", base)
            else:
                logger.warning(_CLOSED, http.host)
            for name in publishers:
                logger.info("publish by WHIP, or with a browser: %s", base / "whip" / name)
            yield port
    finally:
        remembering.cancel()
        await runner.cleanup()
        await gate.close()


async def _bind(http: Http, *, needed: bool) -> list[socket.socket] | None:
    port = PORT if http.port is None else http.port
    try:
        return await bind(http.host, port)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        what = "http.port: another program listens" if taken else "http.host: cannot listen"
        why = "choose another" if taken else error.strerror
        said = f"{what} on {http.host}, port {port}: {why}"
    if taken and http.port is None and not needed:
        logger.warning("%s, or http: false; this node runs without a page", said)
        return None
    raise StreamcropError(said)


def _app(
    http: Http, publishers: Mapping[str, Endpoint], watched: Watched, past: Past, gate: Gate
) -> web.Application:
    whip, static = Whip(publishers), Static()
    admission = Admission(
        token=http.token,
        guarded=http.is_guarded,
        hosts=[*http.hosts, http.host],
        public=[*PUBLIC, PATH],
        files=static.paths,
        own=whip.token,
    )
    app = web.Application(
        client_max_size=MAX_BODY, middlewares=[gate.middleware, admission.middleware]
    )
    for part in (whip, static, Login(admission), *_shown(watched, past)):
        app.add_routes(part.routes())
    app.on_response_prepare.append(_add_headers)
    app.on_response_prepare.append(whip.add_headers)
    return app


def _shown(watched: Watched, past: Past) -> tuple[Api | Crops | Events | Page, ...]:
    recent = watched.recent
    return (
        Page(watched, past, recent),
        Api(watched, past),
        Crops(watched, recent),
        Events(watched, past, recent),
    )


async def _remember(past: Past, watched: Watched) -> None:
    while True:
        try:
            past.add(watched.view(), time.monotonic())
        except Exception:
            logger.exception("the page's last minutes have a gap")
        await asyncio.sleep(STEP)


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    # aiohttp's own would name its version.
    response.headers["Server"] = "streamcrop"
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


def _tls(http: Http) -> ssl.SSLContext | None:
    if http.cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(http.cert, http.key)
    except OSError as error:  # of which ssl.SSLError is one
        raise ConfigError(
            f"http.cert, http.key: {http.cert} cannot be used: {error.strerror or error}"
        ) from None
    return context
