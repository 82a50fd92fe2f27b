"""Where crops go: sinks that are on, and those that the spool serves."""

import pytest

from streamcrop import config
from streamcrop.errors import ConfigError


def output(text: str) -> config.Output:
    """What a file says below ``output``."""
    head = (
        "broker: {url: mqtt://b}\nstreams: {s: {source: {url: a}, detections: {topic: d}, output: "
    )
    return config.parse(head + text + "}}").streams["s"].output


@pytest.mark.parametrize(
    ("text", "sinks", "spooling"),
    [
        ("{}", ("mqtt",), ()),
        ("{files: x}", ("mqtt", "files"), ()),
        ("{files: x, mqtt: false}", ("files",), ()),
        ("{broker: {url: mqtts://c}}", ("mqtt",), ("mqtt",)),
        ("{webhook: {url: 'http://h'}}", ("mqtt", "webhook"), ("webhook",)),
        ("{s3: {url: 's3://bucket'}, files: x}", ("mqtt", "files", "s3"), ("s3",)),
        ("{mqtt: false, webhook: {url: 'http://h'}}", ("webhook",), ("webhook",)),
    ],
)
def test_sinks(text: str, sinks: tuple[str, ...], spooling: tuple[str, ...]) -> None:
    """Those that are on, the first one first; those beyond the detections' own broker."""
    read = output(text)
    assert read.sinks == sinks
    assert read.spooling == spooling


def test_a_spool() -> None:
    """Its sizes and times may have units."""
    spool = output(
        "{broker: {url: mqtt://c}, spool: {path: s.db, max_age: 2d, max_bytes: 8MiB}}"
    ).spool
    assert spool == config.Spool(
        path="s.db", max_bytes=config.Bytes(8 << 20), max_age=config.Seconds(172_800)
    )
    assert (spool.order, spool.rate) == ("newest", 50.0)


def test_the_address_of_another_broker() -> None:
    """It is read as that of the first one is."""
    broker = output("{broker: {url: 'mqtts://me:pw@cloud', username: you}}").broker
    assert broker
    assert broker.address() == ("cloud", 8883, True, "you", "pw")


@pytest.mark.parametrize(
    ("secret", "key"), [("null", None), ("whsec_c2VjcmV0", b"secret"), ("c2VjcmV0", b"secret")]
)
def test_a_secret(secret: str, key: bytes | None) -> None:
    """With its prefix or without."""
    webhook = output(f"{{webhook: {{url: 'http://h', secret: {secret}}}}}").webhook
    assert webhook
    assert webhook.key() == key


@pytest.mark.parametrize("secret", ["whsec_", "s3cret!", "whsec_abc"])
def test_no_secret(secret: str) -> None:
    """It is refused, and not repeated."""
    with pytest.raises(ConfigError, match="Expected whsec_ and Base64") as info:
        output(f"{{webhook: {{url: 'http://h', secret: '{secret}'}}}}")
    assert secret not in str(info.value).replace("whsec_ and", "")


def test_a_bucket() -> None:
    """Its name, and what stands in front of each key."""
    for url, place in (("s3://crops", ("crops", "")), ("s3://my.crops/a/b/", ("my.crops", "a/b"))):
        found = output(f"{{s3: {{url: '{url}'}}}}").s3
        assert found
        assert found.place() == place
