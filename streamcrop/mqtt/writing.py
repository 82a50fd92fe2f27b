"""Many small packets to the MQTT broker with one call of the system.

paho makes one call for each, and five objects more at QoS 0 to say that it is written: together a
third of what publishing a crop costs (2026-11-28).
"""

import asyncio
from collections import deque
from typing import Any, cast

from paho.mqtt import client as mqtt
from paho.mqtt.client import DISCONNECT
from paho.mqtt.enums import MQTTErrorCode

# So many bytes are written at once, and a little more.
_JOINED_BYTES = 1 << 20


class Writing:
    """Takes the place of a paho client's `loop_write`.

    Attributes:
        unwritten: What is to be told of packets that wait to be written.
    """

    def __init__(self, client: mqtt.Client) -> None:
        self.unwritten: set[asyncio.Future[bool]] = set()
        self._client = client
        self._joined: deque[dict[str, Any]] = deque()
        client.loop_write = self._write  # type: ignore[method-assign]  # aiomqtt calls it

    def tell_of_last(self, sent: asyncio.Future[bool]) -> None:
        """Have a future say true once the packet that paho took last is written."""
        self.unwritten.add(sent)
        # It is still there, for nothing is written before the loop's next turn.
        self._waiting[-1]["sent"] = sent

    @property
    def _waiting(self) -> deque[dict[str, Any]]:
        """The packets that paho has to write."""
        return cast("deque[dict[str, Any]]", self._client._out_packet)  # noqa: SLF001  # there is no other way in

    def _write(self) -> MQTTErrorCode:
        """Write as much as the system takes."""
        self._join()
        done = mqtt.Client.loop_write(self._client)
        while self._joined:
            first = self._joined[0]
            while first["ends"] and first["ends"][0][0] <= first["pos"]:
                _, sent = first["ends"].popleft()
                self.unwritten.discard(sent)
                if not sent.done():
                    sent.set_result(True)
            if first["to_process"]:
                break
            self._joined.popleft()
        return done

    def _join(self) -> None:
        """Make one packet of several; none that was joined before, or that says goodbye."""
        waiting = self._waiting
        whole: dict[str, Any] | None = None
        for packet in [waiting.popleft() for _ in range(len(waiting))]:
            if packet["command"] == DISCONNECT or "ends" in packet:
                waiting.append(packet)
                whole = None
                continue
            if whole is None or whole["to_process"] > _JOINED_BYTES:
                # Of no kind behind which paho would do anything.
                whole = {"command": 0, "mid": 0, "qos": 0, "pos": 0, "to_process": 0, "info": None}
                whole |= {"packet": bytearray(), "ends": deque()}
                waiting.append(whole)
                self._joined.append(whole)
            whole["packet"] += packet["packet"]
            whole["to_process"] += packet["to_process"]
            if "sent" in packet:
                whole["ends"].append((whole["to_process"], packet["sent"]))
