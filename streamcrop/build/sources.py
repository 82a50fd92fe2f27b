"""The source of a stream, by its part of the configuration: a row for each kind."""

import ssl
from collections.abc import Callable
from typing import Any

from streamcrop.config import Source, Stream
from streamcrop.config.source import (
    CAMERA,
    DEVICE,
    FILE,
    PICTURES,
    PUBLISHER,
    SERVER,
    TLS_CAMERA,
    Kind,
)
from streamcrop.core.capture import CaptureClock
from streamcrop.core.limits import Limits
from streamcrop.errors import ConfigError
from streamcrop.keys import KEYS
from streamcrop.mqtt.broker import Broker
from streamcrop.sources import FrameSource
from streamcrop.sources.container import FileSource
from streamcrop.sources.decoding import Decoding
from streamcrop.sources.live import LiveSource
from streamcrop.sources.mqtt import MqttSource
from streamcrop.sources.threads import Threaded

# Where Python was built without a place of its own for it: Debian's.
_SYSTEM_CA = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"


def _trust(source: Source) -> ssl.SSLContext | bool:
    """By what a server is believed; False: by nothing."""
    if not source.tls_verify:
        return False
    try:
        return ssl.create_default_context(cafile=source.ca)
    except OSError as error:  # of which ssl.SSLError is one
        why = error.strerror or error
        raise ConfigError(f"source.ca: {source.ca} cannot be used: {why}") from None


def _decoding(stream: Stream) -> Decoding:
    return Decoding(stream.decoding[0], stream.pairing.max_bytes, stream.source.hwaccel)


def _file(stream: Stream, *_: object) -> FrameSource:
    source = stream.source
    return Threaded(
        FileSource(
            source.path,
            realtime=source.realtime,
            loop=source.loop,
            read_sei=stream.pairing.row.in_bitstream,
            sei_uuid=stream.pairing.sei_uuid,
            decoding=_decoding(stream),
        )
    )


def capture_clock(stream: Stream) -> CaptureClock:
    """Makes what believes the capture times of a camera, as far as `utc` tolerates."""
    tolerance = stream.pairing.tolerance or KEYS["utc"].tolerance or 0
    return CaptureClock(round(tolerance * 1_000_000))


def camera(stream: Stream, clock: CaptureClock | None, decoding: Decoding) -> LiveSource:
    """The reader of a stream's camera.

    Raises:
        ConfigError: If what it believes the camera's certificate by cannot be used.
    """
    source, pairing = stream.source, stream.pairing
    return LiveSource(
        source.url,
        transport=source.transport,
        ca=(source.ca or _SYSTEM_CA) if source.kind is TLS_CAMERA and _trust(source) else None,
        connect_timeout=source.connect_timeout,
        stall_timeout=source.stall_timeout,
        clock=clock,
        read_sei=pairing.row.in_bitstream,
        sei_uuid=pairing.sei_uuid,
        decoding=decoding,
    )


def _camera(stream: Stream, *_: object) -> FrameSource:
    clock = capture_clock(stream) if stream.pairing.row.of_camera else None
    return Threaded(camera(stream, clock, _decoding(stream)))


def _device(stream: Stream, *_: object) -> FrameSource:
    source = stream.source
    return Threaded(
        LiveSource(
            source.url.partition(":")[2],
            container="v4l2",
            stall_timeout=source.stall_timeout,
            decoding=_decoding(stream),
        )
    )


def _pictures(stream: Stream, broker: Broker, limits: Limits) -> FrameSource:
    source = stream.source
    topic = source.url.partition(":")[2]
    unnamed = not stream.pairing.row.names
    return MqttSource(broker, topic, frame_id=source.frame_id, unnamed=unnamed, limits=limits)


def _webrtc(stream: Stream, *_: object) -> FrameSource:
    try:
        from streamcrop.sources.webrtc import WhepSource, WhipSource  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"source.url: WebRTC needs {error.name}: pip install 'streamcrop[webrtc]'"
        ) from None
    source, pairing = stream.source, stream.pairing
    how: dict[str, Any] = {
        "token": source.token,
        "connect_timeout": source.connect_timeout,
        "stall_timeout": source.stall_timeout,
        "read_sei": pairing.row.in_bitstream,
        "sei_uuid": pairing.sei_uuid,
    }
    if source.kind is PUBLISHER:
        return WhipSource(**how)
    return WhepSource(source.url.partition(":")[2], tls=_trust(source), **how)


_SOURCES: dict[Kind, Callable[[Stream, Broker, Limits], FrameSource]] = {
    FILE: _file,
    CAMERA: _camera,
    TLS_CAMERA: _camera,
    DEVICE: _device,
    PUBLISHER: _webrtc,
    SERVER: _webrtc,
    PICTURES: _pictures,
}


def source_of(stream: Stream, broker: Broker, limits: Limits | None = None) -> FrameSource:
    """The source of a stream's frames; it opens nothing before it is read.

    Args:
        stream: Its part of the configuration.
        broker: The connection.
        limits: What one picture that comes as a message may ask for.

    Raises:
        ConfigError: If a file that it is to trust cannot be used, or a library is missing.
    """
    return _SOURCES[stream.source.kind](stream, broker, limits or Limits())
