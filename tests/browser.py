"""A real browser for the tests: headless Chromium over its DevTools protocol."""

import asyncio
import base64
import itertools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

import aiohttp
from patience import PATIENCE


class Browser:
    """Chromium with a camera that shows a clock and a moving disc, and asks nobody.

    ``features`` are arguments of the command line.
    """

    def __init__(self, folder: Path, *features: str) -> None:
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        assert program, "the tests need chromium: apt-get install chromium"
        self._profile = folder / "chromium"
        self._command = [
            program,
            "--headless=new",
            "--remote-debugging-port=0",
            f"--user-data-dir={self._profile}",
            "--use-fake-device-for-media-stream=fps=20",
            "--use-fake-ui-for-media-stream",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--window-size=420,900",
            # As root its sandbox does not work.
            *(("--no-sandbox",) if os.geteuid() == 0 else ()),
            *features,
            "about:blank",
        ]
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
        self._process = await asyncio.to_thread(
            subprocess.Popen, self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._http = aiohttp.ClientSession()
        port = await self._port()
        async with self._http.get(f"http://127.0.0.1:{port}/json/list") as reply:
            [page] = [each for each in await reply.json() if each["type"] == "page"]
        self._socket = await self._http.ws_connect(
            page["webSocketDebuggerUrl"], max_msg_size=0, autoping=True
        )
        return self

    async def _port(self) -> int:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return int((self._profile / "DevToolsActivePort").read_text().split()[0])
                except (FileNotFoundError, IndexError):
                    assert self._process.poll() is None, "chromium ended at once"
                    await asyncio.sleep(0.05)

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()
        await self._http.close()
        self._process.terminate()
        await asyncio.to_thread(self._process.wait, 20)

    async def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await self._socket.receive_json()
                if message.get("id") == number:
                    assert "error" not in message, message
                    return dict(message["result"])

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page; promises are awaited."""
        result = await self._call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def open(self, url: str) -> None:
        """Show a page."""
        await self._call("Page.navigate", url=url)
        await self.until("document.readyState == 'complete' && location.href != 'about:blank'")

    async def until(self, expression: str) -> None:
        """Wait until something is true in the page."""
        async with asyncio.timeout(PATIENCE):
            while not await self.evaluate(expression):  # noqa: ASYNC110  # a page tells nobody
                await asyncio.sleep(0.05)

    async def screenshot(self) -> bytes:
        """A PNG of the page."""
        shot = await self._call("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])
