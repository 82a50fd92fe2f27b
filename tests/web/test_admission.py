"""Who is let in, by real requests: names, origins, tokens, and bodies that do not end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from patience import PATIENCE

from streamcrop.web.admission import COOKIE, Admission, session_of

TOKEN = "s3cret"  # noqa: S105  # of these tests
OWN = "0wn"
Ask = Callable[..., Awaitable[tuple[int, Any, str]]]


@asynccontextmanager
async def asking(**how: Any) -> AsyncIterator[Ask]:
    """Who asks a server that answers all who are let in with what they sent."""
    chosen = {"token": None, "guarded": True, "public": {"/healthz"}, "files": {"/page.css"}, **how}
    admission = Admission(
        own=lambda request: OWN if request.path.startswith("/own") else None, **chosen
    )

    async def login(request: web.Request) -> web.Response:
        return admission.login(request, await request.text()) or web.Response(status=401)

    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=f"in: {await request.text()}")

    app = web.Application(client_max_size=1000, middlewares=[admission.middleware])
    app.router.add_post("/healthz", login)
    app.router.add_route("*", "/{path:.*}", echo)
    runner = web.AppRunner(app, access_log=None, lingering_time=0.1, shutdown_timeout=0.1)
    await runner.setup()
    await (site := web.TCPSite(runner, "127.0.0.1", 0)).start()
    port = site._server.sockets[0].getsockname()[1]
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", cookie_jar=jar) as client:

        async def ask(path: str = "/", method: str = "GET", **how: Any) -> tuple[int, Any, str]:
            how.setdefault("allow_redirects", False)
            async with client.request(method, path, **how) as reply:
                return reply.status, reply, await reply.text()

        yield ask
    await runner.cleanup()


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:8088", True),
        ("192.0.2.7:80", True),
        ("[::1]:8088", True),
        ("[2001:db8::1]", True),
        ("localhost", True),
        ("LocalHost:8088", True),
        ("edge.local:8088", True),
        ("EDGE.local", True),
        ("evil.example", False),
        ("evil.example:8088", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("edge.local.evil.example", False),
        ("evil.example#localhost", False),
        ("evil.example/localhost", False),
        ("user@localhost", False),
        ("localhost:evil", False),
        ("[::1", False),
        ("::1", False),
        ("", False),
    ],
)
async def test_dns_rebinding_meets_a_closed_door(host: str, ours: bool) -> None:
    """After it the Host header holds the other site's name, and nothing is answered."""
    async with asking(hosts=["Edge.local"]) as ask:
        for path in ("/", "/healthz"):
            status, _, text = await ask(path, headers={"Host": host})
            assert (status == 200) == ours, (path, status)
            assert ("in: " in text) == ours
            if not ours and status != 400:
                assert (status, "http.hosts" in text) == (421, True)
        # Its files tell nobody anything, and a token of the stream's own decides alone.
        if status != 400:
            assert (await ask("/page.css", headers={"Host": host}))[0] == 200
            assert (await ask("/own", headers={"Host": host}))[0] == 200


async def test_no_host_is_no_browser() -> None:
    """HTTP/1.0 knows none, and a monitor may speak it."""
    async with asking() as ask:
        _, reply, _ = await ask()
        reader, writer = await asyncio.open_connection("127.0.0.1", reply.url.port)
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert (await reader.read()).split()[1] == b"200"
        writer.close()


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8088", 200),
        ("https://127.0.0.1:8088", 200),
        ("https://edge.local", 200),
        ("http://127.0.0.1:9999", 403),
        ("http://127.0.0.1", 403),
        ("http://localhost", 403),
        ("https://evil.example", 403),
        ("https://edge.local.evil.example", 403),
        ("http://[", 403),
        ("null", 403),
        ("", 403),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
async def test_pages_of_other_sites_send_nothing(origin: str, status: int, method: str) -> None:
    """Not even a preflight; the same origin, and one that we were told, may."""
    async with asking(hosts=["edge.local"]) as ask:
        headers = {"Origin": origin, "Host": "127.0.0.1:8088"}
        assert (await ask(method=method, headers=headers))[0] == status


@pytest.mark.parametrize(
    ("headers", "right"),
    [
        ({}, False),
        ({"Authorization": f"Bearer {TOKEN}"}, True),
        ({"Authorization": f"bearer  {TOKEN} "}, True),
        ({"Authorization": f"Basic {TOKEN}"}, False),
        ({"Authorization": "Bearer s3cre"}, False),
        ({"Authorization": "Bearer s3crêt"}, False),
        ({"Authorization": f"Bearer {session_of(TOKEN)}"}, False),
        ({"Cookie": f"{COOKIE}={session_of(TOKEN)}"}, True),
        ({"Cookie": f"{COOKIE}={TOKEN}"}, False),
        ({"Cookie": f"{COOKIE}={session_of('')}"}, False),
        ({"Cookie": f"other={session_of(TOKEN)}"}, False),
    ],
)
async def test_the_token_opens(headers: dict[str, str], right: bool) -> None:
    """As a bearer token, or as what the form left with the browser."""
    async with asking(token=TOKEN) as ask:
        status, reply, text = await ask(headers=headers)
        assert status == (200 if right else 401)
        assert TOKEN not in text
        assert (reply.headers.get("WWW-Authenticate") == "Bearer") == (not right)
        assert (await ask("/healthz", headers=headers))[0] == 200


async def test_a_browser_without_the_token_is_shown_the_form() -> None:
    """A person sees where to put it; what the form leaves behind no script can read."""
    async with asking(token=TOKEN) as ask:
        status, reply, _ = await ask(headers={"Accept": "text/html,*/*;q=0.8"})
        assert (status, reply.headers["Location"]) == (303, "/login")
        assert (await ask("/healthz", "POST", data="wrong"))[0] == 401
        status, reply, _ = await ask("/healthz", "POST", data=f" {TOKEN}\n")
        assert (status, reply.headers["Location"]) == (303, "/")
        cookie = reply.headers["Set-Cookie"]
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert TOKEN not in cookie
        value = cookie.partition(";")[0]
        assert (await ask(headers={"Cookie": value}))[0] == 200


async def test_beyond_this_machine_it_is_closed_until_it_is_said() -> None:
    """It says what would open it; health needs nothing, and a stream's own token decides alone."""
    async with asking(guarded=False) as ask:
        status, _, text = await ask()
        assert status == 403
        assert "http.token" in text
        assert "http.open: true" in text
        assert (await ask("/healthz"))[0] == 200
        own = {"Authorization": f"Bearer {OWN}"}
        assert (await ask("/own", "POST", headers=own))[0] == 200
        assert (await ask("/own", "POST"))[0] == 401


async def test_tokens_are_not_guessed() -> None:
    """After some wrong ones an address gets no answer to its next, not even to the right one."""
    async with asking(token=TOKEN) as ask:
        for path in ("/", "/own"):
            wrong = {"Authorization": "Bearer x"}
            statuses = [(await ask(path, "POST", headers=wrong))[0] for _ in range(30)]
            assert set(statuses) <= {401, 429}
        assert statuses[-1] == 429
        right = {"Authorization": f"Bearer {TOKEN}"}
        status, reply, _ = await ask(headers=right)
        assert (status, reply.headers["Retry-After"]) == (429, "5")
        assert (await ask("/healthz", "POST", data=TOKEN))[0] == 429


async def test_who_shows_nothing_or_the_right_one_is_not_counted() -> None:
    """A page that asks every second is no guesser."""
    async with asking(token=TOKEN) as ask:
        right = {"Authorization": f"Bearer {TOKEN}"}
        for headers in ({}, right):
            for _ in range(40):
                assert (await ask(headers=headers))[0] == (200 if headers else 401)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("POST / HTTP/1.1\r\nContent-Length: 100\r\n", b"408"),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", b"408"),
        ("GET / HTTP/1.1\r\nContent-Length: 100\r\n", b"408"),
        ("POST / HTTP/1.1\r\nContent-Length: 100000\r\n", b"413"),
        ("POST /nowhere HTTP/1.1\r\nContent-Length: 100\r\n", b"408"),
    ],
)
async def test_a_body_that_never_ends_is_given_up(
    monkeypatch: pytest.MonkeyPatch, head: str, status: bytes
) -> None:
    """Whatever was asked; a byte now and then does not begin the time anew."""
    monkeypatch.setattr("streamcrop.web.admission.BODY_TIMEOUT", 0.4)
    async with asking() as ask:
        _, reply, _ = await ask()
        reader, writer = await asyncio.open_connection("127.0.0.1", reply.url.port)
        writer.write(f"{head}Host: localhost\r\n\r\n".encode())
        answer = asyncio.create_task(reader.readline())
        async with asyncio.timeout(PATIENCE):
            while not answer.done():
                writer.write(b"x" * 50 if status == b"413" else b"1\r\nx\r\n"[:1])
                await asyncio.sleep(0.1)
        assert (await answer).split()[1] == status
        writer.close()
