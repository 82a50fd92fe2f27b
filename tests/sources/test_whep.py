"""What a WHEP server is asked and told, by real servers that answer as they like."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import trustme
from aiohttp import web
from patience import FOR_EVER, PATIENCE

from streamcrop.errors import SourceError
from streamcrop.sources import whep
from streamcrop.sources.whep import LaterError, RefusedError, WhepClient

OFFER, ANSWER = "v=0\r\nmine", "v=0\r\nyours"
SDP = {"Content-Type": "application/sdp"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def server(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """An HTTP server of a test; its address."""
    app = web.Application()

    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Sessions:
    """Opens a session for each offer, and counts those that are open.

    Args:
        delay: Seconds that an answer takes.
        goodbyes: Statuses of the first goodbyes; then 200.
        reply: What an answer has besides its session.
    """

    def __init__(self, *, delay: float = 0, goodbyes: tuple[int, ...] = (), **reply: Any) -> None:
        self.opened = 0
        self.open: set[str] = set()
        self._delay = delay
        self._goodbyes = [*goodbyes]
        self._reply = {"status": 201, "text": ANSWER, **reply}

    async def __call__(self, request: web.Request) -> web.Response:
        if request.method == "DELETE":
            status = self._goodbyes.pop(0) if self._goodbyes else 200
            if status == 200:
                self.open.discard(request.path)
            return web.Response(status=status)
        self.opened += 1
        path = f"/session/{self.opened}"
        self.open.add(path)
        await asyncio.sleep(self._delay)
        return web.Response(**self._reply, headers={"Location": path})


async def asked(client: WhepClient) -> Exception | str:
    """The answer, or why there is none."""
    try:
        return await client.ask(OFFER)
    except SourceError as error:
        return error
    finally:
        client.leave()


async def test_credentials() -> None:
    """A token goes as bearer, a name and a password in the URL as basic; the token wins."""
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, request.headers.get("Authorization")))
        return web.Response(status=201, text=ANSWER, headers={"Location": "../session/1"})

    async with server(handler) as address:
        for user, token in (("", "s3cret"), ("me:pass@", None), ("me:pass@", "s3cret")):
            client = WhepClient(f"http://{user}{address}/a/b/whep", token, 5)
            assert await client.ask(OFFER) == ANSWER
            client.leave()
            client.leave()
            await client.close()
            await client.close()
    bearer, basic = "Bearer s3cret", "Basic bWU6cGFzcw=="
    paths = [("POST", "/a/b/whep"), ("DELETE", "/a/session/1")]
    assert seen == [(*path, auth) for auth in (bearer, basic, bearer) for path in paths]


async def test_a_server_with_a_certificate() -> None:
    """It is believed by what we were told to believe; else it is not told the token."""
    authority = trustme.CA()
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    sessions = Sessions()
    async with server(sessions, theirs) as address:
        for tls in (ours, False):
            client = WhepClient(f"https://{address}/whep", "s3cret", 5, tls=tls)
            assert await client.ask(OFFER) == ANSWER
            await client.close()
        host = address.replace("127.0.0.1", "localhost")
        for there, tls in ((address, True), (host, ours)):
            client = WhepClient(f"https://{there}/whep", "s3cret", 5, tls=tls)
            with pytest.raises(SourceError, match=r"certificate is not trusted.*source\.ca"):
                await client.ask(OFFER)
            await client.close()
    assert (sessions.opened, sessions.open) == (2, set())


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects(status: int) -> None:
    """They are followed with the offer; another origin gets neither token nor password."""
    seen = []

    async def target(request: web.Request) -> web.Response:
        seen.append((request.method, await request.text(), request.headers.get("Authorization")))
        return web.Response(status=201, text=ANSWER, headers={"Location": "/session"})

    async with server(target) as there:

        async def handler(request: web.Request) -> web.Response:
            places = {"/far": f"http://you:other@{there}/whep", "/near": "here"}
            if place := places.get(request.path):
                return web.Response(status=status, headers={"Location": place})
            return await target(request)

        async with server(handler) as address:
            for path, token in (("near", "s3cret"), ("far", "s3cret"), ("far", None)):
                client = WhepClient(f"http://me:pass@{address}/{path}", token, 5)
                assert await client.ask(OFFER) == ANSWER
                await client.close()
    assert seen == [
        ("POST", OFFER, "Bearer s3cret"),
        ("DELETE", "", "Bearer s3cret"),
        *[("POST", OFFER, None), ("DELETE", "", None)] * 2,
    ]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/whep", "redirects more than 5 times"),
        ("ftp://host/whep", "redirects from http to ftp"),
        ("mailto:me", "redirects from http to mailto"),
        ("http://[::1", "the server redirects to what is no address"),
        ("http://host:99999/", "the server redirects to what is no address"),
        ("", "does not answer the offer: 307"),
        (None, "does not answer the offer: 307"),
    ],
)
async def test_redirects_that_lead_nowhere(location: str | None, expected: str) -> None:
    """They end in an error that says so."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=307, headers={} if location is None else {"Location": location})

    async with server(handler) as address:
        client = WhepClient(f"http://{address}/whep", None, 5)
        assert expected in str(await asked(client))
        await client.close()


async def test_no_redirect_from_https_to_http() -> None:
    """The offer would be readable on its way."""
    authority = trustme.CA()
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    sessions = Sessions()
    async with server(sessions) as plain:

        async def handler(_: web.Request) -> web.Response:
            return web.Response(status=307, headers={"Location": f"http://{plain}/whep"})

        async with server(handler, theirs) as address:
            client = WhepClient(f"https://{address}/whep", None, 5, tls=False)
            assert "redirects from https to http" in str(await asked(client))
            await client.close()
    assert not sessions.opened


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        ({"status": 401}, RefusedError, "does not let us in: 401 Unauthorized"),
        ({"status": 403, "text": "no\x07"}, RefusedError, r"in: 403 Forbidden: no\x07"),
        ({"status": 404}, SourceError, "does not answer the offer: 404 Not Found"),
        ({"status": 404, "text": '{"error": "no one is publishing"}'}, SourceError, "is publish"),
        ({"status": 500, "text": "<p>", "content_type": "text/html"}, SourceError, "Server Error"),
        ({"status": 200}, SourceError, "answers 200 OK without an SDP: "),
        ({"status": 201, "text": "<html>"}, SourceError, "answers 201 Created without an SDP: <h"),
        (
            {"status": 404, "content_type": "application/sdp"},
            SourceError,
            "the server does not answer the offer: 404 Not Found",
        ),
        ({"status": 204}, SourceError, "does not answer the offer: 204"),
        ({"status": 303}, SourceError, "does not answer the offer: 303"),
        (
            {"status": 406, "text": "v=0", "content_type": "application/sdp"},
            SourceError,
            "the server makes an offer of its own, which is not taken: 406 Not Acceptable",
        ),
        ({"status": 406, "text": "VP9 only"}, SourceError, "the offer: 406 Not Acceptable: VP9"),
        ({"status": 409}, SourceError, "nobody sends to the server yet: 409 Conflict"),
    ],
)
async def test_refusals(reply: dict[str, Any], error: type[SourceError], text: str) -> None:
    """What the server says is told, without the URL; what it opened is closed, nothing else."""
    sessions = Sessions(**{"text": "", **reply})
    opened = reply["status"] in {200, 201, 204, 406}
    async with server(sessions) as address:
        client = WhepClient(f"http://me:s3cret@{address}/whep?key=s3cret", None, 5)
        found = await asked(client)
        assert type(found) is error
        assert text in str(found)
        assert "s3cret" not in str(found)
        await client.close()
    assert (sessions.opened, sessions.open) == (1, set() if opened else {"/session/1"})


@pytest.mark.parametrize(
    ("user", "token"), [("me:s3cret@", None), ("", "s3cret"), ("a:b@", "s3cret")]
)
async def test_a_server_that_repeats_what_it_was_shown(user: str, token: str | None) -> None:
    """Its words are told, without the token and the password."""

    async def handler(request: web.Request) -> web.Response:
        said = f"s3cret? {request.headers['Authorization']} is wrong"
        return web.Response(status=400, reason="s3cret", text=said)

    async with server(handler) as address:
        client = WhepClient(f"http://{user}{address}/whep", token, 5)
        found = str(await asked(client))
        assert "is wrong" in found
        assert "s3cret" not in found
        assert "bWU6czNjcmV0" not in found
        await client.close()


async def test_an_answer_with_200() -> None:
    """Older servers say OK."""
    async with server(sessions := Sessions(status=200)) as address:
        client = WhepClient(f"http://{address}/whep", None, 5)
        assert await client.ask(OFFER) == ANSWER
        await client.close()
        assert sessions.open == set()


IN_A_MINUTE = "in a minute"
LONG_AGO = "Fri, 31 Dec 1999 23:59:59 GMT"


@pytest.mark.parametrize("status", [503, 429, 409, 404])
@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        (IN_A_MINUTE, 10, 60),
        (LONG_AGO, 0, 0),
        ("Fri, 31 Dec 1999 23:59:59 -0000", 0, 0),
        ("99999999999999999999", 300, 300),
    ],
)
async def test_a_server_that_names_a_time(
    status: int, header: str, least: float, most: float
) -> None:
    """``Retry-After`` in seconds or as a date, within bounds."""

    async def handler(_: web.Request) -> web.Response:
        # Now, not when the tests were gathered.
        soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60))
        said = soon if header == IN_A_MINUTE else header
        return web.Response(status=status, headers={"Retry-After": said})

    async with server(handler) as address:
        client = WhepClient(f"http://{address}/whep", None, 5)
        found = await asked(client)
        assert isinstance(found, LaterError)
        assert least <= found.seconds <= most
        assert f"it wants to be asked again in {found.seconds:g} s" in str(found)
        await client.close()


@pytest.mark.parametrize("header", ["", "soon", "-1", "1.5", "31 Dec"])
async def test_a_time_that_is_none(header: str) -> None:
    """It is as if there were none."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": header})

    async with server(handler) as address:
        client = WhepClient(f"http://{address}/whep", None, 5)
        assert type(await asked(client)) is SourceError
        await client.close()


@pytest.mark.parametrize("location", ["http://[::1", "http://host:99999/", "mailto:me", ""])
async def test_a_session_without_an_address(location: str) -> None:
    """An answer is taken, though nobody can say goodbye to its session."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(
            status=201, headers={"Location": location}, text=ANSWER, content_type="application/sdp"
        )

    async with server(handler) as address:
        client = WhepClient(f"http://{address}/whep", None, 5)
        assert await client.ask(OFFER) == ANSWER
        await client.close()


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "what answers there does not speak HTTP"),
        (b"HTTP/1.1 201 C\r\nContent-Length: 9\r\n\r\nv=0", "its answer breaks off"),
        (b"", "no connection to the server"),
    ],
)
async def test_what_answers_in_its_place(said: bytes, text: str) -> None:
    """Another service at the port, or an answer that ends too early, is told as such."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as peer:
        port = peer.sockets[0].getsockname()[1]
        client = WhepClient(f"http://me:s3cret@127.0.0.1:{port}/whep", None, 5)
        found = str(await asked(client))
        assert text in found
        assert "s3cret" not in found
        await client.close()


async def _silent(_: web.Request) -> web.Response:
    await asyncio.sleep(FOR_EVER)
    return web.Response()


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (None, "no connection to the server"),
        (_silent, "no connection to the server: it does not answer in time"),
        (Sessions(text="v=" + "x" * (1 << 20)), "it does not end"),
    ],
)
async def test_servers_that_misbehave(
    handler: Handler | None, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody there, no answer, too long an answer: an error in time, without the URL."""
    monkeypatch.setattr(whep, "_GOODBYE", 0.1)
    async with server(handler or _silent) as address:
        where = address if handler else "127.0.0.1:1"
        client = WhepClient(f"http://me:s3cret@{where}/whep?s3cret", None, 0.5)
        found = str(await asked(client))
        assert text in found
        assert "s3cret" not in found
        await client.close()
    assert not getattr(handler, "open", None)


async def test_an_answer_that_comes_too_late() -> None:
    """Its session is ended all the same, while the next attempt is made already."""
    sessions = Sessions(delay=0.6)
    async with server(sessions) as address:
        client = WhepClient(f"http://{address}/whep", None, 0.2)
        for _ in range(4):
            assert "does not answer in time" in str(await asked(client))
        assert len(sessions.open) >= 2
        await client.close()
        assert (sessions.opened, sessions.open) == (4, set())


async def test_an_attempt_that_is_cancelled() -> None:
    """The server opens its session all the same, and is told."""
    sessions = Sessions(delay=0.3)
    async with server(sessions) as address:
        client = WhepClient(f"http://{address}/whep", None, 5)
        task = asyncio.create_task(client.ask(OFFER))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.close()
        assert (sessions.opened, sessions.open) == (1, set())


async def test_attempts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where many goodbyes are under way, the next attempt waits for one of them."""
    monkeypatch.setattr(whep, "_MAX_ENDING", 2)
    sessions = Sessions(delay=0.4)
    async with server(sessions) as address:
        client = WhepClient(f"http://{address}/whep", None, 0.05)
        for _ in range(5):
            await asked(client)
            assert len(sessions.open) <= 3
        await client.close()
        assert (sessions.opened, sessions.open) == (5, set())


@pytest.mark.parametrize(("goodbyes", "left"), [((), 0), ((500,), 0), ((503, 502), 1), ((404,), 1)])
async def test_a_goodbye_that_fails(goodbyes: tuple[int, ...], left: int) -> None:
    """It is said once more where the server failed, and not where there is nothing to end."""
    sessions = Sessions(goodbyes=goodbyes)
    async with server(sessions) as address:
        client = WhepClient(f"http://{address}/whep", None, 5)
        await client.ask(OFFER)
        await client.close()
        assert len(sessions.open) == left


async def test_a_server_that_is_gone_does_not_hold_up_the_end() -> None:
    """The goodbye is tried and given up soon."""

    async def handler(request: web.Request) -> web.Response:
        if request.method == "DELETE":
            return await _silent(request)
        return web.Response(status=201, text=ANSWER, headers={"Location": "/session"})

    async with server(handler) as address:
        client = WhepClient(f"http://{address}/whep", None, 30)
        await client.ask(OFFER)
        async with asyncio.timeout(PATIENCE):
            await client.close()
        assert not [task for task in asyncio.all_tasks() if "WhepClient" in repr(task)]
