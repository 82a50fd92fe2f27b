"""WebRTC: publishers who come to us (WHIP), and servers that we ask (WHEP).

aiortc does ICE, DTLS and SRTP; what it does with pictures, `streamcrop.sources.rtp` does instead.
"""

import asyncio
import queue
import secrets
import ssl
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

import av.logging
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.codecs import CODECS
from aiortc.rtcdtlstransport import RTCCertificate
from aiortc.rtcrtpreceiver import RTCRtpReceiver
from aiortc.sdp import SessionDescription

from streamcrop.backoff import Backoff, unless
from streamcrop.core.values import Change, Frame, Reason
from streamcrop.errors import FormatError, SourceError
from streamcrop.queues import BoundedQueue
from streamcrop.sources import Item
from streamcrop.sources.bitrate import Estimate
from streamcrop.sources.live import DELAYS, REFUSED_DELAY
from streamcrop.sources.rtp import Decoder, Encoded, Reassembly, Repairs
from streamcrop.sources.whep import LaterError, RefusedError, WhepClient

# Undecoded pictures: two seconds, so that a busy moment costs none.
_MAX_PICTURES, _MAX_BYTES = 64, 16 << 20
# A browser sends a new key picture at most so often.
_ASK_EVERY = 0.5
_MAX_SECTIONS = 16
_GIVE_UP_CHECKS = 0.5
_REPLACED = "another publisher took its place"
# Main, High and Constrained High (RFC 6184, 8.1), which encoders make unless they are told not to.
_MORE_PROFILES = "4d001f", "64001f", "640c1f"


def _take_more_profiles() -> None:
    """Have aiortc negotiate what FFmpeg decodes: by itself it knows H.264's Baseline alone."""
    known = CODECS["video"]
    h264 = next(codec for codec in known if codec.name == "H264")
    rtx = next(codec for codec in known if codec.name == "rtx")
    for profile in _MORE_PROFILES:
        number = 1 + max(codec.payloadType or 0 for codec in known)
        parameters = {**h264.parameters, "profile-level-id": profile}
        known.append(replace(h264, payloadType=number, parameters=parameters))
        known.append(replace(rtx, payloadType=number + 1, parameters={"apt": number}))


_take_more_profiles()


class _Certificate(RTCCertificate):
    """aiortc's, which talks with those whose own is RSA as well, as GStreamer's is."""

    def _create_ssl_context(self, srtp_profiles: list[Any]) -> Any:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES")
        return context


class _Diverted(queue.Queue[Any]):
    """Stands where aiortc queues pictures for its decoder, and takes them to ours."""

    def __init__(self, session: "_Session", reassembly: Reassembly) -> None:
        super().__init__()
        self._session = session
        self._reassembly = reassembly

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002  # as it is called
        if item is None:
            self._session.end("the other side ended it")
            super().put(None, block, timeout)
            return
        codec, now = item[0].name.lower(), time.time_ns() // 1000
        for data, pts, lost in self._reassembly.complete:
            self._session.received.put_nowait(Encoded(codec, data, pts, lost, now))
        self._reassembly.complete.clear()


class _Session:
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
        # Without servers: aiortc would ask Google's for our address.
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        certificates = [_Certificate.generateCertificate()]
        cast("Any", self._peer)._RTCPeerConnection__certificates = certificates  # noqa: SLF001  # no other way in
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
        """Put our own parts into a receiver that has not begun."""
        reassembly = Reassembly()
        ours = {
            "jitter_buffer": reassembly,
            "nack_generator": Repairs(),
            "remote_bitrate_estimator": Estimate(),
            "decoder_queue": _Diverted(self, reassembly),
        }
        for name, part in ours.items():
            setattr(receiver, f"_RTCRtpReceiver__{name}", part)
        self._key_wanted = cast("Any", receiver)._RTCRtpReceiver__decoder_error  # noqa: SLF001  # as above

    def _ask_for_key_picture(self) -> None:
        """Have aiortc send a PLI with the next packet that comes (RFC 4585, 6.3.1)."""
        if (now := time.monotonic()) - self._asked >= _ASK_EVERY:
            self._asked = now
            self._key_wanted.set()

    def _count_dropped(self, encoded: Encoded) -> None:
        if not self.received.closed:
            self._lost[Reason.CORRUPT] += encoded.lost
            self._lost[Reason.QUEUE_FULL] += 1

    def _heed_state(self) -> None:
        if self._peer.connectionState in {"failed", "closed"}:
            self.end(f"the connection {self._peer.connectionState}")


class _Sessions:
    """What both sources share: how a session is made, and who may end it."""

    def __init__(
        self, *, stall_timeout: float = 3.0, read_sei: bool = False, sei_uuid: UUID | None = None
    ) -> None:
        self._stall_timeout = stall_timeout
        self._read_sei = read_sei
        self._sei_uuid = sei_uuid
        self._stopped = asyncio.Event()
        self._session: _Session | None = None

    def _new(self) -> _Session:
        # Below this FFmpeg does not say what it conceals.
        av.logging.set_level(av.logging.INFO)
        av.logging.set_skip_repeated(v=False)
        decoder = Decoder(read_sei=self._read_sei, sei_uuid=self._sei_uuid)
        return _Session(decoder, self._stall_timeout)

    def attend(self) -> None:
        """See `FrameSource.attend`; nothing waits here anyway."""

    def stop(self) -> None:
        """See `FrameSource.stop`."""
        self._stopped.set()
        if self._session:
            self._session.end("the stream ends")


class WhipSource(_Sessions):
    """The frames of whoever publishes to us by WHIP; an `Endpoint` of the node's HTTP server.

    Each publisher is an epoch, and a new one takes the place of the one before. While nobody
    reads `frames`, nobody may publish.

    Args:
        token: What publishers have to know.
        connect_timeout: An offer that takes longer to answer is given up, in seconds.
        stall_timeout: A publisher without a picture for so many seconds is given up.
        read_sei: Whether IDs in the bitstream are read; H.264 alone has such.
        sei_uuid: Whose; None: anybody's.
    """

    def __init__(
        self, *, token: str | None = None, connect_timeout: float = 5.0, **how: Any
    ) -> None:
        super().__init__(**how)
        self.token = token
        self._connect_timeout = connect_timeout
        self._replaced: str | None = None
        self._turn = asyncio.Lock()
        self._reading = False
        self._came = asyncio.Event()

    async def open(self, offer: str) -> tuple[str, str]:
        """See `Endpoint.open`."""
        # One after the other: however many come at once, two connections at most are there.
        async with self._turn:
            self._check_reading()
            session = self._new()
            try:
                async with asyncio.timeout(self._connect_timeout):
                    answer = await session.answer(offer)
                self._check_reading()
            except BaseException:
                await session.close("the offer was refused")
                raise
            before, self._session = self._session, session
            self._came.set()
            if before:
                self._replaced = before.name
                await before.close(_REPLACED)
            return session.name, answer

    async def close(self, session: str) -> bool:
        """See `Endpoint.close`."""
        if session == self._replaced:
            raise SourceError(_REPLACED)
        if not (ours := self._session) or ours.name != session or ours.received.closed:
            return False
        await ours.close("the publisher ended it")
        return True

    async def frames(self) -> AsyncGenerator[Item]:
        """See `FrameSource.frames`."""
        self._reading = True
        try:
            while not self._stopped.is_set():
                if not (session := self._session):
                    self._came.clear()
                    await self._came.wait()
                    continue
                async with aclosing(session.items()) as items:
                    async for item in items:
                        yield item
                if self._session is session:
                    self._session = None
                if not self._stopped.is_set():
                    yield Change("reconnecting", session.reason)
        finally:
            self._reading = False
            if self._session:
                await self._session.close("the stream ends")

    def stop(self) -> None:
        """See `FrameSource.stop`."""
        super().stop()
        self._came.set()

    def _check_reading(self) -> None:
        if not self._reading or self._stopped.is_set():
            raise SourceError("The stream does not run")


class WhepSource(_Sessions):
    """The frames that a WHEP server gives us, asked again for as long as the stream runs.

    Args:
        url: The server's, ``http`` or ``https``; may hold a name and a password.
        tls: By what the server is believed; False: by nothing.
        token: What the server wants to be shown.
        connect_timeout: For a request to the server, in seconds.
        stall_timeout: A connection without a picture for so many seconds is given up.
        read_sei: Whether IDs in the bitstream are read; H.264 alone has such.
        sei_uuid: Whose; None: anybody's.
    """

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext | bool = True,
        token: str | None = None,
        connect_timeout: float = 5.0,
        **how: Any,
    ) -> None:
        super().__init__(**how)
        self._client = WhepClient(url, token, connect_timeout, tls=tls)

    async def frames(self) -> AsyncGenerator[Item]:
        """See `FrameSource.frames`."""
        backoff = Backoff(*DELAYS)
        try:
            while not self._stopped.is_set():
                self._session = session = self._new()
                least = 0.0
                try:
                    await unless(self._stopped, self._connect(session))
                    async with aclosing(session.items()) as items:
                        async for item in items:
                            if isinstance(item, Frame):
                                backoff.reset()
                            yield item
                except SourceError as error:
                    session.end(str(error))
                    if isinstance(error, RefusedError):
                        least = REFUSED_DELAY
                    elif isinstance(error, LaterError):
                        least = error.seconds
                finally:
                    self._client.leave()
                    await session.close("the stream ends")
                if not self._stopped.is_set():
                    yield Change("reconnecting", session.reason)
                    await unless(self._stopped, asyncio.sleep(backoff.delay(least)))
        finally:
            await self._client.close()

    async def _connect(self, session: _Session) -> None:
        await session.accept(await self._client.ask(await session.offer()))


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
