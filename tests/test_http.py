"""The node's HTTP server, by a real client; and what it says to a WHEP server."""

import asyncio
import json
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web

from streamcrop.errors import ConfigError, FormatError, SourceError, StreamcropError
from streamcrop.http import RefusedError, WhepClient, serve

OFFER = "v=0\r\n"
SDP = {"Content-Type": "application/sdp"}


class Fake:
    """An endpoint that answers everything."""

    def __init__(self, token: str | None = None) -> None:
        self.token = token
        self.offers: list[str] = []
        self.error: Exception | None = None

    async def open(self, offer: str) -> tuple[str, str]:
        if self.error:
            raise self.error
        self.offers.append(offer)
        return f"s{len(self.offers)}", "v=0\r\nthe answer"

    async def close(self, session: str) -> bool:
        if self.error:
            raise self.error
        return session == f"s{len(self.offers)}"


Ask = Callable[..., Awaitable[tuple[int, Any, str]]]


@asynccontextmanager
async def asking(endpoint: Fake) -> AsyncIterator[Ask]:
    """A server with one stream, ``gate``, and a client of it."""
    async with (
        serve({"gate": endpoint}, host="127.0.0.1", port=0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
    ):

        async def ask(method: str, path: str = "/whip/gate", **how: Any) -> tuple[int, Any, str]:
            async with client.request(method, path, **how) as reply:
                return reply.status, reply.headers, await reply.text()

        yield ask


def test_an_offer_is_answered_and_its_session_ended() -> None:
    """POST gives 201, the answer and a Location that DELETE ends once (RFC 9725, 4.2)."""

    async def main() -> None:
        endpoint = Fake()
        async with asking(endpoint) as ask:
            status, headers, text = await ask("POST", data=OFFER, headers=SDP)
            assert (status, text, endpoint.offers) == (201, "v=0\r\nthe answer", [OFFER])
            assert headers["Content-Type"].startswith("application/sdp")
            assert headers["Location"] == "/whip/gate/s1"
            assert (await ask("DELETE", headers["Location"]))[0] == 200
            assert (await ask("DELETE", "/whip/gate/unknown"))[0] == 404
            assert (await ask("PATCH", headers["Location"]))[0] == 405

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "path", "how", "status"),
    [
        ("POST", "/whip/gate", {"data": OFFER}, 415),
        ("POST", "/whip/gate", {"data": OFFER, "headers": {"Content-Type": "text/plain"}}, 415),
        ("POST", "/whip/gate", {"data": b"\xff\xfe", "headers": SDP}, 400),
        ("POST", "/whip/gate", {"data": b"x" * (64 << 10), "headers": SDP}, 201),
        ("POST", "/whip/gate", {"data": b"x" * (1 << 20), "headers": SDP}, 413),
        ("POST", "/whip/other", {"data": OFFER, "headers": SDP}, 404),
        ("GET", "/whip/other", {}, 404),
        ("OPTIONS", "/whip/other", {}, 404),
        ("DELETE", "/whip/other/s1", {}, 404),
        ("PUT", "/whip/gate", {"data": OFFER, "headers": SDP}, 405),
        ("DELETE", "/whip/gate", {}, 405),
        ("GET", "/whip/gate/s1", {}, 405),
        ("GET", "/", {}, 404),
    ],
)
def test_what_is_wrong_gets_its_status(
    method: str, path: str, how: dict[str, Any], status: int
) -> None:
    """Each wrong request gets the status that says what is wrong with it."""

    async def main() -> None:
        async with asking(Fake()) as ask:
            assert (await ask(method, path, **how))[0] == status

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "method", "path", "status"),
    [
        (FormatError("Expected an SDP offer"), "POST", "/whip/gate", 400),
        (SourceError("The stream does not run"), "POST", "/whip/gate", 503),
        (SourceError("another took its place"), "DELETE", "/whip/gate/s0", 410),
    ],
)
def test_what_the_endpoint_refuses(
    error: StreamcropError, method: str, path: str, status: int
) -> None:
    """Its text reaches the client; 503 says when to come again."""

    async def main() -> None:
        endpoint = Fake()
        endpoint.error = error
        async with asking(endpoint) as ask:
            got, headers, text = await ask(method, path, data=OFFER, headers=SDP)
            assert (got, text) == (status, str(error))
            assert (headers.get("Retry-After") == "1") == (status == 503)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("given", "right"),
    [
        (None, False),
        ("Bearer s3cret", True),
        ("bearer s3cret", True),
        ("Bearer s3cre", False),
        ("Bearer s3crett", False),
        ("Bearer ", False),
        ("Basic s3cret", False),
        ("s3cret", False),
        ("Bearer s3crêt", False),
    ],
)
def test_a_token_is_wanted(given: str | None, right: bool) -> None:
    """Without the right bearer token nothing is opened or closed, and 401 says what is wanted."""

    async def main() -> None:
        endpoint = Fake("s3cret")
        headers = {**SDP, **({"Authorization": given} if given else {})}
        async with asking(endpoint) as ask:
            status, answer, text = await ask("POST", data=OFFER, headers=headers)
            assert status == (201 if right else 401)
            assert (answer.get("WWW-Authenticate") == "Bearer") == (not right)
            assert len(endpoint.offers) == right
            assert "s3cret" not in text
            status, _, _ = await ask("DELETE", "/whip/gate/s1", headers=headers)
            assert status == (200 if right else 401)

    asyncio.run(main())


def test_browsers_of_other_origins_may_publish() -> None:
    """A preflight allows what WHIP needs, and every answer can be read, errors too."""

    async def main() -> None:
        async with asking(Fake("s3cret")) as ask:
            for path in ("/whip/gate", "/whip/gate/s1"):
                status, headers, _ = await ask("OPTIONS", path)
                assert status == 204
                assert headers["Access-Control-Allow-Origin"] == "*"
                assert {"POST", "DELETE"} <= set(
                    headers["Access-Control-Allow-Methods"].split(", ")
                )
                assert "Authorization" in headers["Access-Control-Allow-Headers"]
                assert headers["Accept-Post"] == "application/sdp"
            _, headers, _ = await ask("POST", data=OFFER, headers=SDP)
            assert headers["Access-Control-Allow-Origin"] == "*"
            assert headers["Access-Control-Expose-Headers"] == "Location"

    asyncio.run(main())


def test_the_page_needs_nothing_else() -> None:
    """It is one file: it names no other to load, and may not be put into a frame."""

    async def main() -> None:
        async with asking(Fake("s3cret")) as ask:
            status, headers, text = await ask("GET", "/whip/gate")
            assert status == 200
            assert headers["Content-Type"].startswith("text/html")
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
            assert "http://" not in text
            assert "s3cret" not in text

    asyncio.run(main())


def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends half an offer gets 408."""
    monkeypatch.setattr("streamcrop.http._BODY_TIMEOUT", 0.2)

    async def main() -> None:
        async with serve({"gate": Fake()}, host="127.0.0.1", port=0) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = "POST /whip/gate HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\n"
            writer.write(f"{head}Content-Length: 100\r\n\r\nv=0".encode())
            assert (await reader.readline()).split()[1] == b"408"
            writer.close()

    asyncio.run(main())


def test_a_port_that_is_taken_is_named() -> None:
    """The error names the setting, the port and the cure."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(StreamcropError, match=rf"^http\.port: .*{port}.*choose another"):
                async with serve({"gate": Fake()}, host="127.0.0.1", port=port):
                    pass

    asyncio.run(main())


def test_an_address_that_is_not_ours_is_named() -> None:
    """The error names the setting."""

    async def main() -> None:
        with pytest.raises(StreamcropError, match=r"^http\.host: .*203\.0\.113\.7"):
            async with serve({"gate": Fake()}, host="203.0.113.7", port=0):
                pass

    asyncio.run(main())


def test_tls(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With a certificate it speaks HTTPS and says so; one that cannot be read is named."""
    caplog.set_level(logging.INFO)
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(cert)

    async def main() -> None:
        tls = {"cert": str(cert), "key": str(key)}
        async with serve({"gate": Fake()}, host="127.0.0.1", port=0, **tls) as port:
            context = ssl.create_default_context()
            authority.configure_trust(context)
            async with (
                aiohttp.ClientSession() as client,
                client.get(f"https://127.0.0.1:{port}/whip/gate", ssl=context) as reply,
            ):
                assert reply.status == 200
            assert f"https://127.0.0.1:{port}/whip/gate" in caplog.text
        for wrong in ({**tls, "cert": str(tmp_path / "none")}, {**tls, "key": str(cert)}):
            with pytest.raises(ConfigError, match=r"^http\.cert, http\.key: "):
                async with serve({"gate": Fake()}, host="127.0.0.1", port=0, **wrong):
                    pass

    asyncio.run(main())


@asynccontextmanager
async def server(
    handler: Callable[[web.Request], Awaitable[web.Response]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """An HTTP server of a test; its address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def test_whep_credentials() -> None:
    """A token goes as bearer, a name and a password in the URL as basic; the token wins."""
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, request.headers.get("Authorization")))
        return web.Response(status=201, text="answer", headers={"Location": "../session/1"})

    async def main() -> None:
        async with server(handler) as address:
            for user, token in (("", "s3cret"), ("me:pass@", None), ("me:pass@", "s3cret")):
                client = WhepClient(f"http://{user}{address}/a/b/whep", token, 5)
                assert await client.ask(OFFER) == "answer"
                await client.leave()
                await client.leave()

    asyncio.run(main())
    bearer, basic = "Bearer s3cret", "Basic bWU6cGFzcw=="
    paths = [("POST", "/a/b/whep"), ("DELETE", "/a/session/1")]
    assert seen == [(*path, auth) for auth in (bearer, basic, bearer) for path in paths]


def test_a_whep_server_with_a_certificate() -> None:
    """It is believed by what we were told to believe; else it is not told the token."""
    authority = trustme.CA()
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.method)
        return web.Response(status=201, text="answer", headers={"Location": "/session"})

    async def main() -> None:
        async with server(handler, theirs) as address:
            for tls in (ours, False):
                client = WhepClient(f"https://{address}/whep", "s3cret", 5, tls=tls)
                assert await client.ask(OFFER) == "answer"
                await client.leave()
            host = address.replace("127.0.0.1", "localhost")
            for there, tls in ((address, True), (host, ours)):
                client = WhepClient(f"https://{there}/whep", "s3cret", 5, tls=tls)
                with pytest.raises(SourceError, match=r"certificate is not trusted.*source\.ca"):
                    await client.ask(OFFER)

    asyncio.run(main())
    assert seen == ["POST", "DELETE"] * 2


def test_whep_redirects() -> None:
    """307 and 308 are followed with the offer; another host does not get the token."""
    seen = []

    async def target(request: web.Request) -> web.Response:
        seen.append((request.method, await request.text(), request.headers.get("Authorization")))
        return web.Response(status=201, text="answer", headers={"Location": "/session"})

    async def main() -> None:
        async with server(target) as there:

            async def handler(request: web.Request) -> web.Response:
                if request.path == "/far":
                    raise web.HTTPTemporaryRedirect(f"http://{there}/whep")
                if request.path == "/near":
                    raise web.HTTPPermanentRedirect("/here")
                return await target(request)

            async with server(handler) as address:
                for path in ("near", "far"):
                    client = WhepClient(f"http://{address}/{path}", "s3cret", 5)
                    assert await client.ask(OFFER) == "answer"
                    await client.leave()

    asyncio.run(main())
    assert seen == [
        ("POST", OFFER, "Bearer s3cret"),
        ("DELETE", "", "Bearer s3cret"),
        ("POST", OFFER, None),
        ("DELETE", "", None),
    ]


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        (401, RefusedError, "does not let us in: 401"),
        (403, RefusedError, "does not let us in: 403"),
        (404, SourceError, "does not answer the offer: 404"),
        (200, SourceError, "does not answer the offer: 200"),
        (500, SourceError, "does not answer the offer: 500"),
    ],
)
def test_whep_refusals(status: int, error: type[SourceError], text: str) -> None:
    """What the server says is told, without the URL."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status)

    async def main() -> None:
        async with server(handler) as address:
            client = WhepClient(f"http://me:s3cret@{address}/whep?key=s3cret", None, 5)
            with pytest.raises(error, match=text) as caught:
                await client.ask(OFFER)
            assert "s3cret" not in str(caught.value)
            assert (type(caught.value) is RefusedError) == (error is RefusedError)

    asyncio.run(main())


async def _silent(_: web.Request) -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


async def _endless(_: web.Request) -> web.Response:
    return web.Response(status=201, text="x" * (1 << 20))


async def _bad_location(_: web.Request) -> web.Response:
    return web.Response(status=201, text="x", headers={"Location": "http://[::1"})


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (None, "no connection to the server"),
        (_silent, "no connection to the server: it does not answer in time"),
        (_endless, "it does not end"),
        (_bad_location, "no connection to the server"),
    ],
)
def test_whep_servers_that_misbehave(handler: Any, text: str) -> None:
    """Nobody there, no answer, too long an answer: an error in time, without the URL."""

    async def main() -> None:
        async with server(handler or _silent) as address:
            where = address if handler else "127.0.0.1:1"
            client = WhepClient(f"http://me:s3cret@{where}/whep?s3cret", None, 0.5)
            with pytest.raises(SourceError, match=text) as caught:
                await client.ask(OFFER)
            assert "s3cret" not in json.dumps(str(caught.value))

    asyncio.run(main())


def test_a_whep_server_that_is_gone_does_not_hold_up_the_end() -> None:
    """The goodbye is tried and given up soon."""

    async def handler(request: web.Request) -> web.Response:
        if request.method == "DELETE":
            return await _silent(request)
        return web.Response(status=201, text="answer", headers={"Location": "/session"})

    async def main() -> None:
        async with server(handler) as address:
            client = WhepClient(f"http://{address}/whep", None, 30)
            await client.ask(OFFER)
            async with asyncio.timeout(5):
                await client.leave()

    asyncio.run(main())
