"""The errors for faults outside the program.

```
StreamcropError
├─ ConfigError         a setting is wrong: names file, key path and what was expected    exit code 2
├─ FormatError         bytes are not what the format says; carries the counted reason    never fatal
├─ CorruptError        a picture that was to be decoded is damaged                       never fatal
├─ SourceError         a source cannot be opened or read                                 exit code 1
├─ SinkError           a sink cannot take an event now; it is tried again                never fatal
├─ RejectedError       a sink will never take an event; carries the counted reason       never fatal
├─ LibraryError        a library is not as we know it: names the versions that are       exit code 1
├─ BrokerRefusedError  the broker will not have us: credentials, certificate, version    exit code 1
├─ PacketTooLargeError the broker takes no packet of this size                           never fatal
└─ PacketRefusedError  the broker refuses a message; its text is the broker's reason     never fatal
```

A broken program is a plain `ValueError`, `TypeError` or `AssertionError`. It is caught where one
message, frame or picture is handled, costs that one (`failed`), and is logged with its traceback.
"""

from collections.abc import Mapping
from importlib import metadata


class StreamcropError(Exception):
    """The root of the tree; its text is meant for the user."""


class ConfigError(StreamcropError):
    """A setting is wrong."""


class FormatError(StreamcropError):
    """Bytes are not what their format says.

    Attributes:
        reason: The name under which the ledger counts it.
        kind: The name under which it is said: what has another cure has another one.
    """

    def __init__(self, message: str, *, reason: str = "malformed", kind: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.kind = kind or reason


class CorruptError(StreamcropError):
    """A picture is damaged, which only decoding it showed."""


class SourceError(StreamcropError):
    """A source cannot be opened or read."""


class SinkError(StreamcropError):
    """A sink cannot take what it is given, and may later.

    Attributes:
        later: When it wants to be asked again, in seconds from now; 0: it does not say.
    """

    def __init__(self, message: str, *, later: float = 0.0) -> None:
        super().__init__(message)
        self.later = later


class RejectedError(StreamcropError):
    """A sink will not take what it is given, however often it is asked.

    Attributes:
        reason: The name under which the ledger counts it.
    """

    def __init__(self, message: str, *, reason: str = "failed") -> None:
        super().__init__(message)
        self.reason = reason


class LibraryError(StreamcropError):
    """A library has other insides than we know, or none that we find.

    Args:
        tested: The packages, and the versions that are known to work.
        why: The first thing that was not as expected.
    """

    def __init__(self, tested: Mapping[str, str], why: object) -> None:
        found = ", ".join(
            f"{package} {_version(package)} (known to work: {versions})"
            for package, versions in tested.items()
        )
        super().__init__(f"this cannot work with {found}: {why}")


class BrokerRefusedError(StreamcropError):
    """The broker will not have us, and asking again would not help."""


class PacketTooLargeError(StreamcropError):
    """The broker announced that it takes no packet of this size."""


class PacketRefusedError(StreamcropError):
    """The broker will not take this message: it says so, or hangs up whenever it gets it."""


# What to do about it; all that ask a server by TLS say it.
UNTRUSTED = (
    "set source.ca to a file with its certificate or its issuer's, use the host name it is made "
    "out for, or set source.tls_verify: false"
)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"
