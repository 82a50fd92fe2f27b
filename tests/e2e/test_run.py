"""`streamcrop run` with a real broker, in a process of its own."""

import asyncio
import json
import time
from pathlib import Path

import numpy as np
import pytest
import trustme
from peers import (
    NUMBER_BOX,
    Client,
    Mosquitto,
    Node,
    box_of,
    free_port,
    number_in,
    numbered_clip,
    settings,
    write_clip,
)

pytestmark = pytest.mark.e2e
COUNT = 60


async def _answer_all(client: Client, count: int = COUNT) -> None:
    """A detector that knows the file: three boxes a frame, one of them outside."""
    await client.until_running()
    for frame_id in range(count):
        boxes = [NUMBER_BOX, (100, 80, 180, 160), (900, 900, 950, 950)]
        await client.publish({"frame_id": frame_id, "predictions": [box_of(b) for b in boxes]})


async def test_every_prediction_gives_one_crop_of_the_right_frame(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """Every prediction of every frame gives exactly one crop, and its pixels carry the number."""
    clip = numbered_clip(tmp_path / "clip.mp4", COUNT, options={"bf": "3", "g": "20"})
    async with Client(broker.port) as client:
        with Node(
            tmp_path, settings(broker.url, clip, output={"files": str(tmp_path / "out")})
        ) as node:
            await _answer_all(client)
            await client.until_ended()
            code, said = await asyncio.to_thread(node.wait)
        assert code == 0, said
        rows = node.ledger()
        assert rows["frames"] == {"received": COUNT, "paired": COUNT, "dropped": {}}
        assert rows["predictions"]["dropped"] == {"outside_frame": COUNT}
        crops = client.of("crops")
        assert len({crop.properties["id"] for crop in crops}) == len(crops) == 2 * COUNT
        for crop in crops:
            assert crop.content_type == "image/png"
            metadata = crop.metadata
            if metadata["origin"] == [0, 0]:
                assert number_in(crop.image) == int(metadata["frame_id"])
        frames = [json.loads(message.payload) for message in client.of("metadata")]
        assert [frame["frame_id"] for frame in frames] == [str(n) for n in range(COUNT)]
        assert frames[0]["refused"] == [{"index": 2, "reason": "outside_frame"}]
        states = client.states()
        assert states.index("running") < states.index("ended")
        lines = (tmp_path / "out/gate/crops.jsonl").read_text().splitlines()
        assert len(lines) == 2 * COUNT
        assert all((tmp_path / "out" / json.loads(line)["file"]).exists() for line in lines)


async def test_a_slow_detector_that_answers_every_tenth_frame_loses_nothing_else(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """A detector slower than decoding is waited for; frames it skips end as `expired`."""
    clip = numbered_clip(tmp_path / "clip.mp4", 100)
    async with Client(broker.port) as client:
        pairing = {"max_wait": 1.0, "max_items": 20}
        with Node(tmp_path, settings(broker.url, clip, pairing=pairing)) as node:
            await client.until_running()
            for frame_id in range(0, 100, 10):
                await client.publish({"frame_id": frame_id, "predictions": [box_of(NUMBER_BOX)]})
                await asyncio.sleep(0.3)
            await client.until_ended()
            code, said = await asyncio.to_thread(node.wait)
        assert code == 0, said
        rows = node.ledger()
        assert rows["frames"] == {"received": 100, "paired": 10, "dropped": {"expired": 90}}
        assert rows["messages"]["dropped"] == {}
        for crop in client.of("crops"):
            assert number_in(crop.image) == int(crop.metadata["frame_id"])


async def test_the_broker_may_die_and_come_back(broker: Mosquitto, tmp_path: Path) -> None:
    """Across a broker's death the file waits, and what is in hand is published afterwards."""
    clip = numbered_clip(tmp_path / "clip.mp4", COUNT)
    with Node(tmp_path, settings(broker.url, clip)) as node:
        async with Client(broker.port) as client:
            await client.until_running()
            for frame_id in range(COUNT // 2):
                await client.publish({"frame_id": frame_id, "predictions": [box_of(NUMBER_BOX)]})
            await client.until(lambda: len(client.of("crops")) == COUNT // 2)
        broker.kill()
        await asyncio.sleep(3)
        broker.start()
        async with Client(broker.port) as client:
            await client.until_running()
            for frame_id in range(COUNT // 2, COUNT):
                await client.publish({"frame_id": frame_id, "predictions": [box_of(NUMBER_BOX)]})
            await client.until_ended()
            code, said = await asyncio.to_thread(node.wait)
            # One more where the broker died between a crop and its acknowledgement.
            ids = {crop.metadata["frame_id"] for crop in client.of("crops")}
            assert ids >= {str(frame_id) for frame_id in range(COUNT // 2, COUNT)}
    assert code == 0, said
    assert node.ledger()["frames"] == {"received": COUNT, "paired": COUNT, "dropped": {}}
    assert node.ledger()["crops"]["published"] == COUNT


async def test_crops_survive_a_frozen_broker(broker: Mosquitto, tmp_path: Path) -> None:
    """Crops on their way to a broker that hangs are published once it goes on."""
    clip = numbered_clip(tmp_path / "clip.mp4", COUNT)
    async with Client(broker.port) as client:
        with Node(tmp_path, settings(broker.url, clip)) as node:
            await _answer_all(client)
            broker.freeze()
            await asyncio.sleep(2)
            broker.thaw()
            await client.until_ended()
            code, said = await asyncio.to_thread(node.wait)
        assert code == 0, said
        assert len({crop.properties["id"] for crop in client.of("crops")}) == 2 * COUNT


async def test_sigterm_closes_and_adds_up(broker: Mosquitto, tmp_path: Path) -> None:
    """On SIGTERM what waits ends as `closed`, and what is in hand is published."""
    clip = numbered_clip(tmp_path / "clip.mp4", COUNT)
    async with Client(broker.port) as client:
        with Node(tmp_path, settings(broker.url, clip, pairing={"max_wait": 60})) as node:
            await client.until_running()
            await client.publish({"frame_id": 3, "predictions": [box_of(NUMBER_BOX)]})
            await client.publish({"frame_id": "never", "predictions": []})
            await client.until(lambda: len(client.of("crops")) == 1)
            node.stop()
            code, said = await asyncio.to_thread(node.wait)
        assert code == 0, said
        rows = node.ledger()
        assert rows["frames"]["dropped"]["closed"] == rows["frames"]["received"] - 1
        assert rows["messages"]["dropped"] == {"closed": 1}
        await client.until(lambda: "ended" in client.states())
        await client.until(
            lambda: any(
                message.topic == "streamcrop/node/test/status"
                and json.loads(message.payload)["state"] == "offline"
                for message in client.arrived
            )
        )


async def test_sigterm_with_a_dead_broker_ends_in_time(broker: Mosquitto, tmp_path: Path) -> None:
    """What cannot be published ends as a loss within `shutdown_timeout`."""
    clip = numbered_clip(tmp_path / "clip.mp4", COUNT)
    chosen = settings(broker.url, clip, output={"max_inflight": 4})
    chosen["shutdown_timeout"] = 1
    async with Client(broker.port) as client:
        with Node(tmp_path, chosen) as node:
            await client.until_running()
            await client.publish({"frame_id": 0, "predictions": []})
            await client.until(lambda: len(client.of("metadata")) == 1)
            boxes = [box_of((n, n, n + 60, n + 60)) for n in range(100)]
            for frame_id in range(1, 20):
                await client.publish({"frame_id": frame_id, "predictions": boxes})
            broker.freeze()
            await asyncio.sleep(1)
            node.stop()
            code, said = await asyncio.to_thread(node.wait)
            assert code == 0, said
        rows = node.ledger()
        assert set(rows["crops"]["dropped"]) == {"not_acknowledged", "closed"}
        broker.thaw()


def test_wrong_credentials_are_final(tmp_path: Path) -> None:
    """A broker that refuses the credentials ends the node with 1, no password in sight."""
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o644)
    broker = Mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}")
    try:
        clip = numbered_clip(tmp_path / "clip.mp4", 5)
        chosen = settings(f"mqtt://me:s3cret@127.0.0.1:{broker.port}", clip)
        with Node(tmp_path, chosen) as node:
            code, said = node.wait()
    finally:
        broker.kill()
    assert code == 1
    assert "refuses" in said
    assert "s3cret" not in said


def test_an_unreachable_broker_is_retried_and_sigterm_still_works(tmp_path: Path) -> None:
    """Without a broker the node waits, says so, and ends cleanly on SIGTERM."""
    clip = numbered_clip(tmp_path / "clip.mp4", 5)
    with Node(tmp_path, settings(f"mqtt://127.0.0.1:{free_port()}", clip)) as node:
        time.sleep(2.5)
        assert node.process.poll() is None
        node.stop()
        code, said = node.wait()
    assert code == 0, said
    assert "trying again" in said
    assert node.ledger()["frames"]["received"] == 0


async def test_a_broken_stream_does_not_stop_its_neighbours(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """A file that cannot be played ends with its reason and exit code 1; the others go on."""
    clip = numbered_clip(tmp_path / "clip.mp4", COUNT)
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(b"this is no video" * 100)
    chosen = settings(broker.url, clip)
    chosen["streams"]["broken"] = {**chosen["streams"]["gate"], "source": {"url": str(garbage)}}
    async with Client(broker.port) as client:
        with Node(tmp_path, chosen) as node:
            await _answer_all(client)
            await client.until_ended("broken")
            await client.until_ended()
            code, said = await asyncio.to_thread(node.wait)
        assert code == 1
        assert "garbage.mp4" in said
        assert len(client.of("crops")) == 2 * COUNT
        [*_, last] = client.of("status", "broken")
        assert "cannot be opened" in json.loads(last.payload)["reason"]
        node.ledger("broken")
        node.ledger("gate")


async def test_the_message_path_never_imports_supervision(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """A node that has cut crops with masks has not imported supervision."""
    clip = numbered_clip(tmp_path / "clip.mp4", 5)
    program = (
        # However it ends: it waits for no thread.
        "import atexit, os, sys; from streamcrop.cli import main;"
        "say = lambda: print('MODULES', *sys.modules, flush=True); leave = os._exit;"
        "os._exit = lambda code: (say(), leave(code)); atexit.register(say); main()"
    )
    async with Client(broker.port) as client:
        chosen = settings(broker.url, clip, pairing={"max_wait": 60}, crop={"mask_opacity": 1})
        with Node(tmp_path, chosen, ("-c", program)) as node:
            await client.until_running()
            points = [{"x": 10, "y": 10}, {"x": 90, "y": 10}, {"x": 90, "y": 90}]
            prediction = box_of((0, 0, 100, 100), points=points)
            await client.publish({"frame_id": 0, "predictions": [prediction]})
            await client.until(lambda: len(client.of("crops")) == 1)
            node.stop()
            code, said = await asyncio.to_thread(node.wait)
        assert code == 0, said
        modules = {name.partition(".")[0] for name in said.partition("MODULES")[2].split()}
        assert {"cv2", "av", "aiomqtt"} <= modules
        assert not modules & {"supervision", "scipy", "matplotlib", "amqtt", "aiortc"}


async def test_mqtt_3_1_1_gets_the_structured_mode(broker: Mosquitto, tmp_path: Path) -> None:
    """Without user properties, crop and metadata travel in one JSON object."""
    clip = numbered_clip(tmp_path / "clip.mp4", 10)
    chosen = settings(broker.url, clip)
    chosen["broker"]["protocol"] = "3.1.1"
    async with Client(broker.port) as client:
        with Node(tmp_path, chosen) as node:
            await _answer_all(client, 10)
            await client.until_ended()
            code, said = await asyncio.to_thread(node.wait)
        assert code == 0, said
        crops = client.of("crops")
        assert len(crops) == 20
        assert all(crop.properties == {} for crop in crops)
        event = json.loads(crops[0].payload)
        assert event["specversion"] == "1.0"
        assert event["datacontenttype"] == "image/png"


async def test_the_tap_is_answered_and_paired_exactly(broker: Mosquitto, tmp_path: Path) -> None:
    """A detector that echoes a tapped frame's ID and size gets crops of the full one."""
    clip = numbered_clip(tmp_path / "clip.mp4", COUNT, 640, 480)
    chosen = settings(broker.url, clip, tap={"longest_side": 320})
    async with Client(broker.port) as client:
        with Node(tmp_path, chosen) as node:
            for count in range(1, COUNT + 1):
                await client.until(lambda count=count: len(client.of("frames")) >= count)
                tapped = client.of("frames")[count - 1]
                assert tapped.properties["subject"] == tapped.metadata["frame_id"]
                assert tapped.image.shape == (240, 320, 3)
                half = [side / 2 for side in NUMBER_BOX]
                await client.publish(
                    {
                        "frame_id": tapped.metadata["frame_id"],
                        "image": tapped.metadata["image"],
                        "predictions": [box_of(half)],
                    }
                )
            await client.until_ended()
            code, said = await asyncio.to_thread(node.wait)
        assert code == 0, said
        assert node.ledger()["frames"]["paired"] == COUNT
        for crop in client.of("crops"):
            assert crop.metadata["image"] == {"width": NUMBER_BOX[2], "height": NUMBER_BOX[3]}
            assert number_in(crop.image) == int(crop.metadata["frame_id"])


async def test_a_realtime_tap_offers_only_what_it_showed(broker: Mosquitto, tmp_path: Path) -> None:
    """On a live source frames that were not tapped end as `not_tapped`, none expires."""
    clip = numbered_clip(tmp_path / "clip.mp4", 50)
    chosen = settings(
        broker.url, clip, source={"realtime": True}, tap={"rate": 5}, pairing={"max_wait": 5}
    )
    async with Client(broker.port) as client:
        answered: set[str] = set()
        with Node(tmp_path, chosen) as node:
            while "ended" not in client.states():
                for tapped in client.of("frames"):
                    if (frame_id := tapped.properties["subject"]) not in answered:
                        answered.add(frame_id)
                        await client.publish(
                            {"frame_id": frame_id, "predictions": [box_of(NUMBER_BOX)]}
                        )
                await asyncio.sleep(0.02)
            code, said = await asyncio.to_thread(node.wait)
        assert code == 0, said
        rows = node.ledger()
        assert rows["frames"]["paired"] == len(answered) == 10
        assert rows["frames"]["dropped"] == {"not_tapped": 40}
        for crop in client.of("crops"):
            assert number_in(crop.image) == int(crop.metadata["frame_id"])


async def test_pts_pairs_where_both_read_the_same_file(broker: Mosquitto, tmp_path: Path) -> None:
    """With `pairing.key: pts` frame and message agree on media time, in whatever time base."""
    clip = numbered_clip(tmp_path / "clip.mp4", 20)
    async with Client(broker.port) as client:
        with Node(tmp_path, settings(broker.url, clip, pairing={"key": "pts"})) as node:
            await client.until_running()
            await client.publish({"frame_id": 0, "predictions": []})
            for index in range(20):
                message = {"pts": index * 40, "time_base": "1/1000"}
                await client.publish({**message, "predictions": [box_of(NUMBER_BOX)]})
            await client.until_ended()
            code, said = await asyncio.to_thread(node.wait)
        assert code == 0, said
        assert node.ledger()["frames"]["paired"] == 20
        assert node.ledger()["messages"]["dropped"] == {"no_key": 1}
        numbers = {number_in(c.image): int(c.metadata["frame_id"]) for c in client.of("crops")}
        assert numbers == {n: n for n in range(20)}
        assert {c.metadata["paired_by"] for c in client.of("crops")} == {"pts"}


async def test_a_crop_too_large_for_the_broker_is_counted(tmp_path: Path) -> None:
    """What the broker announced not to take is `too_large`, and the connection survives."""
    broker = Mosquitto(tmp_path, "max_packet_size 60000")
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    try:
        clip = write_clip(tmp_path / "clip.mp4", [noise, noise], options={"crf": "5"})
        async with Client(broker.port) as client:
            with Node(tmp_path, settings(broker.url, clip)) as node:
                await client.until_running()
                for frame_id in range(2):
                    boxes = [box_of((0, 0, 640, 480)), box_of((0, 0, 20, 20))]
                    await client.publish({"frame_id": frame_id, "predictions": boxes})
                await client.until_ended()
                code, said = await asyncio.to_thread(node.wait)
            assert code == 0, said
            assert node.ledger()["crops"] == {
                "made": 4,
                "published": 2,
                "dropped": {"too_large": 2},
            }
    finally:
        broker.kill()


def test_tls_and_its_refusals(tmp_path: Path) -> None:
    """With the right CA a TLS broker is used; a certificate that nobody vouches for is final."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    for n, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(tmp_path / "cert.pem", append=n > 0)
    broker = Mosquitto(
        tmp_path, f"certfile {tmp_path / 'cert.pem'}", f"keyfile {tmp_path / 'key.pem'}"
    )
    clip = numbered_clip(tmp_path / "clip.mp4", 3)
    chosen = settings(f"mqtts://127.0.0.1:{broker.port}", clip, pairing={"max_wait": 0.5})
    try:
        with Node(tmp_path, chosen) as node:
            code, said = node.wait()
        assert code == 1
        assert "certificate" in said.lower()
        chosen["broker"]["ca"] = str(tmp_path / "ca.pem")
        with Node(tmp_path, chosen) as node:
            code, said = node.wait()
        assert code == 0, said
        assert node.ledger()["frames"]["dropped"] == {"expired": 3}
    finally:
        broker.kill()


async def test_a_message_at_which_the_broker_hangs_up_does_not_go_round_for_ever(
    tmp_path: Path,
) -> None:
    """MQTT 3.1.1 announces no limit: what breaks the connection is known by its size."""
    broker = Mosquitto(tmp_path, "max_packet_size 60000")
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    clip = write_clip(tmp_path / "clip.mp4", [noise] * 4, options={"crf": "5"})
    chosen = settings(broker.url, clip)
    chosen["broker"]["protocol"] = "3.1.1"
    try:
        async with Client(broker.port) as client:
            with Node(tmp_path, chosen) as node:
                await client.until_running()
                for frame_id in range(4):
                    boxes = [box_of((0, 0, 640, 480)), box_of((0, 0, 20, 20))]
                    await client.publish({"frame_id": frame_id, "predictions": boxes})
                await client.until_ended()
                code, said = await asyncio.to_thread(node.wait)
            assert code == 0, said
            crops = node.ledger()["crops"]
            assert crops == {"made": 8, "published": 4, "dropped": {"too_large": 4}}
    finally:
        broker.kill()


async def test_a_crop_that_the_broker_refuses_is_not_published(tmp_path: Path) -> None:
    """A broker that acknowledges with a failure (an ACL) has not published: `not_acknowledged`."""
    rules = tmp_path / "acl"
    rules.write_text(
        "topic readwrite detections/#\ntopic read streamcrop/#\n"
        "topic write streamcrop/gate/status\ntopic write streamcrop/node/#\n"
        "topic write streamcrop/gate/metadata\n"
    )
    broker = Mosquitto(tmp_path, f"acl_file {rules}")
    clip = numbered_clip(tmp_path / "clip.mp4", 3)
    try:
        async with Client(broker.port) as client:
            with Node(tmp_path, settings(broker.url, clip)) as node:
                await client.until_running()
                for frame_id in range(3):
                    prediction = box_of(NUMBER_BOX)
                    await client.publish({"frame_id": frame_id, "predictions": [prediction]})
                await client.until_ended()
                code, said = await asyncio.to_thread(node.wait)
            assert code == 0, said
            crops = node.ledger()["crops"]
            assert crops == {"made": 3, "published": 0, "dropped": {"not_acknowledged": 3}}
            assert client.states()[:2] == ["starting", "running"]
    finally:
        broker.kill()


async def test_text_that_mqtt_forbids_breaks_nothing(broker: Mosquitto, tmp_path: Path) -> None:
    """Control characters and noncharacters in a class reach the consumer."""
    clip = numbered_clip(tmp_path / "clip.mp4", 1)
    name = "a\u007f\u0085\ufdd0\ufeff\ufffe\U0001ffff\u00e4b"
    async with Client(broker.port) as client:
        with Node(tmp_path, settings(broker.url, clip)) as node:
            await client.until_running()
            prediction = box_of(NUMBER_BOX, **{"class": name})
            await client.publish({"frame_id": 0, "predictions": [prediction]})
            await client.until_ended()
            code, said = await asyncio.to_thread(node.wait)
        assert code == 0, said
        assert "lost" not in said.partition("ledger")[0]
        [crop] = client.of("crops")
        assert crop.metadata["predictions"][0]["class"] == name


def test_a_signal_that_comes_before_the_node_listens_ends_it_with_a_ledger(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """SIGTERM while the first library is imported: the node ends at once, its ledger adds up."""
    program = """
import os, signal, sys
from streamcrop.cli import main

class Early:
    def find_spec(self, name, path, target=None):
        if name == "numpy":
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Early())
main()
"""
    clip = numbered_clip(tmp_path / "clip.mp4", COUNT)
    with Node(tmp_path, settings(broker.url, clip), ("-c", program)) as node:
        code, said = node.wait()
    assert code == 0, said
    assert "ledger of gate" in said
    assert node.ledger()["frames"] == {"received": 0, "paired": 0, "dropped": {}}


@pytest.mark.parametrize("decode", ["auto", "eager", "lazy"])
async def test_a_few_of_many_frames_are_wanted(
    broker: Mosquitto, tmp_path: Path, decode: str
) -> None:
    """Where one of twenty frames gets an answer, each crop is of its frame, however decoded."""
    clip = numbered_clip(tmp_path / "clip.mp4", 200, options={"bf": "3", "g": "30"})
    wanted = range(7, 200, 20)
    chosen = settings(
        broker.url, clip, source={"decode": decode}, pairing={"key": "pts", "max_wait": 1.0}
    )
    async with Client(broker.port) as client:
        with Node(tmp_path, chosen) as node:
            await client.until_running()
            # Not in their order, so that the decoder has to go back.
            for number in sorted(wanted, key=lambda n: n % 3):
                box = box_of(NUMBER_BOX)
                said = {"pts": number, "time_base": "1/25", "predictions": [box]}
                await client.publish(said)
            await client.until_ended()
            code, said = await asyncio.to_thread(node.wait)
        assert code == 0, said
        rows = node.ledger()
        assert rows["frames"] == {"received": 200, "paired": 10, "dropped": {"expired": 190}}
        found = sorted(number_in(crop.image) for crop in client.of("crops"))
        assert found == list(wanted)
        for crop in client.of("crops"):
            assert int(crop.metadata["frame_id"]) == number_in(crop.image)
