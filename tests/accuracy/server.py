"""A camera: GStreamer's RTSP server, whose pictures carry their number in pixels and bitstream.

Runs in the system's Python, where Debian puts GStreamer's bindings. Each access unit has an SEI
message (user data unregistered) that names the picture, the same on ``/main`` and ``/sub``:
``{run}-{number}``, or one of ``--names`` in turn.
"""

import argparse
import secrets
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from accuracy import pattern  # noqa: E402  # as above
from accuracy.mounts import CODECS, Encoded, Mount, Recipe  # noqa: E402  # as above
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402  # as above


def film(options: argparse.Namespace, mounts: list[Mount]) -> None:
    """Take pictures at a steady rate for ever; one that comes late skips its turn."""
    clock = Gst.SystemClock.obtain()
    interval = Gst.SECOND // options.rate
    due = clock.get_time()
    number = options.first
    while True:
        due = max(due + interval, clock.get_time())
        time.sleep(max(0, due - clock.get_time()) / Gst.SECOND)
        for mount in mounts:
            if number * mount.rate % options.rate < mount.rate:
                mount.take(number, due)
        number += 1


def mounts_of(options: argparse.Namespace) -> dict[str, Mount]:
    """What is served, by path."""
    run = secrets.token_hex(3)

    def name(number: int) -> str:
        return pattern.counted(number, options.names) if options.names else f"{run}-{number}"

    sizes = {"/main": ((options.width, options.height), options.rate)}
    if options.sub:
        sizes["/sub"] = (options.width // 2, options.height // 2), options.sub_rate or options.rate
    more = {} if options.recipe else {"name": name}
    form = Recipe if options.recipe else Encoded
    return {
        path: form(options, size, rate, is_sub=path == "/sub", **more)
        for path, (size, rate) in sizes.items()
    }


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


def serve(options: argparse.Namespace, mounts: dict[str, Mount]) -> bool:
    """Listen; false if the port is taken."""
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=options.port)
    guard(options, server)
    permissions = GstRtspServer.RTSPPermissions()
    for right in ("access", "construct"):
        permissions.add_permission_for_role("viewer", f"media.factory.{right}", True)
    for path, mount in mounts.items():
        mount.factory.set_permissions(permissions)
        server.get_mount_points().add_factory(path, mount.factory)
    return bool(server.attach())


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", required=True)
    parser.add_argument("--first", type=int, default=1, help="the first picture's number")
    parser.add_argument("--rate", type=int, default=30)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--codec", choices=CODECS, default="h264")
    parser.add_argument("--slices", type=int, default=1, help="of which a picture consists")
    parser.add_argument("--b-frames", type=int, default=0, help="between two others, of main")
    parser.add_argument("--lookahead", action="store_true", help="the encoder's own, of main")
    parser.add_argument("--intra-refresh", action="store_true", help="only one key picture")
    parser.add_argument("--repeat-headers", action="store_true", help="config-interval=-1")
    parser.add_argument("--rtcp-interval", type=float, default=1.0)
    parser.add_argument("--sub", action="store_true", help="serve /sub, half as large, too")
    parser.add_argument("--sub-rate", type=int, default=0, help="its pictures a second")
    parser.add_argument("--names", type=int, default=0, help="so many, in turn")
    parser.add_argument("--walker", action="store_true", help="somebody walks through the picture")
    parser.add_argument("--recipe", action="store_true", help="as gst-rtsp-server's manual says")
    parser.add_argument("--certificate", help="PEM with its key: speaks TLS")
    parser.add_argument("--login", help="METHOD:USER:PASSWORD, basic or digest")
    return parser


def main() -> None:
    """Serve until killed; says ``ready`` when it does."""
    parser = _arguments()
    options = parser.parse_args()
    Gst.init(None)
    mounts = mounts_of(options)
    if not serve(options, mounts):
        parser.exit(1, f"the port {options.port} is taken\n")
    loop = GLib.MainLoop()
    threading.Thread(target=loop.run, daemon=True).start()
    print("ready", flush=True)
    film(options, list(mounts.values()))


if __name__ == "__main__":
    main()
