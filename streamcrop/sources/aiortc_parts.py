"""aiortc's inner parts: all that we know of its insides, and a check that it still holds.

aiortc does ICE, DTLS and SRTP. What it does with the packets of a video is not enough: its jitter
buffer waits for ever for what is lost, it asks for a packet once, its decoder hides damage and has
a queue without bounds, and a sender hears nothing of it for three seconds of what it may send. So
`divert` puts parts of our own in their places.

A browser that hears nothing better begins with 300 kb/s and adds 8 % a second: at 720p that is 10
to 14 pictures a second for the first ten seconds (Chromium 156, 2026-11-28). In its first two
seconds it believes the receiver, by what this one says (REMB).
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver
from aiortc.codecs import CODECS
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rate import RemoteBitrateEstimator
from aiortc.rtcdtlstransport import SRTP_PROFILES, RTCCertificate
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters
from aiortc.rtcrtpreceiver import NackGenerator
from aiortc.rtp import RtpPacket
from aiortc.utils import uint16_add, uint16_gt

from streamcrop.errors import LibraryError

# What `tests/versions.py` ran the tests with, and `pyproject.toml` allows.
TESTED = {"aiortc": "1.16.0"}
# What Chromium gives a picture of 720p at most, in bits a second.
BEGIN = 2_500_000
# Gets a picture as it came: codec, data, media time (90 kHz), how many were lost just before.
Take = Callable[[str, bytes, int, int], None]
# A power of two; a picture of more packets never becomes complete.
_MAX_PACKETS = 2048
# How long a packet is waited for, and how often it is asked for, in seconds.
_PATIENCE, _ASK_AGAIN = 0.5, 0.1
_CHECK_SECONDS = 10
# Main, High and Constrained High (RFC 6184, 8.1), which encoders make unless they are told not to.
_MORE_PROFILES = "4d001f", "64001f", "640c1f"


class Reassembly(JitterBuffer):
    """aiortc's, which hands out all that is complete, and does not wait for ever.

    By itself it hands out one picture a packet, so that what has piled up stays, and gives up a
    missing packet when it is full: with a small picture that is longer than anybody waits.
    """

    def __init__(self) -> None:
        super().__init__(capacity=_MAX_PACKETS, is_video=True)
        # Data, media time, and how many pictures were given up just before.
        self.complete: list[tuple[bytes, int, int]] = []
        self._lost = 0
        self._media: int | None = None
        self._latest = 0
        self._newest: int | None = None
        self._gap = False

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Take a packet: whether something was given up, and a picture if `complete` has some."""
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


class Repairs(NackGenerator):
    """aiortc's, which asks again: it asks for a packet once, and the repair may get lost, too."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = 0.0

    def add(self, packet: RtpPacket) -> bool:
        """Take a packet: whether to ask for what is missing now."""
        missed, now = super().add(packet), time.monotonic()
        again = missed or (bool(self.missing) and now - self._asked >= _ASK_AGAIN)
        self._asked = now if again else self._asked
        return again


class Estimate(RemoteBitrateEstimator):
    """aiortc's estimate, which begins with what a picture of 720p takes."""

    def add(
        self, arrival_time_ms: int, abs_send_time: int, payload_size: int, ssrc: int
    ) -> tuple[int, list[int]] | None:
        """Take a packet; returns bits a second and whose, when they are to be said."""
        if not self.rate_control.current_bitrate_initialized:
            self.rate_control.set_estimate(BEGIN, arrival_time_ms)
        return super().add(arrival_time_ms, abs_send_time, payload_size, ssrc)


class _Certificate(RTCCertificate):
    """aiortc's, which talks with those whose own is RSA as well, as GStreamer's is."""

    def _create_ssl_context(self, srtp_profiles: list[Any]) -> Any:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES")
        return context


class _Diverted(queue.Queue[Any]):
    """Stands where aiortc queues pictures for its decoder."""

    def __init__(self, reassembly: Reassembly, take: Take, ended: Callable[[], None]) -> None:
        super().__init__()
        self._reassembly = reassembly
        self._take = take
        self._ended = ended

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002  # as it is called
        if item is None:
            self._ended()
            super().put(None, block, timeout)
            return
        for data, pts, lost in self._reassembly.complete:
            self._take(item[0].name.lower(), data, pts, lost)
        self._reassembly.complete.clear()


def new_peer() -> RTCPeerConnection:
    """A peer connection that asks no server for its address, as aiortc would Google's."""
    check()
    _take_more_profiles()
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    cast("Any", peer)._RTCPeerConnection__certificates = [_Certificate.generateCertificate()]
    return peer


def divert(receiver: RTCRtpReceiver, take: Take, ended: Callable[[], None]) -> Callable[[], None]:
    """Put our own parts into a receiver that has not begun.

    Args:
        receiver: Of a video.
        take: Is called with each picture, in order.
        ended: Is called when the other side ends it.

    Returns:
        What has aiortc send a PLI with the next packet that comes (RFC 4585, 6.3.1).
    """
    reassembly = Reassembly()
    ours = {
        "jitter_buffer": reassembly,
        "nack_generator": Repairs(),
        "remote_bitrate_estimator": Estimate(),
        "decoder_queue": _Diverted(reassembly, take, ended),
    }
    for name, part in ours.items():
        if not hasattr(receiver, f"_RTCRtpReceiver__{name}"):
            raise AttributeError(f"its receiver has no {name}")
        setattr(receiver, f"_RTCRtpReceiver__{name}", part)
    wanted: threading.Event = cast("Any", receiver)._RTCRtpReceiver__decoder_error
    return wanted.set


@cache
def _take_more_profiles() -> None:
    """Have aiortc negotiate what FFmpeg decodes: by itself it knows H.264's Baseline alone.

    It has no other place for that than a table of the whole process.
    """
    known = CODECS["video"]
    h264 = next(codec for codec in known if codec.name == "H264")
    rtx = next(codec for codec in known if codec.name == "rtx")
    for profile in _MORE_PROFILES:
        number = 1 + max(codec.payloadType or 0 for codec in known)
        parameters = {**h264.parameters, "profile-level-id": profile}
        known.append(replace(h264, payloadType=number, parameters=parameters))
        known.append(replace(rtx, payloadType=number + 1, parameters={"apt": number}))


@cache
def check() -> None:
    """Try, once, whether aiortc has the insides that we reach into: a receiver gets some packets.

    Raises:
        LibraryError: If it has not.
    """
    failed: list[Exception] = []

    def run() -> None:
        try:
            asyncio.run(asyncio.wait_for(_receive(), _CHECK_SECONDS))
        except Exception as error:  # noqa: BLE001  # whatever a library of other insides raises
            failed.append(error)

    # A loop of its own: the caller's runs, or there is none.
    thread = threading.Thread(target=run, name="aiortc check")
    thread.start()
    thread.join()
    if failed:
        raise LibraryError(TESTED, repr(failed[0])) from failed[0]


# What a receiver that gets three packets, of which the third has a gap before it, tells: REMB, PLI
# because it was wanted, a picture, NACK, PLI again, its end.
_EXPECTED = [
    b"\x8f\xce",
    b"\x81\xce",
    ("vp8", b"picture 65535", 0, 0),
    b"\x81\xcd",
    b"\x81\xce",
    "ended",
]


async def _receive() -> None:
    told: list[Any] = []

    async def send(data: bytes) -> None:
        told.append(data[:2])

    transport = SimpleNamespace(state="connected", _send_rtp=send)
    transport._register_rtp_receiver = transport._unregister_rtp_receiver = lambda *_: None
    receiver: Any = RTCRtpReceiver("video", cast("Any", transport))
    receiver._track = SimpleNamespace(_queue=asyncio.Queue())
    want = divert(receiver, lambda *picture: told.append(picture), lambda: told.append("ended"))
    codec = RTCRtpCodecParameters("video/VP8", 90_000, payloadType=96)
    await receiver.receive(RTCRtpReceiveParameters([codec]))
    receiver._set_rtcp_ssrc(1)
    for number in (65_535, 0, 2):
        packet = RtpPacket(96, 1, number, 3000 * number, 7, b"\x10picture %d" % number)
        packet.extensions.abs_send_time = 1 << 18
        await receiver._handle_rtp_packet(packet, 1000)
        want()
    await receiver.stop()
    certificate = _Certificate.generateCertificate()
    certificate._create_ssl_context(SRTP_PROFILES)
    if told != _EXPECTED:
        raise AssertionError(f"there came {told}")
    if not hasattr(RTCPeerConnection(), "_RTCPeerConnection__certificates"):
        raise AttributeError("a peer connection has no certificates")
