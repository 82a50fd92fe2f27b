"""WHIP and WHEP with real peers over real sockets, and loss where it can be made on cue."""

import asyncio
import gc
import random
import re
import struct
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import imageio_ffmpeg
import psutil
import pytest
from aiortc.rtcdtlstransport import generate_certificate
from aiortc.rtp import RTCP_PSFB_APP, RtcpPsfbPacket, unpack_remb_fci
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fakes import until
from peers import free_port, number_in, numbered_clip
from webrtc_peers import UUID_OF_TESTS, Publisher, WhepServer, peer, pictures

from streamcrop.core.values import Change, Frame, Reason
from streamcrop.errors import FormatError, SourceError
from streamcrop.sources.bitrate import BEGIN
from streamcrop.sources.webrtc import WhepSource, WhipSource
from streamcrop.web.server import serve

if TYPE_CHECKING:
    from streamcrop.sources import Item

TOKEN = "s3cret"  # noqa: S105  # of these tests
CONNECTED = Change("running", "connected")


class Reader:
    """Reads a source to its end; holds numbers instead of pixels."""

    def __init__(self, source: WhipSource | WhepSource) -> None:
        self.source = source
        self.items: list[Item] = []
        self.numbers: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        async for item in self.source.frames():
            self.items.append(item)
            if isinstance(item, Frame):
                self.numbers[item.frame_id] = number_in(item.pixels.bgr())

    async def __aexit__(self, *_: object) -> None:
        self.source.stop()
        async with asyncio.timeout(5):
            await self._task

    @property
    def frames(self) -> list[Frame]:
        return [item for item in self.items if isinstance(item, Frame)]

    @property
    def changes(self) -> list[Change]:
        return [item for item in self.items if isinstance(item, Change)]

    @property
    def lost(self) -> Counter[Reason]:
        return Counter(item for item in self.items if isinstance(item, Reason))

    async def until_frames(self, count: int) -> None:
        await until(lambda: len(self.frames) >= count, 30)


@asynccontextmanager
async def published(**how: Any) -> AsyncIterator[tuple[Reader, str]]:
    """A WHIP source that is read, and where to publish to it."""
    source = WhipSource(**how)
    async with serve({"gate": source}, host="127.0.0.1", port=0) as port, Reader(source) as reader:
        yield reader, f"http://127.0.0.1:{port}/whip/gate"


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


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ({}, False),
        ({"read_sei": True, "sei_uuid": UUID_OF_TESTS}, True),
        ({"read_sei": True, "sei_uuid": "00000000-0000-0000-0000-000000000001"}, False),
    ],
)
async def test_ids_in_the_bitstream_are_read_when_asked_for(
    how: dict[str, Any], found: bool
) -> None:
    """Not by default, and nobody else's."""
    async with published(**how) as (reader, url), Publisher(url):
        await reader.until_frames(3)
    assert all((frame.sei is not None) == found for frame in reader.frames)


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


async def no_tasks() -> None:
    """Wait until no task is left but this one."""
    try:
        await until(lambda: len(asyncio.all_tasks()) == 1)
    except TimeoutError:
        raise AssertionError(asyncio.all_tasks()) from None


def sockets() -> int:
    """How many this process has open."""
    return len(psutil.Process().net_connections())


async def test_who_never_sends_is_given_up() -> None:
    """After `stall_timeout` the session is closed and its sockets are free."""
    silent = peer()
    silent.addTransceiver("video", "sendonly")
    await silent.setLocalDescription()
    before = sockets()
    async with published(stall_timeout=0.5) as (reader, url):
        open_sockets = sockets()
        await until(lambda: reader.source._reading)
        name, _ = await reader.source.open(silent.localDescription.sdp)
        assert sockets() > open_sockets
        await until(lambda: reader.changes)
        assert reader.changes == [Change("reconnecting", "no video came for 0.5 s")]
        await until(lambda: sockets() == open_sockets)
        assert not await reader.source.close(name)
        async with Publisher(url):
            await reader.until_frames(3)
    await silent.close()
    await no_tasks()
    assert sockets() <= before


async def test_who_stops_sending_is_given_up() -> None:
    """A session that goes silent ends after `stall_timeout`, too."""
    async with published(stall_timeout=0.5) as (reader, url), Publisher(url) as publisher:
        await reader.until_frames(3)
        publisher.lose(lambda _: True)
        await until(lambda: len(reader.changes) == 2)
    assert reader.changes[1] == Change("reconnecting", "no video came for 0.5 s")


async def offer(*kinds: str, direction: str = "sendonly") -> str:
    """An SDP offer with these sections."""
    connection = peer()
    for kind in kinds:
        connection.addTransceiver(kind, direction)
    if not kinds:
        connection.createDataChannel("data")
    await connection.setLocalDescription()
    text = connection.localDescription.sdp
    await connection.close()
    return text


def bodies(sdp: str) -> list[bytes]:
    """Offers that are nearly right, seeded: lines left out, doubled, cut, and bytes replaced."""
    chance, lines = random.Random(12), sdp.splitlines(keepends=True)
    made = [b"", b"\x00", b"\xff\xfe", b"v=0", b"v=0\r\n" * 3000, b"v=0\r\n\xed\xa0\x80"]
    for _ in range(60):
        some = list(lines)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(some))
            cut = some[at][: chance.randrange(len(some[at]) + 1)] + "\r\n"
            number = re.sub(r"\d+", chance.choice(["", "-1", "9" * 30, "x"]), some[at])
            some[at : at + 1] = chance.choice([[], [some[at]] * 2, [cut], [number]])
        body = bytearray("".join(some).encode())
        if chance.random() < 0.3:
            body[chance.randrange(len(body))] = chance.randrange(256)
        made.append(bytes(body))
    return made


async def test_offers_of_any_kind(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is offered is answered, or refused with a reason, and leaves nothing behind."""
    found: Counter[int] = Counter()
    async with published(connect_timeout=2) as (reader, url), aiohttp.ClientSession() as client:
        await until(lambda: reader.source._reading)
        for body in bodies(await offer("video")):
            headers = {"Content-Type": "application/sdp"}
            async with client.post(url, data=body, headers=headers) as reply:
                found[reply.status] += 1
                assert reply.status in {201, 400, 408}
                assert await reply.text()
    await no_tasks()
    assert found[400] > 10
    assert found[201] > 10
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("change", "kinds", "direction", "text"),
    [
        (lambda _: "", ("video",), "sendonly", "Expected an SDP offer"),
        (lambda _: "hello", ("video",), "sendonly", "Expected an SDP offer"),
        (lambda _: "m=video", ("video",), "sendonly", "Expected an SDP offer"),
        (lambda _: "v=0\r\nm=video 9 x", ("video",), "sendonly", "Expected an SDP offer"),
        (lambda sdp: sdp, ("audio",), "sendonly", "sends one video"),
        (lambda sdp: sdp, (), "sendonly", "sends one video"),
        (lambda sdp: sdp, ("video",), "recvonly", "sends one video"),
        (lambda sdp: sdp, ("video",) * 17, "sendonly", "sends one video"),
        (
            lambda sdp: sdp.replace("VP8/", "VP9/").replace("H264/", "H265/"),
            ("video",),
            "sendonly",
            "with VP8 or H.264",
        ),
        (lambda sdp: sdp.replace("a=ice-", "a=nice-"), ("video",), "sendonly", "VP8 or H.264"),
        (lambda sdp: sdp.replace("a=setup", "a=set"), ("video",), "sendonly", "VP8 or H.264"),
        (lambda sdp: sdp.replace("IP4", "IP9"), ("video",), "sendonly", "VP8 or H.264"),
    ],
)
async def test_an_offer_that_cannot_be_answered(
    change: Any, kinds: tuple[str, ...], direction: str, text: str
) -> None:
    """It is a `FormatError` that says what was expected, and nothing is left of it."""
    async with published() as (reader, _):
        before = sockets()
        await until(lambda: reader.source._reading)
        with pytest.raises(FormatError, match=text):
            await reader.source.open(change(await offer(*kinds, direction=direction)))
        assert sockets() == before
        assert not reader.items
    await no_tasks()


async def test_only_the_first_video_is_taken() -> None:
    """Sound, a second video and data are declined, and the video comes."""
    async with published() as (reader, url):
        publisher = Publisher(url)
        publisher.peer.addTransceiver("audio", "sendonly")
        publisher.peer.addTransceiver("video", "sendonly")
        async with publisher:
            await reader.until_frames(3)
            directions = [t.currentDirection for t in publisher.peer.getTransceivers()]
            assert directions == ["sendonly", "inactive", "inactive"]


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


async def test_a_publisher_whose_pictures_cannot_be_converted_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ends the session, not the stream."""

    def pixels_of(_: object) -> None:
        raise SourceError("pictures of the format xyz cannot be converted")

    async with published() as (reader, url):
        with monkeypatch.context() as patch:
            patch.setattr("streamcrop.sources.rtp.pixels_of", pixels_of)
            async with Publisher(url):
                await until(lambda: reader.changes)
        assert "xyz" in reader.changes[0].reason
        async with Publisher(url):
            await reader.until_frames(3)


async def test_the_end_closes_the_session_at_once() -> None:
    """`stop` ends `frames` within a second, and the publisher sees that it is over."""
    async with published() as (reader, url), Publisher(url) as publisher:
        await reader.until_frames(3)
        reader.source.stop()
        async with asyncio.timeout(1):
            await reader._task
        await until(lambda: publisher.peer.connectionState == "closed")
        assert reader.changes == [CONNECTED]


async def test_twenty_sessions_in_turn_leave_nothing() -> None:
    """Neither tasks nor threads nor sockets grow in number with the sessions."""
    counts = []
    async with published() as (reader, url):
        for number in range(20):
            async with Publisher(url, codec="VP8" if number % 2 else "H264") as publisher:
                await until(lambda n=number: len({f.epoch for f in reader.frames}) == n + 1)
                if number % 3:
                    await publisher.goodbye()
            await until(lambda n=number: len(reader.changes) == 2 * n + 2)
            await until(lambda: len(asyncio.all_tasks()) <= 3)
            gc.collect()
            names = [t.name for t in threading.enumerate() if t.name.startswith("video-")]
            counts.append((len(names), sockets(), psutil.Process().num_fds()))
    # The first session brings what stays: the loop's threads.
    assert max(counts[2:]) <= max(counts[:2]), counts
    await no_tasks()


def _sequence(data: bytes) -> tuple[int, int] | None:
    """The sequence number and timestamp of an RTP packet; None for RTCP."""
    if 192 <= data[1] <= 223:
        return None
    number, timestamp = struct.unpack_from("!HI", data, 2)
    return number, timestamp


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_after_a_loss_no_picture_is_handed_out_until_a_key_picture(codec: str) -> None:
    """What the lost picture changed is missing in those that follow: they are `corrupt`.

    From 63 to 64 all bits change, so a decoder that goes on shows wrong numbers.
    """
    first: list[int] = []

    def lost(data: bytes) -> bool:
        if not (found := _sequence(data)):
            return False
        first.append(found[1])
        return (found[1] - first[0]) % 2**32 == 64 * 3600

    async with published(read_sei=True) as (reader, url):
        publisher = Publisher(url, codec=codec, packets=pictures(codec, gop=100))
        publisher.lose(lost)
        async with publisher:
            await reader.until_frames(80)
    # The publisher's packets are ready made: it can not answer with a key picture at once.
    numbers = list(reader.numbers.values())
    gap = numbers.index(62) + 1
    assert numbers[:gap] == list(range(63))
    assert numbers[gap:] == list(range(100, 100 + len(numbers) - gap))
    # Given up with it is its neighbour, which waits to be known as complete.
    assert reader.lost == {Reason.CORRUPT: 100 - 64}
    assert [change.state for change in reader.changes] == ["running"]


async def test_what_is_lost_once_is_sent_again() -> None:
    """A packet now and then gets lost at its first two attempts: every picture arrives, in order.

    So seldom that no other gap has aiortc ask again.
    """
    attempts: Counter[int] = Counter()

    def lost(data: bytes) -> bool:
        if not (found := _sequence(data)):
            return False
        attempts[found[0]] += 1
        return found[0] % 40 == 3 and attempts[found[0]] <= 2

    async with published() as (reader, url):
        publisher = Publisher(url, repairs=False)
        publisher.lose(lost)
        async with publisher:
            await reader.until_frames(100)
    assert max(attempts.values()) >= 3
    assert not reader.lost
    assert list(reader.numbers.values()) == list(range(len(reader.frames)))


async def test_who_reads_too_slowly_loses_the_oldest() -> None:
    """Each picture that came ends as a frame, as `queue_full`, or as `corrupt` behind such."""
    source = WhipSource(read_sei=True)
    items: list[Item] = []
    async with serve({"gate": source}, host="127.0.0.1", port=0) as port:
        stream = source.frames()
        asked = asyncio.ensure_future(anext(stream))
        url = f"http://127.0.0.1:{port}/whip/gate"
        async with Publisher(url, packets=pictures(rate=100, gop=50)):
            items.append(await asked)
            while not isinstance(items[-1], Frame):
                items.append(await anext(stream))
            await asyncio.sleep(3)
            while len(items) < 200 or not isinstance(items[-1], Frame):
                items.append(await anext(stream))
        await stream.aclose()
    lost = Counter(item for item in items if isinstance(item, Reason))
    frames = [item for item in items if isinstance(item, Frame)]
    assert lost[Reason.QUEUE_FULL] > 0
    assert len(frames) + lost.total() == int(frames[-1].sei or 0) + 1
    for frame in frames:
        assert number_in(frame.pixels.bgr()) == int(frame.sei or -1)
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
                await until(lambda count=count: len(reader.changes) >= count, 30)
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
