"""A camera for `latency`: GStreamer's RTSP server, which sends a clip again and again, at its pace.

Runs in the system's Python, where Debian puts GStreamer's bindings. The clip is encoded
beforehand, so that what is measured shares its cores with no encoder. Each picture is named by its
number in an SEI message, and stamped with the time at which it is due.
"""

import re
import sys
import threading
import time
from itertools import count
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstApp, GstRtspServer  # noqa: E402, F401  # as above

# Neither it nor a number in decimal has a zero byte, so nothing needs emulation prevention.
UUID = b"benchmark-number"
_SLICE = re.compile(rb"\x00?\x00\x00\x01[\x01\x21\x41\x61\x05\x25\x45\x65]")
_KEY = re.compile(rb"\x00\x00\x01[\x05\x25\x45\x65]")
_H264 = "video/x-h264,stream-format=byte-stream,alignment=au"
_REPORTS = Gst.SECOND // 2


class Camera:
    """Hands each picture to whoever has asked for the stream."""

    def __init__(self) -> None:
        self._media: list[Gst.Element] = []
        self._fresh: set[Gst.Element] = set()
        self.factory = GstRtspServer.RTSPMediaFactory(shared=True)
        self.factory.set_launch(
            f"( appsrc name=src is-live=true format=time caps={_H264} "
            "! rtph264pay name=pay0 pt=96 aggregate-mode=zero-latency )"
        )
        self.factory.connect("media-configure", self._configure)

    def _configure(self, _: object, media: GstRtspServer.RTSPMedia) -> None:
        source = media.get_element().get_by_name("src")
        media.get_element().get_parent().connect("element-added", _element_added)
        media.connect("unprepared", lambda _: self._media.remove(source))
        media.connect("prepared", _set_interval)
        self._fresh.add(source)
        self._media.append(source)

    def send(self, unit: bytes, number: int, due: int) -> None:
        """A picture; whoever is new gets a key picture first."""
        at = _SLICE.search(unit).start()
        body = UUID + str(number).encode()
        named = unit[:at] + b"\0\0\0\1\x06\x05" + bytes([len(body)]) + body + b"\x80" + unit[at:]
        for source in tuple(self._media):
            playing = source.get_state(0).state == Gst.State.PLAYING
            if not playing or due < source.get_base_time():
                continue
            if source in self._fresh and not _KEY.search(unit):
                continue
            self._fresh.discard(source)
            buffer = Gst.Buffer.new_wrapped(named)
            # Running time, whose zero each media has for itself.
            buffer.pts = due - source.get_base_time()
            source.push_buffer(buffer)


def _element_added(_: object, element: Gst.Element) -> None:
    # Else the sender reports count the start of the media as latency, all but the first.
    if element.get_factory().get_name() == "rtpbin":
        element.props.rtcp_sync_send_time = False


def _set_interval(media: GstRtspServer.RTSPMedia) -> None:
    media.get_stream(0).get_rtpsession().props.rtcp_min_interval = _REPORTS


def units_of(path: Path) -> list[bytes]:
    """Access units, each behind its length as four bytes."""
    data, at, units = path.read_bytes(), 0, []
    while at < len(data):
        begin = at + 4
        at = begin + int.from_bytes(data[at:begin], "big")
        units.append(data[begin:at])
    return units


def main(port: str, path: str, rate: int) -> None:
    """Serve ``/main`` until killed; says ``ready`` when it does."""
    Gst.init(None)
    units = units_of(Path(path))
    camera = Camera()
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=port)
    server.get_mount_points().add_factory("/main", camera.factory)
    if not server.attach():
        sys.exit(f"the port {port} is taken")
    threading.Thread(target=GLib.MainLoop().run, daemon=True).start()
    print("ready", flush=True)
    clock = Gst.SystemClock.obtain()
    due = clock.get_time()
    for number in count():
        due += Gst.SECOND // rate
        time.sleep(max(0, due - clock.get_time()) / Gst.SECOND)
        camera.send(units[number % len(units)], number, due)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
