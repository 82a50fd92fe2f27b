"""Compares each crop's pixels with the detection it was cut for."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

import aiomqtt
import cv2
import numpy as np
from accuracy import pattern
from accuracy.pattern import EPOCH


@dataclass
class Verdict:
    """What became of a run's messages and crops; numbers are those of pictures.

    Attributes:
        wrong: The numbers that were spoken of where a crop shows another.
        turns: By how many seconds the clock was set, and the number of the picture of that time.
        reordered: So many pictures may stand before one that came earlier, B-frames.
    """

    published: set[int] = field(default_factory=set)
    right: set[int] = field(default_factory=set)
    crops: Counter[str] = field(default_factory=Counter)
    paired_by: set[str] = field(default_factory=set)
    wrong: list[int] = field(default_factory=list)
    turns: list[tuple[float, int]] = field(default_factory=list)
    reordered: int = 0
    examples: list[str] = field(default_factory=list)  # of wrong ones, the first five

    def judge(self, crop: bytes, metadata: dict[str, Any]) -> None:
        """Count a crop."""
        said = int(metadata["predictions"][0]["class"])
        self.paired_by.add(metadata["paired_by"])
        seen = pattern.read(cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR))
        if seen == said:
            self.crops["right"] += 1
            self.right.add(seen)
            return
        self.crops["unreadable" if seen is None else "wrong"] += 1
        if seen is None:
            return
        self.wrong.append(said)
        if len(self.examples) < 5:
            names = {name: metadata.get(name) for name in ("frame_id", "pts", "residual")}
            self.examples.append(f"said {said}, shows {seen}: {names}")

    @property
    def wrong_by_turn(self) -> list[tuple[float, int]]:
        """By how many seconds the clock was set, and how many crops were wrong until the next."""
        ends = [number for _, number in self.turns[1:]] + [10**9]
        return [
            (seconds, sum(begin <= number < end for number in self.wrong))
            for (seconds, begin), end in zip(self.turns, ends, strict=True)
        ]

    @property
    def keyed(self) -> set[int]:
        """The pictures that node and detector both had, with a key.

        In each run of the server: those which the detector spoke of, from the first to the last
        that the node paired, for outside of it the node was not there or knew no key; to the very
        last one if the server was not killed. Of the first ones B-frames came behind pictures
        without a key.
        """
        found: set[int] = set()
        epochs = {number // EPOCH for number in self.right}
        for epoch in epochs:
            paired = [number for number in self.right if number // EPOCH == epoch]
            spoken = {number for number in self.published if number // EPOCH == epoch}
            first = min(paired) + self.reordered
            last = max(spoken if epoch == max(epochs) else paired)
            found |= {number for number in spoken if first <= number <= last}
        return found


class Judge:
    """A subscriber to a stream's detections and crops.

    Args:
        port: The broker's.
    """

    def __init__(self, port: int) -> None:
        self.verdict = Verdict()
        self.status: dict[str, Any] = {}
        self._client = aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        for topic in ("detections/gate", "streamcrop/gate/crops", "streamcrop/gate/status"):
            await self._client.subscribe(topic, 1)
        self._task = asyncio.create_task(self._receive())
        return self

    def check(self) -> None:
        """Raise what ended the connection, if something did."""
        if self._task.done():
            self._task.result()

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._client.__aexit__(None, None, None)

    async def _receive(self) -> None:
        async for message in self._client.messages:
            payload = bytes(message.payload)
            if message.topic.matches("detections/gate"):
                said = json.loads(payload)
                self.verdict.published.add(int(said["predictions"][0]["class"]))
            elif message.topic.matches("streamcrop/gate/crops"):
                event = dict(message.properties.UserProperty)
                self.verdict.judge(payload, json.loads(event["metadata"]))
            else:
                self.status = json.loads(payload)
