"""A consumer of crops: subscribes, and writes what comes into a folder."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from streamcrop.formats.events import Event, Received, read
from streamcrop.mqtt.broker import Address, Broker
from streamcrop.sinks.files import Folder


@asynccontextmanager
async def gathered(address: Address, stream: str, output: Path) -> AsyncIterator[list[Received]]:
    """The crops of one stream, which grow in number while the context is open.

    Args:
        address: Of the broker.
        stream: The stream's name.
        output: The folder; what an earlier demo left there is removed.
    """
    if (output / stream / "crops.jsonl").exists():
        shutil.rmtree(output / stream)
    files = Folder(str(output), stream, ".jpg")
    crops: list[Received] = []

    def arrive(payload: bytes, properties: Mapping[str, str]) -> None:
        crop = read(payload, properties)
        name = (str(crop.metadata["frame_id"]), crop.attributes["subject"])
        files.write([Event("", crop.data, "", {}, crop.raw, is_crop=True, name=name)])
        crops.append(crop)

    broker = Broker(address, name="gatherer")
    broker.subscribe(f"streamcrop/{stream}/crops", arrive)
    connection = asyncio.create_task(broker.run())
    up = asyncio.create_task(broker.wait_until_up())
    try:
        await asyncio.wait({connection, up}, return_when=asyncio.FIRST_COMPLETED)
        if connection.done():
            await connection
        yield crops
    finally:
        connection.cancel()
        up.cancel()
        await asyncio.wait({connection, up})
