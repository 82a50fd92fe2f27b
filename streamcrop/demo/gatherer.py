"""A consumer of crops: subscribes, and writes what comes into a folder."""

import asyncio
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from streamcrop.broker import Address, Broker
from streamcrop.formats.events import Event, read
from streamcrop.sinks.files import FilesSink

_LAST_WORDS = 5.0


@dataclass(frozen=True, slots=True)
class Gathered:
    """A crop that came over MQTT."""

    data: bytes
    metadata: dict[str, Any]


class Gatherer:
    """Gathers the crops of one stream while its context is open.

    Args:
        address: Of the broker.
        stream: The stream's name.
        output: The folder; what an earlier demo left there is removed.
    """

    def __init__(self, address: Address, stream: str, output: Path) -> None:
        self.crops: list[Gathered] = []
        self._more = asyncio.Event()
        if (output / stream / "crops.jsonl").exists():
            shutil.rmtree(output / stream)
        self._files = FilesSink(str(output), stream, ".jpg")
        self._broker = Broker(address, name="gatherer")
        self._broker.subscribe(f"streamcrop/{stream}/crops", self._arrive)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._broker.run(), name="gatherer")
        up = asyncio.create_task(self._broker.wait_until_up())
        await asyncio.wait({self._task, up}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if self._task.done():
            await self._task
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def expect(self, count: int) -> None:
        """Wait for the last crops on their way."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                while len(self.crops) < count:
                    self._more.clear()
                    await self._more.wait()

    def _arrive(self, payload: bytes, properties: Mapping[str, str]) -> None:
        crop = read(payload, properties)
        self.crops.append(Gathered(crop.data, crop.metadata))
        name = (str(crop.metadata["frame_id"]), crop.attributes["subject"])
        event = Event("", crop.data, "", {}, crop.raw, is_crop=True, name=name)
        self._files.write([event])
        self._more.set()
