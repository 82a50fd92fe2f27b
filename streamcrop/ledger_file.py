"""The ledger on disk: every few seconds, so that a crash costs no more of it than these."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

EVERY = 5.0


async def keep(path: Path | None, ledger: Callable[[], dict[str, Any]]) -> None:
    """Write the ledger every five seconds until cancelled; what cannot be written is logged once.

    Args:
        path: The file; None: there is none.
        ledger: Makes it, as it is now.
    """
    said = False
    if path is not None and _is_other(path):
        # It gets the ledger once, at the end.
        return
    while path is not None:
        await asyncio.sleep(EVERY)
        try:
            await asyncio.to_thread(write, path, ledger())
        except OSError as error:
            if not said:
                logger.warning("the ledger cannot be written to %s: %s", path, error)
            said = True


def write(path: Path, ledger: dict[str, Any]) -> None:
    r"""Write a ledger beside its place, then put it there: a reader sees a whole one, always.

    Args:
        path: The file.
        ledger: What it is to hold, as JSON.

    Raises:
        OSError: If it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(Path(folder, "ledger.json"), {"streams": {}})
        ...     Path(folder, "ledger.json").read_text(encoding="utf-8")
        '{\n  "streams": {}\n}\n'
    """
    text = json.dumps(ledger, indent=2) + "\n"
    if _is_other(path):
        path.write_text(text, encoding="utf-8")
        return
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def _is_other(path: Path) -> bool:
    """True for a pipe or a device, such as /dev/stdout."""
    return path.exists() and not path.is_file()
