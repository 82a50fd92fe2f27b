"""Crops to a web server: what it gets, its signature, and what is made of answers."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks import Webhook, WebhookVerificationError

from streamcrop.errors import RejectedError, SinkError
from streamcrop.formats.events import Event
from streamcrop.sinks.webhook import WebhookOutlet

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
ATTRIBUTES = {
    "specversion": "1.0",
    "type": "streamcrop.crop.v1",
    "source": "/streamcrop/edge/gate",
    "id": "gate/1/a",
    "subject": "a",
}


def crop(name: str = "gate/1/a", **more: str) -> Event:
    """A crop's event."""
    said = {**ATTRIBUTES, "id": name, **more}
    return Event("t", b"\xff\xd8picture", "image/jpeg", said, b'{"x":1}', is_crop=True)


class Server:
    """A web server that says what it is told to."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        self.headers: dict[str, str] = {}
        self.delay = 0.0
        self.connections: set[int] = set()

    async def answer(self, request: web.Request) -> web.Response:
        assert request.transport
        self.connections.add(id(request.transport))
        self.got.append((dict(request.headers), await request.read()))
        await asyncio.sleep(self.delay)
        return web.Response(status=self.status, headers=self.headers)


@asynccontextmanager
async def served(
    key: bytes | None = KEY, **how: Any
) -> AsyncIterator[tuple[Server, WebhookOutlet]]:
    """A server, and an outlet to it."""
    server = Server()
    app = web.Application()
    app.router.add_post("/crops", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    outlet = WebhookOutlet(f"http://me:pw@127.0.0.1:{port}/crops", key=key, timeout=5, **how)
    try:
        yield server, outlet
    finally:
        await outlet.close()
        await runner.cleanup()


async def test_what_arrives_is_a_signed_cloud_event() -> None:
    """The libraries of both specifications read it."""
    async with served() as (server, outlet):
        assert await outlet.deliver([crop(spooled="true")], again=True) == 1
        [(found, body)] = server.got
    headers = {name.lower(): value for name, value in found.items()}
    assert headers["content-type"] == "application/cloudevents+json"
    assert headers["webhook-id"] == "gate/1/a"
    assert headers["authorization"].startswith("Basic ")
    assert Webhook(SECRET).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" ", headers)
    event = from_http_event(HTTPMessage(headers, body))
    assert event.get_id() == "gate/1/a"
    assert event.get_data() == b"\xff\xd8picture"
    assert event.get_datacontenttype() == "image/jpeg"
    assert event.get_extension("spooled") == "true"
    assert json.loads(event.get_extension("metadata")) == {"x": 1}


async def test_without_a_secret() -> None:
    """Nothing is signed."""
    async with served(None) as (server, outlet):
        assert await outlet.deliver([crop()], again=False) == 1
        assert "webhook-signature" not in server.got[0][0]


async def test_the_id_is_the_same_at_each_try_and_the_time_is_not() -> None:
    """So a server can drop what it has, and refuse what is old; one connection serves both."""
    now = 1_700_000_000.0
    async with served(clock=lambda: now) as (server, outlet):
        await outlet.deliver([crop()], again=False)
        now += 60
        await outlet.deliver([crop()], again=True)
        first, second = (headers for headers, _ in server.got)
        assert first["webhook-id"] == second["webhook-id"]
        assert [h["webhook-timestamp"] for h in (first, second)] == ["1700000000", "1700000060"]
        assert len(server.connections) == 1


@pytest.mark.parametrize("name", ["gate/é/a", "gate/\u2028/a", "gate/\x01\r\nx: y/a", "a b/%41"])
async def test_any_id_is_a_header(name: str) -> None:
    """And its signature is right."""
    async with served() as (server, outlet):
        assert await outlet.deliver([crop(name)], again=False) == 1
        headers, body = server.got[0]
        assert "x" not in {key.lower() for key in headers}
        assert Webhook(SECRET).verify(body, headers)
        assert json.loads(body)["id"] == name


@pytest.mark.parametrize(
    ("status", "reason"), [(400, "failed"), (413, "too_large"), (422, "failed")]
)
async def test_what_the_server_will_never_take(status: int, reason: str) -> None:
    """It is not tried again."""
    async with served() as (server, outlet):
        server.status = status
        with pytest.raises(RejectedError, match=str(status)) as info:
            await outlet.deliver([crop()], again=False)
        assert info.value.reason == reason


@pytest.mark.parametrize("status", [301, 308, 401, 404, 410, 429, 500, 503])
async def test_what_may_be_mended(status: int) -> None:
    """It is tried again; nobody is led elsewhere, and who says when to come again is heeded."""
    async with served() as (server, outlet):
        server.status = status
        server.headers = {"location": "http://127.0.0.1:1/", "retry-after": "7"}
        with pytest.raises(SinkError, match=str(status)) as info:
            await outlet.deliver([crop()], again=False)
        assert info.value.later == 7
        server.headers = {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}
        with pytest.raises(SinkError) as info:
            await outlet.deliver([crop()], again=False)
        assert info.value.later == 0
        assert len(server.got) == 2


async def test_a_server_that_does_not_answer() -> None:
    """The try ends, and no password is said."""
    async with served() as (server, outlet):
        outlet._timeout = type(outlet._timeout)(total=0.1)
        server.delay = 1
        with pytest.raises(SinkError, match=r"no answer for 0\.1 s"):
            await outlet.deliver([crop()], again=False)
    outlet = WebhookOutlet("http://me:s3cret@127.0.0.1:1/", key=None, timeout=1)
    with pytest.raises(SinkError, match="no answer") as info:
        await outlet.deliver([crop()], again=False)
    assert "s3cret" not in str(info.value)
    await outlet.close()
