"""One session, with real peers over real sockets: offers of any kind, loss made on cue."""

import asyncio
import random
import re
import struct
from collections import Counter
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from fakes import until
from peers import number_in
from web.views import Watched, node
from webrtc_peers import (
    UUID_OF_TESTS,
    Publisher,
    no_tasks,
    offer,
    peer,
    pictures,
    published,
    sockets,
)

from streamcrop.config import Http
from streamcrop.core.values import Change, Frame, Reason
from streamcrop.errors import FormatError, SourceError
from streamcrop.sources.webrtc import WhipSource
from streamcrop.web.server import serve

if TYPE_CHECKING:
    from streamcrop.sources import Item

TOKEN = "s3cret"  # noqa: S105  # of these tests
CONNECTED = Change("running", "connected")


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
    # Given up with it is its neighbour, which waits to be known as complete.
    assert not set(numbers) & set(range(63, 100))
    # A busy machine loses others, too: behind each loss the next is a key picture.
    handed = set(numbers)
    assert all(number % 100 == 0 or number - 1 in handed for number in numbers)
    assert numbers == sorted(handed)
    assert reader.lost[Reason.CORRUPT] >= 100 - 64
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
    async with serve(Http(port=0), {"gate": source}, Watched(node())) as port:
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
