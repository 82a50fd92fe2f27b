"""What a camera serves at a path: encoders, and RTSP media. In the system's Python, as `server`.

Two forms. An `Encoded` mount is a good camera: it encodes all the time, stamps a picture with the
time of its capture, the same on all mounts, and names it in its bitstream. A `Recipe` is what the
manual of gst-rtsp-server says, ``( source ! encoder ! payloader )`` with each property as it comes:
it encodes while somebody looks, and its sender reports count its latency as part of the times.
"""

import argparse
import re
import threading
from collections.abc import Callable
from typing import NamedTuple

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from accuracy import pattern  # noqa: E402  # as above
from gi.repository import Gst, GstApp, GstRtspServer  # noqa: E402, F401  # as above

# Neither it nor the text behind it has a zero byte, so nothing needs emulation prevention.
UUID = b"picture-number:)"
# So many pictures may be in an encoder that holds some back.
_HELD = 16


class Codec(NamedTuple):
    """What is different from codec to codec."""

    caps: str
    payloader: str
    first_slice: re.Pattern[bytes]
    sei: bytes  # the head of such a NAL unit

    def unit(self, text: str) -> bytes:
        """A NAL unit with the text as user data (ITU-T H.264, D.1.7; H.265, D.2.7)."""
        body = UUID + text.encode()
        return b"\0\0\0\1" + self.sei + b"\x05" + bytes([len(body)]) + body + b"\x80"


_START = rb"\x00?\x00\x00\x01"
CODECS = {
    "h264": Codec(
        "video/x-h264,stream-format=byte-stream,alignment=au",
        "rtph264pay",
        re.compile(_START + rb"[\x01\x21\x41\x61\x05\x25\x45\x65]"),
        b"\x06",
    ),
    "h265": Codec(
        "video/x-h265,stream-format=byte-stream,alignment=au",
        "rtph265pay",
        re.compile(_START + rb"[\x00-\x3f]\x01"),
        b"\x4e\x01",
    ),
}


def _encoder(options: argparse.Namespace, rate: int, *, is_sub: bool) -> str:
    """An encoder's part of a pipeline."""
    held = 0 if is_sub else options.b_frames
    prompt = "tune=zerolatency" if is_sub or not (held or options.lookahead) else ""
    if options.codec == "h265":
        more = f"option-string=bframes={held}:b-adapt=0:rc-lookahead={held + 1}:repeat-headers=1"
        return f"x265enc {prompt} speed-preset=ultrafast qp=24 key-int-max={rate} {more}"
    slices = f"threads={options.slices} sliced-threads=true" if not options.lookahead else ""
    held_back = f"bframes={held} b-adapt=false" if held else ""
    if held and not options.lookahead:
        held_back += " rc-lookahead=0 sync-lookahead=0"
    refresh = "intra-refresh=true" if options.intra_refresh else ""
    return (
        f"x264enc {prompt} speed-preset=ultrafast pass=quant quantizer=24 key-int-max={rate} "
        f"{slices} {held_back} {refresh}"
    )


class Mount:
    """One size of the picture.

    Args:
        options: The camera's.
        size: Width and height.
        rate: Pictures a second.
    """

    def __init__(
        self, options: argparse.Namespace, size: tuple[int, int], rate: int, *, is_sub: bool
    ) -> None:
        self.size, self.rate, self.walker = size, rate, options.walker
        self.codec = CODECS[options.codec]
        self.encoder = _encoder(options, rate, is_sub=is_sub)
        self.raw = (
            f"appsrc name=src is-live=true format=time caps=video/x-raw,format=I420,"
            f"width={size[0]},height={size[1]},framerate={rate}/1"
        )
        again = "config-interval=-1" if options.repeat_headers else ""
        self.payloader = f"{self.codec.payloader} name=pay0 pt=96 {again}"
        self._interval = int(options.rtcp_interval * Gst.SECOND)
        self.media: list[Gst.Element] = []
        self.factory = GstRtspServer.RTSPMediaFactory(shared=True)
        self.factory.connect("media-configure", self._configure)

    def _configure(self, _: object, media: GstRtspServer.RTSPMedia) -> None:
        source = media.get_element().get_by_name("src")
        self.configure(media, source)
        media.connect("unprepared", lambda _: self.media.remove(source))
        media.connect("prepared", self._set_interval)
        self.media.append(source)

    def configure(self, media: GstRtspServer.RTSPMedia, source: Gst.Element) -> None:
        """Prepare a medium that a client asked for."""

    def _set_interval(self, media: GstRtspServer.RTSPMedia) -> None:
        media.get_stream(0).get_rtpsession().props.rtcp_min_interval = self._interval

    def push(self, source: Gst.Element, data: bytes, captured: int) -> None:
        """Hand a picture to a medium, in its running time, whose zero each has for itself."""
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.pts = captured - source.get_base_time()
        source.push_buffer(buffer)

    def wants(self, source: Gst.Element, captured: int) -> bool:
        """Whether a medium runs, and did so when the picture was taken."""
        state = source.get_state(0).state
        return bool(state == Gst.State.PLAYING and captured >= source.get_base_time())


class Recipe(Mount):
    """Encodes in the media, for those who look."""

    def __init__(
        self, options: argparse.Namespace, size: tuple[int, int], rate: int, *, is_sub: bool
    ) -> None:
        super().__init__(options, size, rate, is_sub=is_sub)
        self.factory.set_launch(f"( {self.raw} ! {self.encoder} ! {self.payloader} )")

    def take(self, number: int, captured: int) -> None:
        """Begin to encode a picture."""
        sources = [source for source in self.media if self.wants(source, captured)]
        picture = pattern.draw(number, *self.size, walker=self.walker) if sources else b""
        for source in sources:
            self.push(source, picture, captured)


class Encoded(Mount):
    """Encodes all the time, and names the pictures by what ``name`` makes of their number."""

    def __init__(
        self,
        options: argparse.Namespace,
        size: tuple[int, int],
        rate: int,
        *,
        is_sub: bool,
        name: Callable[[int], str],
    ) -> None:
        super().__init__(options, size, rate, is_sub=is_sub)
        self._name = name
        self._encoder = Gst.parse_launch(
            f"{self.raw} ! {self.encoder} ! {self.codec.caps} ! appsink name=sink sync=false"
        )
        self._encoder.set_state(Gst.State.PLAYING)
        self._source, self._sink = map(self._encoder.get_by_name, ("src", "sink"))
        self._numbers: dict[int, int] = {}
        prompt = "zerolatency" in self.encoder and options.codec == "h264"
        self._room = threading.Semaphore(1 if prompt else _HELD)
        self._fresh: set[Gst.Element] = set()
        self.factory.set_launch(
            f"( appsrc name=src is-live=true format=time caps={self.codec.caps} "
            f"! {self.payloader} aggregate-mode=zero-latency )"
        )
        threading.Thread(target=self._send_all, daemon=True).start()

    def configure(self, media: GstRtspServer.RTSPMedia, source: Gst.Element) -> None:
        """See `Mount.configure`."""
        media.get_element().get_parent().connect("element-added", self._element_added)
        self._fresh.add(source)

    def _element_added(self, _: object, element: Gst.Element) -> None:
        # Else the sender reports count the start of the media as latency, all but the first.
        if element.get_factory().get_name() == "rtpbin":
            element.props.rtcp_sync_send_time = False

    def take(self, number: int, captured: int) -> None:
        """Begin to encode a picture, as soon as there is room for it."""
        picture = pattern.draw(number, *self.size, walker=self.walker)
        self._room.acquire()
        self._numbers[captured] = number
        buffer = Gst.Buffer.new_wrapped(picture)
        buffer.pts = captured
        self._source.push_buffer(buffer)

    def _send_all(self) -> None:
        while sample := self._sink.pull_sample():
            buffer = sample.get_buffer()
            # The encoder's own times begin later, so that none is below zero.
            captured = sample.get_segment().to_running_time(Gst.Format.TIME, buffer.pts)
            self._send(buffer, captured, self._numbers.pop(captured))
            self._room.release()

    def _send(self, buffer: Gst.Buffer, captured: int, number: int) -> None:
        """Hand an encoded picture to the clients, with its name."""
        unit = buffer.extract_dup(0, buffer.get_size())
        at = self.codec.first_slice.search(unit).start()
        unit = unit[:at] + self.codec.unit(self._name(number)) + unit[at:]
        for source in tuple(self.media):
            delta = buffer.has_flags(Gst.BufferFlags.DELTA_UNIT)
            if self.wants(source, captured) and not (delta and source in self._fresh):
                self._fresh.discard(source)
                self.push(source, unit, captured)
