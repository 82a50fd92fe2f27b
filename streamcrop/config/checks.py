"""The checks of settings that types cannot make: combinations that nothing could serve."""

from collections.abc import Callable
from typing import Any, get_args

from streamcrop.addresses import quoted
from streamcrop.config.output import Broker, Output, Spool
from streamcrop.config.schema import Config, Http, Stream
from streamcrop.config.source import PUBLISHER, SCHEMES, Kind, PairingKey
from streamcrop.config.topics import check_filter, check_topic
from streamcrop.errors import ConfigError
from streamcrop.formats import DETECTION_FORMATS

LEAST_SPOOL = 1 << 20
TOPIC_FIELDS = {"stream", "frame_id", "detection_id", "class"}


def at(path: str, check: Callable[[], Any]) -> None:
    """Make a check, and name the place where it fails."""
    try:
        check()
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None


def check(config: Config) -> None:
    """Check a whole node.

    Raises:
        ConfigError: Names the key path and what was expected.
    """
    if not config.node.isprintable() or set("+#/") & set(config.node):
        raise ConfigError("$.node: expected printable characters without + # /")
    check_broker(config.broker, "$.broker")
    if config.web and (config.web.cert is None) != (config.web.key is None):
        raise ConfigError("$.http: cert and key belong together")
    if config.http is True:
        raise ConfigError("$.http: true says no more than nothing: leave it out, or write false")
    for name, stream in config.streams.items():
        path = f"$.streams.{name}"
        check_stream(stream, path)
        check_publishers(stream, config.web, f"{path}.source")
        for place, broker in (("broker", config.broker), ("output.broker", stream.output.broker)):
            if broker and (stream.output.envelope, broker.protocol) == ("binary", "3.1.1"):
                what = f"binary needs MQTT 5, and {place}.protocol is 3.1.1: use auto"
                raise ConfigError(f"{path}.output.envelope: {what}")
    at("$.streams", lambda: check_spools(config))


def check_stream(stream: Stream, path: str) -> None:
    """Check one stream, which stands at a path.

    Raises:
        ConfigError: As `check`.
    """
    at(f"{path}.crop", stream.crop.options)
    at(f"{path}.select", stream.select.interest)
    at(f"{path}.select", stream.select.rule)
    at(f"{path}.output.topic", lambda: check_topic(stream.output.topic, TOPIC_FIELDS))
    at(f"{path}.detections.topic", lambda: check_filter(stream.detections.topic))
    at(f"{path}.source.url", stream.source.check)
    at(f"{path}.source.frame_id", stream.source.check_frame_id)
    if foreign := stream.source.foreign():
        raise ConfigError(f"{path}.source.{foreign}: {_no_setting(stream.source.kind, foreign)}")
    at(f"{path}.detections.format", lambda: check_choice(stream.detections.format))
    at(f"{path}.pairing.key", lambda: check_key(stream))
    at(f"{path}.pairing", lambda: check_times(stream))
    at(f"{path}.output", lambda: check_sinks(stream.output))
    if stream.output.s3:
        at(f"{path}.output.s3.url", stream.output.s3.place)
        at(f"{path}.output.s3", stream.output.s3.check)
    if stream.output.webhook:
        at(f"{path}.output.webhook.url", stream.output.webhook.check)
        at(f"{path}.output.webhook.secret", stream.output.webhook.key)
    if stream.output.broker:
        check_broker(stream.output.broker, f"{path}.output.broker")
    at(f"{path}.source.decode", lambda: check_decoding(stream))


def check_publishers(stream: Stream, http: Http | None, path: str) -> None:
    """Check that publishers can come, where the stream waits for one, and not just anybody.

    Raises:
        ConfigError: As `check`.
    """
    if stream.source.kind is not PUBLISHER:
        return
    if http is None:
        raise ConfigError(f"{path}.url: whip: needs http, and http is false")
    if stream.source.token is None and not http.is_guarded:
        cure = f"set {path[2:]}.token, or http.token, or in so many words http.open: true"
        raise ConfigError(f"{path}: at {http.host} anybody could publish: {cure}")


def _no_setting(kind: Kind, setting: str) -> str:
    if setting == "hwaccel":
        return f"a {kind.name} is decoded in software: leave it out"
    others = dict.fromkeys(each.name for each in SCHEMES.values() if setting in each.settings)
    takes = ", ".join(sorted(kind.settings))
    return f"a {kind.name} has none (a {' or a '.join(others)} has): leave it out; it has {takes}"


def check_broker(broker: Broker, path: str) -> None:
    """Check the address of a broker, whose section stands at a path.

    Raises:
        ConfigError: As `check`.
    """
    at(f"{path}.url", broker.address)
    if (broker.cert is None) != (broker.key is None):
        raise ConfigError(f"{path}: cert and key belong together")


def check_sinks(output: Output) -> None:
    """Check that crops go somewhere, and that nothing is set for a sink that is off.

    Raises:
        ValueError: If nobody would heed a setting.
    """
    if not output.sinks:
        raise ValueError("mqtt is false, and there is no other sink: crops would go nowhere")
    if output.broker and not output.mqtt:
        raise ValueError("nothing would go to broker, for mqtt is false: leave one of them out")
    if output.spool and not output.spooling:
        what = "it serves sinks beyond the detections' own broker, and there is none"
        raise ValueError(f"spool has nothing to serve: {what}: add broker, s3 or webhook")
    if output.spool and output.spool.max_bytes < LEAST_SPOOL:
        raise ValueError("spool.max_bytes: expected at least 1MiB")


def check_spools(config: Config) -> None:
    """Check that streams that share a spool agree on it.

    Raises:
        ValueError: If they do not.
    """
    known: dict[str, tuple[str, Spool]] = {}
    for name, stream in config.streams.items():
        if spool := stream.output.spool:
            first, other = known.setdefault(spool.path, (name, spool))
            if spool != other:
                what = f"{first} and {name} share a spool, whose settings have to be the same"
                raise ValueError(f"output.spool: {what}")


def check_choice(name: str) -> None:
    """Check a detection format's name.

    Raises:
        ValueError: If there is no such format.
    """
    if name not in DETECTION_FORMATS:
        msg = f"no format {quoted(name)}; expected one of {', '.join(DETECTION_FORMATS)}"
        raise ValueError(msg)


def check_key(stream: Stream) -> None:
    """Check that frames and messages both have the key by which they are paired.

    Raises:
        ValueError: If one of them has not; its text says what would do.
    """
    key, says = stream.pairing.key, DETECTION_FORMATS[stream.detections.format].keys
    has: set[str] = {*stream.source.kind.keys, *(["frame_id"] if stream.tap else [])}
    if key not in has:
        tap = "" if stream.tap else ", or add a tap, whose frames carry a frame_id"
        msg = f"a {stream.source.kind.name} has no {key}: use {_either(has & says or has)}{tap}"
        raise ValueError(msg)
    if key not in says:
        msg = (
            f"{stream.detections.format} messages say no {key}: use "
            f"{_either(has & says) or 'another format'}"
        )
        raise ValueError(msg)


def check_times(stream: Stream) -> None:
    """Check what is said of times against the key.

    Raises:
        ValueError: If the key is no time, or nothing could confirm it.
    """
    pairing = stream.pairing
    if pairing.offset and not pairing.row.is_time:
        msg = f"offset is added to times, and {pairing.key} is a name: leave it out"
        raise ValueError(msg)
    reports = stream.source.scheme in {"rtsp", "rtsps"}
    if pairing.confirm and not (pairing.row.of_camera and reports):
        msg = "confirm waits for a camera's sender reports: it goes with utc on rtsp:// alone"
        raise ValueError(msg)


def _either(keys: set[str]) -> str:
    return " or ".join(key for key in get_args(PairingKey) if key in keys)


def check_decoding(stream: Stream) -> None:
    """Check that frames can be decoded lazily if they are to be.

    Raises:
        ValueError: If they cannot.
    """
    mode, why = stream.decoding
    if stream.source.decode == "lazy" and mode != "lazy":
        msg = f"nothing would be decoded lazily here: {why}; use auto"
        raise ValueError(msg)
