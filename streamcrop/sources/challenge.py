"""Which login a camera asks for, where FFmpeg only says that it was refused."""

import re
import socket
import ssl
import threading
import time
from urllib.parse import urlsplit

# An answer that refuses has no more.
_LONGEST_HEAD = 16 << 10
# Seconds after which one that waits looks whether it is still to.
_LOOKS_UP = 0.1
_PORTS = {"rtsp": 554, "rtsps": 322}
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))')


def unspoken(url: str, ca: str | None, timeout: float, stopped: threading.Event) -> str | None:
    """The login that a camera asks for if FFmpeg does not speak it; None: it does, or who knows.

    Asks the camera itself, without a name and a password, so that it counts no failed login.

    Args:
        url: The camera's.
        ca: File of the certificates that a camera with ``rtsps`` is believed by; None: any is.
        timeout: In seconds, to connect; and as much again for the whole answer.
        stopped: Set, it ends the wait for the answer.
    """
    try:
        head = _described(url, ca, timeout, stopped)
    except (OSError, ValueError):  # of which ssl.SSLError is one
        return None
    lines = (line.partition(":") for line in head.split("\r\n"))
    asked = [rest.strip() for name, _, rest in lines if name.lower() == "www-authenticate"]
    return _not_ffmpegs(asked)


def _not_ffmpegs(challenges: list[str]) -> str | None:
    """The challenge that FFmpeg 8 picks among them, if it fails at that (its ``httpauth.c``).

    It takes the last Digest, whatever its algorithm, else Basic; of algorithms it knows MD5 and
    MD5-sess, in capitals, and of protections ``auth``.

    Example:
        >>> _not_ffmpegs(['Digest realm="a", algorithm=MD5', 'Digest algorithm=SHA-256'])
        'Digest SHA-256'
    """
    digests = [each for each in challenges if each.lower().startswith("digest ")]
    if not digests:
        others = [each.partition(" ")[0] for each in challenges]
        return None if not others or "basic" in map(str.lower, others) else others[0][:20]
    said = {name.lower(): one or two for name, one, two in _PARAMETER.findall(digests[-1])}
    algorithm, qop = said.get("algorithm", ""), said.get("qop", "auth")
    if algorithm not in {"", "MD5", "MD5-sess"}:
        return f"Digest {algorithm[:20]}"
    return None if "auth" in re.split(r"[\s,]+", qop) else f"Digest with qop {qop[:20]}"


def _described(url: str, ca: str | None, timeout: float, stopped: threading.Event) -> str:
    """The head of the answer to DESCRIBE (RFC 2326, 10.2)."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    place = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    request = f"DESCRIBE {place} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n"
    with socket.create_connection((host, port), timeout) as plain:
        plain.settimeout(timeout)
        if parts.scheme == "rtsps":
            with _trusting(ca).wrap_socket(plain, server_hostname=host) as encrypted:
                return _asked(encrypted, request, timeout, stopped)
        return _asked(plain, request, timeout, stopped)


def _asked(
    connection: socket.socket, request: str, timeout: float, stopped: threading.Event
) -> str:
    connection.sendall(request.encode())
    until = time.monotonic() + timeout
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _LONGEST_HEAD:
        # A timeout of the socket is one for each of its pieces.
        left = until - time.monotonic()
        if left <= 0 or stopped.is_set():
            raise TimeoutError
        connection.settimeout(min(left, _LOOKS_UP))
        try:
            data = connection.recv(4096)
        except TimeoutError:
            continue
        if not data:
            break
        head += data
    return head.decode(errors="replace")


def _trusting(ca: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    if ca is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
