"""Where crops go, and the brokers: the sections of their own under ``output``, and ``broker``."""

import base64
import re
from typing import Literal
from urllib.parse import unquote, urlsplit

from streamcrop import addresses
from streamcrop.config.types import (
    Bytes,
    Count,
    Credential,
    Positive,
    Protocol,
    Quality,
    Seconds,
    Section,
    Text,
)

_BUCKET = re.compile("[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_FIELD = re.compile(r"\{[^}]*\}")


class Broker(Section):
    """The connection to the broker."""

    url: Text
    protocol: Protocol = "auto"
    username: Credential | None = None
    password: Credential | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def address(self) -> tuple[str, int, bool, str | None, str | None]:
        """``(host, port, tls, username, password)``.

        Raises:
            ValueError: If the URL is none of a broker; its text does not hold the password.
        """
        form = "mqtt://[USER[:PASSWORD]@]HOST[:PORT] or mqtts://..."
        url = addresses.server(self.url, form)
        if url.scheme not in {"mqtt", "mqtts"} or url.path.strip("/") or url.query or url.fragment:
            raise ValueError(f"Expected {form}; {addresses.SIGNS}")
        tls = url.scheme == "mqtts"
        username = self.username or (unquote(url.username) if url.username else None)
        password = self.password or (unquote(url.password) if url.password else None)
        return url.hostname or "", url.port or (8883 if tls else 1883), tls, username, password


class Spool(Section):
    """Where crops wait while they cannot be delivered; one file, which streams may share."""

    path: Text
    max_bytes: Bytes = Bytes(1 << 30)
    max_age: Seconds = Seconds(24 * 3600)
    order: Literal["newest", "oldest"] = "newest"
    rate: Positive = 50.0


class Webhook(Section):
    """A web server that gets each crop."""

    url: Text
    secret: Credential | None = None
    timeout: Positive = 10.0

    def check(self) -> None:
        """Check the address.

        Raises:
            ValueError: If it is none; its text does not hold a password.
        """
        form = "https://[USER:PASSWORD@]HOST[:PORT][/PATH] or http://..."
        url = addresses.server(self.url, form)
        if url.scheme not in {"http", "https"} or url.fragment:
            raise ValueError(f"Expected {form}; {addresses.SIGNS}")

    def key(self) -> bytes | None:
        """The key in the secret (Standard Webhooks 1.0); None: nothing is signed.

        Raises:
            ValueError: If it is no secret; its text does not hold it.
        """
        if self.secret is None:
            return None
        try:
            key = base64.b64decode(self.secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            key = b""
        if not key:
            raise ValueError("Expected whsec_ and Base64, as `openssl rand -base64 32` makes it")
        return key


class S3(Section):
    """A bucket that gets each crop, and its metadata beside it."""

    url: Text
    endpoint: Text | None = None
    region: Text | None = None
    allow_http: bool = False
    key: Text = "{stream}/{date}/{frame_id}/{detection_id}"

    def place(self) -> tuple[str, str]:
        """The bucket, and what stands in front of each key.

        Raises:
            ValueError: If the address is none.
        """
        url = urlsplit(self.url)
        if url.scheme != "s3" or not _BUCKET.fullmatch(url.netloc) or url.query or url.fragment:
            raise ValueError("Expected s3://BUCKET[/PREFIX]; credentials come by the environment")
        return url.netloc, url.path.strip("/")

    def check(self) -> None:
        """Check the endpoint and the key.

        Raises:
            ValueError: If one of them is none.
        """
        if self.endpoint:
            form = "https://HOST[:PORT], or http://... with allow_http"
            url = addresses.server(self.endpoint, form)
            if url.scheme not in ({"https", "http"} if self.allow_http else {"https"}):
                raise ValueError(f"Expected {form}")
        fields = {"stream", "date", "frame_id", "detection_id"}
        try:
            self.key.format_map(dict.fromkeys(fields, "x"))
        except (AttributeError, KeyError, IndexError, ValueError):
            known = ", ".join(f"{{{field}}}" for field in sorted(fields))
            raise ValueError(f"Expected a key with the fields {known}") from None
        if not {"{frame_id}", "{detection_id}"} <= set(_FIELD.findall(self.key)):
            raise ValueError(
                "Expected a key with {frame_id} and {detection_id}: crops share others"
            )


class Output(Section):
    """Where crops go."""

    topic: Text = "streamcrop/{stream}/crops"
    encoding: Literal["jpeg", "png", "webp"] = "jpeg"
    quality: Quality = 90
    qos: Literal[0, 1] = 1
    envelope: Literal["auto", "binary", "json"] = "auto"
    max_inflight: Count = 64
    mqtt: bool = True
    broker: Broker | None = None
    files: str | None = None
    s3: S3 | None = None
    webhook: Webhook | None = None
    spool: Spool | None = None

    @property
    def sinks(self) -> tuple[str, ...]:
        """Their names, as in the ledger; what the first one delivers counts as published."""
        on = {"mqtt": self.mqtt, "files": self.files, "s3": self.s3, "webhook": self.webhook}
        return tuple(name for name, is_on in on.items() if is_on)

    @property
    def spooling(self) -> tuple[str, ...]:
        """The sinks that the spool serves: those beyond the detections' own broker."""
        on = {"mqtt": self.mqtt and self.broker, "s3": self.s3, "webhook": self.webhook}
        return tuple(name for name, is_on in on.items() if is_on)
