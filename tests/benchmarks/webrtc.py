"""What a browser sends to the node from its own page: ``python -m tests.benchmarks webrtc``.

Chromium with a camera of 720p at 30 pictures a second, in turns to the node, from the page that it
serves, and to a plain aiortc peer, from a page that says nothing of size or rate.
"""

import asyncio
import json
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaBlackhole
from benchmarks.node import configured, started
from benchmarks.report import Row
from browser import Browser
from peers import Mosquitto, free_port

_CAMERA = "--use-fake-device-for-media-stream=fps=30"
_PAGE = """<!doctype html><title>plain</title><script>
let run = {};
async function publish() {
  const video = {width: {ideal: 1280}, height: {ideal: 720}};
  const camera = await navigator.mediaDevices.getUserMedia({video});
  const peer = run.peer = new RTCPeerConnection();
  peer.addTransceiver(camera.getVideoTracks()[0], {direction: "sendonly", streams: [camera]});
  await peer.setLocalDescription();
  while (peer.iceGatheringState !== "complete") await new Promise(done => setTimeout(done, 20));
  const reply = await fetch("/", {method: "POST", body: peer.localDescription.sdp});
  await peer.setRemoteDescription({type: "answer", sdp: await reply.text()});
}
</script>"""
# How each page is made to send.
_START = {"node": "document.getElementById('button').click()", "plain": "publish()"}
_SENT = """
(async () => {
  if (!run?.peer) return null;
  const stats = [...(await run.peer.getStats()).values()];
  const sent = stats.find(each => each.type === "outbound-rtp" && each.kind === "video");
  return sent?.framesSent ? [sent.timestamp, sent.framesSent, sent.frameHeight] : null;
})()
"""


@asynccontextmanager
async def plain() -> AsyncIterator[str]:
    """A peer that takes what comes and decodes it; yields its page's URL."""
    peers: list[RTCPeerConnection] = []

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html")

    async def take(request: web.Request) -> web.Response:
        peer, hole = RTCPeerConnection(RTCConfiguration(iceServers=[])), MediaBlackhole()
        peers.append(peer)
        peer.on("track", hole.addTrack)
        await peer.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        await peer.setLocalDescription()
        await hole.start()
        return web.Response(text=peer.localDescription.sdp)

    app = web.Application()
    app.add_routes([web.get("/", page), web.post("/", take)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await asyncio.gather(*(peer.close() for peer in peers))
        await runner.cleanup()


async def sent(url: str, who: str, seconds: float) -> tuple[float, int]:
    """Pictures a second from the first one on, and the height of the last one."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        async with Browser(Path(folder), _CAMERA) as browser:
            await browser.open(url)
            await browser.evaluate(_START[who])
            await browser.until(f"({_SENT.strip()})")
            first = await browser.evaluate(_SENT)
            await asyncio.sleep(seconds)
            last = await browser.evaluate(_SENT)
    return 1e3 * (last[1] - first[1]) / (last[0] - first[0]), last[2]


async def _answers(url: str) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(url):
                    return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)


async def _measure(folder: Path, port: int, *, quick: bool) -> list[Row]:
    web_port = free_port()
    at_node = f"http://127.0.0.1:{web_port}/whip/gate"
    stream = {"source": {"url": "whip:"}, "tap": {"rate": 5}}
    *_, path = command = configured(folder, port, {"gate": stream})
    tree = json.loads(Path(path).read_text())  # noqa: ASYNC240  # twenty lines
    Path(path).write_text(json.dumps({**tree, "http": {"port": web_port}}))  # noqa: ASYNC240
    found: dict[str, list[tuple[float, int]]] = {"node": [], "plain": []}
    async with plain() as at_plain:
        with started(command):
            await _answers(at_node)
            for _ in range(1 if quick else 3):
                for who, url in (("node", at_node), ("plain", at_plain)):
                    found[who].append(await sent(url, who, 3 if quick else 15))
    rates = {who: statistics.median(rate for rate, _ in each) for who, each in found.items()}
    heights = {who: statistics.median(height for _, height in each) for who, each in found.items()}
    share = rates["node"] / rates["plain"]
    return [
        Row("webrtc", "pictures a second from the node's page, of plain's", share, "x", 0.9, True),
        Row("webrtc", "pictures a second from the node's page", rates["node"], "1/s", more=True),
        Row("webrtc", "pictures a second to plain aiortc", rates["plain"], "1/s", more=True),
        Row("webrtc", "lines of a picture from the node's page", heights["node"], "", 720, True),
        Row("webrtc", "lines of a picture to plain aiortc", heights["plain"], "", more=True),
    ]


def measure(folder: Path, *, quick: bool) -> list[Row]:
    """The node's page and a plain one, in turns."""
    broker = Mosquitto(folder)
    try:
        return asyncio.run(_measure(folder, broker.port, quick=quick))
    finally:
        broker.kill()
