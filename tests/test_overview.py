"""The node as its page shows it, by a node that runs."""

import json
from pathlib import Path

import aiohttp
import pytest
from fakes import frame
from peers import NUMBER_BOX, Client, Mosquitto, Node, box_of, free_port, numbered_clip, settings
from prometheus_client.parser import text_string_to_metric_families

from streamcrop import config
from streamcrop.core.values import Reason
from streamcrop.formats.events import Event
from streamcrop.node import Node as Running
from streamcrop.stream.ledger import ROWS
from streamcrop.web.view import STATES

MINIMAL = """
node: edge
broker: {url: 'mqtt://me:s3cret@broker.example:1884'}
streams:
  gate: {source: {url: clip.mp4}, detections: {topic: detections/gate}}
  yard: {source: {url: 'rtsp://me:s3cret@camera/main'}, pairing: {key: arrival},
         detections: {topic: detections/yard}}
"""


async def test_a_node_that_has_not_begun() -> None:
    """All that is known of it, and no secret."""
    node = Running(config.parse(MINIMAL))
    view = node._overview.view()
    assert (view.node, view.broker, view.connected) == ("edge", "broker.example:1884", False)
    gate, yard = view.streams
    assert (gate.name, gate.state, gate.live, gate.key) == ("gate", "starting", False, "frame_id")
    assert (gate.caveat, gate.topic, gate.tapped) == (None, "detections/gate", False)
    assert (yard.live, yard.key) == (True, "arrival")
    assert yard.caveat.startswith("arrival is a guess")
    assert {gate.state, yard.state} <= set(STATES)
    ledger = {row: of for row, of in ROWS.items() if row != "sink"}
    assert list(gate.rows) == list(ledger)
    assert next(iter(gate.sinks["mqtt"].outcomes)) == "delivered"
    assert view.spool is None
    for name, (entry, success, reasons) in ledger.items():
        assert gate.rows[name].entry == entry
        assert list(gate.rows[name].outcomes) == [success, *sorted(map(str, reasons))]
    assert gate.queues["frames_to_pair"].max_items == 1000
    assert "s3cret" not in repr(view)


async def test_what_waits_on_disk() -> None:
    """All of it together, of the sinks that have a spool."""
    node = Running(config.parse(MINIMAL))
    for name, count in (("gate", 3), ("yard", 4)):
        account = node.streams[name].outcomes.account("cloud")
        account.inherits(count)
    assert node._overview.view().spool == 7


async def test_what_became_of_things_is_in_it() -> None:
    """Counts, notes and stories come from the stream's own."""
    node = Running(config.parse(MINIMAL))
    outcomes = node.streams["yard"].outcomes
    outcomes.received(frame("7"))
    outcomes.frame_lost(frame("7"), Reason.EXPIRED)
    outcomes.notes.say("malformed", "no JSON from rtsp://me:s3cret@camera")
    outcomes.restarts = 2
    node._status.set("yard", "restarting", "an error")
    yard = node._overview.view().streams[1]
    assert (yard.state, yard.reason, yard.restarts, yard.is_well) == (
        "restarting",
        "an error",
        2,
        False,
    )
    assert yard.rows["frames"].dropped == {"expired": 1}
    assert yard.notes[0]["kind"] == "malformed"
    assert "s3cret" not in repr(yard)
    assert "expired after 2 s" in node._overview.explain("yard", "7")
    assert node._overview.explain("nobody", "7") is None
    assert [name for name, _ in node._overview.lost("yard")] == ["7"]


async def test_crops_are_remembered_while_there_is_a_page() -> None:
    """Each that was delivered; without HTTP none."""
    event = Event("crops", b"x", "image/jpeg", {"id": "gate/1/a"}, b"{}", is_crop=True)
    for http, count in (("", 1), ("http: false", 0)):
        node = Running(config.parse(MINIMAL + http))
        node.streams["gate"].outcomes.delivered(event)
        assert len(node._overview.recent.newest("gate", 9)) == count


@pytest.mark.e2e
async def test_metrics_are_the_ledger(broker: Mosquitto, tmp_path: Path) -> None:
    """Scraped from a node that runs, every counter is the ledger's at the end."""
    clip = numbered_clip(tmp_path / "clip.mp4", 20)
    chosen = settings(broker.url, clip, pairing={"max_wait": 60})
    chosen["http"] = {"port": (port := free_port())}
    async with (
        Client(broker.port) as client,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):
        with Node(tmp_path, chosen) as node:
            await client.until_running()
            async with http.get("/readyz") as reply:
                assert (reply.status, (await reply.json())["reasons"]) == (200, [])
            boxes = [box_of(NUMBER_BOX), box_of((900, 900, 950, 950))]
            for number in range(12):
                await client.publish({"frame_id": number, "predictions": boxes})
            await client.publish(b"rubbish")
            await client.publish({"frame_id": 3, "predictions": []})
            await client.until(lambda: len(client.of("crops")) == 12)
            await client.until(
                lambda: (
                    json.loads(client.of("status")[-1].payload)["ledger"]["messages"]["received"]
                    == 14
                )
            )
            async with http.get("/metrics") as reply:
                text = await reply.text()
            async with http.get("/api/streams") as reply:
                shown = (await reply.json())["streams"]["gate"]
            node.stop()
            code, said = node.wait()
    assert code == 0, said
    assert f"see it: http://127.0.0.1:{port}" in said
    samples = {
        (s.name, s.labels.get("outcome")): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }
    ledger = node.ledger()
    # What waited then ended as `closed`, and came after the scrape.
    sinks = ledger.pop("sinks")
    assert samples["streamcrop_sink_events_total", "delivered"] == sinks["mqtt"]["delivered"]
    assert samples["streamcrop_sink_events_taken_total", None] == sinks["mqtt"]["taken"]
    for row, counts in ledger.items():
        entry, success, _ = ROWS[row]
        assert samples[f"streamcrop_{row}_{entry}_total", None] == counts[entry]
        assert samples[f"streamcrop_{row}_total", success] == counts[success]
        for reason, count in counts["dropped"].items():
            if reason != "closed":
                assert samples[f"streamcrop_{row}_total", reason] == count
    assert ledger["messages"]["dropped"] == {"duplicate": 1, "malformed": 1}
    assert ledger["predictions"]["dropped"] == {"outside_frame": 12}
    assert samples["streamcrop_pair_to_publish_seconds_count", None] == 12
    assert shown["ledger"]["crops"]["published"] == 12
    assert (shown["state"], shown["health"]) == ("running", pytest.approx(100 * 12 / 14, abs=0.1))
