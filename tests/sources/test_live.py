"""Cameras: a real RTSP server, and servers that no camera should be."""

import contextlib
import itertools
import logging
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import psutil
import pytest
import trustme
from accuracy import pattern
from patience import FOR_EVER, PATIENCE
from peers import Camera, free_port, numbered_clip, wait_until
from peers import number_in as cells_of

from streamcrop.core.capture import CaptureClock
from streamcrop.core.values import Change, Frame, Note, Reason
from streamcrop.errors import CorruptError
from streamcrop.sources import Item, begin
from streamcrop.sources.decoding import Decoder, Decoding
from streamcrop.sources.live import LiveSource

pytestmark = pytest.mark.e2e
AUDIO = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\na=control:a\r\n"
VIDEO = AUDIO.replace("audio 0 RTP/AVP 0", "video 0 RTP/AVP 26")
DECODINGS = [Decoding(mode, 1 << 28) for mode in ("eager", "lazy", "auto")]
Reply = Callable[[bytes, str], bytes]


class Reading:
    """A source that is read in a thread; what it handed out, and when."""

    def __init__(self, source: LiveSource) -> None:
        self.source = source
        self.items: list[tuple[float, Item]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for item in self.source:
            self.items.append((time.monotonic(), item))

    @property
    def frames(self) -> list[Frame]:
        return [item for _, item in self.items if isinstance(item, Frame)]

    @property
    def changes(self) -> list[Change]:
        return [item for _, item in self.items if isinstance(item, Change)]

    def stop(self) -> None:
        """End it."""
        self.source.stop()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@contextlib.contextmanager
def reading(url: str, **how: object) -> Iterator[Reading]:
    """Read a camera for the length of the block."""
    clock = CaptureClock(8000)
    found = Reading(LiveSource(url, clock=clock, read_sei=True, **how))
    try:
        yield found
    finally:
        found.stop()


@contextlib.contextmanager
def camera(folder: Path, *options: str) -> Iterator[Camera]:
    """A camera for the length of the block."""
    found = Camera(folder, *options)
    try:
        yield found
    finally:
        found.thaw()
        found.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Camera]:
    """One camera for the tests that do it no harm."""
    with camera(tmp_path_factory.mktemp("camera")) as found:
        yield found


def number_in(frame: Frame) -> int | None:
    """The number that the camera drew."""
    bgr = frame.pixels.bgr()
    left, top, right, bottom = pattern.box(bgr.shape[1])
    return pattern.read(bgr[top:bottom, left:right])


def rtsp_server(reply: Reply) -> tuple[str, socket.socket]:
    """Something that answers on a port like no camera does; its URL holds a password."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while request := connection.recv(4096):
                lines = request.decode(errors="replace").split("\r\n")
                cseq = next((line for line in lines if line.lower().startswith("cseq")), "CSeq: 1")
                connection.sendall(reply(request, cseq))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return f"rtsp://user:s3cret@127.0.0.1:{listener.getsockname()[1]}/main", listener


def status(line: str, *headers: str) -> Reply:
    """Answers everything with the same status."""
    return lambda _, cseq: "\r\n".join((f"RTSP/1.0 {line}", cseq, *headers, "", "")).encode()


def describes(sdp: str) -> Reply:
    """Answers everything, and describes itself so."""

    def reply(request: bytes, cseq: str) -> bytes:
        body = sdp if request.startswith(b"DESCRIBE") else ""
        head = f"RTSP/1.0 200 OK\r\n{cseq}\r\nPublic: DESCRIBE, SETUP, PLAY\r\n"
        kind = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n" if body else ""
        return f"{head}{kind}\r\n{body}".encode()

    return reply


def sends_by_udp_alone(request: bytes, cseq: str) -> bytes:
    """Refuses to be set up for any other transport (RFC 2326, 11.3.14)."""
    if request.startswith(b"SETUP"):
        return status("461 Unsupported Transport")(request, cseq)
    return describes(VIDEO)(request, cseq)


@pytest.mark.parametrize("decoding", DECODINGS, ids=str)
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_every_frame_knows_what_it_is(shared: Camera, transport: str, decoding: Decoding) -> None:
    """Frames carry an epoch's ID, their SEI, their capture time, and the picture that both name."""
    with reading(shared.url, transport=transport, decoding=decoding) as read:
        wait_until(lambda: sum(f.captured_at is not None for f in read.frames) > 60)
    frames = read.frames
    assert frames[0].frame_id == f"{frames[0].epoch}-0"
    assert len({f.frame_id for f in frames}) == len(frames)
    assert len({f.epoch for f in frames}) == 1
    for frame in frames:
        assert frame.sei is not None
        assert number_in(frame) == int(frame.sei.partition("-")[2])
        assert frame.arrived is not None
    timed = [f for f in frames if f.captured_at is not None]
    times = [f.captured_at or 0 for f in timed]
    assert times == sorted(set(times))
    assert all(0 < (f.arrived or 0) - (f.captured_at or 0) < 5_000_000 for f in timed)
    # From the first time on, no frame is without one.
    first = next(n for n, f in enumerate(frames) if f.captured_at is not None)
    assert all(f.captured_at is not None for f in frames[first:])


@pytest.mark.parametrize("decoding", DECODINGS[1:], ids=str)
def test_nobody_looks_nothing_is_decoded(
    shared: Camera, decoding: Decoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nobody looks at them, a camera's frames are known by their keys and not decoded."""
    fed: list[Decoder] = []
    monkeypatch.setattr(Decoder, "_feed", fed.append)
    with reading(shared.url, decoding=decoding) as read:
        wait_until(lambda: sum(f.captured_at is not None for f in read.frames) > 60)
    assert all(frame.sei for frame in read.frames)
    # 2 s of pictures hold less than one of them would, decoded.
    assert sum(frame.pixels.nbytes for frame in read.frames[-60:]) < 640 * 480 * 3 // 2
    assert fed == []


@pytest.mark.parametrize("decoding", DECODINGS, ids=str)
def test_a_camera_that_dies_and_comes_back(tmp_path: Path, decoding: Decoding) -> None:
    """Each connection is an epoch of its own, and the first picture comes soon."""
    with camera(tmp_path) as cam, reading(cam.url, decoding=decoding) as read:
        wait_until(lambda: len(read.frames) > 20)
        cam.kill()
        wait_until(lambda: "refused" in read.changes[-1].reason)
        before = len(read.frames)
        cam.start()
        wait_until(lambda: len(read.frames) > before + 20)
    epochs = list(dict.fromkeys(f.epoch for f in read.frames))
    assert len(epochs) == 2
    for epoch in epochs:
        ids = [f.frame_id for f in read.frames if f.epoch == epoch]
        assert len(ids) == len(set(ids)) > 10
        assert all(frame_id.startswith(f"{epoch}-") for frame_id in ids)
    for frame in read.frames:
        assert number_in(frame) == int((frame.sei or "").partition("-")[2])
    assert [c.state for c in read.changes if c.state == "running"] == ["running", "running"]


def test_a_camera_that_hangs(tmp_path: Path) -> None:
    """A camera that keeps the connection and sends nothing is given up after `stall_timeout`."""
    with camera(tmp_path) as cam, reading(cam.url, stall_timeout=1.5) as read:
        wait_until(lambda: len(read.frames) > 20)
        cam.freeze()
        wait_until(lambda: read.changes[-1].state == "reconnecting")
        assert read.changes[-1].reason == "the camera has sent nothing for 1.5 s"
        last = max(at for at, item in read.items if isinstance(item, Frame))
        stalled = next(at for at, item in read.items if item is read.changes[-1])
        assert stalled - last > 1
        cam.thaw()
        wait_until(lambda: read.items[-1][1].__class__ is Frame)


def test_a_stop_does_not_wait_for_a_camera_that_hangs(tmp_path: Path) -> None:
    """Although it may hang for long."""
    with camera(tmp_path) as cam:
        with reading(cam.url, stall_timeout=FOR_EVER) as read:
            wait_until(lambda: len(read.frames) > 20)
            cam.freeze()
        cam.thaw()


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (status("401 Unauthorized", 'WWW-Authenticate: Basic realm="x"'), "refuses the name or"),
        (
            status("401 Unauthorized", 'WWW-Authenticate: Digest realm="x", algorithm=SHA-256'),
            "the camera asks for Digest SHA-256, which FFmpeg does not speak: have it take",
        ),
        (status("403 Forbidden"), "refuses the name or password in source.url"),
        (status("404 Not Found"), "no connection to the camera: Server returned 404 Not Found"),
        (describes("hello"), "no video"),
        (describes(AUDIO), "no video"),
        (sends_by_udp_alone, "does not send by this source.transport"),
        (lambda _, __: b"HTTP/1.1 200 OK\r\n\r\n" + bytes(999), "no connection to the"),
        (lambda _, __: b"", "no answer within 1 s"),
    ],
    ids=["401", "sha-256", "403", "404", "no-sdp", "audio", "udp", "http", "silent"],
)
def test_what_is_no_camera(reply: Reply, expected: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each of them is told apart in one line without the password, and tried again."""
    caplog.set_level(logging.DEBUG)
    url, listener = rtsp_server(reply)
    with listener, reading(url, connect_timeout=1) as read:
        wait_until(lambda: bool(read.changes))
        assert {c.state for c in read.changes} == {"reconnecting"}
        assert expected in read.changes[0].reason
        assert "s3cret" not in str(read.items) + caplog.text


@pytest.mark.parametrize(
    "url", ["rtsp://user:s3cret@no-such-host.invalid/main", "rtsp://user:s3cret@127.0.0.1:9/main"]
)
def test_nobody_there(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A host that does not resolve or a closed port is said, and tried again."""
    with reading(url) as read:
        wait_until(lambda: len(read.changes) > 2)
    assert all(c.reason.startswith("no connection to the camera: ") for c in read.changes)
    assert "s3cret" not in str(read.items) + caplog.text


@pytest.mark.parametrize("method", ["basic", "digest"])
def test_a_password(tmp_path: Path, method: str, caplog: pytest.LogCaptureFixture) -> None:
    """A camera that wants one gets it; a wrong or missing one is said, and none is repeated."""
    caplog.set_level(logging.DEBUG)
    with camera(tmp_path, "--login", f"{method}:user:s3cret") as cam:
        with reading(cam.url.replace("//", "//user:s3cret@")) as read:
            wait_until(lambda: len(read.frames) > 5)
        for login in ("", "user:wr0ng@"):
            with reading(cam.url.replace("//", f"//{login}")) as refused:
                wait_until(lambda: bool(refused.changes))
            assert "refuses the name or password in source.url" in refused.changes[0].reason
            assert "wr0ng" not in str(refused.items) + caplog.text
        assert "s3cret" not in str(read.changes) + caplog.text


def test_a_certificate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A camera is believed by its certificate's issuer, for its host; else it gets no password."""
    caplog.set_level(logging.DEBUG)
    authority, stranger = tmp_path / "authority.pem", tmp_path / "stranger.pem"
    issuer = trustme.CA()
    issuer.cert_pem.write_to_path(authority)
    trustme.CA().cert_pem.write_to_path(stranger)
    pem = tmp_path / "camera.pem"
    # Not for localhost, by which it can be reached as well.
    issuer.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    with camera(tmp_path, "--certificate", str(pem), "--login", "digest:user:s3cret") as cam:
        url = cam.url.replace("//", "//user:s3cret@")
        # By default as encrypted TCP even where UDP is asked for; None believes anybody.
        for ca, transport in ((str(authority), "tcp"), (str(authority), "udp"), (None, "tcp")):
            with reading(url, ca=ca, transport=transport) as read:
                wait_until(lambda: len(read.frames) > 5)
        for ca, host in ((stranger, "127.0.0.1"), (authority, "localhost")):
            with reading(url.replace("127.0.0.1", host), ca=str(ca)) as refused:
                wait_until(lambda: len(refused.changes) > 1)
            assert {c.state for c in refused.changes} == {"reconnecting"}
            for change in refused.changes:
                assert "certificate" in change.reason
                assert "set source.ca" in change.reason
    with camera(tmp_path) as plain:
        url = plain.url.replace("rtsp", "rtsps").replace("//", "//user:s3cret@")
        with reading(url, ca=str(authority)) as read:
            wait_until(lambda: bool(read.changes))
        assert "certificate" not in read.changes[0].reason
    assert "s3cret" not in str(read.items) + caplog.text


@pytest.mark.parametrize("decoding", DECODINGS[:2], ids=str)
def test_reconnecting_leaks_nothing(shared: Camera, decoding: Decoding) -> None:
    """Connections in turn leave no thread, no file descriptor and no memory behind."""
    process = psutil.Process()

    def connect(times: int) -> None:
        for _ in range(times):
            source = LiveSource(shared.url, decoding=decoding)
            for item in source:
                if isinstance(item, Frame):
                    item.pixels.bgr()
                    source.stop()

    connect(3)
    threads, files, memory = threading.active_count(), process.num_fds(), process.memory_info().rss
    connect(int(os.environ.get("STREAMCROP_RECONNECTS", "10")))
    assert threading.active_count() <= threads
    assert process.num_fds() <= files
    assert process.memory_info().rss - memory < 5 << 20


def test_a_device() -> None:
    """A device is read through FFmpeg's format; a missing one is said and tried again."""
    source = LiveSource("testsrc=size=64x48:rate=30", container="lavfi")
    frames = [item for item in itertools.islice(source, 20) if isinstance(item, Frame)]
    assert len(frames) > 10
    assert frames[0].pixels.resolution_wh == (64, 48)
    with reading("/dev/no-such-video", container="v4l2") as read:
        wait_until(lambda: len(read.changes) > 1)
        assert "No such file" in read.changes[0].reason


@pytest.mark.parametrize("decoding", DECODINGS, ids=str)
def test_damage_is_never_a_frame(tmp_path: Path, decoding: Decoding) -> None:
    """From the first packet that is lost to the next key picture, pictures are `corrupt`."""
    clip = numbered_clip(tmp_path / "clip.ts", 90, options={"g": "30", "bf": "0"})
    data = bytearray(clip.read_bytes())
    # A part of the second group of pictures, in the stream's own packets of 188 bytes.
    at = len(data) * 4 // 9 // 188 * 188
    del data[at : at + 3 * 188]
    clip.write_bytes(data)
    source = LiveSource(str(clip), container="mpegts", decoding=decoding)
    items = [looked_at(item) for item in itertools.takewhile(is_picture, source)]
    frames = [item for item in items if isinstance(item, Frame)]
    assert [int(f.frame_id.partition("-")[2]) for f in frames] == sorted(
        int(f.frame_id.partition("-")[2]) for f in frames
    )
    numbers = [cells_of(frame.pixels.bgr()) for frame in frames]
    assert set(range(30)) | set(range(60, 90)) <= set(numbers)
    assert len(numbers) == len(set(numbers)) < 90
    lost = items.count(Reason.CORRUPT)
    assert lost
    # A small picture may be gone without a trace: one for each of the three packets at most.
    assert 87 <= lost + len(frames) <= 90


@pytest.mark.parametrize("decoding", DECODINGS, ids=str)
def test_parameter_sets_between_slices(tmp_path: Path, decoding: Decoding) -> None:
    """FFmpeg's parser takes such pictures apart; none is lost by it, and each has its own name."""
    options = ("--slices", "4", "--repeat-headers", "--rtcp-interval", "0.5")
    with camera(tmp_path, *options) as cam, reading(cam.url, decoding=decoding) as early:
        wait_until(lambda: len(early.frames) > 40)
        with reading(cam.url, decoding=decoding) as late:
            wait_until(lambda: sum(f.captured_at is not None for f in late.frames) > 60)
    for read in (early, late):
        frames = read.frames
        first = next(at for at, (_, item) in enumerate(read.items) if isinstance(item, Frame))
        assert not [item for _, item in read.items[first:] if isinstance(item, Reason)]
        ids = [int(frame.frame_id.rpartition("-")[2]) for frame in frames]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        for frame in frames:
            assert number_in(frame) == int((frame.sei or "").partition("-")[2])
        times = [frame.captured_at for frame in frames if frame.captured_at is not None]
        steps = [after - before for before, after in itertools.pairwise(times)]
        assert min(steps) > 10_000


@pytest.mark.parametrize("decoding", DECODINGS, ids=str)
def test_intra_refresh_joined_late(tmp_path: Path, decoding: Decoding) -> None:
    """A camera that sent its only key picture long ago: whole from the end of a refresh on."""
    with camera(tmp_path, "--intra-refresh", "--slices", "1") as cam, reading(cam.url):
        time.sleep(2.5)
        with reading(cam.url, decoding=decoding) as read:
            wait_until(lambda: len(read.frames) > 60)
    for frame in read.frames:
        assert number_in(frame) == int((frame.sei or "").partition("-")[2])
    assert isinstance(read.items[-1][1], Frame)


def test_a_camera_without_key_pictures_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where neither key pictures nor recovery points come, the status says why all is `corrupt`."""
    monkeypatch.setattr(begin, "_PATIENCE", 0.3)
    clip = numbered_clip(
        tmp_path / "clip.ts", 200, options={"x264-params": "keyint=1000:min-keyint=1000"}
    )
    data = clip.read_bytes()
    clip.write_bytes(data[len(data) // 3 // 188 * 188 :])
    for decoding in DECODINGS[:2]:
        source = LiveSource(str(clip), container="mpegts", decoding=decoding)
        packets = source._packets
        monkeypatch.setattr(source, "_packets", lambda *a, slow=packets: map(paced, slow(*a)))
        items = list(itertools.takewhile(is_picture, source))
        assert not [item for item in items if isinstance(item, Frame)]
        notes = [item for item in items if isinstance(item, Note)]
        assert 1 <= len(notes) < 8
        assert notes[0].kind == "no_key_pictures"


def paced(packet: object) -> object:
    """The same, a little later."""
    time.sleep(0.005)
    return packet


def looked_at(item: Item) -> Item:
    """The same, or what it turns out to be."""
    try:
        if isinstance(item, Frame):
            item.pixels.bgr()
    except CorruptError:
        return Reason.CORRUPT
    return item


def is_picture(item: Item) -> bool:
    """Whether it is a frame or one that was lost; the connection's begin counts as well."""
    return not isinstance(item, Change) or item.state == "running"


def test_jpegs_of_one_table_are_whole() -> None:
    """As FFmpeg's RTP muxer sends them, of which its reader says with each that it is invalid."""
    url = f"rtsp://127.0.0.1:{free_port()}/main"
    source = LiveSource(url)
    # The source is who listens here: FFmpeg serves nobody, it only pushes.
    source._options |= {"rtsp_flags": "listen", "listen_timeout": "10"}
    found = Reading(source)
    shown = "-re -f lavfi -i smptebars=size=320x240:rate=15 -c:v mjpeg -q:v 5 -pix_fmt yuvj420p"
    pushed = f"{shown} -huffman default -f rtsp -rtsp_transport tcp {url}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", *pushed.split()]
    with subprocess.Popen(command) as program:
        try:
            wait_until(lambda: len(found.frames) > 30 or program.poll() is not None)
        finally:
            found.stop()
            program.kill()
    assert len(found.frames) > 30
    assert not [item for _, item in found.items if isinstance(item, Reason)]
    grey = found.frames[-1].pixels.bgr()[20, 20]
    assert abs(grey.astype(int) - 191).max() < 4  # three quarters of white
