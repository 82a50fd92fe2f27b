"""Crops to a bucket: real HTTP to a server that keeps what it gets, and can fail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from streamcrop.errors import SinkError
from streamcrop.formats.events import Event
from streamcrop.sinks.s3 import S3Outlet

KEY = "{stream}/{date}/{frame_id}/{detection_id}"


def crop(frame_id: str = "7", detection_id: str = "a") -> Event:
    """A crop's event."""
    name = (frame_id, detection_id)
    return Event("t", b"picture", "image/jpeg", {"id": "x"}, b'{"x":1}', is_crop=True, name=name)


class Server:
    """A bucket."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.order: list[str] = []
        self.status = 200
        self.signed: list[str] = []

    async def put(self, request: web.Request) -> web.Response:
        self.signed.append(request.headers.get("authorization", ""))
        if self.status == 200:
            self.order.append(request.rel_url.raw_path)
            body = await request.read()
            self.objects[request.rel_url.raw_path] = body, request.headers["content-type"]
        return web.Response(status=self.status, headers={"etag": '"1"'})


@asynccontextmanager
async def bucket(
    monkeypatch: pytest.MonkeyPatch, prefix: str = "site", **how: Any
) -> AsyncIterator[tuple[Server, S3Outlet]]:
    """A server, and an outlet to it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    server = Server()
    app = web.Application()
    app.router.add_put("/{key:.*}", server.put)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    settings = {
        "endpoint": f"http://127.0.0.1:{runner.addresses[0][1]}",
        "region": "eu-central-1",
        "allow_http": True,
        "key": KEY,
        "stream": "gate",
        "suffix": ".jpg",
        **how,
    }
    outlet = S3Outlet("crops", prefix, **settings)
    try:
        yield server, outlet
    finally:
        await outlet.close()
        await runner.cleanup()


async def deliver(outlet: S3Outlet, event: Event) -> None:
    """Take an event, and deliver it."""
    taken = outlet.take(event)
    assert taken
    assert await outlet.deliver([taken], again=False) == 1


async def test_a_picture_and_its_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside each other, the metadata first; the request is signed."""
    async with bucket(monkeypatch, clock=lambda: 1_795_900_000.0) as (server, outlet):
        await deliver(outlet, crop())
        place = "/crops/site/gate/2026-11-28/7/a"
        assert server.order == [f"{place}.json", f"{place}.jpg"]
        assert server.objects[f"{place}.jpg"] == (b"picture", "image/jpeg")
        assert server.objects[f"{place}.json"] == (b'{"x":1}', "application/json")
        assert all("Credential=me/" in signed for signed in server.signed)
        assert not any("s3cret" in signed for signed in server.signed)


async def test_the_day_is_that_on_which_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """However late it is delivered: each try has the same key."""
    now = 1_795_900_000.0
    async with bucket(monkeypatch, "", clock=lambda: now) as (server, outlet):
        taken = outlet.take(crop())
        assert taken
        now += 86_400
        await outlet.deliver([taken], again=True)
        assert server.order[1] == "/crops/gate/2026-11-28/7/a.jpg"


async def test_what_is_no_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not taken."""
    async with bucket(monkeypatch) as (_, outlet):
        assert outlet.take(Event("t", b"{}", "application/json", {})) is None


HOSTILE = [
    "..",
    "../../x",
    "a/b",
    "a%2Fb",
    "é",
    ".",
    " ",
    "x" * 300,
    "x" * 299 + "y",
    "\x01",
    "a\\b",
]


async def test_hostile_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ID leaves its place, and each has its own."""
    async with bucket(monkeypatch) as (server, outlet):
        for name in HOSTILE:
            await deliver(outlet, crop(name, name))
        pictures = [path for path in server.objects if path.endswith(".jpg")]
        assert len(set(pictures)) == len(HOSTILE)
        assert all(path.startswith("/crops/site/gate/") for path in pictures)
        assert all(path.count("/") == 6 for path in pictures)
        assert not [path for path in pictures if "/../" in path or "/./" in path]


@pytest.mark.parametrize("status", [403, 404, 500, 503])
async def test_a_server_that_refuses(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """It is tried again, by us alone; what is said is a line without a credential."""
    async with bucket(monkeypatch) as (server, outlet):
        server.status = status
        taken = outlet.take(crop())
        assert taken
        with pytest.raises(SinkError) as info:
            await outlet.deliver([taken], again=False)
        assert len(server.signed) == 1
        assert "\n" not in str(info.value)
        assert "s3cret" not in str(info.value)
        server.status = 200
        assert await outlet.deliver([taken], again=True) == 1


async def test_a_server_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known at once, and the loop turns meanwhile."""
    async with bucket(monkeypatch, endpoint="http://127.0.0.1:1") as (_, outlet):
        taken = outlet.take(crop())
        assert taken
        trying = asyncio.ensure_future(outlet.deliver([taken], again=False))
        await asyncio.sleep(0)
        assert not trying.done()
        with pytest.raises(SinkError):
            await trying
