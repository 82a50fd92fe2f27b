"""Who gets a connection: a bounded number of them, and each for as long as it asks something.

aiohttp waits without end for a request's head and takes any number of connections (3.14). So the
gate accepts them itself, with one rule: none is without a request for longer than `IDLE`, and at a
cap the address that has the most gives up the one that has been without for longest. A client that
never finishes its head, one that keeps its connection for later, and one that does not fetch its
answer are the same to it.
"""

import asyncio
import logging
import resource
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext

from aiohttp import web

from streamcrop.rates import Rate

logger = logging.getLogger(__name__)

# Seconds that a connection may have no request in hand; TLS has to be agreed upon within it, too.
IDLE = 10.0
# Connections, and those of one address: a browser opens six, a proxy some for each who is behind.
_MOST, _OF_ONE = 256, 64
# The part of the descriptors that HTTP may hold; cameras, the broker and files have the others.
_SHARE = 4
# So many are accepted in a second, and at once: a flood takes a small part of the loop's time.
_A_SECOND, _AT_ONCE = 1000, 256
# Until it is tried again, where the system has no descriptor or memory left.
_AGAIN = 0.25
_BACKLOG = 1024


@dataclass(slots=True, eq=False)
class _Held:
    """A connection."""

    sock: socket.socket
    address: str
    since: float = field(default_factory=time.monotonic)
    in_hand: int = 0
    transport: asyncio.Transport | None = None
    opening: asyncio.Task[None] | None = None

    @property
    def closed(self) -> bool:
        return self.sock.fileno() < 0

    def opened(self) -> None:
        """Let go of it where it did not come to a transport, which would close it."""
        self.opening = None
        if self.transport is None:
            self.sock.close()

    def end(self) -> None:
        """Close it, whatever it has not fetched."""
        if self.transport:
            self.transport.abort()
        elif self.opening:
            self.opening.cancel()


class Gate:
    """Accepts connections for an aiohttp server.

    Args:
        most: How many there may be at once; None: 256, and no more than a quarter of the
            descriptors that this process may open.
        of_one: How many of them one address may have.
        idle: Seconds that each may be without a request.
    """

    def __init__(
        self, *, most: int | None = None, of_one: int = _OF_ONE, idle: float = IDLE
    ) -> None:
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        share = _MOST if soft == resource.RLIM_INFINITY else max(1, soft // _SHARE)
        self._most = most or min(_MOST, share)
        self._of_one = of_one
        self._idle = idle
        self._held: dict[int, _Held] = {}

    def __len__(self) -> int:
        """How many connections there are."""
        self._forget_closed()
        return len(self._held)

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Let a connection be as long as it has a request in hand."""
        sock = request.transport.get_extra_info("socket") if request.transport else None
        held = self._held.get(sock.fileno()) if sock else None
        if held is None:
            return await handler(request)
        held.in_hand += 1
        try:
            return await handler(request)
        finally:
            held.in_hand -= 1
            held.since = time.monotonic()

    @asynccontextmanager
    async def accepting(
        self, listeners: list[socket.socket], server: web.Server, tls: SSLContext | None
    ) -> AsyncIterator[None]:
        """Accept connections, until the block ends; then the sockets are closed.

        Args:
            listeners: As from `bind`.
            server: Who gets them.
            tls: For HTTPS.
        """
        tasks = [asyncio.create_task(self._sweep(), name="http sweep")]
        tasks += [
            asyncio.create_task(self._accept(each, server, tls), name="http accept")
            for each in listeners
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for listener in listeners:
                listener.close()

    async def close(self) -> None:
        """End what connections are left."""
        for held in self._held.values():
            held.end()
        opening = [held.opening for held in self._held.values() if held.opening]
        await asyncio.gather(*opening, return_exceptions=True)
        # What was aborted is closed in the loop's next round.
        await asyncio.sleep(0)

    async def _accept(
        self, listener: socket.socket, server: web.Server, tls: SSLContext | None
    ) -> None:
        loop, rate = asyncio.get_running_loop(), Rate(_A_SECOND, _AT_ONCE)
        while True:
            try:
                sock, peer = await loop.sock_accept(listener)
                self._admit(sock, str(peer[0]), server, tls)
                await asyncio.sleep(0 if rate.allows() else 1 / _A_SECOND)
            except OSError as error:
                logger.debug("no connection can be accepted: %s", error)
                await asyncio.sleep(_AGAIN)
            except Exception:
                logger.exception("a connection could not be accepted; the next ones are")
                await asyncio.sleep(_AGAIN)

    def _admit(
        self, sock: socket.socket, address: str, server: web.Server, tls: SSLContext | None
    ) -> None:
        self._forget_closed()
        if not (self._make_room(self._of_one, address) and self._make_room(self._most)):
            sock.close()
            return
        held = _Held(sock, address)
        self._held[sock.fileno()] = held
        held.opening = asyncio.create_task(self._open(held, server, tls), name="http open")
        # A task that is cancelled before it began runs no `finally`.
        held.opening.add_done_callback(lambda _: held.opened())

    def _make_room(self, cap: int, address: str | None = None) -> bool:
        """End one of an address, or of all, where there are so many; False: all have a request."""
        group = [held for held in self._held.values() if address in {None, held.address}]
        if len(group) < cap:
            return True
        idle = [held for held in group if not held.in_hand]
        if not idle:
            return False
        of = Counter(held.address for held in group)
        chosen = min(idle, key=lambda held: (-of[held.address], held.since))
        chosen.end()
        del self._held[chosen.sock.fileno()]
        return True

    async def _open(self, held: _Held, server: web.Server, tls: SSLContext | None) -> None:
        try:
            held.transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                server, held.sock, ssl=tls, ssl_handshake_timeout=self._idle if tls else None
            )
        except OSError as error:  # of which ssl.SSLError is one
            logger.debug("no connection with %s: %s", held.address, error)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self._idle / 4))
            self._forget_closed()
            late = time.monotonic() - self._idle
            for held in self._held.values():
                if not held.in_hand and held.since < late:
                    held.end()

    def _forget_closed(self) -> None:
        self._held = {number: held for number, held in self._held.items() if not held.closed}


async def bind(host: str, port: int) -> list[socket.socket]:
    """Listen at each address that a name has.

    Args:
        host: An address of this machine, or a name of one.
        port: 0: any that is free.

    Raises:
        OSError: If it cannot listen there.
    """
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    listeners: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            listeners.append(socket.create_server(address, family=family, backlog=_BACKLOG))
            listeners[-1].settimeout(0)
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners
