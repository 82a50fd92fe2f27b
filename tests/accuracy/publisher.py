"""What a detector says of a picture, and how it is sent."""

import argparse
import heapq
import json
import random
import time
from itertools import count
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt
from accuracy import pattern
from paho.mqtt.enums import CallbackAPIVersion

LATE = 3.0


class Seen(NamedTuple):
    """A picture that was read.

    Attributes:
        number: What its pixels say.
        size: Its width and height.
        key: The part of the message that names it.
    """

    number: int
    size: tuple[int, int]
    key: dict[str, Any]

    def message(self) -> dict[str, Any]:
        """It holds one object: the cells' box, under the number's name."""
        width, height = self.size
        left, top, right, bottom = pattern.box(width)
        prediction = {
            "x": (left + right) / 2,
            "y": (top + bottom) / 2,
            "width": right - left,
            "height": bottom - top,
            "confidence": 1.0,
            "class": str(self.number),
            "class_id": 0,
        }
        image = {"width": width, "height": height}
        return {**self.key, "image": image, "predictions": [prediction]}


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

    def send(self, seen: Seen) -> None:
        """Publish it now, later, twice or never."""
        chance, options = self._random.random, self._options
        if chance() >= options.lose:
            for _ in range(2 if chance() < options.duplicate else 1):
                wait = LATE if chance() < options.late else chance() * options.delay
                due = time.monotonic() + options.lag + wait
                message = json.dumps(seen.message())
                heapq.heappush(self._waiting, (due, next(self._count), message))
        self.flush()

    def flush(self) -> None:
        """Publish what is due."""
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            self.client.publish(self._options.topic, heapq.heappop(self._waiting)[2], 1)
