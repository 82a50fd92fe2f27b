"""Notices to systemd from a service of ``Type=notify``: ready, how it is, that it lives.

The protocol is a datagram to the socket that the environment names (sd_notify(3)); without it
nothing is said.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable

logger = logging.getLogger(__name__)

_STATUS_EVERY = 5.0


def notify(*said: str) -> None:
    """Tell systemd something, if it started us.

    Args:
        said: Assignments, as ``READY=1``; a line each.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    # A name in the abstract namespace is written with an @.
    address = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.sendto("\n".join(said).encode(), address)
    except OSError as error:
        logger.warning("systemd is not told %s: %s", said[0], error)


async def tell(status: Callable[[], str]) -> None:
    """Say that we are ready, and that we live, until cancelled.

    It runs on the event loop like everything else, so that a loop that hangs is seen, and the
    service is started again (``WatchdogSec=``).

    Args:
        status: How the node is, in a line.
    """
    if not os.environ.get("NOTIFY_SOCKET"):
        return
    every = _watched() or _STATUS_EVERY
    notify("READY=1", f"STATUS={status()}")
    while True:
        await asyncio.sleep(min(every, _STATUS_EVERY))
        notify("WATCHDOG=1", f"STATUS={status()}")


def _watched() -> float | None:
    """How often, in seconds, we must be heard: half of the time that systemd allows."""
    allowed = os.environ.get("WATCHDOG_USEC", "")
    ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(allowed) / 2_000_000 if allowed.isdigit() and ours else None
