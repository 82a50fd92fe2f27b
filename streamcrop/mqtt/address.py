"""Where a broker is, and how it is believed."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from streamcrop.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is, and who we are to it.

    Attributes:
        protocol: ``5``, ``3.1.1``, or ``auto``: 5, and 3.1.1 where the broker does not know it.
        ca: File of the certificates to trust; None: the system's.
        cert: File of the client's certificate, with ``key``.
    """

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    protocol: str = "auto"
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


def tls_context(address: Address) -> ssl.SSLContext:
    """The certificates to trust, and those to show.

    Raises:
        ConfigError: If a file cannot be read or is no certificate.
    """
    what = f"broker.ca {address.ca}"
    try:
        context = ssl.create_default_context(cafile=address.ca)
        if address.cert and address.key:
            what = f"broker.cert {address.cert} or broker.key {address.key}"
            for path in (address.cert, address.key):
                Path(path).read_bytes()  # OpenSSL's error would not name the file
            # With a password OpenSSL does not ask for one at the terminal.
            context.load_cert_chain(address.cert, address.key, "")
    except OSError as error:
        raise ConfigError(f"{what} cannot be used: {error}") from None
    return context
