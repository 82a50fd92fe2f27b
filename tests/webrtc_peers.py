"""Real WebRTC peers for the tests: a publisher and a WHEP server, made of aiortc."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import aiohttp
import av
import psutil
import pytest
from aiohttp import web
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpCodecCapability,
    RTCRtpSender,
    RTCSessionDescription,
)
from fakes import until
from patience import PATIENCE
from peers import number_in, numbered
from web.views import Watched, node

from streamcrop.config import Http
from streamcrop.core.values import Change, Frame, Reason
from streamcrop.sources.webrtc import WhepSource, WhipSource
from streamcrop.web.server import serve

if TYPE_CHECKING:
    from streamcrop.sources import Item

UUID_OF_TESTS = UUID("5f0c2a6e-93c4-4f0a-8a76-1f6f0c9f6b11")
CLOCK = 90_000
# name: encoder, its options
ENCODERS = {
    "H264": (
        "libx264",
        {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "crf": "18"},
    ),
    "VP8": ("libvpx", {"deadline": "realtime", "lag-in-frames": "0", "b": "4M", "cpu-used": "8"}),
}


def sei(text: bytes, uuid: UUID = UUID_OF_TESTS) -> bytes:
    """A NAL unit of H.264, Annex B: user data unregistered (H.264, D.1.6)."""
    payload = uuid.bytes + text
    return b"\0\0\0\1\x06\x05" + bytes([len(payload)]) + payload + b"\x80"


def pictures(
    codec: str = "H264", *, width: int = 320, height: int = 240, rate: int = 25, gop: int = 25
) -> Iterator[av.Packet]:
    """Encoded pictures without end; each carries its number in its pixels, H.264 in an SEI too."""
    name, options = ENCODERS[codec]
    encoder = av.CodecContext.create(name, "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, CLOCK), Fraction(rate)
    encoder.options, encoder.gop_size = options, gop
    for number in range(4096):
        frame = av.VideoFrame.from_ndarray(numbered(number, width, height), format="bgr24")
        frame = frame.reformat(format="yuv420p")
        frame.pts, frame.time_base = number * CLOCK // rate, Fraction(1, CLOCK)
        for coded in encoder.encode(frame):
            head = sei(b"%d" % number) if codec == "H264" else b""
            packet = av.Packet(head + bytes(coded))
            packet.pts, packet.time_base = coded.pts, Fraction(1, CLOCK)
            yield packet


class Track(MediaStreamTrack):
    """Sends packets at the pace of their media time, as they are."""

    kind = "video"

    def __init__(self, packets: Iterator[av.Packet]) -> None:
        super().__init__()
        self._packets = packets
        self._start: float | None = None

    async def recv(self) -> av.Packet:
        packet = next(self._packets)
        now = time.monotonic()
        self._start = now if self._start is None else self._start
        await asyncio.sleep(max(0, self._start + packet.pts / CLOCK - now))
        return packet


def peer() -> RTCPeerConnection:
    """A peer connection that asks no server for its address."""
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


def codecs(*names: str) -> list[RTCRtpCodecCapability]:
    """Those of aiortc's codecs; ``rtx`` are repairs in a stream of their own."""
    known = RTCRtpSender.getCapabilities("video").codecs
    return [codec for codec in known if codec.name in names]


class Publisher:
    """A WHIP client."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        codec: str = "H264",
        packets: Iterator[av.Packet] | None = None,
        repairs: bool = True,
        hidden: bool = False,
    ) -> None:
        self.url = url
        self.peer = peer()
        transceiver = self.peer.addTransceiver(Track(packets or pictures(codec)), "sendonly")
        transceiver.setCodecPreferences(codecs(codec, *(["rtx"] if repairs else [])))
        self.sender = transceiver.sender
        self.location = ""
        self._hidden = hidden
        self._headers = {"Content-Type": "application/sdp"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    async def __aenter__(self) -> Self:
        await self.peer.setLocalDescription()
        offer = self.peer.localDescription.sdp
        if self._hidden:
            # As browsers do where no camera is allowed: by names that mDNS may or may not know.
            offer = re.sub(r"(a=candidate:\S+ \d udp \d+) \S+", r"\1 no-such-peer.local", offer)
        async with aiohttp.ClientSession() as http:
            while True:
                async with http.post(self.url, data=offer, headers=self._headers) as reply:
                    answer = await reply.text()
                    if reply.status == 503:
                        await asyncio.sleep(0.1)
                        continue
                    assert reply.status == 201, (reply.status, answer)
                    self.location = str(
                        reply.url.join(aiohttp.client.URL(reply.headers["Location"]))
                    )
                    break
        await self.peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        return self

    async def goodbye(self) -> int:
        """End the session by DELETE: the status."""
        async with (
            aiohttp.ClientSession() as http,
            http.delete(self.location, headers=self._headers) as reply,
        ):
            return reply.status

    async def __aexit__(self, *_: object) -> None:
        await self.peer.close()

    def lose(self, lost: Callable[[bytes], bool]) -> None:
        """From now on let those RTP packets get lost, at whatever attempt."""
        transport: Any = self.sender.transport
        send_rtp = transport._send_rtp

        async def send(data: bytes) -> None:
            if not lost(data):
                await send_rtp(data)

        transport._send_rtp = send


class WhepServer:
    """Gives every caller a video of its own."""

    def __init__(self, *, token: str | None = None, codec: str = "H264") -> None:
        self._token = token
        self._codec = codec
        self.peers: list[RTCPeerConnection] = []
        self.answer: str | Callable[[str], str] | None = None
        self.open: set[str] = set()
        self.retry_after: str | None = None
        self.deleted = 0
        self.asked: list[float] = []

    async def __aenter__(self) -> Self:
        return await self.start(0)

    async def start(self, port: int) -> Self:
        app = web.Application()
        app.router.add_post("/whep", self._post)
        app.router.add_post("/moved", self._moved)
        app.router.add_delete("/session/{number}", self._delete)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        """Go away without a word."""
        await self._runner.cleanup()
        for connection in self.peers:
            await connection.close()
        self.peers.clear()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _moved(self, _: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect("/whep")

    async def _post(self, request: web.Request) -> web.Response:
        self.asked.append(time.monotonic())
        if self._token and request.headers.get("Authorization") != f"Bearer {self._token}":
            raise web.HTTPUnauthorized
        if self.retry_after:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": self.retry_after})
        assert request.content_type == "application/sdp"
        connection = peer()
        self.peers.append(connection)
        offer = RTCSessionDescription(await request.text(), "offer")
        transceiver = connection.addTransceiver(Track(pictures(self._codec)), "sendonly")
        transceiver.setCodecPreferences(codecs(self._codec, "rtx"))
        await connection.setRemoteDescription(offer)
        await connection.setLocalDescription()
        answer = self.answer or connection.localDescription.sdp
        path = f"/session/{len(self.asked)}"
        self.open.add(path)
        return web.Response(
            status=201,
            text=answer(connection.localDescription.sdp) if callable(answer) else answer,
            content_type="application/sdp",
            headers={"Location": path},
        )

    async def _delete(self, request: web.Request) -> web.Response:
        self.deleted += 1
        self.open.discard(request.path)
        return web.Response()


class Reader:
    """Reads a source to its end; holds numbers instead of pixels."""

    def __init__(self, source: WhipSource | WhepSource) -> None:
        self.source = source
        self.items: list[Item] = []
        self.numbers: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        async for item in self.source.frames():
            self.items.append(item)
            if isinstance(item, Frame):
                self.numbers[item.frame_id] = number_in(item.pixels.bgr())

    async def __aexit__(self, *_: object) -> None:
        self.source.stop()
        async with asyncio.timeout(PATIENCE):
            await self._task

    @property
    def frames(self) -> list[Frame]:
        return [item for item in self.items if isinstance(item, Frame)]

    @property
    def changes(self) -> list[Change]:
        return [item for item in self.items if isinstance(item, Change)]

    @property
    def lost(self) -> Counter[Reason]:
        return Counter(item for item in self.items if isinstance(item, Reason))

    async def until_frames(self, count: int) -> None:
        await until(lambda: len(self.frames) >= count)


@asynccontextmanager
async def published(**how: Any) -> AsyncIterator[tuple[Reader, str]]:
    """A WHIP source that is read, and where to publish to it."""
    source = WhipSource(**how)
    with pytest.MonkeyPatch.context() as patch:
        # Many sessions in turn are no attack here.
        patch.setattr("streamcrop.web.whip._AT_ONCE", 1000)
        serving = serve(Http(port=0), {"gate": source}, Watched(node()))
        async with serving as port, Reader(source) as reader:
            yield reader, f"http://127.0.0.1:{port}/whip/gate"


async def no_tasks() -> None:
    """Wait until no task is left but this one."""
    try:
        await until(lambda: len(asyncio.all_tasks()) == 1)
    except TimeoutError:
        raise AssertionError(asyncio.all_tasks()) from None


def sockets() -> int:
    """How many this process has open."""
    return len(psutil.Process().net_connections())


async def offer(*kinds: str, direction: str = "sendonly") -> str:
    """An SDP offer with these sections."""
    connection = peer()
    for kind in kinds:
        connection.addTransceiver(kind, direction)
    if not kinds:
        connection.createDataChannel("data")
    await connection.setLocalDescription()
    text = connection.localDescription.sdp
    await connection.close()
    return text
