"""Tries at start whether aiomqtt and paho still have the insides that `library` reaches into.

One conversation with a broker that this module plays itself, over a socket of the system's: it is
let in, subscribes, hears, publishes and leaves. That takes some 10 ms, once in a process.
"""

import asyncio
import secrets
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from streamcrop.errors import LibraryError
from streamcrop.mqtt.connack import Offer
from streamcrop.mqtt.library import TESTED, Connection

_SECONDS = 10
_NUMBERS = range(2000, 2003)
# DISCONNECT: code 0, and the property that ends the session.
_FORGET = b"\0\x05\x11\0\0\0\0"
_PARCEL = b"0\x05\0\x01a\0b" * 3


class _Tried(Connection):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.noted: list[object] = []

    def accepted(self, offer: Offer, *, resumed: bool) -> None:
        self.noted.append(("accepted", offer.keepalive, resumed))

    def arrived(self, message: Any) -> None:
        self.noted.append(("arrived", message.topic, bytes(message.payload), message.retain))

    def unreadable(self, _: str) -> None:
        self.noted.append("unreadable")

    def acknowledged(self, number: int, code: int, why: str) -> None:
        self.noted.append(("acknowledged", number, code, why))

    def settled(self) -> None:
        pass

    def written(self, flight: Any) -> None:
        self.noted.append(("written", flight))


_WRITTEN = ("written", "flight")
_EXPECTED = [
    ("accepted", 7, True),
    ("arrived", "a", b"one", True),
    "unreadable",
    ("arrived", "a", b"two", False),
    _WRITTEN,
    ("acknowledged", 2000, 0, ""),
    ("acknowledged", 2001, 0x10, ""),
    ("acknowledged", 2002, 0x97, "Quota exceeded (no)"),
]


@cache
def check() -> None:
    """Try it, once.

    Raises:
        LibraryError: If the libraries are not as we know them.
    """
    failed: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(asyncio.wait_for(_converse(), _SECONDS))
        except Exception as error:  # noqa: BLE001  # whatever a library of other insides raises
            failed.append(error)

    # A loop of its own: the caller's runs, or there is none.
    thread = threading.Thread(target=run, name="MQTT library check")
    thread.start()
    thread.join()
    if failed:
        raise LibraryError(TESTED, repr(failed[0])) from failed[0]


async def _converse() -> None:
    # What a library of other insides leaves behind is nobody's business.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    # An address of Linux's, which leaves no file.
    path = f"\0streamcrop-{secrets.token_hex(8)}"
    said: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_unix_server(lambda r, w: _play_broker(r, w, said), path)
    tried = _Tried(path, 1, version="5", transport="unix", identifier="check", keepalive=60)
    talk = asyncio.ensure_future(_talk(tried, said))
    lost = asyncio.ensure_future(tried.until_lost())
    try:
        done, _ = await asyncio.wait({talk, lost}, return_when=asyncio.FIRST_COMPLETED)
        # A part that is gone shows as the connection's end.
        await (talk if talk in done else lost)
    finally:
        server.close()
        for task in (talk, lost):
            task.cancel()
        await asyncio.gather(talk, lost, return_exceptions=True)


async def _talk(tried: _Tried, said: "asyncio.Future[bytes]") -> None:
    """Speak as a client."""
    await tried.__aenter__()
    code, why = await tried.ask("a", 1, 1)
    if (code, why) != (1, "Granted QoS 1"):
        raise AssertionError(f"subscribing gave {code}, {why}")
    await _until(lambda: len(tried.noted) == _EXPECTED.index(_WRITTEN))
    tried.paho.write(memoryview(_PARCEL), "flight")  # type: ignore[arg-type]  # any object will do
    await _until(lambda: len(tried.noted) >= len(_EXPECTED))
    await tried.leave()
    if (got := await said) != b"\x40\x02\0\x05\x40\x02\0\x06" + _PARCEL + _FORGET:
        raise AssertionError(f"the broker got {got!r}")
    if tried.noted != _EXPECTED:
        raise AssertionError(f"there came {tried.noted}")


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # what is noted wakes nobody
        await asyncio.sleep(0.001)


async def _play_broker(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: "asyncio.Future[bytes]"
) -> None:
    """Speak as a broker; ``said``: what it got after SUBSCRIBE."""
    try:
        await _expect(reader, 0x10)
        writer.write(b"\x20\x06\x01\0\x03\x13\0\x07")
        subscribe = await _expect(reader, 0x82)
        suback = b"\x90\x04" + subscribe[:2] + b"\0\x01"
        # Retained; with a length of properties that there are not; in two pieces.
        writer.write(suback + b"\x33\x09\0\x01a\0\x05\0one\x32\x06\0\x01a\0\x06\x7f\x30\x07\0")
        got = await reader.readexactly(8)
        writer.write(b"\x01a\0two")
        got += await reader.readexactly(len(_PARCEL))
        first, second, third = (number.to_bytes(2, "big") for number in _NUMBERS)
        writer.write(b"\x40\x02" + first + b"\x40\x03" + second + b"\x10\x40")
        await asyncio.sleep(0.005)
        writer.write(b"\x09" + third + b"\x97\x05\x1f\0\x02no")
        said.set_result(got + await _expect(reader, 0xE0))
    except Exception as error:  # noqa: BLE001  # as in `check`
        said.set_exception(error)
    finally:
        writer.close()


async def _expect(reader: asyncio.StreamReader, kind: int) -> bytes:
    first, length = await reader.readexactly(2)
    if first != kind:
        raise AssertionError(f"it sends {first:#x}, not {kind:#x}")
    return await reader.readexactly(length)
