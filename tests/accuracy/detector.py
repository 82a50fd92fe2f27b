"""A detector that knows nothing of streamcrop: RTSP or the tap in, detection messages out.

It reads the number in each picture and says, under the key to be tested, "here is 1234". To be
beyond doubt it is silent where the number in the pixels is not the one in the picture's own
bitstream: after a loss a decoder shows old pixels under a new name.
"""

import argparse
import heapq
import json
import random
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any

import av
import cv2
import numpy as np
import paho.mqtt.client as mqtt
from accuracy import pattern
from av.codec.context import Flags
from paho.mqtt.enums import CallbackAPIVersion

_UUID = b"picture-number:)"
_LATE = 3.0
# Two packets whose capture times fit their media times so well belong to one clock.
_AGREE = 0.001


class Publisher:
    """Sends messages, and does to them what networks do."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._random = random.Random(1)
        self._waiting: list[tuple[float, int, str]] = []
        self._count = count()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.connect("127.0.0.1", options.broker)
        self.client.loop_start()

    def send(self, message: dict[str, Any]) -> None:
        """Publish it now, later, twice or never."""
        chance, options = self._random.random, self._options
        if chance() >= options.lose:
            for _ in range(2 if chance() < options.duplicate else 1):
                wait = _LATE if chance() < options.late else chance() * options.delay
                due = time.monotonic() + wait
                heapq.heappush(self._waiting, (due, next(self._count), json.dumps(message)))
        self.flush()

    def flush(self) -> None:
        """Publish what is due."""
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            self.client.publish(self._options.topic, heapq.heappop(self._waiting)[2], 1)


def prediction(number: int, width: int) -> dict[str, Any]:
    """The cells' box, under the number's name."""
    left, top, right, bottom = pattern.box(width)
    return {
        "x": (left + right) / 2,
        "y": (top + bottom) / 2,
        "width": right - left,
        "height": bottom - top,
        "confidence": 1.0,
        "class": str(number),
        "class_id": 0,
    }


def _time_text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


class CaptureTime:
    """When a packet's picture was taken, from FFmpeg's ``prft``; as RFC 3339.

    The first packet behind a sender report may carry its neighbour's time, so a clock is believed
    once two packets in a row agree on it.
    """

    def __init__(self) -> None:
        self._offset: float | None = None

    def __call__(self, packet: av.Packet) -> dict[str, Any] | None:
        """None where the time is not to be trusted."""
        data = [bytes(d) for d in packet.iter_sidedata() if d.data_type == "prft"]
        if not data or packet.pts is None:
            self._offset = None
            return None
        microseconds = struct.unpack("<q", data[0][:8])[0]
        offset = microseconds / 1e6 - float(packet.pts * packet.time_base)
        before, self._offset = self._offset, offset
        if before is None or abs(offset - before) > _AGREE:
            return None
        return {"captured_at": _time_text(microseconds / 1e6)}


def _media_time(packet: av.Packet) -> dict[str, Any] | None:
    if packet.pts is None:
        return None
    return {"pts": packet.pts, "time_base": str(packet.time_base)}


# What a message says of a picture, by key: made of its packet, or of its SEI (None).
KEYS: dict[str, Callable[[], Callable[[av.Packet], dict[str, Any] | None] | None]] = {
    "utc": CaptureTime,
    "pts": lambda: _media_time,
    "arrival": lambda: lambda _: {"captured_at": _time_text(time.time())},
    "sei": lambda: None,
}


def _name(picture: av.VideoFrame) -> str:
    """The name in the picture's bitstream; empty where there is none."""
    for at in count():
        try:
            data = picture.side_data[at]  # by index, which alone works in all versions of PyAV
        except IndexError:
            return ""
        if data.type.name == "SEI_UNREGISTERED" and bytes(data).startswith(_UUID):
            return bytes(data)[len(_UUID) :].decode()
    raise AssertionError


def pictures(
    options: argparse.Namespace,
) -> Iterator[tuple[av.VideoFrame, str, dict[str, Any] | None]]:
    """Decode until the stream ends; with each picture its name and its key."""
    how = {"rtsp_transport": options.transport}
    with av.open(options.url, options=how, timeout=5) as container:
        stream = container.streams.video[0]
        stream.codec_context.flags |= Flags.copy_opaque
        key_of = KEYS[options.key]()
        for packet in container.demux(stream):
            packet.opaque = key_of(packet) if key_of else None
            with suppress(av.InvalidDataError):
                for picture in packet.decode():
                    name = _name(picture)
                    yield picture, name, picture.opaque if key_of else {"frame_id": name}


def watch(options: argparse.Namespace, publisher: Publisher) -> None:
    """Speak of the stream's pictures, through reconnections."""
    while True:
        with suppress(av.FFmpegError):
            for picture, name, key in pictures(options):
                publisher.flush()
                grey = picture.to_ndarray(format="gray")
                number = pattern.read_picture(grey)
                if key is None or number is None or name.rpartition("-")[2] != str(number):
                    continue
                height, width = grey.shape
                image = {"width": width, "height": height}
                predictions = [prediction(number, width)]
                publisher.send({**key, "image": image, "predictions": predictions})
        publisher.flush()
        time.sleep(0.2)


def watch_tap(options: argparse.Namespace, publisher: Publisher) -> None:
    """Speak of the pictures that the node shows."""

    def arrive(_client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        shown = json.loads(dict(message.properties.UserProperty)["metadata"])
        grey = cv2.imdecode(np.frombuffer(message.payload, np.uint8), cv2.IMREAD_GRAYSCALE)
        if (number := pattern.read_picture(grey)) is not None:
            predictions = [prediction(number, grey.shape[1])]
            head = {"frame_id": shown["frame_id"], "image": shown["image"]}
            publisher.send({**head, "predictions": predictions})

    publisher.client.on_message = arrive
    publisher.client.subscribe(options.url)
    while True:
        time.sleep(1)


def main() -> None:
    """Run until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url", help="of the stream; the tap's topic with --key frame_id")
    parser.add_argument("--key", choices=["frame_id", *KEYS], required=True)
    parser.add_argument("--transport", default="tcp")
    parser.add_argument("--broker", type=int, required=True, help="its port")
    parser.add_argument("--topic", default="detections/gate")
    parser.add_argument("--lose", type=float, default=0, help="share of the messages")
    parser.add_argument("--duplicate", type=float, default=0, help="share of the messages")
    parser.add_argument("--late", type=float, default=0, help=f"share that comes {_LATE} s late")
    parser.add_argument("--delay", type=float, default=0, help="up to so many seconds, at random")
    options = parser.parse_args()
    publisher = Publisher(options)
    (watch_tap if options.key == "frame_id" else watch)(options, publisher)


if __name__ == "__main__":
    main()
