"""A broker that writes down what it gets before it acknowledges it: ``recorder.py PORT FILE``.

It speaks as much of MQTT 5 as is needed, hands nothing on, and is made to be killed: what a node
was told to have arrived stands in the file, as a line ``ID spooled`` or ``ID live``.
"""

import contextlib
import os
import socket
import sys
import threading

CONNECT, CONNACK, PUBLISH, PUBACK, PINGREQ, PINGRESP = 1, 2, 3, 4, 12, 13
_USER, _CONTENT_TYPE = 0x26, 0x03


class Reader:
    """The bytes of a connection, and of a packet."""

    def __init__(self, take: socket.socket | bytes) -> None:
        self._source = take
        self._at = 0

    def take(self, count: int) -> bytes:
        """So many bytes.

        Raises:
            EOFError: If there are no more.
        """
        if isinstance(self._source, bytes):
            found = self._source[self._at : self._at + count]
            self._at += count
            return found
        found = b""
        while len(found) < count:
            more = self._source.recv(count - len(found))
            if not more:
                raise EOFError
            found += more
        return found

    def varint(self) -> int:
        """A length."""
        value, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def text(self) -> str:
        """A text."""
        return self.take(int.from_bytes(self.take(2), "big")).decode()

    @property
    def left(self) -> int:
        """The bytes of a packet that were not taken."""
        return len(self._source) - self._at if isinstance(self._source, bytes) else 0


def published(body: bytes, qos: int) -> tuple[bytes, dict[str, str]]:
    """The packet's identifier, and its user properties."""
    packet = Reader(body)
    packet.text()
    identifier = packet.take(2) if qos else b""
    properties = Reader(packet.take(packet.varint()))
    said = {}
    while properties.left:
        kind = properties.take(1)[0]
        if kind == _CONTENT_TYPE:
            properties.text()
        elif kind == _USER:
            name = properties.text()
            said[name] = properties.text()
        else:
            raise ValueError(kind)
    return identifier, said


def serve(connection: socket.socket, file: int) -> None:
    """Answer one client until it goes."""
    reader = Reader(connection)
    with contextlib.suppress(EOFError, OSError), connection:
        while True:
            head = reader.take(1)[0]
            body = reader.take(reader.varint())
            kind, qos = head >> 4, head >> 1 & 3
            if kind == CONNECT:
                connection.sendall(bytes([CONNACK << 4, 3, 0, 0, 0]))
            elif kind == PINGREQ:
                connection.sendall(bytes([PINGRESP << 4, 0]))
            elif kind == PUBLISH:
                identifier, said = published(body, qos)
                if "id" in said:
                    how = "spooled" if said.get("spooled") == "true" else "live"
                    os.write(file, f"{said['id']} {how}\n".encode())
                if qos:
                    connection.sendall(bytes([PUBACK << 4, 2]) + identifier)


def main(port: int, path: str) -> None:
    """Listen until killed."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection, file), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
