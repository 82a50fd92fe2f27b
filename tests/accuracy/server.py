"""A camera: GStreamer's RTSP server, whose pictures carry their number in pixels and bitstream.

Runs in the system's Python, where Debian puts GStreamer's bindings. Like a camera it encodes all
the time, once for each mount, and stamps a picture with the time of its capture: the same on
``/main`` and ``/sub``. Each access unit has an SEI message (user data unregistered) that names the
picture: ``{run}-{number}``, the same on both mounts.
"""

import argparse
import re
import secrets
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from accuracy import pattern  # noqa: E402  # as above
from gi.repository import Gio, GLib, Gst, GstApp, GstRtsp, GstRtspServer  # noqa: E402, F401  # as above

# Neither it nor the text behind it has a zero byte, so nothing needs emulation prevention.
UUID = b"picture-number:)"
_FIRST_SLICE = re.compile(rb"\x00?\x00\x00\x01[\x01\x21\x41\x61\x05\x25\x45\x65]")
_H264 = "video/x-h264,stream-format=byte-stream,alignment=au"


class Mount:
    """One size of the picture: its encoder, and the RTSP media that is made when a client asks."""

    def __init__(self, options: argparse.Namespace, width: int, height: int) -> None:
        self._size = width, height
        self._rtcp_interval = int(options.rtcp_interval * Gst.SECOND)
        self._encoder = Gst.parse_launch(
            "appsrc name=src format=time "
            f"caps=video/x-raw,format=I420,width={width},height={height},"
            f"framerate={options.rate}/1 ! x264enc tune=zerolatency speed-preset=ultrafast "
            f"pass=quant quantizer=24 key-int-max={options.rate} threads={options.slices} "
            f"sliced-threads=true ! {_H264} ! appsink name=sink sync=false"
        )
        self._encoder.set_state(Gst.State.PLAYING)
        self._source, self._sink = map(self._encoder.get_by_name, ("src", "sink"))
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
        media.get_element().get_parent().connect("element-added", self._element_added)
        media.connect("unprepared", lambda _: self._media.remove(source))
        media.connect("prepared", self._set_interval)
        self._fresh.add(source)
        self._media.append(source)

    def _element_added(self, _: object, element: Gst.Element) -> None:
        # Else the sender reports count the start of the media as latency, all but the first.
        if element.get_factory().get_name() == "rtpbin":
            element.props.rtcp_sync_send_time = False

    def _set_interval(self, media: GstRtspServer.RTSPMedia) -> None:
        media.get_stream(0).get_rtpsession().props.rtcp_min_interval = self._rtcp_interval

    def take(self, number: int, captured: int) -> None:
        """Begin to encode a picture."""
        buffer = Gst.Buffer.new_wrapped(pattern.draw(number, *self._size))
        buffer.pts = captured
        self._source.push_buffer(buffer)

    def send(self, sei: bytes, captured: int) -> None:
        """Hand the encoded picture to the clients."""
        buffer = self._sink.pull_sample().get_buffer()
        unit = buffer.extract_dup(0, buffer.get_size())
        at = _FIRST_SLICE.search(unit).start()
        unit = unit[:at] + sei + unit[at:]
        for source in tuple(self._media):
            if source.get_state(0).state != Gst.State.PLAYING or captured < source.get_base_time():
                continue
            if source in self._fresh and buffer.has_flags(Gst.BufferFlags.DELTA_UNIT):
                continue
            if captured < source.get_base_time():
                # Taken before the client came.
                continue
            self._fresh.discard(source)
            sent = Gst.Buffer.new_wrapped(unit)
            # Running time, whose zero each media has for itself.
            sent.pts = captured - source.get_base_time()
            source.push_buffer(sent)


def sei_of(text: str) -> bytes:
    """A NAL unit with the text as user data (ITU-T H.264, D.1.7)."""
    body = UUID + text.encode()
    return b"\0\0\0\1\x06\x05" + bytes([len(body)]) + body + b"\x80"


def film(options: argparse.Namespace, mounts: list[Mount]) -> None:
    """Take pictures at a steady rate for ever; one that comes late skips its turn."""
    clock = Gst.SystemClock.obtain()
    run = secrets.token_hex(3)
    interval = Gst.SECOND // options.rate
    due = clock.get_time()
    number = options.first
    while True:
        due = max(due + interval, clock.get_time())
        time.sleep(max(0, due - clock.get_time()) / Gst.SECOND)
        for mount in mounts:
            mount.take(number, due)
        for mount in mounts:
            mount.send(sei_of(f"{run}-{number}"), due)
        number += 1


def guard(options: argparse.Namespace, server: GstRtspServer.RTSPServer) -> None:
    """Speak TLS, and let only those in who know the password, if that is asked for."""
    if not (options.certificate or options.login):
        return
    auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if options.certificate:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(options.certificate))
    if options.login:
        method, user, password = options.login.split(":")
        if method == "digest":
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest(user, password, token)
        else:
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    else:
        auth.set_default_token(token)
    server.set_auth(auth)


def main() -> None:
    """Serve until killed; says ``ready`` when it does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", required=True)
    parser.add_argument("--first", type=int, default=1, help="the first picture's number")
    parser.add_argument("--rate", type=int, default=30)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--slices", type=int, default=1, help="of which a picture consists")
    parser.add_argument("--rtcp-interval", type=float, default=1.0)
    parser.add_argument("--sub", action="store_true", help="serve /sub, half as large, too")
    parser.add_argument("--certificate", help="PEM with its key: speaks TLS")
    parser.add_argument("--login", help="METHOD:USER:PASSWORD, basic or digest")
    options = parser.parse_args()
    Gst.init(None)
    sizes = {"/main": (options.width, options.height)}
    if options.sub:
        sizes["/sub"] = options.width // 2, options.height // 2
    mounts = {path: Mount(options, *size) for path, size in sizes.items()}
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=options.port)
    guard(options, server)
    permissions = GstRtspServer.RTSPPermissions()
    for right in ("access", "construct"):
        permissions.add_permission_for_role("viewer", f"media.factory.{right}", True)
    for path, mount in mounts.items():
        mount.factory.set_permissions(permissions)
        server.get_mount_points().add_factory(path, mount.factory)
    if not server.attach():
        parser.exit(1, f"the port {options.port} is taken\n")
    loop = GLib.MainLoop()
    threading.Thread(target=loop.run, daemon=True).start()
    print("ready", flush=True)
    film(options, list(mounts.values()))


if __name__ == "__main__":
    main()
