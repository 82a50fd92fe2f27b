"""A detector and a subscriber in one, who see all that a node says, over any outage.

It answers the tapped pictures of `yard`, and says of `gate` what it is given. Its own messages wait
while the broker is away, and until the stream's status says that it runs.
"""

import json
import threading
import time
from collections import deque
from itertools import pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np
import paho.mqtt.client as mqtt
from accuracy import pattern
from accuracy.publisher import Seen
from paho.mqtt.enums import CallbackAPIVersion

_NEVER = float("inf")
# Pictures a second of the camera, and by how many a run of it begins higher than the one before.
RATE, RUN = 15, 1_000_000


class Crop(NamedTuple):
    """A crop that arrived.

    Attributes:
        at: When, in seconds on the monotonic clock.
        age: Seconds since its picture was spoken of.
        said: The number of the picture that was spoken of.
        shown: The number that its pixels say; None: none can be read.
    """

    at: float
    age: float
    said: int
    shown: int | None
    id: str


class State(NamedTuple):
    """What a status said."""

    at: float
    state: str
    reason: str


class Witness:
    """Hears and speaks.

    Args:
        port: The broker's.
        host: Its address.

    Attributes:
        crops: By stream, those that came, in their order.
        states: By stream.
        spoken: By stream, when each picture was spoken of first.
        notes: All kinds and texts of the statuses' notes.
        ledgers: By stream, the last that a status said.
        presence: What was said of the node itself.
        newest: The name of the last picture that was spoken of, ``RUN-NUMBER``.
        behind: How many seconds each picture of `gate` was spoken of later than the quickest of
            its camera's run: on a busy machine the detector itself is late.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.crops: dict[str, list[Crop]] = {"gate": [], "yard": []}
        self.states: dict[str, list[State]] = {}
        self.spoken: dict[str, dict[int, float]] = {"gate": {}, "yard": {}}
        self.notes: dict[str, str] = {}
        self.ledgers: dict[str, dict[str, Any]] = {}
        self.presence: list[str] = []
        self.answers = 0
        self.newest = ""
        self.behind: list[float] = []
        self._begins: dict[int, float] = {}
        self._waiting: deque[bytes] = deque()
        self._lock = threading.Lock()
        self._open = False
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.max_inflight_messages_set(10_000)
        client.max_queued_messages_set(0)
        client.reconnect_delay_set(1, 1)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_message = self._arrived
        self.client = client
        client.connect_async(host, port, keepalive=10)
        client.loop_start()

    def close(self) -> None:
        """Say no more."""
        self.client.disconnect()
        self.client.loop_stop()

    def speak(self, seen: Seen) -> None:
        """Say what is in a picture of `gate`, as soon as somebody listens."""
        now, run = time.monotonic(), seen.number // RUN
        self.spoken["gate"].setdefault(seen.number, now)
        taken = seen.number % RUN / RATE
        begin = self._begins[run] = min(self._begins.get(run, _NEVER), now - taken)
        self.behind.append(now - taken - begin)
        self.newest = seen.key["frame_id"]
        with self._lock:
            self._waiting.append(json.dumps(seen.message()).encode())
        self._flush()

    def publish(self, topic: str, payload: bytes, said: dict[str, str] | None = None) -> None:
        """Publish anything, and wait until the broker has it."""
        properties = None
        if said:
            properties = mqtt.Properties(mqtt.PacketTypes.PUBLISH)
            properties.UserProperty = list(said.items())
        info = self.client.publish(topic, payload, 1, properties=properties)
        info.wait_for_publish(60)

    def first_after(self, moment: float, stream: str = "gate") -> float:
        """When the first crop came after a moment; infinite: none did yet."""
        return next((crop.at for crop in self.crops[stream] if crop.at > moment), _NEVER)

    def count(self, begin: float, end: float = _NEVER, stream: str = "gate") -> int:
        """How many crops came within a time."""
        return sum(begin < crop.at <= end for crop in self.crops[stream])

    def gap(self, begin: float, end: float, stream: str) -> float:
        """The longest time without a crop within a time, in seconds."""
        times = [begin, *(crop.at for crop in self.crops[stream] if begin < crop.at < end), end]
        return max(b - a for a, b in pairwise(times))

    def missing(self, begin: float, end: float) -> int:
        """How many pictures of `gate` were spoken of within a time and never cropped."""
        spoken = self.spoken["gate"].copy()
        wanted = {number for number, at in spoken.items() if begin < at < end}
        return len(wanted - {crop.said for crop in self.crops["gate"]})

    @property
    def wrong(self) -> int:
        """How many crops show another picture than the one that was spoken of."""
        return sum(crop.shown != crop.said for crops in self.crops.values() for crop in crops)

    def said(self, begin: float, stream: str = "gate") -> list[str]:
        """The states since a moment."""
        return [each.state for each in self.states.get(stream, []) if each.at >= begin]

    def _flush(self) -> None:
        with self._lock:
            while self._open and self._waiting:
                self.client.publish("detections/gate", self._waiting.popleft(), 1)

    def _connected(self, *_: object) -> None:
        topics = ("+/status", "node/#", "gate/#", "yard/#")
        self.client.subscribe([(f"streamcrop/{topic}", 1) for topic in topics])

    def _disconnected(self, *_: object) -> None:
        self._open = False

    def _arrived(self, _: object, __: object, message: mqtt.MQTTMessage) -> None:
        _, stream, *rest = message.topic.split("/")
        what = rest[-1]
        if stream == "node":
            if what == "status":
                self.presence.append(json.loads(message.payload)["state"])
            else:
                self.answers += 1
        elif what == "crops":
            self._take_crop(stream, message)
        elif what == "frames":
            self._answer(stream, message)
        elif what == "status" and message.payload and len(rest) == 1:
            self._take_status(stream, json.loads(message.payload))

    def _take_status(self, stream: str, said: dict[str, Any]) -> None:
        now = State(time.monotonic(), said["state"], said["reason"])
        self.ledgers[stream] = said["ledger"]
        known = self.states.setdefault(stream, [])
        if not known or known[-1][1:] != now[1:]:
            known.append(now)
        for note in said.get("notes", ()):
            self.notes[note["kind"]] = note["text"]
        if stream == "gate":
            self._open = said["state"] == "running"
            self._flush()

    def _take_crop(self, stream: str, message: mqtt.MQTTMessage) -> None:
        event = dict(message.properties.UserProperty)
        [row] = json.loads(event["metadata"])["predictions"]
        if stream not in self.crops or not str(row["class"]).isdigit():
            return  # what is made of poison is nobody's truth
        shown = pattern.read(
            cv2.imdecode(np.frombuffer(message.payload, np.uint8), cv2.IMREAD_COLOR)
        )
        now, said = time.monotonic(), int(row["class"])
        age = now - self.spoken[stream].get(said, now)
        self.crops[stream].append(Crop(now, age, said, shown, event["id"]))

    def _answer(self, stream: str, message: mqtt.MQTTMessage) -> None:
        shown = json.loads(dict(message.properties.UserProperty)["metadata"])
        grey = cv2.imdecode(np.frombuffer(message.payload, np.uint8), cv2.IMREAD_GRAYSCALE)
        if (number := pattern.read_picture(grey)) is None or stream not in self.spoken:
            return
        self.spoken[stream][number] = time.monotonic()  # again, where a clip begins anew
        seen = Seen(number, grey.shape[::-1], {"frame_id": shown["frame_id"]})
        self.client.publish(f"detections/{stream}", json.dumps(seen.message()), 1)
