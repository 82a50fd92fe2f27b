"""Who gets a connection: half-open ones by the thousand, slow ones, and those who do not fetch."""

import asyncio
import resource
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress

import pytest
import trustme
from aiohttp import web
from fakes import until
from patience import FOR_EVER, PATIENCE

from streamcrop.web.gate import Gate, bind

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
LONG = b"x" * (4 << 20)


@pytest.fixture(autouse=True)
def descriptors() -> AsyncIterator[None]:
    """Attackers need descriptors of their own, in this same process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def serving(gate: Gate, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that says hello, or something long, or waits until it is asked to end."""
    ending = asyncio.Event()

    async def hello(request: web.Request) -> web.Response:
        if request.path == "/wait":
            await ending.wait()
        return web.Response(body=LONG if request.path == "/long" else b"hello")

    app = web.Application(middlewares=[gate.middleware])
    app.router.add_get("/{path:.*}", hello)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    listeners = await bind("127.0.0.1", 0)
    try:
        async with gate.accepting(listeners, runner.server, tls):
            yield listeners[0].getsockname()[1]
    finally:
        ending.set()
        await runner.cleanup()
        await gate.close()


async def asked(port: int, path: str = "/", source: str = "127.0.0.1") -> bytes:
    """The body of an answer, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    writer.write(b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path.encode())
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2]


async def half_open(port: int, count: int, stack: ExitStack, source: str = "") -> None:
    """Connections that begin a request and never end it."""
    loop = asyncio.get_running_loop()
    for number in range(count):
        sock = stack.enter_context(socket.socket())
        sock.setblocking(False)
        sock.bind((source or f"127.0.1.{1 + number % 200}", 0))
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, HEAD)


@pytest.mark.parametrize("source", ["127.0.0.1", ""], ids=["one address", "200 addresses"])
async def test_1200_half_open_requests_shut_nobody_out(source: str) -> None:
    """No more are held than the cap, and somebody else is answered meanwhile, not at their end."""
    gate = Gate(idle=FOR_EVER)
    with ExitStack() as stack:
        async with serving(gate) as port:
            attack = asyncio.create_task(half_open(port, 1200, stack, source))
            most = 0
            while not attack.done():
                assert await asked(port) == b"hello"
                most = max(most, len(gate))
            await attack
            assert 32 < most <= (65 if source else 257)


async def test_half_open_requests_are_let_go() -> None:
    """All of them, however many there are."""
    gate = Gate(idle=0.5)
    with ExitStack() as stack:
        async with serving(gate) as port:
            await half_open(port, 200, stack)
            await until(lambda: len(gate) == 0)


async def test_a_request_in_hand_is_not_ended_for_a_newcomer() -> None:
    """Where all have one, the newcomer is refused; they get their answers."""
    gate = Gate(most=3, idle=0.3)
    async with serving(gate) as port:
        waiting = [asyncio.create_task(asked(port, "/wait")) for _ in range(3)]
        await until(lambda: sum(held.in_hand for held in gate._held.values()) == 3)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
        # Far longer than the time for which one may be idle.
        await asyncio.sleep(1)
        assert not any(task.done() for task in waiting)
    assert await asyncio.gather(*waiting) == [b"hello"] * 3


async def test_the_one_without_a_request_for_longest_goes() -> None:
    """The connection that was used last stays."""
    async with serving(Gate(most=2)) as port:
        used, idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for reader, writer in (idle, used):
            writer.write(HEAD + b"\r\n")
            await reader.readuntil(b"hello")
        assert await asked(port) == b"hello"
        assert await idle[0].read() == b""
        used[1].write(HEAD + b"\r\n")
        assert await used[0].readuntil(b"hello")
        for _, writer in (used, idle):
            writer.close()


async def test_the_address_that_has_the_most_gives_up_first() -> None:
    """One that waits alone stays, although it waits for longest."""
    async with serving(Gate(most=4)) as port:
        alone = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.1.1", 0))
        with ExitStack() as stack:
            for _ in range(4):
                await half_open(port, 3, stack, "127.0.1.2")
            alone[1].write(HEAD + b"\r\n")
            assert await alone[0].readuntil(b"hello")
            alone[1].close()


@pytest.mark.parametrize(
    "sent", [b"", HEAD, b"\x16\x03\x01", HEAD + b"\r\n"], ids=["none", "half", "TLS", "for later"]
)
async def test_who_asks_nothing_is_let_go(sent: bytes) -> None:
    """Before the first request, in the middle of its head, and after it."""
    gate = Gate(idle=0.4)
    async with serving(gate) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        async with asyncio.timeout(PATIENCE):
            await reader.read()
        await until(lambda: len(gate) == 0)
        writer.close()


async def test_a_head_that_drips_is_let_go() -> None:
    """A byte now and then does not begin the time anew."""
    gate = Gate(idle=0.5)
    async with serving(gate) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD)
        async with asyncio.timeout(PATIENCE):
            while len(gate):
                writer.write(b"x")
                await asyncio.sleep(0.05)
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()


async def test_who_does_not_fetch_the_answer_is_let_go() -> None:
    """A long answer that nobody reads holds its connection no longer than silence does."""
    gate = Gate(idle=0.4)
    async with serving(gate) as port:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ("127.0.0.1", port))
            await loop.sock_sendall(sock, b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await until(lambda: len(gate) == 1)
            await until(lambda: len(gate) == 0)


async def test_tls_that_is_never_agreed_upon_is_let_go() -> None:
    """It counts from the beginning; who agrees upon it is answered meanwhile."""
    authority = trustme.CA()
    server, client = (
        ssl.create_default_context(purpose)
        for purpose in (ssl.Purpose.CLIENT_AUTH, ssl.Purpose.SERVER_AUTH)
    )
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    gate = Gate(most=8, idle=0.5)
    with ExitStack() as stack:
        async with serving(gate, server) as port:
            await half_open(port, 30, stack, "127.0.0.1")
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=client, server_hostname="localhost"
            )
            writer.write(HEAD + b"\r\n")
            assert await reader.readuntil(b"hello")
            assert len(gate) <= 9
            writer.close()
            await until(lambda: len(gate) == 0)


@pytest.mark.parametrize(("soft", "most"), [(4096, 256), (1024, 256), (256, 64), (80, 20)])
def test_http_holds_a_part_of_the_descriptors(soft: int, most: int) -> None:
    """A quarter at most; cameras, the broker and files have the others."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        assert Gate()._most == most
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.real_time
async def test_what_cannot_be_accepted_is_accepted_later() -> None:
    """Without a descriptor left nothing is lost but time."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serving(Gate()) as port:
        assert await asked(port) == b"hello"
        with socket.socket() as sock:
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ("127.0.0.1", port))
            await loop.sock_sendall(sock, HEAD + b"\r\n")
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
            try:
                await asyncio.sleep(0.6)
            finally:
                # Else all tests behind this one would fail, too.
                resource.setrlimit(resource.RLIMIT_NOFILE, before)
            async with asyncio.timeout(PATIENCE):
                assert b"200 OK" in await loop.sock_recv(sock, 4096)


async def test_a_name_with_several_addresses() -> None:
    """It listens at each of them; a port that is taken leaves no socket open."""
    listeners = await bind("localhost", 0)
    assert {sock.getsockname()[0] for sock in listeners} <= {"127.0.0.1", "::1"}
    with pytest.raises(OSError, match="in use"):
        await bind("127.0.0.1", listeners[0].getsockname()[1])
    for sock in listeners:
        sock.close()
