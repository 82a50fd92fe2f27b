"""What systemd hears of us."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import PATIENCE

from streamcrop import systemd


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket on which a service manager listens."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(str(path))
        link.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield link


async def test_ready_status_and_watchdog(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that it is ready, and from the loop, twice in the time allowed, that it lives."""
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    task = asyncio.create_task(systemd.tell(lambda: "1 running"))
    said = [await asyncio.to_thread(manager.recv, 200) for _ in range(3)]
    task.cancel()
    assert said == [b"READY=1\nSTATUS=1 running", *[b"WATCHDOG=1\nSTATUS=1 running"] * 2]
    systemd.notify("STOPPING=1")
    assert manager.recv(200) in {b"STOPPING=1", said[1]}


async def test_a_loop_that_hangs_is_not_heard(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing runs on the loop, the watchdog gets nothing."""
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    task = asyncio.create_task(systemd.tell(lambda: "hangs"))
    assert (await asyncio.to_thread(manager.recv, 200)).startswith(b"READY=1")
    manager.settimeout(0.3)
    with pytest.raises(TimeoutError):
        manager.recv(200)
    task.cancel()


async def test_without_a_manager_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a command line there is nobody to tell, and the task is over."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify("READY=1")
    await asyncio.wait_for(systemd.tell(lambda: ""), PATIENCE)


def test_a_manager_that_is_gone_is_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged; the abstract namespace is known by its @."""
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody-listens-here")
    systemd.notify("READY=1")
    assert "systemd is not told READY=1" in caplog.text


async def test_another_process_is_watched(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time allowed is of the process that is named, if one is."""
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    task = asyncio.create_task(systemd.tell(lambda: "1 running"))
    await asyncio.to_thread(manager.recv, 200)
    manager.settimeout(0.3)
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(manager.recv, 200)
    task.cancel()
