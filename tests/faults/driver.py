"""A node that can be hurt from outside: ``python -m faults.driver CONTROL run CONFIG ...``.

The file CONTROL holds JSON: ``{"raise": {PLACE: N}, "clock": SECONDS, "hosts": {NAME: ADDRESS}}``.
At a place, one of `PLACES`, the next N calls raise; ``time.time`` and ``time.time_ns`` go so many
seconds ahead; a name of a host has this address. The node itself knows nothing of it.
"""

import functools
import inspect
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from faults.places import PLACES

_LOOKS = 0.02


class InjectedError(Exception):
    """An error that nobody expects."""


class Control:
    """Reads the file again and again, and does what it says."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said = ""
        self._left: Counter[str] = Counter()
        self._hosts: dict[str, str] = {}
        self._ahead = 0.0

    def start(self) -> None:
        """Hurt what can be hurt, and look at the file from now on."""
        for name in PLACES:
            self._patch(name)
        self._patch_clock()
        self._patch_hosts()
        self._read()
        threading.Thread(target=self._watch, daemon=True).start()

    def check(self, name: str) -> None:
        """Raise, if it is the place's turn."""
        if self._left[name] > 0:
            self._left[name] -= 1
            raise InjectedError(name)

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOKS)
            self._read()

    def _read(self) -> None:
        with suppress(OSError, ValueError):
            said = self._path.read_text()
            if said != self._said:
                self._said, found = said, json.loads(said)
                self._left.update(found.get("raise", {}))
                self._hosts = found.get("hosts", {})
                self._ahead = found.get("clock", 0.0)

    def _patch(self, name: str) -> None:
        owner, last, found = place(name)
        plain = getattr(found, "__func__", found)
        wrapped: Any = _wrapped(plain, lambda: self.check(name))
        setattr(owner, last, wrapped if plain is found else type(found)(wrapped))

    def _patch_clock(self) -> None:
        seconds, nanoseconds = time.time, time.time_ns
        time.time = lambda: seconds() + self._ahead
        time.time_ns = lambda: nanoseconds() + round(self._ahead * 1e9)

    def _patch_hosts(self) -> None:
        ask = socket.getaddrinfo

        def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
            return ask(self._hosts.get(host, host), *rest, **more)

        socket.getaddrinfo = getaddrinfo  # type: ignore[assignment]


def place(name: str) -> tuple[Any, str, Any]:
    """A place: the module or class, the name in it, and what stands there."""
    module, _, path = PLACES[name].partition(":")
    *outer, last = path.split(".")
    owner: Any = functools.reduce(getattr, outer, import_module(module))
    return owner, last, inspect.getattr_static(owner, last)


def _wrapped(function: Callable[..., Any], check: Callable[[], None]) -> Callable[..., Any]:
    """The same function, which raises when `check` does; a generator in the midst of its items."""
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def items(*args: Any, **more: Any) -> Any:
            async for item in function(*args, **more):
                check()
                yield item

        return items
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def each(*args: Any, **more: Any) -> Any:
            for item in function(*args, **more):
                check()
                yield item

        return each

    @functools.wraps(function)
    def call(*args: Any, **more: Any) -> Any:
        check()
        return function(*args, **more)

    return call


if __name__ == "__main__":
    from streamcrop.cli import main

    Control(Path(sys.argv[1])).start()
    main(sys.argv[2:])
