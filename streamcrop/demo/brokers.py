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

from streamcrop.config import Protocol
from streamcrop.errors import StreamcropError

_STARTING = 15.0
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
    port = _free_port()
    version: Protocol = "auto"
    with tempfile.TemporaryDirectory() as folder:
        if mosquitto and wanted != "amqtt":
            command = [mosquitto, "-c", _write_config(folder, port)]
        elif wanted != "mosquitto" and importlib.util.find_spec("amqtt"):
            command = [sys.executable, "-m", "streamcrop.demo.amqtt", str(port)]
            version = "3.1.1"
        else:
            raise StreamcropError(
                f"no {wanted or 'broker'} is installed: apt-get install mosquitto, or "
                "pip install 'streamcrop[demo]' for amqtt, or name a broker with --broker URL"
            )
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await _answers(port, process)
            yield f"mqtt://127.0.0.1:{port}", version
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


def _write_config(folder: str, port: int) -> str:
    path = Path(folder, "mosquitto.conf")
    path.write_text(MOSQUITTO_CONFIG.format(port=port), encoding="utf-8")
    return str(path)


async def _answers(port: int, process: asyncio.subprocess.Process) -> None:
    """Wait until the broker listens."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_STARTING):
            while process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                    continue
                writer.close()
                await writer.wait_closed()
                return
    raise StreamcropError("the embedded broker did not start")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
