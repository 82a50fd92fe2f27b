"""`streamcrop run` with WebRTC publishers: aiortc peers, a browser, and whoever means harm."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import aiohttp
import numpy as np
import psutil
import pytest
from browser import Browser
from fakes import until
from patience import PATIENCE
from peers import (
    NUMBER_BOX,
    Client,
    Image,
    Mosquitto,
    Node,
    box_of,
    free_port,
    number_in,
    numbered_clip,
    settings,
)
from webrtc_peers import Publisher, WhepServer, peer

pytestmark = pytest.mark.e2e
TOKEN = "s3cret"  # noqa: S105  # of these tests
SDP = {"Content-Type": "application/sdp"}


def whip(url: str, **sections: Any) -> tuple[dict[str, Any], str]:
    """A configuration with a stream ``gate`` to publish to, and where."""
    chosen = settings(url, "whip:", **sections)
    port = free_port()
    chosen["http"] = {"port": port}
    return chosen, f"http://127.0.0.1:{port}/whip/gate"


def sessions_seen(client: Client) -> int:
    """How many sessions ten crops or more have come from."""
    epochs = Counter(crop.metadata["frame_id"].split("-")[0] for crop in client.of("crops"))
    return sum(count >= 10 for count in epochs.values())


def numbers_agree(client: Client, least: int) -> None:
    """What a detector wrote as class is what stands in the crop's pixels."""
    crops = client.of("crops")
    assert len(crops) >= least
    for crop in crops:
        [prediction] = crop.metadata["predictions"]
        assert prediction["class"] == f"n{number_in(crop.image)}"


async def end(node: Node) -> dict[str, Any]:
    """Stop the node: its ledger, which adds up."""
    node.stop()
    code, said = await asyncio.to_thread(node.wait)
    assert code == 0, said
    return node.ledger()


async def test_ids_in_the_bitstream_pair(broker: Mosquitto, tmp_path: Path) -> None:
    """Key `sei`: a detector that read the same IDs elsewhere gets crops of those very frames."""
    chosen, url = whip(broker.url, pairing={"key": "sei", "max_wait": 20})
    async with Client(broker.port) as client:
        with Node(tmp_path, chosen) as node:
            await client.until(lambda: "starting" in client.states())
            await answering(url)
            for number in range(50):
                thing = box_of(NUMBER_BOX, **{"class": f"n{number}"})
                await client.publish({"frame_id": number, "predictions": [thing]})
            async with Publisher(url) as publisher:
                await client.until(lambda: len(client.of("crops")) >= 40)
                assert await publisher.goodbye() == 200
            await client.until(lambda: "reconnecting" in client.states())
            rows = await end(node)
        assert rows["frames"]["paired"] == rows["messages"]["paired"] == len(client.of("crops"))
        numbers_agree(client, 40)
        assert {crop.metadata["paired_by"] for crop in client.of("crops")} == {"sei"}


async def answering(url: str) -> None:
    """Wait until the node's HTTP server answers."""
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(url) as reply:
                    assert reply.status == 200
                    return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)


class Echo:
    """A detector that answers each tapped frame with one box, named after what it sees."""

    def __init__(self, client: Client, box: tuple[float, ...] | None) -> None:
        self._client = client
        self._box = box
        self.seen: dict[str, Image] = {}

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._answer())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _answer(self) -> None:
        while True:
            for tapped in self._client.of("frames"):
                frame_id = tapped.metadata["frame_id"]
                if frame_id in self.seen:
                    continue
                image = self.seen[frame_id] = tapped.image
                box = self._box or (0, 0, image.shape[1], image.shape[0])
                thing = box_of(box, **{"class": f"n{number_in(image)}"})
                answer = {"frame_id": frame_id, "predictions": [thing]}
                await self._client.publish({**answer, "image": tapped.metadata["image"]})
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_the_tap_of_a_publisher_pairs(broker: Mosquitto, tmp_path: Path, codec: str) -> None:
    """Key `frame_id` with a tap, across two sessions: each crop is of the frame it names."""
    # The detector shares its loop with the publisher, whose encoder takes its time.
    chosen, url = whip(broker.url, tap={"rate": 10, "quality": 95}, pairing={"max_wait": 20})
    chosen["streams"]["gate"]["source"]["token"] = TOKEN
    async with Client(broker.port) as client, Echo(client, NUMBER_BOX):
        with Node(tmp_path, chosen) as node:
            await answering(url)
            for count in (1, 2):
                async with Publisher(url, token=TOKEN, codec=codec):
                    await client.until(lambda count=count: sessions_seen(client) == count)
            rows = await end(node)
        numbers_agree(client, 20)
        assert rows["frames"]["dropped"].get("no_key") is None


PREFER = """
const add = RTCPeerConnection.prototype.addTransceiver;
RTCPeerConnection.prototype.addTransceiver = function (...how) {
  const transceiver = add.apply(this, how);
  const {codecs} = RTCRtpReceiver.getCapabilities("video");
  const wanted = codecs.filter(each => each.mimeType === "video/%s");
  transceiver.setCodecPreferences(wanted);
  return transceiver;
};
"""
# The codec that the browser really sends.
SENT = """
(async () => {
  const stats = [...(await run.peer.getStats()).values()];
  const sent = stats.find(each => each.type === "outbound-rtp" && each.kind === "video");
  return stats.find(each => each.id === sent.codecId).mimeType;
})()
"""
# What the browser does where it cannot send all: rather fewer pictures than smaller ones, and not
# as for a shared screen.
KEEPS = """
run.peer.getSenders().map(
  each => [each.track.contentHint, each.getParameters().degradationPreference])
"""
STATE = "document.getElementById('status').dataset.state"
TEXT = "document.getElementById('status').textContent"
PRESS = "document.getElementById('button').click()"


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_a_browser_publishes_from_the_page(
    broker: Mosquitto, tmp_path: Path, codec: str
) -> None:
    """The page that the node serves sends the camera; an echoing detector gets the right crops."""
    chosen, url = whip(broker.url, tap={"rate": 5, "quality": 95}, pairing={"max_wait": 5})
    chosen["streams"]["gate"]["source"]["token"] = TOKEN
    async with (
        Browser(tmp_path) as browser,
        Client(broker.port) as client,
        Echo(client, None) as echo,
    ):
        with Node(tmp_path, chosen) as node:
            await answering(url)
            await browser.open(url)
            await browser.evaluate(PREFER % codec)
            await browser.evaluate(PRESS)
            await browser.until(f"{STATE} == 'failed'")
            assert "token" in await browser.evaluate(TEXT)
            await browser.open(f"{url}?again#token={TOKEN}")
            assert await browser.evaluate("location.hash") == ""
            await browser.evaluate(PREFER % codec)
            await browser.evaluate(PRESS)
            await browser.until(f"{STATE} == 'on'")
            assert await browser.evaluate(SENT) == f"video/{codec}"
            assert await browser.evaluate(KEEPS) == [["", "maintain-resolution"]]
            await client.until(lambda: len(client.of("crops")) >= 15)
            await browser.evaluate(PRESS)
            await browser.until(f"{STATE} == 'off'")
            await client.until(lambda: "reconnecting" in client.states())
            await end(node)
        crops = client.of("crops")
        # A tapped frame and its crop differ by the JPEG alone; others by the moving clock.
        for crop in crops:
            assert crop.image.shape == (720, 1280, 3)
            away = {
                frame_id: np.abs(crop.image.astype(int) - image).mean()
                for frame_id, image in echo.seen.items()
                if image.shape == crop.image.shape
            }
            assert min(away, key=lambda each: away[each]) == crop.metadata["frame_id"]


async def _harm(url: str) -> None:
    """Whatever may come to an HTTP port."""
    no_video = peer()
    no_video.addTransceiver("audio", "sendonly")
    await no_video.setLocalDescription()
    silent = peer()
    silent.addTransceiver("video", "sendonly")
    await silent.setLocalDescription()
    token = {**SDP, "Authorization": f"Bearer {TOKEN}"}
    wrong = [
        (401, {"data": silent.localDescription.sdp, "headers": SDP}),
        (401, {"data": "x", "headers": {**SDP, "Authorization": "Bearer guess"}}),
        (400, {"data": "no SDP", "headers": token}),
        (400, {"data": no_video.localDescription.sdp, "headers": token}),
        (413, {"data": b"x" * (1 << 20), "headers": token}),
        (415, {"data": "{}", "headers": {**token, "Content-Type": "application/json"}}),
    ]
    async with aiohttp.ClientSession() as http:
        for status, how in wrong:
            async with http.post(url, **how) as reply:
                assert reply.status == status, await reply.text()
        async with http.post(url, data=silent.localDescription.sdp, headers=token) as reply:
            assert reply.status == 201
            session = str(reply.url.join(aiohttp.client.URL(reply.headers["Location"])))
        for status in (200, 404):
            async with http.delete(session, headers=token) as reply:
                assert reply.status == status
        async with http.post(url, data=silent.localDescription.sdp, headers=token) as reply:
            assert reply.status == 201
    await no_video.close()
    await silent.close()


async def _crowd(client: Client, url: str) -> None:
    """Ten publishers at once, of whom one is seen, and their end."""
    async with AsyncExitStack() as stack:
        crowd = [Publisher(url, token=TOKEN) for _ in range(10)]
        before = len(client.of("frames"))
        await asyncio.gather(*(stack.enter_async_context(each) for each in crowd))
        await client.until(lambda: len(client.of("frames")) >= before + 3)
    await client.until(lambda: client.states()[-1] == "reconnecting")


async def test_harm_to_a_publisher_is_not_felt_by_its_neighbours(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """Bad requests, silent and crowding publishers: a file beside loses nothing, nothing leaks."""
    clip = numbered_clip(tmp_path / "clip.mp4", 60)
    chosen, url = whip(broker.url, tap={"rate": 5})
    source = chosen["streams"]["gate"]["source"]
    source |= {"token": TOKEN, "stall_timeout": 1}
    sections = {"detections": {"topic": "detections/clip"}, "pairing": {"max_wait": 60}}
    beside = settings(broker.url, clip, **sections)
    chosen["streams"]["clip"] = beside["streams"]["gate"]

    async def answer(client: Client, numbers: range) -> None:
        for number in numbers:
            thing = box_of(NUMBER_BOX, **{"class": f"n{number}"})
            answer = {"frame_id": number, "predictions": [thing]}
            await client.publish(answer, "detections/clip")

    async with Client(broker.port) as client:
        with Node(tmp_path, chosen) as node:
            await client.until_running("clip")
            await answering(url)
            process = psutil.Process(node.process.pid)
            # The first time brings threads that stay: those of pools.
            await _crowd(client, url)
            calm = process.num_fds(), process.num_threads()
            await answer(client, range(20))
            await _harm(url)
            await answer(client, range(20, 40))
            await _crowd(client, url)
            await until(lambda: process.num_fds() <= calm[0])
            await until(lambda: process.num_threads() <= calm[1] + 3)
            await answer(client, range(40, 60))
            await client.until_ended("clip")
            await end(node)
        rows = node.ledger("clip")
        assert rows["frames"] == {"received": 60, "paired": 60, "dropped": {}}
        assert rows["messages"]["dropped"] == {}
        assert rows["crops"]["published"] == 60


async def test_a_whep_server_is_read(broker: Mosquitto, tmp_path: Path) -> None:
    """`whep:`: its frames are tapped and paired, and at the end the session is deleted."""
    async with WhepServer(token=TOKEN) as server, Client(broker.port) as client:
        url = f"whep:http://127.0.0.1:{server.port}/whep"
        chosen = settings(broker.url, url, tap={"rate": 10, "quality": 95})
        chosen["streams"]["gate"]["source"]["token"] = TOKEN
        async with Echo(client, NUMBER_BOX):
            with Node(tmp_path, chosen) as node:
                await client.until(lambda: len(client.of("crops")) >= 10)
                await end(node)
        numbers_agree(client, 10)
        assert server.deleted == 1


def test_a_port_that_is_taken_ends_the_node(broker: Mosquitto, tmp_path: Path) -> None:
    """Another program has `http.port`: the error says so, and the exit status is 1."""
    chosen, _ = whip(broker.url, tap={})
    chosen["http"]["port"] = broker.port
    with Node(tmp_path, chosen) as node:
        code, said = node.wait()
    assert code == 1
    assert f"error: http.port: another program listens on 127.0.0.1, port {broker.port}" in said


def test_without_the_extra_the_cure_is_named(broker: Mosquitto, tmp_path: Path) -> None:
    """Where aiortc is not installed a `whip:` stream is refused with what to install."""
    chosen, _ = whip(broker.url, tap={})
    (tmp_path / "aiortc.py").write_text("raise ModuleNotFoundError('none', name='aiortc')\n")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import streamcrop.__main__"
    with Node(tmp_path, chosen, ("-c", program)) as node:
        code, said = node.wait()
    assert code == 2
    assert "source.url: WebRTC needs aiortc: pip install 'streamcrop[webrtc]'" in said


def test_check_imports_nothing_of_it(tmp_path: Path) -> None:
    """`streamcrop check` needs no extra."""
    chosen, _ = whip("mqtt://127.0.0.1", tap={})
    path = tmp_path / "node.json"
    path.write_text(json.dumps(chosen))
    program = (
        "import sys; from streamcrop.cli import main; "
        f"main(['check', {str(path)!r}], standalone_mode=False); "
        "assert not {'aiortc', 'aiohttp'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
