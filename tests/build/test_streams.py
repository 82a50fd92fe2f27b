"""The parts of a stream, as its configuration says."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from fakes import FakeBroker, ListSource, frame, until

from streamcrop import config
from streamcrop.build.streams import Shared, stream_of
from streamcrop.errors import ConfigError
from streamcrop.sources.threads import Threaded
from streamcrop.stream.supervision import Stream

ANSWER = b'{"frame_id": 0, "predictions": [{"x": 9, "y": 9, "width": 8, "height": 8}]}'


def settings(**sections: Any) -> config.Stream:
    """A stream's settings."""
    tree = {"source": {"url": "x.mp4"}, "detections": {"topic": "d"}, **sections}
    return msgspec.convert(tree, config.Stream, dec_hook=lambda kind, value: kind(value))


def made(broker: FakeBroker, items: ListSource | None, **sections: Any) -> Stream:
    """A stream built of its settings."""
    shared = Shared(node="edge", broker=broker, encoders=ThreadPoolExecutor(1))
    threaded = Threaded(items) if items else None
    return stream_of("gate", settings(**sections), shared, lambda _: None, threaded)


def test_what_cannot_be_built_is_named_with_its_stream() -> None:
    """An error of a source's parts says which stream's they are, before anything runs."""
    source = {"url": "rtsps://camera/main", "ca": "none.pem"}
    with pytest.raises(ConfigError, match=r"^\$\.streams\.gate\.source\.ca: none\.pem cannot"):
        made(FakeBroker(), None, source=source, pairing={"key": "utc"})


async def test_settings_reach_their_parts(tmp_path: Any) -> None:
    """Topic, QoS, encoding, folder and tap are those of the configuration."""
    broker = FakeBroker()
    output = {"topic": "c/{stream}", "qos": 0, "encoding": "png", "files": str(tmp_path)}
    source = ListSource([frame(0)])
    stream = made(broker, source, output=output, tap={"longest_side": 16})
    running = asyncio.create_task(stream.run(lambda: asyncio.sleep(0)))
    await until(lambda: any(m.topic == "streamcrop/gate/frames" for m in broker.published))
    broker.send(ANSWER, "d")
    await running
    assert stream.outcomes.ledger.errors() == []
    [crop] = [m for m in broker.published if m.topic == "c/gate"]
    assert (crop.qos, crop.content_type) == (0, "image/png")
    assert dict(crop.user_properties)["source"] == "/streamcrop/edge/gate"
    assert len(list(tmp_path.rglob("*.png"))) == 1


async def test_each_run_has_parts_of_its_own() -> None:
    """Two pipelines of one stream share no queue, and the sinks and the tap outlive them."""
    stream = made(FakeBroker(), ListSource([]), tap={})
    first, second = stream._begin(), stream._begin()
    assert first._pairing is not second._pairing
    assert first._showing is not second._showing
    assert first._showing._tap is second._showing._tap is stream.tap
    assert threading.active_count() < 20
