"""One peer connection of WebRTC, by which a video comes."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import suppress
from functools import partial

from aiortc import RTCRtpReceiver, RTCSessionDescription
from aiortc.sdp import SessionDescription

from streamcrop.core.values import Change, Reason
from streamcrop.errors import FormatError, SourceError
from streamcrop.queues import BoundedQueue
from streamcrop.sources import Item
from streamcrop.sources.aiortc_parts import divert, new_peer
from streamcrop.sources.rtp import Decoder, Encoded

# Undecoded pictures: two seconds, so that a busy moment costs none.
_MAX_PICTURES, _MAX_BYTES = 64, 16 << 20
# A browser sends a new key picture at most so often.
_ASK_EVERY = 0.5
_MAX_SECTIONS = 16
_GIVE_UP_CHECKS = 0.5


class Session:
    """One peer connection, by which a video comes."""

    def __init__(self, decoder: Decoder, stall_timeout: float) -> None:
        self.name = secrets.token_urlsafe(16)
        self.reason = ""
        self.received: BoundedQueue[Encoded] = BoundedQueue(
            max_items=_MAX_PICTURES,
            max_bytes=_MAX_BYTES,
            size=lambda encoded: len(encoded.data),
            overflow="drop_oldest",
            on_drop=self._count_dropped,
        )
        self._lost: Counter[Reason] = Counter()
        self._decode = decoder
        self._stall_timeout = stall_timeout
        self._peer = new_peer()
        self._peer.on("connectionstatechange", self._heed_state)
        self._asked = 0.0

    async def offer(self) -> str:
        """Ask for a video."""
        self._receive_by(self._peer.addTransceiver("video", direction="recvonly").receiver)
        await self._peer.setLocalDescription()
        return self._peer.localDescription.sdp

    async def accept(self, answer: str) -> None:
        """Take the answer to our offer.

        Raises:
            SourceError: If it is none.
        """
        try:
            await self._peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        except Exception as error:  # noqa: BLE001  # aiortc's parser raises whatever it runs into
            raise SourceError(f"the server's answer cannot be used: {_brief(error)}") from None

    async def answer(self, offer: str) -> str:
        """Answer a publisher; take the first video and nothing else.

        Raises:
            FormatError: If that cannot be.
        """
        try:
            wanted = _video_in(offer)
            # A browser that hides its addresses (mDNS) lists none that we can reach, but reaches
            # us: the list is never all there is, or aioice would give up.
            open_end = offer.replace("a=end-of-candidates\r\n", "")
            await self._peer.setRemoteDescription(RTCSessionDescription(open_end, "offer"))
            for transceiver in self._peer.getTransceivers():
                if transceiver.mid == wanted:
                    self._receive_by(transceiver.receiver)
                else:
                    transceiver.direction = "inactive"
            await self._peer.setLocalDescription()
        except FormatError:
            raise
        except Exception as error:  # noqa: BLE001  # aiortc's parser raises whatever it runs into
            raise FormatError(f"Expected an SDP offer with VP8 or H.264: {_brief(error)}") from None
        return self._peer.localDescription.sdp

    async def items(self) -> AsyncGenerator[Item]:
        """All that comes, until it ends, which closes the connection."""
        running = False
        try:
            while encoded := await self._next():
                lost, self._lost = self._lost, Counter()
                lost[Reason.CORRUPT] += encoded.lost
                for reason in lost.elements():
                    yield reason
                item = await asyncio.to_thread(self._decode, encoded, after_loss=lost.total() > 0)
                if isinstance(item, Reason):
                    self._ask_for_key_picture()
                elif not running:
                    running = True
                    yield Change("running", "connected")
                yield item
        except SourceError as error:
            self.end(str(error))
        finally:
            await self.close("it was given up")

    async def _next(self) -> Encoded | None:
        try:
            async with asyncio.timeout(self._stall_timeout):
                while not self.received:
                    if self.received.closed:
                        return None
                    self.received.changed.clear()
                    await self.received.changed.wait()
        except TimeoutError:
            self.end(f"no video came for {self._stall_timeout:g} s")
            return None
        return self.received.get_nowait()

    def end(self, reason: str) -> None:
        """Let `items` end with what is there; the first reason counts."""
        self.reason = self.reason or reason
        self.received.close()

    async def close(self, reason: str) -> None:
        """End it and free what it holds."""
        self.end(reason)
        ice = {each.receiver.transport.transport for each in self._peer.getTransceivers()}
        unfinished = [transport for transport in ice if transport.state == "checking"]
        await self._peer.close()
        for transport in unfinished:
            # aioice may still find itself connected, and would then keep checking that for ever.
            with suppress(TimeoutError):
                async with asyncio.timeout(_GIVE_UP_CHECKS):
                    while transport.state == "closed":  # noqa: ASYNC110  # its events are aiortc's
                        await asyncio.sleep(0.01)
            await transport.stop()

    def _receive_by(self, receiver: RTCRtpReceiver) -> None:
        ended = partial(self.end, "the other side ended it")
        self._want_key_picture = divert(receiver, self._take, ended)

    def _take(self, codec: str, data: bytes, pts: int, lost: int) -> None:
        self.received.put_nowait(Encoded(codec, data, pts, lost, time.time_ns() // 1000))

    def _ask_for_key_picture(self) -> None:
        """Ask for one, but not too often."""
        if (now := time.monotonic()) - self._asked >= _ASK_EVERY:
            self._asked = now
            self._want_key_picture()

    def _count_dropped(self, encoded: Encoded) -> None:
        if not self.received.closed:
            self._lost[Reason.CORRUPT] += encoded.lost
            self._lost[Reason.QUEUE_FULL] += 1

    def _heed_state(self) -> None:
        if self._peer.connectionState in {"failed", "closed"}:
            self.end(f"the connection {self._peer.connectionState}")


def _video_in(offer: str) -> str:
    """The section of an offer that sends a video.

    Raises:
        FormatError: If there is none.
    """
    sections = SessionDescription.parse(offer).media
    if not sections:
        raise FormatError("Expected an SDP offer")
    videos = [m for m in sections if m.kind == "video" and m.direction in {"sendonly", "sendrecv"}]
    if not videos or len(sections) > _MAX_SECTIONS:
        raise FormatError("Expected an SDP offer that sends one video")
    return videos[0].rtp.muxId


def _brief(error: Exception) -> str:
    return str(error) or type(error).__name__
