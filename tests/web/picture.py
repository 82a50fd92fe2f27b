"""The README's picture: the page while the demo runs. `python tests/web/picture.py page.jpg`."""

import asyncio
import base64
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from browser import Browser

PAGE = "http://127.0.0.1:8088/"
WIDTH, HEIGHT = 1280, 860


async def take(folder: Path) -> bytes:
    """A JPEG of the page, once there are enough crops."""
    async with Browser(folder) as browser:
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        await browser._call("Emulation.setDeviceMetricsOverride", **size)
        await browser.open(PAGE)
        await browser.until("document.querySelectorAll('#gallery li').length >= 40")
        await browser.until("document.querySelector('.card dd').textContent !== '0 / s'")
        await asyncio.sleep(3)
        shot = await browser._call("Page.captureScreenshot", format="jpeg", quality=82)
    return base64.b64decode(shot["data"])


def main(path: Path) -> None:
    """Run the demo, and look at its page."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["-m", "streamcrop", "demo", "--keep", "--output", f"{folder}/out"]
        process = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            assert process.stdout
            while "crops gathered" not in (line := process.stdout.readline()):
                assert line, "the demo did not start"
                assert "another program" not in line, line
            path.write_bytes(asyncio.run(take(Path(folder))))
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
