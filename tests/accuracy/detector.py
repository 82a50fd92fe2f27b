"""A detector that knows nothing of streamcrop: RTSP or the tap in, detection messages out.

It reads the number in each picture and says, under the key to be tested, "here is 1234".
"""

import argparse
import json
import subprocess
import time
from collections.abc import Iterator

import cv2
import numpy as np
import paho.mqtt.client as mqtt
from accuracy import ffmpeg, pattern
from accuracy.publisher import LATE, Publisher, Seen

_SYSTEM_PYTHON = "/usr/bin/python3"
# Between the beginnings of the NTP's time and of Unix'.
_NTP_TO_UNIX = 2_208_988_800


def read_gstreamer(options: argparse.Namespace) -> Iterator[Seen | None]:
    """What GStreamer says of the stream's pictures, until it ends; None for one without a key."""
    program = [_SYSTEM_PYTHON, "-m", "accuracy.gstreamer", options.url]
    program += ["--transport", options.transport, "--codec", options.codec]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        try:
            for line in process.stdout or ():
                said = json.loads(line)
                if said["ntp"] is None or said["number"] is None:
                    yield None
                    continue
                key = {"captured_at": ffmpeg.time_text(said["ntp"] / 1e9 - _NTP_TO_UNIX)}
                if options.media_time:
                    key |= {"pts": said["pts"], "time_base": "1/1000000000"}
                yield Seen(said["number"], (said["width"], said["height"]), key)
        finally:
            process.kill()


_READERS = {"ffmpeg": ffmpeg.read, "gstreamer": read_gstreamer}


def watch(options: argparse.Namespace, publisher: Publisher) -> None:
    """Speak of the stream's pictures, through reconnections."""
    while True:
        for seen in _READERS[options.reader](options):
            if seen:
                publisher.send(seen)
            publisher.flush()
        publisher.flush()
        time.sleep(0.2)


def watch_shown(options: argparse.Namespace, publisher: Publisher) -> None:
    """Speak of the pictures that arrive over MQTT under names: the tap's, or a sender's own."""

    def arrive(_client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        told = dict(message.properties.UserProperty)
        grey = cv2.imdecode(np.frombuffer(message.payload, np.uint8), cv2.IMREAD_GRAYSCALE)
        if (number := pattern.read_picture(grey)) is None:
            return
        shown = json.loads(told["metadata"]) if "metadata" in told else told
        publisher.send(Seen(number, grey.shape[::-1], {"frame_id": shown["frame_id"]}))

    publisher.client.on_message = arrive
    publisher.client.subscribe(options.url)
    while True:
        publisher.flush()
        time.sleep(0.01)


def main() -> None:
    """Run until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url", help="of the stream; the pictures' topic with --key frame_id")
    parser.add_argument("--key", choices=["frame_id", *ffmpeg.KEYS], required=True)
    parser.add_argument("--reader", choices=_READERS, default="ffmpeg")
    parser.add_argument("--transport", default="tcp")
    parser.add_argument("--codec", default="h264")
    parser.add_argument("--media-time", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--names", type=int, default=0, help="so many, in turn")
    parser.add_argument("--unnamed", action="store_true", help="the bitstream names no pictures")
    parser.add_argument("--broker", type=int, required=True, help="its port")
    parser.add_argument("--topic", default="detections/gate")
    parser.add_argument("--lose", type=float, default=0, help="share of the messages")
    parser.add_argument("--duplicate", type=float, default=0, help="share of the messages")
    parser.add_argument("--late", type=float, default=0, help=f"share that comes {LATE} s late")
    parser.add_argument("--delay", type=float, default=0, help="up to so many seconds, at random")
    parser.add_argument("--lag", type=float, default=0, help="so many seconds, always")
    options = parser.parse_args()
    publisher = Publisher(options)
    (watch_shown if options.key == "frame_id" else watch)(options, publisher)


if __name__ == "__main__":
    main()
