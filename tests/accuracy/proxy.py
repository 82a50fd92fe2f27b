"""An RTSP proxy that does to a stream what networks and cameras' clocks do.

Over TCP and UDP each session gets the sender reports that its `Pace` lets pass, rewritten to the
camera's clock at their own time; on UDP datagrams are lost and delayed as well. It needs no
privileges.
"""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self, cast

from accuracy.clock import CameraClock, Pace, Reports

_PORTS = re.compile(rb"(client|server)_port=(\d+)-(\d+)")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclass(frozen=True)
class Faults:
    """What happens to datagrams.

    Attributes:
        lose: The share that is lost.
        delay: At most so many seconds, each at random.
        swap: Whether a datagram may overtake another.
    """

    lose: float = 0.0
    delay: float = 0.0
    swap: bool = False


async def _units(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """RTSP messages and interleaved packets, whole."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            unit = await reader.readexactly(4)
            if unit[:1] == b"$":
                yield unit + await reader.readexactly(int.from_bytes(unit[2:], "big"))
                continue
            unit += await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(unit)
            yield unit + await reader.readexactly(int(length[1]) if length else 0)


class _Relay(asyncio.DatagramProtocol):
    """Carries RTP or RTCP of one session between the server's port and the client's."""

    def __init__(self, proxy: "Proxy", client: int, reports: Reports | None) -> None:
        self._proxy = proxy
        self.client = client
        self._reports = reports
        self._last = 0.0
        self.server = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if address[1] == self.client:
            self.transport.sendto(data, ("127.0.0.1", self.server))
            return
        faults, loop, chance = self._proxy.faults, asyncio.get_running_loop(), self._proxy.chance
        if chance() < faults.lose:
            return
        if self._reports and not (data := self._reports.carry(data, loop.time())):
            return
        due = loop.time() + chance() * faults.delay
        if not faults.swap:
            due = self._last = max(self._last, due)
        loop.call_at(due, self._hand_over, data)

    def _hand_over(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.sendto(data, ("127.0.0.1", self.client))


class Proxy:
    """Listens for RTSP clients of a server.

    Args:
        server: Its port.
        faults: What happens to datagrams.
        clock: The camera's.
        pace: Of the reports, for each session by itself.
        seed: For what is left to chance.
    """

    def __init__(
        self, server: int, faults: Faults, clock: CameraClock, pace: Pace, seed: int
    ) -> None:
        self.faults, self._clock, self._pace = faults, clock, pace
        self._server = server
        self._random = random.Random(seed)
        self.chance = self._random.random
        self._sessions: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """End together with the clients, who must be gone by now."""
        self._listener.close()
        await asyncio.gather(*self._sessions)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._sessions.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relays: list[_Relay] = []
        reports = Reports(self._clock, self._pace, self._random)
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._server)
        except OSError:
            writer.close()
            return

        async def request(unit: bytes) -> bytes:
            if ports := _PORTS.search(unit):
                both = (int(ports[2]), None), (int(ports[3]), reports)
                relays.extend([await self._relay(*each) for each in both])
                unit = unit.replace(ports[0], b"client_port=%d-%d" % tuple(r.port for r in relays))
            return unit

        async def response(unit: bytes) -> bytes:
            if unit[:1] == b"$":
                return _interleaved(unit, reports)
            for ports in _PORTS.finditer(unit):
                if ports[1] == b"server":
                    relays[0].server, relays[1].server = int(ports[2]), int(ports[3])
                    own = [relay.port for relay in relays]
                else:
                    own = [relay.client for relay in relays]
                unit = unit.replace(ports[0], b"%s_port=%d-%d" % (ports[1], *own))
            return unit

        ways = [(reader, up_writer, request), (up_reader, writer, response)]
        tasks = [asyncio.create_task(_carry(*way)) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for end in (writer, up_writer, *(relay.transport for relay in relays)):
            end.close()

    async def _relay(self, client: int, reports: Reports | None) -> _Relay:
        loop = asyncio.get_running_loop()
        _, relay = await loop.create_datagram_endpoint(
            lambda: _Relay(self, client, reports), ("127.0.0.1", 0)
        )
        return relay


def _interleaved(unit: bytes, reports: Reports) -> bytes:
    """A packet between RTSP messages; those of RTCP have odd channels (RFC 2326, 10.12)."""
    if not unit[1] % 2:
        return unit
    told = reports.carry(unit[4:], asyncio.get_running_loop().time())
    return unit[:4] + told if told else b""


async def _carry(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    change: Callable[[bytes], "asyncio.Future[bytes]"],
) -> None:
    async for unit in _units(reader):
        writer.write(await change(unit))
        with suppress(ConnectionError):
            await writer.drain()
