"""A detector for `latency` that needs no time to think, and notes when it spoke and was answered.

``python -m benchmarks.oracle WAY PORT URL COUNT``, with ``WAY`` one of `WAYS`, or ``tap``. It reads
the camera by a session of its own, undecoded, or the tap. Says as JSON, one a crop: the frame's ID,
and when the message was sent and the crop came, in microseconds since 1970. What was sent until
a while behind the first crop is left out.
"""

import json
import re
import socket
import struct
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import av
import paho.mqtt.client as paho

# How long the frame is in the node before its message: less than until the next frame.
_BEHIND = 0.015
_NAMED = re.compile(rb"benchmark-number(\d+)")
_BOX = {"x": 400.0, "y": 360.0, "width": 152.0, "height": 300.0}
_PATIENCE = 40
# With `utc`, pairs wait when a session begins, and leave all at once; microseconds.
_WARM, _WARM_UTC = 1_000_000, 3_000_000
# Two packets whose capture times fit their media times so well belong to one clock; microseconds.
_AGREE = 1000


def at_once(_: object, __: object, connection: socket.socket) -> None:
    """For ``on_socket_open``: no message waits for the acknowledgement of the last."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Speaker:
    """Sends messages, each with a name of its own, by which its crop is known."""

    def __init__(self, port: int, warm: int) -> None:
        self._warm = warm
        self._sent: dict[str, int] = {}
        self._since: int | None = None
        self.answered: list[tuple[str, int, int]] = []
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self.client.on_socket_open = at_once
        self.client.message_callback_add("streamcrop/gate/crops", self._cropped)
        self.client.connect("127.0.0.1", port)
        self.client.subscribe("streamcrop/gate/crops", 1)
        self.client.loop_start()

    def say(self, name: str, key: dict[str, Any]) -> None:
        """Speak of one thing in a picture."""
        message = json.dumps({**key, "predictions": [{**_BOX, "class": name}]})
        self._sent[name] = time.time_ns() // 1000
        self.client.publish("detections/gate", message, 1)

    def _cropped(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        came = time.time_ns() // 1000
        metadata = json.loads(dict(message.properties.UserProperty)["metadata"])
        name = metadata["predictions"][0]["class"]
        if self._since is None:
            self._since = came + self._warm
        if self._sent[name] > self._since:
            self.answered.append((metadata["frame_id"], self._sent[name], came))


def _packets(url: str) -> "Iterator[tuple[str, av.Packet[av.VideoStream]]]":
    """Each packet with the number that the camera gave it."""
    options = {"rtsp_transport": "tcp", "allowed_media_types": "video", "fpsprobesize": "0"}
    with av.open(url, options=options, timeout=10) as container:
        for packet in container.demux(video=0):
            if found := _NAMED.search(bytes(packet)):
                yield found[1].decode(), packet


def _timed(url: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each packet's number with what `utc` wants to know."""
    before = 0.0
    for name, packet in _packets(url):
        data = [bytes(d) for d in packet.iter_sidedata() if d.data_type == "prft"]
        if not data or packet.pts is None:
            continue
        captured = struct.unpack_from("<q", data[0])[0]
        offset = captured - float(packet.pts * packet.time_base) * 1e6
        agreed, before = abs(offset - before) < _AGREE, offset
        if agreed:
            yield name, _time_of(captured, packet.pts, packet.time_base)


def _time_of(captured: int, pts: int, time_base: Any) -> dict[str, Any]:
    said = datetime.fromtimestamp(captured / 1e6, UTC).isoformat(timespec="microseconds")
    return {"captured_at": said, "pts": pts, "time_base": str(time_base)}


def by_sei(url: str) -> Iterator[tuple[str, dict[str, Any], float]]:
    """The name in the bitstream, when the frame has been there for a while."""
    for name, _ in _packets(url):
        yield name, {"frame_id": name}, _BEHIND


def by_utc(url: str) -> Iterator[tuple[str, dict[str, Any], float]]:
    """Capture and media time, when the frame has been there for a while."""
    for name, key in _timed(url):
        yield name, key, _BEHIND


def ahead(url: str) -> Iterator[tuple[str, dict[str, Any], float]]:
    """The same of the next picture, of an even stream, before it is there."""
    before: tuple[int, int] | None = None
    for name, key in _timed(url):
        captured = round(datetime.fromisoformat(key["captured_at"]).timestamp() * 1e6)
        now = captured, key["pts"]
        if before:
            ahead_of = (2 * now[0] - before[0], 2 * now[1] - before[1])
            yield f"after {name}", _time_of(*ahead_of, key["time_base"]), 0
        before = now


WAYS = {"sei": by_sei, "utc": by_utc, "ahead": ahead}


def echo(speaker: Speaker) -> None:
    """Answer each picture of the tap at once."""

    def shown(_: object, __: object, message: paho.MQTTMessage) -> None:
        metadata = json.loads(dict(message.properties.UserProperty)["metadata"])
        name = metadata["frame_id"]
        speaker.say(name, {"frame_id": name, "image": {"width": 1280, "height": 720}})

    speaker.client.message_callback_add("streamcrop/gate/frames", shown)
    speaker.client.subscribe("streamcrop/gate/frames", 0)


def main(way: str, port: str, url: str, count: str) -> None:
    """Speak until so many crops have come."""
    warm = _WARM_UTC if way in {"utc", "ahead"} else _WARM
    speaker, until = Speaker(int(port), warm), time.monotonic() + _PATIENCE
    wanted = int(count)
    if way == "tap":
        echo(speaker)
        while len(speaker.answered) < wanted and time.monotonic() < until:
            time.sleep(0.05)
    else:
        for name, key, wait in WAYS[way](url):
            if len(speaker.answered) >= wanted or time.monotonic() > until:
                break
            time.sleep(wait)
            speaker.say(name, key)
    json.dump(speaker.answered[-wanted:], sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
