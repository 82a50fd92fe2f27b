"""WHEP: how a server is asked for its stream, by draft-ietf-wish-whep-03, and told goodbye."""

import asyncio
import base64
import logging
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL

from streamcrop.errors import UNTRUSTED, SourceError
from streamcrop.notes import excerpt

logger = logging.getLogger(__name__)

SDP = "application/sdp"
# An answer has some 7 kB.
_MAX_SDP = 64 << 10
_MAX_REDIRECTS = 5
# With these the offer is sent again, to the other address (RFC 9110, 15.4; for 301 and 302 a client
# may choose, and a GET would get no answer to an offer).
_REDIRECTS = {301, 302, 307, 308}
_ANSWERED, _REFUSED, _NOBODY_SENDS = {200, 201}, {401, 403}, 409
# These open a session at their Location, also 406, with an offer of the server's own; that of any
# other answer is some other place, at which nothing of ours is to be deleted.
_OPENED = {200, 201, 202, 204, 406}
# Seconds: an answer that comes so late still names a session, which would stay open; what a
# goodbye may take when the stream ends; the longest time that a server may ask us to wait.
_LATEST, _GOODBYE, _LONGEST_WAIT = 30.0, 2.0, 300.0
_GOODBYES = 2
_MAX_ENDING = 16
_FAILURES = (aiohttp.ClientError, OSError, ValueError)


class RefusedError(SourceError):
    """A server does not let us in."""


class LaterError(SourceError):
    """A server says when it wants to be asked again.

    Attributes:
        seconds: From now.
    """

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(f"{message}; it wants to be asked again in {seconds:g} s")
        self.seconds = seconds


@dataclass(slots=True)
class _Attempt:
    """One offer, and the sessions that the server has opened for it."""

    sessions: list[URL] = field(default_factory=list)
    answer: asyncio.Task[str] | None = None


class WhepClient:
    """Asks a WHEP server for its stream.

    However an attempt ends, its session is ended: also where the answer comes after we gave up.

    Args:
        url: The server's; may hold a name and a password, which nothing that is said repeats.
        token: What the server wants to be shown; None: nothing. It goes to no other host.
        timeout: For an answer, in seconds.
        tls: By what the server is believed; True: the system's authorities, False: nothing.
    """

    def __init__(
        self, url: str, token: str | None, timeout: float, *, tls: ssl.SSLContext | bool = True
    ) -> None:
        given = URL(url)
        self._url = given.with_user(None)
        self._timeout = timeout
        self._tls = tls
        self._attempt: _Attempt | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._auth = f"Bearer {token}" if token else None
        shown = token
        if not token and given.user:
            plain = f"{given.user}:{given.password or ''}".encode()
            shown = base64.b64encode(plain).decode()
            self._auth = f"Basic {shown}"
        self._secrets = [secret for secret in (shown, given.password) if secret]

    async def ask(self, offer: str) -> str:
        """Begin a session: the answer to an offer.

        Raises:
            RefusedError: If the server does not let us in.
            LaterError: If it names a time.
            SourceError: If there is no answer.
        """
        while len(self._ending) >= _MAX_ENDING:
            await asyncio.wait(self._ending, return_when=asyncio.FIRST_COMPLETED)
        self._attempt = attempt = _Attempt()
        attempt.answer = asyncio.create_task(self._offer(offer, attempt))
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.shield(attempt.answer)
        except _FAILURES as error:
            raise SourceError(f"no connection to the server: {_text_of(error)}") from None

    def leave(self) -> None:
        """End the session, or what comes of the attempt, beside what happens next."""
        attempt, self._attempt = self._attempt, None
        if attempt:
            task = asyncio.create_task(self._end(attempt))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """End all sessions, as far as the server can be told soon."""
        self.leave()
        if self._ending:
            _, late = await asyncio.wait(self._ending, timeout=_GOODBYE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _offer(self, offer: str, attempt: _Attempt) -> str:
        url = self._url
        async with self._client(_LATEST) as client:
            for _ in range(_MAX_REDIRECTS + 1):
                headers = {"Content-Type": SDP, "Accept": SDP, **self._auth_for(url)}
                async with client.post(
                    url, data=offer, headers=headers, ssl=self._tls, allow_redirects=False
                ) as reply:
                    location = reply.headers.get("Location")
                    there = _place(reply.url, location) if location else None
                    if reply.status not in _REDIRECTS or not location:
                        # Without its address a session ends when its connection does.
                        if there and reply.status in _OPENED:
                            attempt.sessions.append(there)
                        return await self._answer_in(reply)
                    url = _redirected(url, there)
        raise SourceError(f"the server redirects more than {_MAX_REDIRECTS} times")

    async def _answer_in(self, reply: aiohttp.ClientResponse) -> str:
        """The SDP of an answer.

        Raises:
            SourceError: If there is none; its text says what came instead.
        """
        body = b""
        async for chunk in reply.content.iter_any():
            body += chunk
            if len(body) > _MAX_SDP:
                raise SourceError("the server's answer is no SDP: it does not end")
        status = f"{reply.status} {self._shown((reply.reason or '').encode())}".strip()
        if reply.status in _ANSWERED:
            if body.lstrip().startswith(b"v="):
                return body.decode(errors="replace")
            raise SourceError(f"the server answers {status} without an SDP: {self._shown(body)}")
        said = f": {self._shown(body)}" if body and reply.content_type != "text/html" else ""
        if reply.status in _REFUSED:
            raise RefusedError(f"the server does not let us in: {status}{said}")
        text = f"the server does not answer the offer: {status}{said}"
        if reply.content_type == SDP and body:
            text = f"the server makes an offer of its own, which is not taken: {status}"
        elif reply.status == _NOBODY_SENDS:
            text = f"nobody sends to the server yet: {status}{said}"
        seconds = _seconds_in(reply.headers.get("Retry-After", ""))
        raise SourceError(text) if seconds is None else LaterError(text, seconds)

    def _shown(self, said: bytes) -> str:
        """The beginning of what a server says, which may repeat what it was shown."""
        for secret in self._secrets:
            said = said.replace(secret.encode(), b"...")
        return excerpt(said)

    async def _end(self, attempt: _Attempt) -> None:
        if attempt.answer:
            try:
                await asyncio.wait({attempt.answer}, timeout=_LATEST)
            finally:
                attempt.answer.cancel()
                await asyncio.gather(attempt.answer, return_exceptions=True)
        for session in attempt.sessions:
            for _ in range(_GOODBYES):
                with suppress(*_FAILURES):
                    if await self._deleted(session):
                        break

    async def _deleted(self, session: URL) -> bool:
        headers = self._auth_for(session)
        async with (
            self._client(max(self._timeout, _GOODBYE)) as client,
            client.delete(session, headers=headers, ssl=self._tls) as reply,
        ):
            return reply.status < 500

    def _client(self, seconds: float) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds))

    def _auth_for(self, url: URL) -> dict[str, str]:
        ours = self._auth and url.origin() == self._url.origin()
        return {"Authorization": self._auth} if self._auth and ours else {}


def _place(url: URL, location: str) -> URL | None:
    """Where a location leads; None if it is no address."""
    try:
        there = url.join(URL(location))
        return there.with_user(None) if there.absolute else there
    except ValueError:
        return None


def _redirected(url: URL, there: URL | None) -> URL:
    if there is None:
        raise SourceError("the server redirects to what is no address")
    if there.scheme not in {"http", "https"} or (url.scheme, there.scheme) == ("https", "http"):
        raise SourceError(f"the server redirects from {url.scheme} to {there.scheme[:10]}")
    return there


def _seconds_in(text: str) -> float | None:
    """A ``Retry-After`` (RFC 9110, 10.2.3): seconds, or a date."""
    try:
        if text.isascii() and text.isdigit():
            seconds = float(text)
        else:
            at = parsedate_to_datetime(text)
            seconds = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(round(seconds, 1), 0.0), _LONGEST_WAIT)


def _text_of(error: Exception) -> str:
    """The fault in words, without the URL."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        doubt = getattr(error.certificate_error, "verify_message", "it is not for this host")
        return f"its certificate is not trusted: {doubt}; {UNTRUSTED}"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "its answer breaks off"
    if isinstance(error, aiohttp.ClientResponseError):
        return "what answers there does not speak HTTP"
    cause = getattr(error, "os_error", error)
    if isinstance(cause, TimeoutError):
        return "it does not answer in time"
    return getattr(cause, "strerror", None) or type(error).__name__
