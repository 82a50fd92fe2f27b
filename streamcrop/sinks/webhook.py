"""Crops to a web server: CloudEvents in structured mode over HTTP, signed after Standard Webhooks.

A crop is one POST (HTTP protocol binding of CloudEvents 1.0.2, section 3.2). Its signature is by
the specification of Standard Webhooks 1.0: an HMAC of ``{webhook-id}.{webhook-timestamp}.{body}``.
The ``webhook-id`` is the crop's ID, the same at each try.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from urllib.parse import quote

import aiohttp

from streamcrop.errors import RejectedError, SinkError
from streamcrop.formats.events import STRUCTURED, Event, structured

_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
# Of one crop the server says that it will never do; anything else may be mended, 401 and 404 too.
_REJECTED = {400: "failed", 413: "too_large", 415: "failed", 422: "failed"}
_SUCCESS = range(200, 300)
# So much of an answer is read, which lets the connection serve the next crop.
_MAX_ANSWER = 64 << 10
_LONGEST_WAIT = 300.0


def signature(key: bytes, name: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature``.

    Example:
        >>> signature(b"secret", "gate/1/a", 1700000000, b"{}")
        'v1,mEswkPIENIYK9tdgM0us3s5Lrma3iSHDS7zqvnCxmbo='
    """
    signed = b".".join((name.encode(), str(timestamp).encode(), body))
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


class WebhookOutlet:
    """Posts events, one at a time.

    Args:
        url: Where to; may hold a name and a password.
        key: What the server knows, too; None: nothing is signed.
        timeout: For one try, in seconds.
        clock: Seconds since 1970.
    """

    batch = 1

    def __init__(
        self, url: str, *, key: bytes | None, timeout: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._url = url
        self._key = key
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    def take(self, event: Event) -> Event | None:
        """See `Outlet`."""
        return event if event.is_crop else None

    async def deliver(self, events: Sequence[Event], *, again: bool) -> int:  # noqa: ARG002  # it has its ID
        """See `Outlet`."""
        [event] = events
        body = structured(event).payload
        # A header is printable ASCII.
        name, timestamp = quote(event.attributes["id"], safe=_PRINTABLE), int(self._clock())
        headers = {
            "content-type": STRUCTURED,
            "webhook-id": name,
            "webhook-timestamp": str(timestamp),
        }
        if self._key:
            headers["webhook-signature"] = signature(self._key, name, timestamp, body)
        status, later = await self._post(body, headers)
        if status in _SUCCESS:
            return 1
        if status in _REJECTED:
            raise RejectedError(f"the server answers {status}", reason=_REJECTED[status])
        raise SinkError(f"the server answers {status}", later=later)

    async def close(self) -> None:
        """See `Outlet`."""
        if self._session:
            await self._session.close()
            self._session = None

    async def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, float]:
        """The server's answer, and how long it wants to be left alone, in seconds."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, trust_env=True)
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                await answer.content.read(_MAX_ANSWER)
                return answer.status, _seconds(answer.headers.get("retry-after", ""))
        except TimeoutError:
            raise SinkError(f"no answer for {self._timeout.total:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SinkError(f"no answer: {type(error).__name__}: {error}") from None


def _seconds(text: str) -> float:
    """The seconds of a Retry-After, where it is a number (RFC 9110, 10.2.3); 0 if it is none."""
    return min(float(text), _LONGEST_WAIT) if text.isascii() and text.isdigit() else 0.0
