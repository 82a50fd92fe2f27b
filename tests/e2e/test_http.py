"""`streamcrop run` and its HTTP server, met by whoever means harm."""

import asyncio
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest
from patience import PATIENCE
from peers import Camera, Client, Mosquitto, Node, free_port, settings

pytestmark = [pytest.mark.e2e, pytest.mark.real_time]
HEAD = b"POST /whip/door HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\n"

TIMEOUT = aiohttp.ClientTimeout(total=PATIENCE)


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[Camera]:
    """A real RTSP server."""
    found = Camera(tmp_path)
    yield found
    found.kill()


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """What is started has 256 of them, and the test has many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_descriptors")
async def test_1200_half_open_requests_take_neither_camera_nor_broker(
    broker: Mosquitto, camera: Camera, tmp_path: Path
) -> None:
    """While they are held, both come back after they were gone, and HTTP answers others."""
    chosen = settings(broker.url, "", source={"url": camera.url}, pairing={"key": "utc"})
    chosen["http"] = {"port": (port := free_port())}
    chosen["streams"]["door"] = {
        "source": {"url": "whip:"},
        "detections": {"topic": "detections/door"},
        "pairing": {"key": "arrival"},
    }
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    async def attack() -> None:
        """1,200 half-open requests, from 200 addresses, each begun again when it was let go."""
        loop = asyncio.get_running_loop()

        async def one(address: str) -> None:
            while True:
                with socket.socket() as sock:
                    sock.setblocking(False)
                    sock.bind((address, 0))
                    try:
                        await loop.sock_connect(sock, ("127.0.0.1", port))
                        await loop.sock_sendall(sock, HEAD)
                        await loop.sock_recv(sock, 1)
                    except OSError:
                        await asyncio.sleep(0.05)

        async with asyncio.TaskGroup() as tasks:
            for number in range(1200):
                tasks.create_task(one(f"127.0.1.{1 + number % 200}"))

    async def page() -> int:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{port}/whip/door", timeout=TIMEOUT) as reply,
        ):
            return reply.status

    with Node(tmp_path, chosen) as node:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
        async with Client(broker.port) as client:
            await client.until_running()
        task = asyncio.create_task(attack())
        await asyncio.sleep(3)
        process = psutil.Process(node.process.pid)
        assert process.num_fds() < 160
        broker.kill()
        camera.kill()
        await asyncio.sleep(1)
        broker.start()
        await asyncio.to_thread(camera.start)
        async with Client(broker.port) as client:
            await client.until(lambda: client.states()[-1:] == ["running"])
        assert await page() == 200
        assert process.num_fds() < 160
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        node.stop()
        code, said = await asyncio.to_thread(node.wait)
    assert code == 0, said
    assert "Too many open files" not in said
