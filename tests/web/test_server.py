"""The node's HTTP server: where it listens, and what each answer says."""

import asyncio
import logging
import socket
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from patience import PATIENCE
from web.views import Watched, node

from streamcrop.config import Http
from streamcrop.errors import ConfigError, StreamcropError
from streamcrop.web import server
from streamcrop.web.server import serve


class Fake:
    """An endpoint that nobody comes to."""

    token = None

    async def open(self, offer: str) -> tuple[str, str]:
        raise NotImplementedError

    async def close(self, session: str) -> bool:
        raise NotImplementedError


async def test_a_port_that_is_taken_is_named() -> None:
    """The error names the setting, the port and the cure."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StreamcropError, match=rf"^http\.port: .*{port}.*choose another"):
            async with serve(Http(port=port), {"gate": Fake()}, Watched(node())):
                pass


async def test_an_address_that_is_not_ours_is_named() -> None:
    """The error names the setting."""
    with pytest.raises(StreamcropError, match=r"^http\.host: .*203\.0\.113\.7"):
        async with serve(Http(host="203.0.113.7", port=0), {"gate": Fake()}, Watched(node())):
            pass


async def test_tls(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With a certificate it speaks HTTPS and says so; one that cannot be read is named."""
    caplog.set_level(logging.INFO)
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(cert)
    tls = {"cert": str(cert), "key": str(key)}
    async with serve(Http(port=0, **tls), {"gate": Fake()}, Watched(node())) as port:
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
            async with serve(Http(port=0, **wrong), {"gate": Fake()}, Watched(node())):
                pass


async def test_a_default_port_that_is_taken_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two nodes on one machine both run; where publishers are to come it is an error."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setattr(server, "PORT", port)
        async with serve(Http(), {}, Watched(node())) as got:
            assert got is None
        assert f"http.port: another program listens on 127.0.0.1, port {port}" in caplog.text
        for http, publishers in ((Http(port=port), {}), (Http(), {"gate": Fake()})):
            with pytest.raises(StreamcropError, match=r"^http\.port: another program"):
                async with serve(http, publishers, Watched(node())):
                    pass


@pytest.mark.parametrize("path", ["/whip/gate", "/nowhere", "/whip/nowhere"])
async def test_every_answer_is_careful(path: str) -> None:
    """Errors, too: nothing is kept, guessed, or told of us."""
    async with (
        serve(Http(port=0), {"gate": Fake()}, Watched(node())) as port,
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{port}{path}") as reply,
    ):
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Server"] == "streamcrop"


async def test_what_breaks_the_grammar_ends_the_connection() -> None:
    """Heads that are too long, or no HTTP, or name two hosts or lengths."""
    async with serve(Http(port=0), {}, Watched(node())) as port:
        for head in (
            b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
            b"\x00\x01\x02\r\n\r\n",
            (
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            ),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head)
            async with asyncio.timeout(PATIENCE):
                assert (await reader.read()).split()[1] == b"400"
            writer.close()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({}, "see it: http://"),
        ({"host": "0.0.0.0"}, "closed until you set http.token"),  # noqa: S104  # to be told so
        ({"host": "0.0.0.0", "open": True}, "see it: http://"),  # noqa: S104
        ({"host": "0.0.0.0", "token": "s3cret"}, "see it: http://"),  # noqa: S104
    ],
)
async def test_who_starts_it_is_told_where_it_is(
    caplog: pytest.LogCaptureFixture, how: dict[str, Any], said: str
) -> None:
    """Or why it shows nothing, and what would open it."""
    caplog.set_level(logging.INFO)
    async with serve(Http(port=0, **how), {}, Watched(node())):
        assert said in caplog.text
    assert "s3cret" not in caplog.text
