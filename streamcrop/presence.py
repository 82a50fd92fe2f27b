"""A node's word that it is there: its own when it comes and goes, its will when it vanishes.

Two processes may share a configuration, and so the topic. Each is an *instance*, with an ID of its
own; the one that stays contradicts the other's last word.
"""

import asyncio
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Literal

import msgspec

from streamcrop.errors import FormatError
from streamcrop.formats.documents import convert, document
from streamcrop.mqtt.broker import Will
from streamcrop.mqtt.messages import Outgoing

# So often, in seconds, it is said at most that we are there.
_EVERY = 1.0
# A presence is no longer than this, whatever the node is called.
_LONGEST = 4096

State = Literal["online", "offline"]


class _Said(msgspec.Struct):
    state: str


class Presence:
    """The messages in which a process says that it is there, or gone; retained.

    Args:
        node: The node's name.
        streams: Its streams, where it is one of several parts of the node; else empty.

    Attributes:
        instance: This process: letters and digits, random.
        topic: Where it is said.
    """

    def __init__(self, node: str, streams: str = "") -> None:
        self.instance = secrets.token_hex(6)
        self.topic = f"streamcrop/node/{node}{streams and '/' + streams}/status"
        self._node = node
        self._doubted = asyncio.Event()
        self._quiet_until = 0.0

    @property
    def will(self) -> Will:
        """The broker's last word for us, when we vanish."""
        return Will(self.topic, self._payload("offline"))

    def message(self, state: State) -> Outgoing:
        """The message in which we say our state."""
        return Outgoing(self.topic, self._payload(state), retain=True)

    def hear(self, payload: bytes, _: Mapping[str, str]) -> None:
        """Take note of what is said on our topic: by us, our will, or another instance."""
        with suppress(FormatError):
            if len(payload) <= _LONGEST and convert(document(payload), _Said).state == "offline":
                self.doubt()

    def doubt(self) -> None:
        """Have it said that we are there: somebody may believe otherwise, or not know yet."""
        self._doubted.set()

    async def doubted(self) -> None:
        """Wait until it is to be said that we are there; now and then, however often we hear it."""
        await asyncio.sleep(self._quiet_until - time.monotonic())
        await self._doubted.wait()
        self._doubted.clear()
        self._quiet_until = time.monotonic() + _EVERY

    def _payload(self, state: State) -> bytes:
        said = {"state": state, "node": self._node, "instance": self.instance}
        return msgspec.json.encode(said)
