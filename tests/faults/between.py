"""What stands between a node and its broker, and breaks what is promised on the way.

A broker that lies, built of one that does not: it passes on what both send, packet by packet, and
may answer with rubbish, hang up at a size that was never announced, or swallow what it acknowledges
nothing of.
"""

import contextlib
import socket
import threading
import time
from collections import deque
from typing import Any

_CHUNK, _REMEMBERED = 1 << 16, 400


class Between:
    """A listener that passes on to a broker.

    Args:
        port: The broker's.

    Attributes:
        port: Its own.
        largest: It hangs up at a packet of the node with more bytes; 0: at none.
        silent: It passes on nothing, and keeps the connection.
        hung_up: How often it did.
        sizes: Of the node's last packets.
    """

    def __init__(self, port: int) -> None:
        self.largest = 0
        self.silent = False
        self.hung_up = 0
        self.sizes: deque[int] = deque(maxlen=_REMEMBERED)
        self._broker = port
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End it all."""
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """End the connections that there are."""
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def inject(self, data: bytes) -> None:
        """Say something to the nodes in the broker's name."""
        for node, _ in self._pairs:
            with contextlib.suppress(OSError):
                node.sendall(data)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                node, _ = self._listener.accept()
                try:
                    broker = socket.create_connection(("127.0.0.1", self._broker))
                except OSError:
                    node.close()
                    continue
                for end in (node, broker):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._pairs.append((node, broker))
                for work in (self._down, self._up):
                    threading.Thread(target=work, args=(node, broker), daemon=True).start()

    def _down(self, node: socket.socket, broker: socket.socket) -> None:
        """From the broker to the node."""
        with contextlib.suppress(OSError):
            while data := broker.recv(_CHUNK):
                self._until_passing()
                node.sendall(data)
        _end(node, broker)

    def _up(self, node: socket.socket, broker: socket.socket) -> None:
        """From the node to the broker, whole packets."""
        with contextlib.suppress(OSError, EOFError):
            reader = node.makefile("rb")
            while True:
                packet = _packet(reader)
                self._until_passing()
                self.sizes.append(len(packet))
                if self.largest and len(packet) > self.largest:
                    self.hung_up += 1
                    break
                broker.sendall(packet)
        _end(node, broker)

    def _until_passing(self) -> None:
        while self.silent:
            time.sleep(0.02)


def _packet(reader: Any) -> bytes:
    """An MQTT packet (MQTT 5, 2.1)."""
    head, length, shift = reader.read(1), 0, 0
    while True:
        byte = reader.read(1)
        if not byte:
            raise EOFError
        head += byte
        length |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            return bytes(head + reader.read(length))


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
