"""Addresses: of servers and of files, and what in them nobody may read.

One rule says what looks like an address with a password. A setting that is no address refuses such
a text, so that no output can hold it; what is said goes through `redacted` all the same.
"""

import re
from urllib.parse import SplitResult, unquote, urlsplit

SIGNS = (
    "signs like / # ? @ in a name or password are written as %2F %23 %3F %40; a host has at most "
    "253 characters, and 63 between two dots"
)
_MAX_HOST = 253
# After two slashes, or one behind a scheme; a user has no slash, a password may hold anything.
_LOGIN = re.compile(r"(?:^[a-z]+:/|//)[^/]*:.*@", re.DOTALL | re.IGNORECASE)
_BARE_LOGIN = re.compile(r"[^/]*:.*@.", re.DOTALL)
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_MISTYPED = re.compile(r"\W*(rtsps?|rtmps?|mqtts?|https?|wh[ei]p|file)\W?//", re.IGNORECASE)
_PLAIN_PATH = re.compile(r"\.{0,2}/(?!/)")
# A host behind an `@` where the address has no user: its password holds a sign that ends it.
_CUT_OFF = re.compile(r":.*@|@[^/?#]+[:/]", re.DOTALL)
# In running text, which may hold anything: a word with a colon before an at sign, and what the
# query of a camera's URL says.
_WORD = re.compile(r"\S+")
_LOGIN_IN_WORD = re.compile(r"(?<=//):|(?<![^/'\"`(<=])[^:@/'\"`(<=]+:")
_QUERY_IN_TEXT = re.compile(r"(?i)((?:pass(?:word|wd)?|pwd|token|secret)=)[^\s&'\"`;]+")


def redacted(text: str) -> str:
    """A text without what looks like a login; rather too much is left out than too little.

    Example:
        >>> redacted("rtsp//me:s3cret@cam/main: no such file")
        'rtsp//…@cam/main: no such file'
        >>> redacted("at 10:15 http://cam/?user=me&password=s3cret answered")
        'at 10:15 http://cam/?user=me&password=… answered'
    """
    if "@" in text:
        text = _WORD.sub(_without_login, text)
    return _QUERY_IN_TEXT.sub(r"\1…", text) if "=" in text else text


def _without_login(word: re.Match[str]) -> str:
    """A word without its login, in time that grows as its length does: a topic may be long."""
    before, at, after = word[0].rpartition("@")
    found = _LOGIN_IN_WORD.search(before) if at else None
    # Our own errors say how a login is written.
    if not found or "[USER" in before[found.start() :]:
        return word[0]
    return f"{before[: found.start()]}…@{after}"


def has_login(text: str) -> bool:
    """True if a text looks like an address with a password in it.

    Example:
        >>> has_login("mqtt//me:s3cret@broker/a"), has_login("site:1/cam@2")
        (True, False)
    """
    return bool(_LOGIN.search(text))


def quoted(text: str) -> str:
    """A text for an error; not one that may be a part of an address.

    Example:
        >>> quoted("gif"), quoted("rtsp/me:s3cret")
        ("'gif'", "'…'")
    """
    return f"{text!r:.80}" if not set(":@") & set(text) else "'…'"


def server(url: str, form: str) -> SplitResult:
    """The parts of a server's address.

    Args:
        url: The address.
        form: How it is written, for the error.

    Raises:
        ValueError: If it has no host or a port that is none, or a sign in a name or password ends
            it too early; its text does not hold the password.

    Example:
        >>> server("rtsp://me:p%23ss@cam/main", "rtsp://HOST").hostname
        'cam'
        >>> server("rtsp://me:p#ss@cam/main", "rtsp://HOST")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: Expected rtsp://HOST; signs like / # ? @ in a name or password are ...
    """
    try:
        found = urlsplit(url)
        host, _ = found.hostname or "", found.port
        wrong = not host or len(host.encode("idna")) > _MAX_HOST or not url.isprintable()
        beyond = url.partition("//")[2][len(found.netloc) :]
        wrong = wrong or ("@" not in found.netloc and bool(_CUT_OFF.search(beyond)))
    except ValueError:  # its text may hold the password
        wrong = True
    if wrong:
        raise ValueError(f"Expected {form}; {SIGNS}")
    return found


def file_path(url: str) -> str:
    """The path in a file's URL (RFC 8089); ``#`` and ``?`` are signs like others.

    Raises:
        ValueError: If it has none, or it is another host's.

    Example:
        >>> file_path("file:///data/my%20clip#1.mp4"), file_path("file:clip.mp4")
        ('/data/my clip#1.mp4', 'clip.mp4')
    """
    path = url.partition(":")[2]
    if path.startswith("//"):
        host, slash, path = path[2:].partition("/")
        if host.lower() not in {"", "localhost"}:
            raise ValueError("Expected file:///PATH, with three slashes")
        path = slash + path
    path = unquote(path, errors="surrogateescape")
    if not path or "\0" in path:
        raise ValueError("Expected file:///PATH; %00 is in no path")
    return path


def check_path(text: str) -> None:
    """Look at a path, which may have any sign.

    Raises:
        ValueError: If it is a URL, or looks like one that was mistyped; its text does not hold
            the password.
    """
    if _PLAIN_PATH.match(text):
        return
    if url := _URL.match(text):
        raise ValueError(f"no source for the scheme {url[1]!r}")
    if _MISTYPED.match(text) or has_login(text) or _BARE_LOGIN.match(text):
        raise ValueError("this looks like an address without its scheme; a path begins with ./")
