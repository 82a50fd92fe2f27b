"""Cameras: RTSP and devices, connected again for as long as the stream runs."""

import errno
import gc
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from copy import copy
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID

import av
import av.container
import av.logging

from streamcrop.backoff import Backoff
from streamcrop.core.capture import CaptureClock
from streamcrop.core.damage import Damage
from streamcrop.core.values import Change, Frame, Pixels, Reason
from streamcrop.errors import UNTRUSTED, SourceError
from streamcrop.sources import Item, hardware
from streamcrop.sources.begin import Patience
from streamcrop.sources.challenge import unspoken
from streamcrop.sources.codec import MISSED, Codec, heed_log, take, tells_loss
from streamcrop.sources.decoding import EAGER, Decoder, Decoding
from streamcrop.sources.packets import Parts, Picture, pictures
from streamcrop.sources.streams import decoder_of, new_epoch, sei_of, text_of, video_of, wall_clock

logger = logging.getLogger(__name__)

# How often a reading thread looks at the stop flag; FFmpeg takes up to twice as long.
_READ_TIMEOUT = 0.4
# Between two attempts to connect, in seconds: a camera that comes back is seen at once, and one
# that refuses the password, which may lock us out, is asked seldom.
DELAYS, REFUSED_DELAY = (0.1, 0.5), 30.0
_REFUSED = (av.HTTPUnauthorizedError, av.HTTPForbiddenError)
# More packets than are held back while the stream is probed.
_PROBED = 30


class _RefusedError(SourceError):
    """The camera does not let us in."""


class _Tag(NamedTuple):
    """The tag that a packet gives its picture; it travels through the decoder with it."""

    number: int
    frame_id: str
    epoch: str
    captured_at: int | None
    sei: str | None
    arrived: int
    pts: int | None
    time_base: Fraction | None
    connection: str
    reports: int


_Tagged = tuple[_Tag, Picture]


class LiveSource:
    """The frames of a camera.

    Args:
        url: What FFmpeg opens; may hold a name and a password, which nothing that is said repeats.
        container: FFmpeg's name of the input format; None: by the URL.
        transport: ``tcp`` or ``udp``, for RTSP; with ``rtsps`` it is always ``tcp``.
        ca: File of the certificates that a camera with ``rtsps`` is believed by; None: any is.
        connect_timeout: In seconds.
        stall_timeout: A connection without a packet for so many seconds is given up.
        clock: Believes capture times; None where nobody asks for them.
        read_sei: Whether IDs in the bitstream are read.
        sei_uuid: Whose; None: anybody's.
        decoding: When and where pictures are decoded.

    Iterating yields a `Change` for each connection that begins or ends, `Frame`s whose
    ``frame_id`` is ``{epoch}-{n}``, and `Reason.CORRUPT` for each picture from the first that
    misses something to the next key picture. It blocks, as `FileSource` does.
    """

    def __init__(
        self,
        url: str,
        *,
        container: str | None = None,
        transport: str = "tcp",
        ca: str | None = None,
        connect_timeout: float = 5.0,
        stall_timeout: float = 3.0,
        clock: CaptureClock | None = None,
        read_sei: bool = False,
        sei_uuid: UUID | None = None,
        decoding: Decoding = EAGER,
    ) -> None:
        self._url = url
        self._format = container
        self._connect_timeout = connect_timeout
        self._stall_timeout = stall_timeout
        self._clock = clock
        self._read_sei = read_sei
        self._sei_uuid = sei_uuid
        self._decoding = decoding
        self._stopped = threading.Event()
        self._parts = Parts()
        # Only the video: with a second stream FFmpeg changes media times at the first report. And
        # little probing: nobody asks for the frame rate, and what is probed comes late.
        rtsp = {"rtsp_transport": transport, "allowed_media_types": "video", "fpsprobesize": "0"}
        # Both: FFmpeg 9 verifies where nothing is said, FFmpeg 8 does not.
        tls = {"tls_verify": "1", "ca_file": ca} if ca else {"tls_verify": "0"}
        self._options = {} if container else rtsp | tls

    def stop(self) -> None:
        """End the iteration soon."""
        self._stopped.set()

    def again(self, last: Frame | None) -> "LiveSource":  # noqa: ARG002  # as in a file
        """See `BlockingSource.again`."""
        other = copy(self)
        other._stopped = threading.Event()  # noqa: SLF001  # one of us
        other._parts = Parts()  # noqa: SLF001  # as above
        return other

    def __iter__(self) -> Iterator[Item]:
        heed_log()
        self._device = hardware.device_of(self._decoding.hwaccel)
        backoff = Backoff(*DELAYS)
        while not self._stopped.is_set():
            reason, connected, least = "the camera ended the stream", False, 0.0
            try:
                with av.logging.Capture() as log:
                    for item in self._connection(log):
                        connected = True
                        if isinstance(item, Frame):
                            backoff.reset()
                        yield item
            except SourceError as error:
                reason = str(error)
                if isinstance(error, _RefusedError):
                    least = REFUSED_DELAY
            if connected:
                # PyAV's container and streams hold each other: 1.4 MB a connection until then.
                gc.collect()
            if not self._stopped.is_set():
                yield Change("reconnecting", reason)
                self._stopped.wait(backoff.delay(least))

    def _connection(self, log: list[Any]) -> Iterator[Item]:
        """All that comes by one connection."""
        with self._open(log) as container:
            stream = video_of(container, "the camera")
            self._device = hardware.kept(self._device, stream)
            if self._clock:
                self._clock.connect()
            self._epoch, self._first = new_epoch(), 1
            self._connected = self._epoch
            yield Change("running", "connected")
            lost = range(_PROBED + 1 if any(MISSED.search(line) for _, _, line in log) else 0)
            log.clear()
            self._parts.connect()
            packets = self._tagged(container, stream, log)
            # Where pictures are reordered, the one that is wanted may lie behind what has come.
            reorders = stream.codec_context.has_b_frames
            decoder = None if reorders else decoder_of(stream, self._decoding)
            if decoder is None:
                yield from _decoded(packets, lost, Codec(stream.codec_context))
            else:
                yield from _undecoded(packets, lost, decoder, stream.codec_context.name)

    def _open(self, log: list[Any]) -> av.container.InputContainer:
        since = time.monotonic()
        try:
            return av.open(
                self._url,
                format=self._format,
                options=self._options,
                timeout=(self._connect_timeout, _READ_TIMEOUT),
                hwaccel=self._device,
                metadata_errors="replace",
            )
        except _REFUSED as error:
            ca = self._options.get("ca_file")
            if wanted := unspoken(self._url, ca, self._connect_timeout, self._stopped):
                cure = "have it take Digest with MD5, or Basic"
                msg = f"the camera asks for {wanted}, which FFmpeg does not speak: {cure}"
                raise _RefusedError(msg) from None
            msg = f"the camera refuses the name or password in source.url: {text_of(error)}"
            raise _RefusedError(msg) from None
        except (av.FFmpegError, OSError, ValueError) as error:
            late = time.monotonic() - since >= self._connect_timeout
            # FFmpeg's error is an input/output error then, and the reason is said aside.
            aside = [line.strip() for _, part, line in log if part == "tls"]
            why = aside[-1] if aside else text_of(error)
            why = f"no answer within {self._connect_timeout:g} s" if late else why
            cure = f"; {UNTRUSTED}" if "certificate" in why else ""
            if getattr(error, "errno", None) == errno.EPROTONOSUPPORT:
                cure = ": it does not send by this source.transport, try the other"
            name = self._url if self._format else "the camera"
            msg = f"no connection to {name}: {why}{cure}"
            raise SourceError(msg) from None

    def _packets(
        self, container: av.container.InputContainer, stream: av.VideoStream
    ) -> "Iterator[av.Packet[av.VideoStream]]":
        heard = time.monotonic()
        while not self._stopped.is_set():
            try:
                for packet in container.demux(stream):
                    if self._stopped.is_set() or not packet.size:
                        return
                    heard = time.monotonic()
                    yield packet
            except av.ExitError:
                # The timeout, with which the connection goes on.
                if time.monotonic() - heard >= self._stall_timeout - _READ_TIMEOUT:
                    msg = f"the camera has sent nothing for {self._stall_timeout:g} s"
                    raise SourceError(msg) from None
            except (av.FFmpegError, OSError) as error:
                msg = f"the connection to the camera broke: {text_of(error)}"
                raise SourceError(msg) from None

    def _tagged(
        self, container: av.container.InputContainer, stream: av.VideoStream, log: list[Any]
    ) -> Iterator[_Tagged]:
        packets = self._told_of(self._packets(container, stream), log)
        for number, coded in enumerate(pictures(packets, stream, self._parts), 1):
            yield self._tag(number, coded, stream), coded

    @staticmethod
    def _told_of(
        packets: "Iterable[av.Packet[av.VideoStream]]", log: list[Any]
    ) -> "Iterator[tuple[av.Packet[av.VideoStream], bool]]":
        """Packets, and whether something may be missing in each."""
        before = False
        for packet in packets:
            # The parser holds a packet back: the loss may lie in the next one.
            lost = tells_loss(log) or packet.is_corrupt
            yield packet, lost or before
            before = lost

    def _tag(self, number: int, coded: Picture, stream: av.VideoStream) -> _Tag:
        packet = coded.packet
        captured_at = None
        if clock := self._clock:
            media = None
            if packet.has_sidedata("rtcp_sr"):
                clock.report()
            if packet.pts is not None and packet.time_base is not None:
                media = round(packet.pts * packet.time_base * 1_000_000)
            captured_at = clock.time_of(media, wall_clock(packet))
            if clock.stepped:
                logger.warning("the camera's clock was set, or its media time began anew")
                self._epoch, self._first = new_epoch(), number
        sei = sei_of(coded, stream, self._sei_uuid) if self._read_sei else None
        frame_id, arrived = f"{self._epoch}-{number - self._first}", int(coded.came * 1_000_000)
        return _Tag(
            number,
            frame_id,
            self._epoch,
            captured_at,
            sei,
            arrived,
            packet.pts,
            packet.time_base,
            self._connected,
            clock.reports if clock else 0,
        )


def _decoded(packets: Iterable[_Tagged], lost: Iterable[int], codec: Codec) -> Iterator[Item]:
    for number in lost:
        codec.damage.hurt(number)
    patience = Patience(codec.damage)
    for tag, coded in packets:
        for shown in codec.decode(tag.number, coded, tag):
            pixels = shown.pixels()
            yield _frame(pixels, shown.tag) if pixels else Reason.CORRUPT
        yield from patience.notes(coded)


def _undecoded(
    packets: Iterable[_Tagged], lost: Iterable[int], decoder: Decoder, codec: str
) -> Iterator[Item]:
    """As `_decoded`, as far as packets say it; what decoding shows is seen by who looks."""
    damage = Damage()
    for number in lost:
        damage.hurt(number)
    patience = Patience(damage)
    for tag, coded in packets:
        key = take(damage, tag.number, codec, coded)
        pixels = decoder.add(coded)
        yield _frame(pixels, tag) if damage.shown(tag.number, key=key) else Reason.CORRUPT
        yield from patience.notes(coded)


def _frame(pixels: Pixels, tag: _Tag) -> Frame:
    return Frame(
        tag.frame_id,
        pixels,
        tag.pts,
        tag.time_base,
        tag.captured_at,
        tag.epoch,
        tag.sei,
        tag.arrived,
        connection=tag.connection,
        reports=tag.reports,
    )
