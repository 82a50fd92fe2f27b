"""A camera of two mounts, as GStreamer's RTSP server makes one with its defaults: somebody walks.

Runs in the system's Python. ``/main`` and ``/sub`` show the same pictures in two sizes, ``/other``
those of another room; each is encoded in the server by itself, and the server's sender reports
count the latency of each. A picture carries its number in cells that are half black and half white,
so that it can be read from the pixels, and a picture made small shows nothing of it.
"""

import argparse
import random
import threading
import time
from binascii import crc_hqx
from typing import Any

ROWS, COLUMNS = 4, 8
# A cell is one of the 64 x 36 that `calibrate` looks at.
_ACROSS, _DOWN = 64, 36
_BITS = ROWS * COLUMNS
_DARK, _BRIGHT = 70, 185
# Where the cells are, in cells from the left and the top.
_LEFT, _TOP = 4, 4


def bits_of(number: int) -> int:
    """The number and its checksum, 16 bits each."""
    data = (number & 0xFFFF).to_bytes(2, "big")
    return int.from_bytes(data + crc_hqx(data, 0xFFFF).to_bytes(2, "big"), "big")


def read_picture(picture: Any) -> int | None:
    """The number in a grey array ``(height, width)``; None where it is unreadable."""
    height, width = picture.shape
    bits = 0
    for at in range(_BITS):
        row, column = at // COLUMNS + _TOP, at % COLUMNS + _LEFT
        top, bottom = (round((row + part) * height / _DOWN) for part in (0.25, 0.75))
        means = [
            picture[top:bottom, round(x * width / _ACROSS) : round((x + 0.2) * width / _ACROSS)]
            for x in (column + 0.15, column + 0.65)
        ]
        left, right = (float(part.mean()) for part in means)
        if abs(left - right) < 60:
            return None
        bits |= (left > right) << at
    number = bits >> 16
    return number if bits_of(number) == bits else None


class Room:
    """A still room with one walker, drawn row by row without any library."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)  # no secret
        self._greys = [chance.randrange(60, 190) for _ in range(_ACROSS)]
        self._way = [(0.0, 0.3)]
        while self._way[-1][0] < 600:
            at, place = self._way[-1]
            going = chance.uniform(0.2, 0.8)
            self._way.append((at + 0.2 + abs(going - place) / chance.uniform(0.05, 0.15), going))

    def _place(self, seconds: float) -> float:
        for (since, start), (until, end) in zip(self._way, self._way[1:]):  # noqa: B905  # pairs
            if since <= seconds < until:
                return start + (end - start) * (seconds - since) / (until - since)
        return 0.5

    def draw(self, number: int, seconds: float, width: int, height: int) -> bytes:
        """An I420 picture."""
        cell = width / _ACROSS
        row = b"".join(
            bytes([grey]) * (round((at + 1) * cell) - round(at * cell))
            for at, grey in enumerate(self._greys)
        )
        x = round(self._place(seconds) * width)
        walker = row[:x] + bytes([230]) * (width // 40) + row[x + width // 40 :]
        rows = [row] * height
        feet = round(0.8 * height)
        rows[feet - height // 9 : feet] = [walker] * (height // 9)
        bits = bits_of(number)
        for at in range(ROWS):
            coded = row[: round(_LEFT * cell)]
            for column in range(COLUMNS):
                bit = bits >> (at * COLUMNS + column) & 1
                start = round((_LEFT + column) * cell)
                half = round((_LEFT + column + 0.5) * cell) - start
                rest = round((_LEFT + column + 1) * cell) - start - half
                greys = (_BRIGHT, _DARK) if bit else (_DARK, _BRIGHT)
                coded += bytes([greys[0]]) * half + bytes([greys[1]]) * rest
            coded += row[len(coded) :]
            top, bottom = (round((_TOP + at + part) * height / _DOWN) for part in (0, 1))
            rows[top:bottom] = [coded] * (bottom - top)
        halves = (width + 1) // 2 * ((height + 1) // 2)
        return b"".join(rows) + bytes([128]) * (2 * halves)


def serve(options: argparse.Namespace) -> None:
    """Serve until killed; says ``ready`` when it does."""
    import gi  # noqa: PLC0415  # only the system's Python has it

    gi.require_version("Gst", "1.0")
    gi.require_version("GstApp", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstApp, GstRtspServer  # noqa: F401, PLC0415  # as above

    Gst.init(None)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=str(options.port))
    sources: dict[str, list[Any]] = {}
    sizes = {}
    mounts = {"/main": (options.main, 1), "/sub": (options.sub, options.every)}
    mounts["/other"] = (options.sub, options.every)
    for path, ((size, encoder), every) in mounts.items():
        width, height = (int(side) for side in size.split("x"))
        sizes[path] = width, height
        factory = GstRtspServer.RTSPMediaFactory(shared=True)
        caps = f"video/x-raw,format=I420,width={width},height={height}"
        rate = f"{options.rate}/{every}"
        factory.set_launch(
            f"( appsrc name=src is-live=true format=time caps={caps},framerate={rate} ! {encoder} "
            "! rtph264pay name=pay0 pt=96 )"
        )
        sources[path] = []

        def configure(_: object, media: Any, path: str = path) -> None:
            source = media.get_element().get_by_name("src")
            media.connect("unprepared", lambda _: sources[path].remove(source))
            sources[path].append(source)

        factory.connect("media-configure", configure)
        server.get_mount_points().add_factory(path, factory)
    server.attach()
    threading.Thread(target=GLib.MainLoop().run, daemon=True).start()
    print("ready", flush=True)  # noqa: T201  # whoever started it waits for this
    clock, rooms = Gst.SystemClock.obtain(), {"/other": Room(options.seed + 1)}
    room, number, begun, due = Room(options.seed), 0, clock.get_time(), clock.get_time()
    while True:
        due = max(due + Gst.SECOND // options.rate, clock.get_time())
        time.sleep(max(0, due - clock.get_time()) / Gst.SECOND)
        for path, (_, every) in mounts.items():
            ready = [source for source in sources[path] if _wants(Gst, source, due)]
            if number % every or not ready:
                continue
            shown = (due - begun) / Gst.SECOND * (not options.still)
            pixels = rooms.get(path, room).draw(number, shown, *sizes[path])
            for source in ready:
                buffer = Gst.Buffer.new_wrapped(pixels)
                buffer.pts = due - source.get_base_time()
                source.push_buffer(buffer)
        number += 1


def _wants(gst: Any, source: Any, due: int) -> bool:
    return source.get_state(0).state == gst.State.PLAYING and due >= source.get_base_time()


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=int, default=25)
    parser.add_argument(
        "--every", type=int, default=2, help="the sub stream has one picture in so many"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--still", action="store_true", help="nobody walks")
    slow = "x264enc speed-preset=ultrafast bframes=2 b-adapt=false key-int-max=50"
    fast = "x264enc speed-preset=ultrafast tune=zerolatency key-int-max=25"
    parser.add_argument("--main", nargs=2, default=("1024x576", slow), metavar=("SIZE", "ENCODER"))
    parser.add_argument("--sub", nargs=2, default=("512x384", fast), metavar=("SIZE", "ENCODER"))
    serve(parser.parse_args())


if __name__ == "__main__":
    main()
