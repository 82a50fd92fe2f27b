"""A camera that publishes its pictures over MQTT, under names that come again."""

import argparse
import time
from itertools import count

import cv2
import numpy as np
import paho.mqtt.client as mqtt
from accuracy import pattern
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def main() -> None:
    """Publish until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("topic")
    parser.add_argument("--broker", type=int, required=True, help="its port")
    parser.add_argument("--rate", type=int, default=10)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--names", type=int, required=True, help="so many, in turn")
    options = parser.parse_args()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", options.broker)
    client.loop_start()
    width, height = options.width, options.width * 3 // 4
    due = time.monotonic()
    for number in count(1):
        due += 1 / options.rate
        time.sleep(max(0, due - time.monotonic()))
        planes = np.frombuffer(pattern.draw(number, width, height), np.uint8)
        picture = cv2.cvtColor(planes.reshape(-1, width), cv2.COLOR_YUV2BGR_I420)
        told = Properties(PacketTypes.PUBLISH)
        told.UserProperty = [("frame_id", pattern.counted(number, options.names))]
        data = cv2.imencode(".jpg", picture)[1].tobytes()
        client.publish(options.topic, data, 1, properties=told)


if __name__ == "__main__":
    main()
