"""A detector in a process of its own, for `publish`: ten boxes in each frame of the demo's clip."""

import json
import sys
import time

import paho.mqtt.client as paho

RATE = 30


def detect(port: int, frames: int) -> None:
    """Answer each frame of the clip with boxes, as soon as the stream runs."""
    predictions = [
        {"x": 150.0 * at + 120, "y": 300.0, "width": 150, "height": 300, "class": "person"}
        for at in range(10)
    ]
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    begun: list[float] = []

    def arrive(_: object, __: object, message: paho.MQTTMessage) -> None:
        if not message.retain and json.loads(message.payload)["state"] == "running" and not begun:
            begun.append(time.monotonic())

    client.on_message = arrive
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.connect("127.0.0.1", port)
    client.subscribe("streamcrop/gate/status")
    client.loop_start()
    while not begun:
        time.sleep(0.001)
    for number in range(frames):
        time.sleep(max(0, begun[0] + number / RATE - time.monotonic()))
        answer = {"frame_id": number, "predictions": predictions}
        client.publish("detections/gate", json.dumps(answer), 1)
    time.sleep(1)


if __name__ == "__main__":
    detect(*map(int, sys.argv[1:]))
