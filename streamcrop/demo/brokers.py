"""A broker for the demo, on a free port of the loopback interface."""

import asyncio
import importlib.util
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from streamcrop.config import Protocol
from streamcrop.errors import StreamcropError

_TRIES, _BETWEEN = 300, 0.1
MOSQUITTO_CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
max_queued_messages 200
"""


@asynccontextmanager
async def embedded_broker(wanted: str | None) -> AsyncIterator[tuple[str, Protocol]]:
    """Start a broker; yields its URL and the MQTT version it speaks.

    Args:
        wanted: ``mosquitto``, ``amqtt`` or None for what is there, mosquitto first.

    Raises:
        StreamcropError: If there is none; its text says how to get one.
    """
    # Debian puts it where a user's PATH does not look.
    mosquitto = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    version: Protocol = "auto"
    with tempfile.TemporaryDirectory() as folder:
        if mosquitto and wanted != "amqtt":
            path = Path(folder, "mosquitto.conf")
            path.write_text(MOSQUITTO_CONFIG.format(port=port))  # noqa: ASYNC240  # five lines
            command = [mosquitto, "-c", str(path)]
        elif wanted != "mosquitto" and importlib.util.find_spec("amqtt"):
            command = [sys.executable, "-m", "streamcrop.demo.amqtt", str(port)]
            version = "3.1.1"
        else:
            raise StreamcropError(
                f"no {wanted or 'broker'} is installed: apt-get install mosquitto, or "
                "pip install 'streamcrop[demo]' for amqtt, or name a broker with --broker URL"
            )
        null = asyncio.subprocess.DEVNULL
        async with running(*command, stdout=null, stderr=null) as process:
            await _answers(port, process)
            yield f"mqtt://127.0.0.1:{port}", version


@asynccontextmanager
async def running(*command: str, **how: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that ends with the context, and not before, at the terminal's Ctrl-C."""
    process = await asyncio.create_subprocess_exec(*command, start_new_session=True, **how)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _answers(port: int, process: asyncio.subprocess.Process) -> None:
    """Wait until the broker listens."""
    for _ in range(_TRIES):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(_BETWEEN)
        else:
            writer.close()
            return
        if process.returncode is not None:
            break
    raise StreamcropError("the embedded broker did not start")
