"""Publishers by WHIP, by a real client."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from web.views import Watched, node

from streamcrop.config import Http
from streamcrop.errors import FormatError, SourceError, StreamcropError
from streamcrop.web.server import serve

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
        serve(Http(port=0), {"gate": endpoint}, Watched(node())) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
    ):

        async def ask(method: str, path: str = "/whip/gate", **how: Any) -> tuple[int, Any, str]:
            async with client.request(method, path, **how) as reply:
                return reply.status, reply.headers, await reply.text()

        yield ask


async def test_an_offer_is_answered_and_its_session_ended() -> None:
    """POST gives 201, the answer and a Location that DELETE ends once (RFC 9725, 4.2)."""
    endpoint = Fake()
    async with asking(endpoint) as ask:
        status, headers, text = await ask("POST", data=OFFER, headers=SDP)
        assert (status, text, endpoint.offers) == (201, "v=0\r\nthe answer", [OFFER])
        assert headers["Content-Type"].startswith("application/sdp")
        assert headers["Location"] == "/whip/gate/s1"
        assert (await ask("DELETE", headers["Location"]))[0] == 200
        assert (await ask("DELETE", "/whip/gate/unknown"))[0] == 404
        assert (await ask("PATCH", headers["Location"]))[0] == 405


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
    ],
)
async def test_what_is_wrong_gets_its_status(
    method: str, path: str, how: dict[str, Any], status: int
) -> None:
    """Each wrong request gets the status that says what is wrong with it."""
    async with asking(Fake()) as ask:
        assert (await ask(method, path, **how))[0] == status


@pytest.mark.parametrize(
    ("error", "method", "path", "status"),
    [
        (FormatError("Expected an SDP offer"), "POST", "/whip/gate", 400),
        (SourceError("The stream does not run"), "POST", "/whip/gate", 503),
        (SourceError("another took its place"), "DELETE", "/whip/gate/s0", 410),
    ],
)
async def test_what_the_endpoint_refuses(
    error: StreamcropError, method: str, path: str, status: int
) -> None:
    """Its text reaches the client; 503 says when to come again."""
    endpoint = Fake()
    endpoint.error = error
    async with asking(endpoint) as ask:
        got, headers, text = await ask(method, path, data=OFFER, headers=SDP)
        assert (got, text) == (status, str(error))
        assert (headers.get("Retry-After") == "1") == (status == 503)


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
async def test_a_token_is_wanted(given: str | None, right: bool) -> None:
    """Without the right bearer token nothing is opened or closed, and 401 says what is wanted."""
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


async def test_browsers_of_other_origins_may_publish_with_the_token() -> None:
    """A preflight allows what WHIP needs, and every answer can be read, errors too."""
    async with asking(Fake("s3cret")) as ask:
        for path in ("/whip/gate", "/whip/gate/s1"):
            status, headers, _ = await ask("OPTIONS", path)
            assert status == 204
            assert headers["Access-Control-Allow-Origin"] == "*"
            assert {"POST", "DELETE"} <= set(headers["Access-Control-Allow-Methods"].split(", "))
            assert "Authorization" in headers["Access-Control-Allow-Headers"]
            assert headers["Accept-Post"] == "application/sdp"
        _, headers, _ = await ask("POST", data=OFFER, headers=SDP)
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert headers["Access-Control-Expose-Headers"] == "Location"


async def test_the_page_needs_nothing_else() -> None:
    """It is one file: it names no other to load, and may not be put into a frame."""
    async with asking(Fake("s3cret")) as ask:
        status, headers, text = await ask("GET", "/whip/gate")
        assert status == 200
        assert headers["Content-Type"].startswith("text/html")
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "http://" not in text
        assert "s3cret" not in text


async def test_browsers_of_other_origins_may_not_publish_without_a_token() -> None:
    """Nobody knows whose pages are open in the browsers around the node."""
    endpoint = Fake()
    async with asking(endpoint) as ask:
        foreign = {**SDP, "Origin": "https://evil.example"}
        for method, path in (("OPTIONS", ""), ("POST", ""), ("DELETE", "/s1")):
            status, headers, _ = await ask(method, f"/whip/gate{path}", headers=foreign)
            assert status == 403
            assert not [name for name in headers if name.startswith("Access-Control")]
        rebound = {**SDP, "Host": "evil.example", "Origin": "http://evil.example"}
        assert (await ask("POST", data=OFFER, headers=rebound))[0] == 421
        assert endpoint.offers == []


async def test_no_more_offers_than_can_be_answered() -> None:
    """Thirty at once, then five a second of one address; 429 says when to come again."""
    endpoint = Fake()
    async with asking(endpoint) as ask:
        replies = [await ask("POST", data=OFFER, headers=SDP) for _ in range(90)]
        statuses = [status for status, _, _ in replies]
        assert set(statuses) == {201, 429}
        assert 30 <= len(endpoint.offers) < 60
        assert replies[-1][1]["Retry-After"] == "1"


async def test_who_does_not_know_the_token_takes_nothing_from_who_does() -> None:
    """Wrong tokens do not count against the stream."""
    endpoint = Fake("s3cret")
    async with asking(endpoint) as ask:
        wrong = {**SDP, "Authorization": "Bearer x"}
        for _ in range(15):
            assert (await ask("POST", data=OFFER, headers=wrong))[0] == 401
        right = {**SDP, "Authorization": "Bearer s3cret"}
        assert (await ask("POST", data=OFFER, headers=right))[0] == 201
