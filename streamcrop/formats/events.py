"""The events that leave the node: CloudEvents 1.0 that carry a picture, and metadata with it.

An `Event` is neutral; `MODES` says how it travels. In binary mode (MQTT protocol binding of
CloudEvents 1.0.2, section 3.1) the payload is the picture and the attributes are MQTT 5 user
properties; in structured mode (section 3.2) the payload is one JSON object.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import msgspec

from streamcrop.core.limits import Limits
from streamcrop.errors import FormatError
from streamcrop.formats.documents import DEFAULT, check_size
from streamcrop.formats.times import rfc3339

# MQTT 5, 1.5.4: a UTF-8 encoded string.
MAX_PROPERTY_BYTES = 65_535
CROP_TYPE = "streamcrop.crop.v1"
FRAME_TYPE = "streamcrop.frame.v1"
STRUCTURED = "application/cloudevents+json"
_MAX_LEVEL = 256
_quoted = lru_cache(maxsize=64)(quote)  # all crops of a frame have names in common


@dataclass(frozen=True, slots=True)
class Event:
    """One message to be sent, in no mode yet.

    Attributes:
        topic: Where to.
        data: The picture, or the JSON of a message that is no CloudEvent.
        content_type: Of ``data``.
        attributes: The CloudEvents attributes; empty for a message that is no CloudEvent.
        metadata: The JSON that describes ``data``.
        is_crop: Whether the ledger waits for its end.
        name: ``(frame_id, detection_id)`` of a crop.
    """

    topic: str
    data: bytes
    content_type: str
    attributes: Mapping[str, str]
    metadata: bytes = b""
    is_crop: bool = False
    name: tuple[str, str] = ("", "")

    @property
    def nbytes(self) -> int:
        """The bytes that it holds in memory."""
        return len(self.data) + len(self.metadata)


@dataclass(frozen=True, slots=True)
class Packet:
    """An event as it travels over MQTT."""

    payload: bytes
    content_type: str
    user_properties: list[tuple[str, str]]


def binary(event: Event) -> Packet:
    """The picture as payload, the attributes as user properties; needs MQTT 5."""
    properties = list(event.attributes.items())
    if properties:
        properties.append(("metadata", event.metadata.decode()))
    return Packet(event.data, event.content_type, properties)


def structured(event: Event) -> Packet:
    """One JSON object with ``data_base64``; for every MQTT version."""
    if not event.attributes:
        return Packet(event.data, event.content_type, [])
    payload = msgspec.json.encode(
        {
            **event.attributes,
            "datacontenttype": event.content_type,
            "metadata": event.metadata.decode(),
            "data_base64": b64encode(event.data).decode(),
        }
    )
    return Packet(payload, STRUCTURED, [])


MODES: dict[str, Callable[[Event], Packet]] = {"binary": binary, "json": structured}


def attributes(
    *, kind: str, node: str, stream: str, event_id: str, subject: str, time: int | None
) -> dict[str, str]:
    """The CloudEvents attributes, without those that describe the data."""
    found = {
        "specversion": "1.0",
        "type": kind,
        "source": f"/streamcrop/{_quoted(node)}/{stream}",
        "id": event_id,
        "subject": subject,
    }
    return found | ({} if time is None else {"time": rfc3339(time)})


def topic_of(
    template: str, *, stream: str, frame_id: str, detection_id: str, row: Mapping[str, Any]
) -> str:
    """Fill in a topic template; what comes from a message is percent-encoded and cut.

    Example:
        >>> names = {"stream": "gate", "frame_id": "1", "detection_id": "d"}
        >>> topic_of("crops/{class}", **names, row={"class": "a/b"})
        'crops/a%2Fb'
    """
    name = row.get("class")
    fields = {
        "stream": stream,
        "frame_id": frame_id,
        "detection_id": detection_id,
        "class": "unknown" if name is None or name == "" else str(name)[:_MAX_LEVEL],
    }
    return template.format_map({key: _quoted(value, safe="") for key, value in fields.items()})


@dataclass(frozen=True, slots=True)
class Received:
    """An event as a consumer gets it.

    Attributes:
        attributes: The CloudEvents attributes, without ``metadata`` and the data.
        data: The picture.
        metadata: What describes it.
        raw: The same, as JSON.
    """

    attributes: Mapping[str, str]
    data: bytes
    metadata: dict[str, Any]
    raw: bytes


_parts = msgspec.json.Decoder(dict[str, msgspec.Raw])
_base64 = msgspec.json.Decoder(bytes)


def read(payload: bytes, properties: Mapping[str, str], limits: Limits = DEFAULT) -> Received:
    """Read an event in either mode; the inverse of `binary` and `structured`.

    Args:
        payload: Of the MQTT message.
        properties: Its user properties, and its content type as ``content-type``.
        limits: How many values may stand in the JSON of it.

    Raises:
        FormatError: If it is no event of a streamcrop node; `too_large`.
    """
    try:
        if "specversion" in properties:
            found = dict(properties)
            data = payload
        else:
            check_size(payload, limits, times=2)
            parts = _parts.decode(payload)
            # Without a text of its own, which would take its size three times over.
            data = _base64.decode(parts.pop("data_base64"))
            found = {key: msgspec.json.decode(part, type=str) for key, part in parts.items()}
        raw = found.pop("metadata").encode()
        check_size(raw, limits, times=2)
        return Received(found, data, msgspec.json.decode(raw, type=dict[str, Any]), raw)
    except FormatError as error:
        msg = f"no event of a streamcrop node: {error}"
        raise FormatError(msg, reason=error.reason) from None
    except (KeyError, RecursionError, ValueError) as error:
        msg = f"no event of a streamcrop node: {error}"
        raise FormatError(msg) from None
