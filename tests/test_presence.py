"""What a node says of its being there."""

import asyncio
import json
import time

import pytest

from streamcrop.presence import Presence


def test_each_process_is_an_instance() -> None:
    """Two with one configuration share the topic, and differ in the instance that they say."""
    first, second = Presence("edge"), Presence("edge")
    assert first.topic == second.topic == "streamcrop/node/edge/status"
    assert first.instance != second.instance
    said = [json.loads(each) for each in (first.will.payload, first.message("online").payload)]
    assert said == [
        {"state": state, "node": "edge", "instance": first.instance}
        for state in ("offline", "online")
    ]
    assert first.message("offline").retain


def test_a_part_of_a_node_speaks_for_its_streams() -> None:
    """Under a topic of its own."""
    assert Presence("edge", "gate,yard").topic == "streamcrop/node/edge/gate,yard/status"


@pytest.mark.parametrize(
    ("payload", "contradicted"),
    [
        (b'{"state":"offline","instance":"other"}', True),
        (b'{"state":"offline"}', True),
        (b'{"state":"online"}', False),
        (b"", False),
        (b"offline", False),
        (b'{"state":"\xff"}', False),
        (b'{"state":"\\ud800"}', False),
        (b"[" * 5000, False),
        (b'{"state":"offline","more":"' + b"x" * 5000 + b'"}', False),
    ],
)
async def test_an_offline_is_contradicted(payload: bytes, contradicted: bool) -> None:
    """Whoever said it, and nothing else is; rubbish does no harm."""
    presence = Presence("edge")
    presence.hear(payload, {})
    doubted = asyncio.create_task(presence.doubted())
    for _ in range(5):
        await asyncio.sleep(0)
    assert doubted.done() is contradicted
    doubted.cancel()


async def test_a_flood_is_contradicted_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """And once more behind its end."""
    monkeypatch.setattr("streamcrop.presence._EVERY", 0.1)
    presence, count = Presence("edge"), 0

    async def contradict() -> None:
        nonlocal count
        while True:
            await presence.doubted()
            count += 1

    task = asyncio.create_task(contradict())
    began = time.monotonic()
    for _ in range(100):
        presence.hear(b'{"state":"offline"}', {})
        await asyncio.sleep(0.003)
    assert 2 <= count <= (time.monotonic() - began) / 0.1 + 1
    await asyncio.sleep(0.25)
    seen = count
    await asyncio.sleep(0.25)
    task.cancel()
    assert count == seen
