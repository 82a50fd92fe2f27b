"""The ledger on disk."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from fakes import until
from patience import PATIENCE

from streamcrop import ledger_file


async def test_it_is_written_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader finds a whole ledger at any moment, a newer one later, and nothing beside it."""
    monkeypatch.setattr(ledger_file, "EVERY", 0.01)
    path, count = tmp_path / "ledger.json", 0

    def ledger() -> dict[str, object]:
        nonlocal count
        count += 1
        return {"streams": {"gate": "x" * 10_000}, "count": count}

    task = asyncio.create_task(ledger_file.keep(path, ledger))
    seen = set()
    async with asyncio.timeout(PATIENCE):
        while len(seen) < 5:
            if path.exists():
                seen.add(json.loads(path.read_text())["count"])
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait({task})


async def test_a_folder_that_is_gone_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The node goes on, and writes again once it can."""
    monkeypatch.setattr(ledger_file, "EVERY", 0.01)
    path, calls = tmp_path / "gone" / "ledger.json", []
    task = asyncio.create_task(ledger_file.keep(path, lambda: {"n": len(calls) or calls.append(1)}))
    await asyncio.sleep(0.2)
    assert caplog.text.count("cannot be written") == 1
    path.parent.mkdir()
    await until(path.exists)
    task.cancel()
    await asyncio.wait({task})


async def test_none_is_kept_nowhere() -> None:
    """Without a path there is nothing to do."""
    await asyncio.wait_for(ledger_file.keep(None, dict), PATIENCE)


async def test_a_pipe_gets_it_once_at_the_end(tmp_path: Path) -> None:
    """Who reads it would take the first for the whole, and nobody would read the next."""
    os.mkfifo(tmp_path / "pipe")
    await asyncio.wait_for(ledger_file.keep(tmp_path / "pipe", dict), 5)


def test_a_device_is_written_to(tmp_path: Path) -> None:
    """What is no file stays what it is."""
    link = tmp_path / "out"
    link.symlink_to("/dev/null")
    ledger_file.write(link, {"streams": {}})
    assert link.is_symlink()
