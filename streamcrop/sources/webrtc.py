"""WebRTC: publishers who come to us (WHIP), and servers that we ask (WHEP).

aiortc does ICE, DTLS, SRTP and the reassembly of pictures. We decode ourselves, because its own
decoder never says that a picture before this one was lost (neither FFmpeg's H.264 nor its VP8
decoder notices: the picture merely shows something that never was), does not say for VP8 which
pictures are key pictures, and works through a queue that has no bound.
"""

import asyncio
import queue
import random
import secrets
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from fractions import Fraction
from typing import Any, NamedTuple, cast
from uuid import UUID

import av
import av.logging
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtcrtpreceiver import NackGenerator, RTCRtpReceiver
from aiortc.rtp import RtpPacket
from aiortc.sdp import SessionDescription
from aiortc.utils import uint16_add, uint16_gt
from av.codec.context import Flags

from streamcrop.core.values import Change, Frame, Reason
from streamcrop.errors import FormatError, SourceError
from streamcrop.formats import sei
from streamcrop.http import RefusedError, WhepClient
from streamcrop.queues import BoundedQueue
from streamcrop.sources import Item
from streamcrop.sources.live import FIRST_DELAY, LONGEST_DELAY, REFUSED_DELAY, new_epoch, tells_loss
from streamcrop.sources.pictures import pixels_of

# Undecoded pictures: two seconds, so that a busy moment costs none.
_MAX_PICTURES, _MAX_BYTES = 64, 16 << 20
# A power of two; a picture of more packets never becomes complete.
_MAX_PACKETS = 2048
# How long a packet is waited for, and how often it is asked for, in seconds.
_PATIENCE, _ASK_AGAIN = 0.5, 0.1
_TIME_BASE = Fraction(1, 90_000)
# A browser sends a new key picture at most so often.
_ASK_EVERY = 0.5
_MAX_SECTIONS = 16
_GIVE_UP_CHECKS = 0.5
_REPLACED = "another publisher took its place"


class _Encoded(NamedTuple):
    """A picture as it came, undecoded; `lost`: how many just before it did not come whole."""

    codec: str
    data: bytes
    pts: int
    lost: int
    arrived: int


class _Reassembly(JitterBuffer):
    """aiortc's, which hands out all that is complete, and does not wait for ever.

    By itself it hands out one picture a packet, so that what has piled up stays, and gives up a
    missing packet when it is full: with a small picture that is longer than anybody waits.
    """

    def __init__(self) -> None:
        super().__init__(capacity=_MAX_PACKETS, is_video=True)
        self.complete: list[tuple[bytes, int, int]] = []
        self._lost = 0
        self._media: int | None = None
        self._latest = 0
        self._newest: int | None = None
        self._gap = False

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        number, newest, now = packet.sequence_number, self._newest, time.monotonic()
        cast("Any", packet).came = now
        self._gap |= newest is not None and number != uint16_add(newest, 1)
        gave_up, picture = super().add(packet)
        if newest is None or gave_up or uint16_gt(number, newest):
            self._newest = number
        # How many aiortc let go of itself is not known.
        self._lost += gave_up
        first = self._take(picture)
        while self._gap and self._gives_up(now):
            gave_up = True
        while self._origin is not None and (picture := self._remove_frame(number)):
            first = self._take(picture)
        return gave_up, first

    def _take(self, picture: JitterFrame | None) -> JitterFrame | None:
        if picture:
            self.complete.append((picture.data, self._pts(picture.timestamp), self._lost))
            self._lost = 0
        return picture

    def _gives_up(self, now: float) -> bool:
        """Let go of the pictures around the first gap, if it has been there for long."""
        self._gap = False
        if self._origin is None or self._newest is None:
            return False
        count = uint16_add(self._newest, -self._origin) + 1
        packets = [self._packets[(self._origin + at) % _MAX_PACKETS] for at in range(count)]
        if None not in packets:
            return False
        self._gap = True
        behind = next(n for n in range(packets.index(None), count) if packets[n])
        if now - cast("Any", packets[behind]).came < _PATIENCE:
            return False
        self._lost += len({packet.timestamp for packet in packets[: behind + 1] if packet})
        if self.smart_remove(behind + 1):
            self._origin = self._newest = None
        return True

    def _pts(self, timestamp: int) -> int:
        """The media time since the first picture, which does not wrap at 32 bits."""
        if self._media is None:
            self._media = 0
        else:
            step = (timestamp - self._latest) & 0xFFFFFFFF
            self._media += step - (step >> 31 << 32)
        self._latest = timestamp
        return self._media


class _Repairs(NackGenerator):
    """aiortc's, which asks again: it asks for a packet once, and the repair may get lost, too."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = 0.0

    def add(self, packet: RtpPacket) -> bool:
        missed, now = super().add(packet), time.monotonic()
        again = missed or (bool(self.missing) and now - self._asked >= _ASK_AGAIN)
        self._asked = now if again else self._asked
        return again


class _Diverted(queue.Queue[Any]):
    """Stands where aiortc queues pictures for its decoder, and takes them to ours."""

    def __init__(self, session: "_Session", reassembly: _Reassembly) -> None:
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
            self._session.received.put_nowait(_Encoded(codec, data, pts, lost, now))
        self._reassembly.complete.clear()


class _Decoder:
    """Makes `Frame`s of what came; call it in any thread, one call at a time.

    A picture that misses something, and all that follow up to the next clean key picture, become
    `Reason.CORRUPT`.
    """

    def __init__(self, *, read_sei: bool, sei_uuid: UUID | None) -> None:
        self._epoch = new_epoch()
        self._read_sei = read_sei
        self._sei_uuid = sei_uuid
        self._number = -1
        self._broken = True
        self._codec: str | None = None

    def __call__(self, encoded: _Encoded, *, after_loss: bool) -> Item:
        self._number += 1
        self._broken |= after_loss
        if encoded.codec != self._codec:
            self._context = cast("av.VideoCodecContext", av.CodecContext.create(encoded.codec, "r"))
            # What the decoder misses is said in the thread that decodes: so in this one.
            self._context.thread_count = 1
            self._context.flags |= Flags.low_delay | Flags.copy_opaque
            self._codec, self._broken = encoded.codec, True
        packet = av.Packet(encoded.data)
        packet.pts, packet.time_base = encoded.pts, _TIME_BASE
        packet.opaque = self._number
        with av.logging.Capture() as log:
            try:
                pictures = self._context.decode(packet)
            except av.FFmpegError:
                pictures = []
        # A decoder that holds pictures back would hand out an earlier one.
        picture = next((each for each in pictures if each.opaque == self._number), None)
        if picture is None or picture.is_corrupt or tells_loss(log):
            self._broken = True
        elif picture.key_frame:
            self._broken = False
        if picture is None or self._broken:
            return Reason.CORRUPT
        return self._frame(picture, encoded)

    def _frame(self, picture: av.VideoFrame, encoded: _Encoded) -> Frame:
        text = None
        if self._read_sei:
            text = sei.frame_id(encoded.data, encoded.codec, 0, self._sei_uuid)
        return Frame(
            f"{self._epoch}-{self._number}",
            pixels_of(picture),
            encoded.pts,
            _TIME_BASE,
            None,
            self._epoch,
            text,
            encoded.arrived,
        )


class _Session:
    """One peer connection, by which a video comes."""

    def __init__(self, decoder: _Decoder, stall_timeout: float) -> None:
        self.name = secrets.token_urlsafe(16)
        self.reason = ""
        self.received: BoundedQueue[_Encoded] = BoundedQueue(
            max_items=_MAX_PICTURES,
            max_bytes=_MAX_BYTES,
            size=lambda encoded: len(encoded.data),
            overflow="drop_oldest",
            on_drop=self._count_dropped,
        )
        self._lost: list[Reason] = []
        self._decode = decoder
        self._stall_timeout = stall_timeout
        # Without servers: aiortc would ask Google's for our address.
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
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
            await self._peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
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
                lost, self._lost = self._lost + [Reason.CORRUPT] * encoded.lost, []
                for reason in lost:
                    yield reason
                item = await asyncio.to_thread(self._decode, encoded, after_loss=bool(lost))
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

    async def _next(self) -> _Encoded | None:
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
        reassembly = _Reassembly()
        ours = {
            "jitter_buffer": reassembly,
            "nack_generator": _Repairs(),
            "decoder_queue": _Diverted(self, reassembly),
        }
        for name, part in ours.items():
            setattr(receiver, f"_RTCRtpReceiver__{name}", part)
        self._key_wanted = cast("Any", receiver)._RTCRtpReceiver__decoder_error  # noqa: SLF001

    def _ask_for_key_picture(self) -> None:
        """Have aiortc send a PLI with the next packet that comes (RFC 4585, 6.3.1)."""
        if (now := time.monotonic()) - self._asked >= _ASK_EVERY:
            self._asked = now
            self._key_wanted.set()

    def _count_dropped(self, encoded: _Encoded) -> None:
        if not self.received.closed:
            self._lost += [Reason.CORRUPT] * encoded.lost + [Reason.QUEUE_FULL]

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
        decoder = _Decoder(read_sei=self._read_sei, sei_uuid=self._sei_uuid)
        return _Session(decoder, self._stall_timeout)

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
        token: What the server wants to be shown.
        connect_timeout: For a request to the server, in seconds.
        stall_timeout: A connection without a picture for so many seconds is given up.
        read_sei: Whether IDs in the bitstream are read; H.264 alone has such.
        sei_uuid: Whose; None: anybody's.
    """

    def __init__(
        self, url: str, *, token: str | None = None, connect_timeout: float = 5.0, **how: Any
    ) -> None:
        super().__init__(**how)
        self._client = WhepClient(url, token, connect_timeout)

    async def frames(self) -> AsyncGenerator[Item]:
        """See `FrameSource.frames`."""
        delay = FIRST_DELAY
        while not self._stopped.is_set():
            self._session = session = self._new()
            try:
                await self._unless_stopped(self._connect(session))
                async with aclosing(session.items()) as items:
                    async for item in items:
                        if isinstance(item, Frame):
                            delay = FIRST_DELAY
                        yield item
            except SourceError as error:
                session.end(str(error))
                if isinstance(error, RefusedError):
                    delay = REFUSED_DELAY
            finally:
                await session.close("the stream ends")
                await self._client.leave()
            if not self._stopped.is_set():
                yield Change("reconnecting", session.reason)
                pause = delay * random.uniform(0.5, 1)  # noqa: S311  # no secret
                await self._unless_stopped(asyncio.sleep(pause))
                delay = min(2 * delay, LONGEST_DELAY)

    async def _connect(self, session: _Session) -> None:
        await session.accept(await self._client.ask(await session.offer()))

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        tasks = {asyncio.ensure_future(work), asyncio.ensure_future(self._stopped.wait())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


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
