"""No password in any output, whatever fails."""

import asyncio
import contextlib
import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from patience import PATIENCE
from peers import Client, Mosquitto, Node, free_port, settings, wait_until

pytestmark = pytest.mark.e2e
SECRET = "hunter2"  # noqa: S105  # of these tests
FAILED = {"ended", "reconnecting"}
LOGIN = f"me:{SECRET}@127.0.0.1"


@contextmanager
def rude(status: str, challenge: str = 'Basic realm="x"') -> Iterator[int]:
    """A server that refuses by RTSP and HTTP alike, and repeats what it was shown; its port."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                while self._answer():
                    pass

        def _answer(self) -> bool:
            request = []
            while (line := self.rfile.readline()).strip():
                request.append(line.decode(errors="replace").strip())
            if not request:
                return False
            heads = [line.partition(": ") for line in request[1:]]
            said = {name.lower(): value for name, _, value in heads}
            self.rfile.read(int(said.get("content-length", 0)))
            body = f"{said.get('authorization')} {SECRET} is wrong"
            version = request[0].rpartition(" ")[2]
            version = version if version.startswith(("RTSP", "HTTP")) else "HTTP/1.1"
            answer = (
                f"{version} {status}",
                f"CSeq: {said.get('cseq', 1)}",
                f"WWW-Authenticate: {challenge}",
                f"Content-Length: {len(body)}",
                "",
                body,
            )
            self.wfile.write("\r\n".join(answer).encode())
            return True

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def _streams(ports: dict[str, int], folder: Path) -> dict[str, dict[str, Any]]:
    """Sources that all fail, each with a password."""
    closed = free_port()
    where = {
        "closed": f"rtsp://{LOGIN}:{closed}/main?password={SECRET}",
        "basic": f"rtsp://{LOGIN}:{ports['basic']}/main",
        "digest": f"rtsp://{LOGIN}:{ports['digest']}/main",
        "http": f"rtsp://{LOGIN}:{ports['teapot']}/main",
        "tls": f"rtsps://{LOGIN}:{ports['basic']}/main",
        "nowhere": f"rtsp://me:{SECRET}@no-such-host.invalid/main",
        "whep-closed": f"whep:http://{LOGIN}:{closed}/whep?token={SECRET}",
        "whep-refuses": f"whep:http://{LOGIN}:{ports['basic']}/whep",
        "whep-teapot": f"whep:http://{LOGIN}:{ports['teapot']}/whep",
        "whep-tls": f"whep:https://{LOGIN}:{ports['basic']}/whep",
        "path": f"./me:{SECRET}@cam.mp4",
        "folder": f"{folder}/me:{SECRET}@cam",
        "device": f"device:/dev/a?password={SECRET}",
    }
    found: dict[str, dict[str, Any]] = {
        name: {
            "source": {"url": url},
            "detections": {"topic": f"detections/{name}"},
            "pairing": {"key": "pts" if name in {"path", "folder"} else "arrival"},
        }
        for name, url in where.items()
    }
    found["whep-token"] = {
        "source": {"url": f"whep:http://127.0.0.1:{ports['teapot']}/whep", "token": SECRET},
        "detections": {"topic": "detections/whep-token"},
        "pairing": {"key": "arrival"},
    }
    return found


async def test_a_node_whose_sources_all_fail(tmp_path: Path) -> None:
    """Log, statuses, notes and ledger hold no password, at the finest level of the log."""
    broker = Mosquitto(tmp_path)
    (tmp_path / f"me:{SECRET}@cam").mkdir()
    digest = 'Digest realm="x", nonce="n", algorithm=SHA-256'
    with ExitStack() as stack:
        ports = {
            "basic": stack.enter_context(rude("401 Unauthorized")),
            "digest": stack.enter_context(rude("401 Unauthorized", digest)),
            "teapot": stack.enter_context(rude("418 Teapot")),
        }
        chosen = settings(broker.url, "")
        chosen["broker"] = {"url": f"mqtt://{LOGIN}:{broker.port}"}
        chosen["streams"] = _streams(ports, tmp_path)
        async with Client(broker.port) as client:
            program = ("-m", "streamcrop", "--verbose")
            with Node(tmp_path, chosen, program=program) as node:
                for name in chosen["streams"]:
                    await client.until(lambda name=name: bool(FAILED & set(client.states(name))))
                node.stop()
                _, said = await asyncio.to_thread(node.wait)
        told = [message.payload for message in client.arrived]
    broker.kill()
    assert SECRET not in said
    assert not [payload for payload in told if SECRET.encode() in payload]
    assert SECRET not in (tmp_path / "ledger.json").read_text()
    reasons = {
        status["reason"]
        for status in map(json.loads, (p for p in told if b'"reason"' in p))
        if status["state"] in FAILED
    }
    # Each is told why all the same.
    for part in ("asks for Digest SHA-256", "refuses the name or password", "418", "…@cam"):
        assert [reason for reason in reasons if part in reason], reasons


@pytest.mark.parametrize(
    "url", [f"mqtt://{LOGIN}", f"mqtts://{LOGIN}", f"mqtt://me:{SECRET}@no-such-host.invalid"]
)
def test_a_broker_that_is_not_there(tmp_path: Path, url: str) -> None:
    """The log says that it is tried again, without the password."""
    chosen = settings(f"{url}:{free_port()}", tmp_path / "none.mp4")
    with Node(tmp_path, chosen, program=("-m", "streamcrop", "--verbose")) as node:
        output: list[str] = []
        thread = threading.Thread(target=_read, args=(node, output))
        thread.start()
        wait_until(lambda: "again" in "".join(output))
        node.stop()
        node.process.wait(PATIENCE)
        thread.join()
    assert SECRET not in "".join(output)


def _read(node: Node, output: list[str]) -> None:
    assert node.process.stdout
    output.extend(iter(node.process.stdout.readline, ""))


def test_a_broker_that_refuses(tmp_path: Path) -> None:
    """A wrong password ends the node, and is not said."""
    (tmp_path / "passwords").write_text("")
    broker = Mosquitto(tmp_path, "allow_anonymous false", f"password_file {tmp_path}/passwords")
    chosen = settings(f"mqtt://{LOGIN}:{broker.port}", tmp_path / "none.mp4")
    with Node(tmp_path, chosen, program=("-m", "streamcrop", "--verbose")) as node:
        code, said = node.wait()
    broker.kill()
    assert code == 1
    assert "Not authorized" in said
    assert SECRET not in said


WRONG = f"rtsp//{LOGIN}/main"


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", f"rtsp://{LOGIN}/main"),
        ("check", "CONFIG"),
        ("run", "CONFIG"),
        ("run", "GOOD", "--ledger", f"/nowhere/{WRONG}"),
        ("run", "GOOD", "--only", f"rtsp://{LOGIN}"),
        ("explain", "GOOD", "--stream", f"rtsp://{LOGIN}", "--frame-id", "1"),
        ("demo", "--video", WRONG),
        ("demo", "--broker", f"mqtt//{LOGIN}"),
        ("demo", "--broker", f"mqtt://me:1#{SECRET}@127.0.0.1"),
    ],
)
def test_commands(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """An address where another argument belongs is refused, and not repeated."""
    good = settings("mqtt://127.0.0.1:9", "clip.mp4")
    for name, tree in (("GOOD", good), ("CONFIG", settings("mqtt://127.0.0.1:9", WRONG))):
        (tmp_path / name).write_text(yaml.safe_dump(tree))
    done = subprocess.run(
        [sys.executable, "-m", "streamcrop", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in {1, 2}
    assert "error" in done.stderr
    assert SECRET not in done.stdout + done.stderr
