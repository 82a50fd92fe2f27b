"""WebRTC: publishers who come to us (WHIP), and servers that we ask (WHEP)."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from uuid import UUID

import av.logging

from streamcrop.backoff import Backoff, unless
from streamcrop.core.values import Change, Frame
from streamcrop.errors import SourceError
from streamcrop.sources import Item
from streamcrop.sources.aiortc_parts import check
from streamcrop.sources.live import DELAYS, REFUSED_DELAY
from streamcrop.sources.rtp import Decoder
from streamcrop.sources.session import Session
from streamcrop.sources.whep import LaterError, RefusedError, WhepClient

_REPLACED = "another publisher took its place"


class _Sessions:
    """The part that both sources share: how a session is made, and who may end it."""

    def __init__(
        self, *, stall_timeout: float = 3.0, read_sei: bool = False, sei_uuid: UUID | None = None
    ) -> None:
        check()
        self._stall_timeout = stall_timeout
        self._read_sei = read_sei
        self._sei_uuid = sei_uuid
        self._stopped = asyncio.Event()
        self._session: Session | None = None

    def _new(self) -> Session:
        # Below this FFmpeg does not say what it conceals.
        av.logging.set_level(av.logging.INFO)
        av.logging.set_skip_repeated(v=False)
        decoder = Decoder(read_sei=self._read_sei, sei_uuid=self._sei_uuid)
        return Session(decoder, self._stall_timeout)

    def attend(self) -> None:
        """See `FrameSource.attend`; nothing waits here anyway."""

    def stop(self) -> None:
        """See `FrameSource.stop`."""
        self._stopped.set()
        if self._session:
            self._session.end("the stream ends")


class WhipSource(_Sessions):
    """The frames of whoever publishes to us by WHIP; an `Endpoint` of the node's HTTP server.

    Each publisher is an epoch, and a new one takes the place of the one before. While nobody
    reads `frames`, nobody may publish.

    Args:
        token: What publishers have to know.
        connect_timeout: An offer that takes longer to answer is given up, in seconds.
        stall_timeout: A publisher without a picture for so many seconds is given up.
        read_sei: Whether IDs in the bitstream are read; H.264 alone has such.
        sei_uuid: Whose; None: anybody's.
    """

    def __init__(
        self, *, token: str | None = None, connect_timeout: float = 5.0, **how: Any
    ) -> None:
        super().__init__(**how)
        self.token = token
        self._connect_timeout = connect_timeout
        self._replaced: str | None = None
        self._turn = asyncio.Lock()
        self._reading = False
        self._came = asyncio.Event()

    async def open(self, offer: str) -> tuple[str, str]:
        """See `Endpoint.open`."""
        # One after the other: however many come at once, two connections at most are there.
        async with self._turn:
            self._check_reading()
            session = self._new()
            try:
                async with asyncio.timeout(self._connect_timeout):
                    answer = await session.answer(offer)
                self._check_reading()
            except BaseException:
                await session.close("the offer was refused")
                raise
            before, self._session = self._session, session
            self._came.set()
            if before:
                self._replaced = before.name
                await before.close(_REPLACED)
            return session.name, answer

    async def close(self, session: str) -> bool:
        """See `Endpoint.close`."""
        if session == self._replaced:
            raise SourceError(_REPLACED)
        if not (ours := self._session) or ours.name != session or ours.received.closed:
            return False
        await ours.close("the publisher ended it")
        return True

    async def frames(self) -> AsyncGenerator[Item]:
        """See `FrameSource.frames`."""
        self._reading = True
        try:
            while not self._stopped.is_set():
                if not (session := self._session):
                    self._came.clear()
                    await self._came.wait()
                    continue
                async with aclosing(session.items()) as items:
                    async for item in items:
                        yield item
                if self._session is session:
                    self._session = None
                if not self._stopped.is_set():
                    yield Change("reconnecting", session.reason)
        finally:
            self._reading = False
            if self._session:
                await self._session.close("the stream ends")

    def stop(self) -> None:
        """See `FrameSource.stop`."""
        super().stop()
        self._came.set()

    def _check_reading(self) -> None:
        if not self._reading or self._stopped.is_set():
            raise SourceError("The stream does not run")


class WhepSource(_Sessions):
    """The frames that a WHEP server gives us, asked again for as long as the stream runs.

    Args:
        url: The server's, ``http`` or ``https``; may hold a name and a password.
        tls: By what the server is believed; False: by nothing.
        token: What the server wants to be shown.
        connect_timeout: For a request to the server, in seconds.
        stall_timeout: A connection without a picture for so many seconds is given up.
        read_sei: Whether IDs in the bitstream are read; H.264 alone has such.
        sei_uuid: Whose; None: anybody's.
    """

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext | bool = True,
        token: str | None = None,
        connect_timeout: float = 5.0,
        **how: Any,
    ) -> None:
        super().__init__(**how)
        self._client = WhepClient(url, token, connect_timeout, tls=tls)

    async def frames(self) -> AsyncGenerator[Item]:
        """See `FrameSource.frames`."""
        backoff = Backoff(*DELAYS)
        try:
            while not self._stopped.is_set():
                self._session = session = self._new()
                least = 0.0
                try:
                    await unless(self._stopped, self._connect(session))
                    async with aclosing(session.items()) as items:
                        async for item in items:
                            if isinstance(item, Frame):
                                backoff.reset()
                            yield item
                except SourceError as error:
                    session.end(str(error))
                    if isinstance(error, RefusedError):
                        least = REFUSED_DELAY
                    elif isinstance(error, LaterError):
                        least = error.seconds
                finally:
                    self._client.leave()
                    await session.close("the stream ends")
                if not self._stopped.is_set():
                    yield Change("reconnecting", session.reason)
                    await unless(self._stopped, asyncio.sleep(backoff.delay(least)))
        finally:
            await self._client.close()

    async def _connect(self, session: Session) -> None:
        await session.accept(await self._client.ask(await session.offer()))
