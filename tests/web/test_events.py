"""What happens, as it happens."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from fakes import until
from patience import PATIENCE
from web.asking import asking
from web.views import EVIL, crop, node, stream

from streamcrop.web import events


async def told(reply: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    """The events of a stream of them."""
    kind = ""
    async for line in reply.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


async def test_states_and_crops() -> None:
    """The states at once, each crop as it comes, with where its picture is."""
    async with asking(node(stream(), connected=False)) as ask:
        reply = await ask.client.get(f"{ask.base}/api/events")
        assert reply.headers["Content-Type"] == "text/event-stream"
        following = told(reply)
        kind, status = await anext(following)
        assert (kind, status["broker"]) == ("status", {"connected": False})
        assert status["streams"]["gate"]["state"] == "running"
        ask.watched.recent.add("gate", crop(7, label=EVIL))
        kind, found = await anext(following)
        assert kind == "crop"
        assert (found["stream"], found["frame_id"], found["class"]) == ("gate", "7", EVIL)
        assert (await ask(found["picture"]))[2] == "picture"
        reply.close()


@pytest.mark.real_time
async def test_no_more_than_so_many_a_second() -> None:
    """A flood is shown as the newest of it; it costs the flood nothing."""
    async with asking(node(stream())) as ask, ask.client.get(f"{ask.base}/api/events") as reply:
        following = told(reply)
        await anext(following)
        end, numbers, number = time.monotonic() + 1.5, [], 0

        async def flood() -> None:
            nonlocal number
            while time.monotonic() < end:
                number += 1
                ask.watched.recent.add("gate", crop(number))
                await asyncio.sleep(0.002)

        task = asyncio.create_task(flood())
        async for kind, found in following:
            if kind == "crop":
                numbers.append(int(found["frame_id"]))
            if time.monotonic() > end:
                break
        await task
        assert 2 <= len(numbers) <= 9
        assert numbers == sorted(numbers)
        assert number > 100
        assert numbers[-1] > number / 2


async def test_no_more_than_so_many_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused until one has gone."""
    monkeypatch.setattr(events, "_MOST", 3)
    monkeypatch.setattr(events, "_STATUS_EVERY", 0.1)
    async with asking(node(stream())) as ask:
        replies = [await ask.client.get(f"{ask.base}/api/events") for _ in range(3)]
        status, headers, _ = await ask("/api/events")
        assert (status, headers["Retry-After"]) == (503, "10")
        replies[0].close()

        async def is_free() -> bool:
            async with ask.client.get(f"{ask.base}/api/events") as reply:
                return reply.status == 200

        async with asyncio.timeout(PATIENCE):
            while not await is_free():  # noqa: ASYNC110  # a server tells nobody
                await asyncio.sleep(0.05)
        for reply in replies:
            reply.close()


async def test_who_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """And holds up nobody: another client is told meanwhile."""
    monkeypatch.setattr(events, "_TAKEN", 0.3)
    monkeypatch.setattr(events, "_STATUS_EVERY", 0.001)
    many = node(*(stream(f"s{n}", reason="x" * 400) for n in range(50)))
    async with asking(many) as ask:
        port = int(ask.base.rpartition(":")[2])
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ("127.0.0.1", port))
            await loop.sock_sendall(sock, b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await until(lambda: ask.watched.recent._listeners)
            [deaf] = ask.watched.recent._listeners
            async with ask.client.get(f"{ask.base}/api/events") as reply:
                following = told(reply)
                await until(lambda: deaf not in ask.watched.recent._listeners)
                assert (await anext(following))[0] == "status"
