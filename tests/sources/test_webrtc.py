"""WHIP and WHEP with real peers over real sockets, and loss where it can be made on cue."""

import asyncio
import gc
import re
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import psutil
import pytest
from aiortc.rtcdtlstransport import generate_certificate
from aiortc.rtp import RTCP_PSFB_APP, RtcpPsfbPacket, unpack_remb_fci
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fakes import until
from patience import FOR_EVER, PATIENCE
from peers import free_port, numbered_clip
from webrtc_peers import Publisher, Reader, WhepServer, no_tasks, offer, published, sockets

from streamcrop.core.values import Change
from streamcrop.errors import SourceError
from streamcrop.sources.aiortc_parts import BEGIN
from streamcrop.sources.webrtc import WhepSource, WhipSource

TOKEN = "s3cret"  # noqa: S105  # of these tests
CONNECTED = Change("running", "connected")


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_what_a_publisher_sends_arrives(codec: str) -> None:
    """Every picture is a frame of the session's epoch, counted from 0, with time and pixels."""
    async with published(read_sei=True) as (reader, url):
        began = time.time_ns() // 1000
        async with Publisher(url, codec=codec):
            await reader.until_frames(30)
        await until(lambda: len(reader.changes) == 2)
    frames = reader.frames
    [epoch] = {frame.epoch for frame in frames}
    assert [frame.frame_id for frame in frames] == [f"{epoch}-{n}" for n in range(len(frames))]
    first = reader.numbers[frames[0].frame_id]
    for number, frame in enumerate(frames, first):
        assert reader.numbers[frame.frame_id] == number
        assert frame.sei == (str(number) if codec == "H264" else None)
        assert frame.pixels.bgr().shape == (240, 320, 3)
        assert frame.pts is not None
        assert frame.time_base is not None
        assert frame.pts * frame.time_base == Fraction(number - first, 25)
        assert frame.captured_at is None
    times = [frame.arrived or 0 for frame in frames]
    assert began <= times[0]
    assert times == sorted(times)
    assert times[-1] <= time.time_ns() // 1000
    assert reader.items[0] == CONNECTED
    assert reader.changes[1].state == "reconnecting"
    assert not reader.lost


async def test_a_publisher_is_told_at_once_what_it_may_send() -> None:
    """The first estimate that comes to it (REMB) is ours, of which aiortc knows nothing."""
    heard: list[int] = []
    async with published() as (_, url):
        publisher = Publisher(url)
        heed = publisher.sender._handle_rtcp_packet

        async def noting(packet: Any) -> None:
            if isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP:
                heard.append(unpack_remb_fci(packet.fci)[0])
            await heed(packet)

        publisher.sender._handle_rtcp_packet = noting
        async with publisher:
            await until(lambda: heard)
    # The packet has less room than the number.
    assert 0.99 * BEGIN <= heard[0] <= 1.01 * BEGIN


async def test_a_publisher_that_hides_its_addresses() -> None:
    """One whose offer lists, for good, only names that nobody resolves finds its way to us."""
    async with published() as (reader, url), Publisher(url, hidden=True) as publisher:
        assert "a=end-of-candidates" in publisher.peer.localDescription.sdp
        await reader.until_frames(10)


@pytest.mark.parametrize(
    ("profile", "key"), [("baseline", "ec"), ("baseline", "rsa"), ("main", "ec"), ("high", "ec")]
)
async def test_ffmpeg_publishes(tmp_path: Path, profile: str, key: str) -> None:
    """FFmpeg's WHIP muxer, which lists no address, in each profile, with either certificate."""
    private = rsa.generate_private_key(65537, 2048) if key == "rsa" else None
    private = private or ec.generate_private_key(ec.SECP256R1())
    certificate = generate_certificate(private).public_bytes(Encoding.PEM)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(pem)
    how = {"profile": profile, "bf": "0", "g": "25", "crf": "18"}
    clip = numbered_clip(tmp_path / "clip.mp4", 500, options=how)
    program = imageio_ffmpeg.get_ffmpeg_exe()
    async with published(token=TOKEN) as (reader, url):
        pushing = await asyncio.create_subprocess_exec(
            *(program, "-v", "error", "-re", "-i", str(clip), "-c", "copy", "-f", "whip"),
            *("-cert_file", str(tmp_path / "cert.pem"), "-key_file", str(tmp_path / "key.pem")),
            *("-authorization", TOKEN, url),
            stdin=asyncio.subprocess.DEVNULL,
        )
        try:
            await reader.until_frames(60)
        finally:
            pushing.terminate()
            await pushing.wait()
        await until(lambda: len(reader.changes) == 2)
        assert reader.changes[1].reason == "the publisher ended it"
    numbers = [reader.numbers[frame.frame_id] for frame in reader.frames]
    times = [(frame.pts or 0) // 3600 for frame in reader.frames]
    assert [n - numbers[0] for n in numbers] == [t - times[0] for t in times]


async def test_a_new_publisher_takes_the_place_of_the_old_one() -> None:
    """The old session ends, is told why, and the new one is another epoch."""
    async with published() as (reader, url), Publisher(url) as old:
        await reader.until_frames(3)
        async with Publisher(url, codec="VP8") as new:
            await until(lambda: len({frame.epoch for frame in reader.frames}) == 2)
            await until(lambda: old.peer.connectionState == "closed")
            assert await old.goodbye() == 410
            assert new.peer.connectionState == "connected"
            assert await new.goodbye() == 200
            assert await new.goodbye() == 404
            await until(lambda: len(reader.changes) == 4)
    took = Change("reconnecting", "another publisher took its place")
    ended = Change("reconnecting", "the publisher ended it")
    assert reader.changes == [CONNECTED, took, CONNECTED, ended]


async def test_ten_at_once_leave_one() -> None:
    """The last that was let in is read; nothing is left of the others."""
    async with published() as (reader, url):
        publishers = [Publisher(url) for _ in range(10)]
        try:
            await asyncio.gather(*(each.__aenter__() for each in publishers))
            await reader.until_frames(10)
            [left] = [p for p in publishers if p.peer.connectionState == "connected"]
            assert await left.goodbye() == 200
        finally:
            await asyncio.gather(*(each.peer.close() for each in publishers))
    assert len({frame.epoch for frame in reader.frames}) <= 2
    await no_tasks()


async def test_nobody_publishes_while_nobody_reads() -> None:
    """Before the stream runs and after its end an offer is refused."""
    source = WhipSource()
    sdp = await offer("video")
    with pytest.raises(SourceError, match="does not run"):
        await source.open(sdp)
    async with Reader(source):
        await until(lambda: source._reading)
    with pytest.raises(SourceError, match="does not run"):
        await source.open(sdp)
    await no_tasks()


async def test_the_end_closes_the_session_at_once() -> None:
    """`stop` ends `frames`, and the publisher sees that it is over; neither waits for a picture."""
    async with published(stall_timeout=FOR_EVER) as (reader, url), Publisher(url) as publisher:
        await reader.until_frames(3)
        reader.source.stop()
        async with asyncio.timeout(PATIENCE):
            await reader._task
        await until(lambda: publisher.peer.connectionState == "closed")
        assert reader.changes == [CONNECTED]


async def test_twenty_sessions_in_turn_leave_nothing() -> None:
    """Neither tasks nor threads nor sockets grow in number with the sessions."""
    counts = []
    async with published() as (reader, url):
        idle = len(asyncio.all_tasks())
        for number in range(20):
            async with Publisher(url, codec="VP8" if number % 2 else "H264") as publisher:
                await until(lambda n=number: len({f.epoch for f in reader.frames}) == n + 1)
                if number % 3:
                    await publisher.goodbye()
            await until(lambda n=number: len(reader.changes) == 2 * n + 2)
            await until(lambda: len(asyncio.all_tasks()) <= idle)
            gc.collect()
            names = [t.name for t in threading.enumerate() if t.name.startswith("video-")]
            counts.append((len(names), sockets(), psutil.Process().num_fds()))
    # The first session brings what stays: the loop's threads.
    assert max(counts[2:]) <= max(counts[:2]), counts
    await no_tasks()


async def test_a_server_is_asked_and_told_goodbye() -> None:
    """WHEP: the video comes, redirects are followed, and the session is deleted at the end."""
    async with WhepServer(token=TOKEN) as server:
        url = f"http://127.0.0.1:{server.port}/moved"
        source = WhepSource(url, token=TOKEN, read_sei=True)
        async with Reader(source) as reader:
            await reader.until_frames(30)
        assert server.deleted == 1
    frames = reader.frames
    assert reader.items[0] == CONNECTED
    assert [frame.frame_id for frame in frames] == [
        f"{frames[0].epoch}-{n}" for n in range(len(frames))
    ]
    assert all(reader.numbers[frame.frame_id] == int(frame.sei or -1) for frame in frames)
    await no_tasks()


async def test_a_server_that_goes_away_is_asked_again() -> None:
    """Across its death and return: another epoch, and all frames are right."""
    port = free_port()
    server = await WhepServer(codec="VP8").start(port)
    source = WhepSource(f"http://127.0.0.1:{port}/whep", stall_timeout=1)
    async with Reader(source) as reader:
        await reader.until_frames(5)
        await server.stop()
        await until(lambda: len(reader.changes) >= 3)
        await server.start(port)
        await until(lambda: len({frame.epoch for frame in reader.frames}) == 2)
        await server.stop()
    states = [change.state for change in reader.changes]
    assert states[:2] == ["running", "reconnecting"]
    assert "no connection to the server" in reader.changes[2].reason
    assert states.count("running") == 2
    await no_tasks()


async def test_a_server_that_refuses_is_asked_seldom() -> None:
    """401 is told without what we showed, and not tried again at once."""
    async with WhepServer(token=TOKEN) as server:
        url = f"http://me:passw0rd@127.0.0.1:{server.port}/whep"
        source = WhepSource(url, token="wr0ng")  # noqa: S106  # of this test
        async with Reader(source) as reader:
            await until(lambda: reader.changes)
            await asyncio.sleep(1.5)
        assert len(server.asked) == 1
    [change] = reader.changes
    assert change.state == "reconnecting"
    assert "401" in change.reason
    assert not {"passw0rd", "wr0ng"} & set(change.reason.replace(":", " ").split())


async def test_a_server_that_answers_nonsense_is_asked_again() -> None:
    """An answer that is no SDP is a reason to try again, not the end."""
    async with WhepServer() as server:
        server.answer = "v=0\r\nnonsense"
        source = WhepSource(f"http://127.0.0.1:{server.port}/whep")
        async with Reader(source) as reader:
            await until(lambda: len(reader.changes) >= 3)
        assert {change.state for change in reader.changes} == {"reconnecting"}
        assert "answer cannot be used" in reader.changes[0].reason
        assert server.deleted >= 2


def _no_way(sdp: str) -> str:
    """An answer with another password than the server's own: no way is found (ICE)."""
    return re.sub(r"a=ice-pwd:\S+", "a=ice-pwd:" + "x" * 22, sdp)


def _stranger(sdp: str) -> str:
    """An answer with the fingerprint of another certificate."""
    return re.sub(r"(a=fingerprint:\S+ )\S+", r"\1" + ":".join(["AB"] * 32), sdp)


def _no_video(sdp: str) -> str:
    """An answer that sends nothing."""
    return sdp.replace("a=sendonly", "a=inactive")


def _no_answer(_: str) -> str:
    """None at all."""
    return "<html>"


@pytest.mark.parametrize("answer", [_no_way, _stranger, _no_video, _no_answer])
async def test_no_session_is_left_open(answer: Callable[[str], str]) -> None:
    """However often it is tried, and whatever fails of it."""
    async with WhepServer() as server:
        server.answer = answer
        source = WhepSource(f"http://127.0.0.1:{server.port}/whep", stall_timeout=0.7)
        async with Reader(source) as reader:
            for count in range(1, 5):
                await until(lambda count=count: len(reader.changes) >= count)
                # At most the one that is tried now, and the one before.
                assert len(server.open) <= 2
        assert len(server.asked) >= 4
        assert server.open == set()
    await no_tasks()


async def test_a_server_that_names_a_time_is_asked_then() -> None:
    """503 with ``Retry-After`` is heeded, and said."""
    async with WhepServer() as server:
        server.retry_after = "2"
        source = WhepSource(f"http://127.0.0.1:{server.port}/whep")
        async with Reader(source) as reader:
            await until(lambda: len(server.asked) >= 2)
            server.retry_after = None
            await reader.until_frames(1)
        first, second, third, *_ = server.asked
        assert min(second - first, third - second) >= 2
    assert reader.changes[0].state == "reconnecting"
    assert "503" in reader.changes[0].reason
    assert "asked again in 2 s" in reader.changes[0].reason
