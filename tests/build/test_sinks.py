"""The sinks of a stream, and what those of all streams share."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes import FakeBroker

from streamcrop import config
from streamcrop.build.sinks import Elsewhere, Sinks
from streamcrop.errors import ConfigError
from streamcrop.formats.events import Event
from streamcrop.sinks.mqtt import MqttSink
from streamcrop.sinks.retrying import Retrying
from streamcrop.sinks.spool import Key, Spool
from streamcrop.stream.outcomes import Outcomes

CLOUD = {"url": "mqtt://127.0.0.1:1"}
WEB = {"url": "http://127.0.0.1:1/"}
DB = {"path": "db"}


def stream(**output: Any) -> config.Stream:
    """A stream's settings."""
    tree = {"source": {"url": "a.mp4"}, "detections": {"topic": "d"}, "output": output}
    return msgspec.convert(tree, config.Stream, dec_hook=lambda kind, value: kind.parse(value))


def made(
    settings: config.Stream, elsewhere: Elsewhere, name: str = "gate"
) -> tuple[list[Any], Any]:
    """Its sinks, and what they tell."""
    outcomes = Outcomes("frame_id", 2.0)
    sinks = Sinks(
        name,
        settings,
        broker=FakeBroker(),
        elsewhere=elsewhere,
        outcomes=outcomes,
        threads=ThreadPoolExecutor(1),
        end_within=1.0,
    )
    return sinks.build(), outcomes


@pytest.mark.parametrize(
    ("output", "kinds", "first"),
    [
        ({}, [("mqtt", MqttSink)], "mqtt"),
        ({"files": "x"}, [("files", Retrying), ("mqtt", MqttSink)], "mqtt"),
        ({"files": "x", "mqtt": False}, [("files", Retrying)], "files"),
        ({"broker": CLOUD}, [("mqtt", MqttSink)], "mqtt"),
        ({"broker": CLOUD, "spool": {"path": "db"}}, [("mqtt", Retrying)], "mqtt"),
        ({"webhook": WEB}, [("webhook", Retrying), ("mqtt", MqttSink)], "mqtt"),
        ({"s3": {"url": "s3://crops"}}, [("s3", Retrying), ("mqtt", MqttSink)], "mqtt"),
        (
            {"webhook": WEB, "mqtt": False, "spool": {"path": "x"}},
            [("webhook", Retrying)],
            "webhook",
        ),
    ],
)
async def test_a_sink_for_each_that_is_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: dict[str, Any],
    kinds: list[tuple[str, type]],
    first: str,
) -> None:
    """The one that waits for its broker is the last; whose crops are published is the first."""
    monkeypatch.chdir(tmp_path)
    settings = stream(**output)
    elsewhere = Elsewhere("edge", [settings])
    sinks, outcomes = made(settings, elsewhere)
    assert [(sink.name, type(sink)) for sink in sinks] == kinds
    assert next(iter(outcomes.ledger.sinks)) == first
    await elsewhere.close()


async def test_streams_share_brokers_and_spools(tmp_path: Path) -> None:
    """Those that say the same; its window has room for all of them."""
    spool = {"path": str(tmp_path / "db")}
    one, two = (stream(broker=CLOUD, spool=spool, max_inflight=n) for n in (10, 20))
    other = stream(broker={"url": "mqtt://127.0.0.1:2"}, spool={"path": str(tmp_path / "other")})
    elsewhere = Elsewhere("edge", [one, two, other])
    brokers = {id(elsewhere.broker(s.output.broker, lambda *_: None)) for s in (one, two, other)}
    assert len(brokers) == 2
    keepings = {id(elsewhere.spool(s.output.spool)[1]) for s in (one, two, other)}
    assert len(keepings) == 2
    await elsewhere.close()


async def test_what_an_earlier_run_left_is_inherited(tmp_path: Path) -> None:
    """Also what was let go of and not yet told: both stand in the ledger from the beginning."""
    now = 0.0
    spool = Spool(tmp_path / "db", max_bytes=1 << 24, max_age=10, order="newest", clock=lambda: now)
    event = Event("t", b"", "", {"id": "1"}, is_crop=True)
    spool.put([(Key("gate", "mqtt"), event)] * 3)
    now = 20.0
    spool.expire()
    spool.put([(Key("gate", "mqtt"), event)] * 2)
    spool.close()
    settings = stream(broker=CLOUD, spool={"path": str(tmp_path / "db")})
    elsewhere = Elsewhere("edge", [settings])
    _, outcomes = made(settings, elsewhere)
    crops = outcomes.ledger.as_json()["crops"]
    assert (crops["inherited"], crops["spooled"]) == (5, 5)
    assert outcomes.ledger.errors() == []
    await elsewhere.close()


def test_a_spool_that_cannot_be_used(tmp_path: Path) -> None:
    """It is an error of the configuration, which names the key and the file."""
    (tmp_path / "db").write_bytes(b"no database" * 1000)
    settings = stream(broker=CLOUD, spool={"path": str(tmp_path / "db")})
    with pytest.raises(ConfigError, match=r"^output\.spool\.path: .*/db: cannot be used: "):
        made(settings, Elsewhere("edge", [settings]))


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is named, and how to get it."""
    monkeypatch.delitem(sys.modules, "streamcrop.sinks.s3", raising=False)
    monkeypatch.setitem(sys.modules, "obstore", None)
    settings = stream(s3={"url": "s3://crops"})
    with pytest.raises(ConfigError, match=r"^output\.s3: s3 needs obstore: pip install "):
        made(settings, Elsewhere("edge", [settings]))
