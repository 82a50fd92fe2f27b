"""Logins that FFmpeg does not speak, as FFmpeg itself shows by what it answers."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest
import trustme
from patience import FOR_EVER

from streamcrop.sources.challenge import unspoken

NEVER = threading.Event()
URL = "rtsp://user:s3cret@127.0.0.1:{}/main"
# Digests that a camera could ask for, and what FFmpeg does not speak of each.
CHALLENGES = {
    'Basic realm="x"': None,
    'Digest realm="x", nonce="n"': None,
    'Digest realm="x", nonce="n", algorithm=MD5, qop="auth"': None,
    'Digest realm="x", nonce="n", algorithm="MD5-sess", qop="auth-int,auth"': None,
    'digest realm="x", nonce="n", algorithm=MD5': None,
    'Digest realm="x", nonce="n", algorithm=SHA-256, qop="auth"': "Digest SHA-256",
    'Digest realm="x, algorithm=MD5", nonce="n", algorithm=SHA-512-256': "Digest SHA-512-256",
    'Digest realm="x", nonce="n", algorithm=md5': "Digest md5",
    "Bearer": "Bearer",
    "Negotiate abc": "Negotiate",
}


@contextmanager
def camera(*challenges: str, pem: Path | None = None) -> Iterator[tuple[int, list[str]]]:
    """One that refuses everybody; its port, and what it was asked."""
    context = None
    if pem:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pem)
    asked: list[str] = []

    def serve(plain: socket.socket) -> None:
        with contextlib.suppress(OSError), plain:
            connection = context.wrap_socket(plain, server_side=True) if context else plain
            with connection:
                while request := connection.recv(4096).decode():
                    asked.append(request)
                    cseq = next(li for li in request.split("\r\n") if li.startswith("CSeq"))
                    wanted = "".join(f"WWW-Authenticate: {each}\r\n" for each in challenges)
                    answer = f"RTSP/1.0 401 Unauthorized\r\n{cseq}\r\n{wanted}\r\n"
                    connection.sendall(answer.encode())

    with listening(serve) as port:
        yield port, asked


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Something on a port, a thread for each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]


def ffmpeg_answers(port: int, asked: list[str]) -> bool:
    """Whether FFmpeg shows a name and a password."""
    with pytest.raises(av.HTTPUnauthorizedError):
        av.open(URL.format(port), options={"rtsp_transport": "tcp"})
    return any("Authorization: " in request for request in asked)


@pytest.mark.parametrize(("challenge", "expected"), CHALLENGES.items(), ids=str)
def test_one_login(challenge: str, expected: str | None) -> None:
    """What FFmpeg leaves unanswered is named; we ask without the password."""
    with camera(challenge) as (port, asked):
        assert ffmpeg_answers(port, asked) == (expected is None)
        asked.clear()
        assert unspoken(URL.format(port), None, 5, NEVER) == expected
        [request] = asked
        assert request.startswith(f"DESCRIBE rtsp://127.0.0.1:{port}/main RTSP/1.0\r\n")
        assert "user" not in request
        assert "s3cret" not in request


@pytest.mark.parametrize(
    ("challenges", "expected"),
    [
        (
            ["Digest nonce=a, realm=b", "Digest nonce=a, realm=b, algorithm=SHA-256"],
            "Digest SHA-25",
        ),
        (["Digest nonce=a, realm=b, algorithm=SHA-256", "Digest nonce=a, realm=b"], None),
        (["Digest nonce=a, algorithm=SHA-256", "Basic realm=b"], "Digest SHA-256"),
        (["Bearer", "Basic realm=b"], None),
        (["Negotiate", "Bearer"], "Negotiate"),
    ],
)
def test_several_logins(challenges: list[str], expected: str | None) -> None:
    """FFmpeg takes the last Digest, though another would do, and Basic where there is none."""
    with camera(*challenges) as (port, asked):
        assert ffmpeg_answers(port, asked) == (expected is None)
        found = unspoken(URL.format(port), None, 5, NEVER)
        assert found is None if expected is None else (found or "").startswith(expected)


def test_a_protection_that_ffmpeg_lacks() -> None:
    """It answers as if none had been asked for, in vain."""
    with camera('Digest realm="x", nonce="n", qop="auth-int"') as (port, asked):
        assert ffmpeg_answers(port, asked)
        assert "qop" not in asked[-1]
        assert unspoken(URL.format(port), None, 5, NEVER) == "Digest with qop auth-int"


def test_by_tls(tmp_path: Path) -> None:
    """A camera with a certificate is asked if it is believed."""
    issuer, stranger = trustme.CA(), trustme.CA()
    for name, authority in (("ca.pem", issuer), ("stranger.pem", stranger)):
        authority.cert_pem.write_to_path(tmp_path / name)
    pem = tmp_path / "camera.pem"
    issuer.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    with camera("Digest algorithm=SHA-256", pem=pem) as (port, _):
        url = URL.format(port).replace("rtsp", "rtsps")
        assert unspoken(url, str(tmp_path / "ca.pem"), 5, NEVER) == "Digest SHA-256"
        assert unspoken(url, None, 5, NEVER) == "Digest SHA-256"
        assert unspoken(url, str(tmp_path / "stranger.pem"), 5, NEVER) is None


def test_who_says_nothing() -> None:
    """One that hangs up, talks for ever or is silent keeps nobody waiting."""

    def hang_up(connection: socket.socket) -> None:
        connection.close()

    def talk(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while True:
                connection.sendall(bytes(4096))

    kept = []
    for serve in (hang_up, talk, kept.append):
        with listening(serve) as port:
            assert unspoken(URL.format(port), None, 0.3, NEVER) is None
    assert unspoken(URL.format(9), None, 0.3, NEVER) is None


def test_one_that_talks_slowly_does_so_for_as_long_as_all_may_take() -> None:
    """Each byte of it comes in time; and who is to stop does not hear it out."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while not over.wait(0.05):
                connection.sendall(b"x")

    def be_silent(connection: socket.socket) -> None:
        with connection:
            over.wait()

    try:
        for serve in (drip, be_silent):
            with listening(serve) as port:
                stopped = threading.Event()
                assert unspoken(URL.format(port), None, 0.4, NEVER) is None
                threading.Timer(0.3, stopped.set).start()
                assert unspoken(URL.format(port), None, FOR_EVER, stopped) is None
    finally:
        over.set()
