"""What brokers and WebRTC peers send: packets of MQTT, offers and answers in SDP."""

import asyncio
import atexit
from collections.abc import Coroutine
from contextlib import suppress
from functools import cache
from typing import Any

from aiortc import RTCPeerConnection, RTCSessionDescription
from fuzz.target import Target
from lying_broker import CONNACK, DISCONNECT, PUBACK, PUBLISH, SUBACK, _framed, reason, text, varint
from webrtc_peers import Track, peer, pictures
from yarl import URL

from streamcrop.errors import FormatError, SourceError
from streamcrop.mqtt.client import Client
from streamcrop.mqtt.flights import Numbers
from streamcrop.mqtt.library import FIRST_NUMBER
from streamcrop.mqtt.messages import Incoming, Outgoing
from streamcrop.mqtt.packets import Parcel
from streamcrop.mqtt.subscriptions import Listener, Subscriptions
from streamcrop.sources.rtp import Decoder
from streamcrop.sources.session import Session, _video_in
from streamcrop.sources.whep import _place, _redirected

_TOPICS = "detections/gate", "cams/+/jpg"
# Of our own messages, on their way; and bytes, of a length that two more can say.
_SENT, _LONGEST = 4, 16_000
_TO_PUBLISH = b"\x26" + text("frame_id") + text("7") + b"\x0b\x01"


@cache
def loop() -> asyncio.AbstractEventLoop:
    """One event loop for all inputs."""
    made = asyncio.new_event_loop()
    atexit.register(made.close)
    return made


class _Connection:
    """Stands where a socket does, and has the broker's bytes ready."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def done(self) -> bool:
        return not self._data

    def recv(self, size: int) -> bytes:
        given, self._data = self._data[:size], self._data[size:]
        if not given:
            raise BlockingIOError
        return given

    def send(self, data: bytes) -> int:
        return len(data)

    def close(self) -> None:
        self._data = b""

    def fileno(self) -> int:
        return -1


def _client(version: str, heard: list[Incoming], connection: _Connection) -> Client:
    """One that believes itself connected by this."""
    client = Client(
        "127.0.0.1",
        1883,
        version=version,
        numbers=Numbers(FIRST_NUMBER),
        max_inflight=8,
        hear=heard.append,
        identifier="a",
    )
    paho: Any = client.paho
    paho.on_socket_close = paho.on_socket_unregister_write = None
    paho.on_socket_register_write = paho.on_socket_open = None
    paho._sock = connection
    return client


async def _read(data: bytes) -> None:
    """A broker's packets: what is on its way ends at most once, and the rest is lost."""
    version, arrived = "5" if data[0] % 2 else "3.1.1", list[Incoming]()
    connection = _Connection(data[1:])
    client = _client(version, arrived, connection)
    subscriptions = Subscriptions(lambda *_: None)
    for topic in _TOPICS:
        subscriptions.add(topic, Listener(lambda *_: None, lambda *_: None))
    granted = client._pending_subscribes[1] = loop().create_future()
    ended = loop().create_future()
    if data[0] & 2:
        client._connected.set_result(None)
        parcel = Parcel.of([Outgoing("t", b"%d" % at) for at in range(_SENT)], client.terms)
        ended = client.send(parcel, 0, _SENT)
    else:
        ended.set_result({})
    with suppress(Exception):  # as aiomqtt does: then the connection is lost, no more
        while not connection.done and client.paho._sock is connection:
            client.paho.loop_read()
    for message in arrived:
        subscriptions.hand_on(message)
    client.give_up()
    async with asyncio.timeout(1):
        assert all(0 <= at < _SENT for at in await ended)
    _look_at(client._connected, client._disconnected, granted)


async def _publish(body: bytes) -> None:
    """A PUBLISH of any content, rightly framed: what is behind it is read as well."""
    if len(body) > _LONGEST:
        return
    flags = body[0] & 0xF if body[0] & 6 != 6 else body[0] & 9
    good = _framed(PUBLISH, text("a") + b"\0" + b"behind")
    bad = bytes([PUBLISH << 4 | flags]) + varint(len(body) - 1) + body[1:]
    connection, arrived = _Connection(bad + good), list[Incoming]()
    client = _client("5", arrived, connection)
    while not connection.done:
        assert not client.paho.loop_read()
    assert arrived[-1].payload == b"behind"
    for message in arrived:
        message.is_for("a/+", 1)
    _look_at(client._disconnected)


def _look_at(*futures: asyncio.Future[Any]) -> None:
    """Have nobody complain that nobody did."""
    for future in futures:
        if future.done() and not future.cancelled():
            future.exception()


async def _take_offer(offer: str) -> None:
    """An offer, by a real peer connection: an answer, or an error; and nothing is left behind."""
    before = asyncio.all_tasks()
    session = Session(Decoder(read_sei=False, sei_uuid=None), 1.0)
    try:
        with suppress(FormatError):
            assert (await session.answer(offer)).startswith("v=0")
    finally:
        await session.close("the input is done")
    async with asyncio.timeout(5):
        while asyncio.all_tasks() - before:  # noqa: ASYNC110  # they are aiortc's
            await asyncio.sleep(0.01)


async def _take_answer(answer: str) -> None:
    session = Session(Decoder(read_sei=False, sei_uuid=None), 1.0)
    try:
        await session.offer()
        with suppress(SourceError):
            await session.accept(answer)
    finally:
        await session.close("the input is done")


def _run(work: Coroutine[Any, Any, None]) -> None:
    loop().run_until_complete(work)


def read_packets(data: bytes) -> None:
    """See `_read`."""
    if data:
        _run(_read(data))


def read_publish(data: bytes) -> None:
    """See `_publish`."""
    if data:
        _run(_publish(data))


def find_video(data: bytes) -> None:
    """The video of an offer, in bounded time; aiortc's parser raises whatever it runs into."""
    with suppress(Exception):
        _video_in(data.decode(errors="replace"))


def take_offer(data: bytes) -> None:
    """See `_take_offer`."""
    _run(_take_offer(data.decode(errors="replace")))


def take_answer(data: bytes) -> None:
    """See `_take_answer`."""
    _run(_take_answer(data.decode(errors="replace")))


def follow(data: bytes) -> None:
    """A server's Location: another address of HTTP, or an error."""
    here = URL("https://h/whep")
    there = _place(here, data.decode(errors="replace"))
    with suppress(SourceError):
        assert _redirected(here, there).scheme == "https"


def _version_5(*packets: bytes) -> bytes:
    return b"\1" + b"".join(packets)


async def _sdp() -> tuple[bytes, bytes]:
    """An offer and an answer, as aiortc makes them."""
    ours, theirs = peer(), peer()
    try:
        return await _described(ours, theirs)
    finally:
        await ours.close()
        await theirs.close()


async def _described(ours: RTCPeerConnection, theirs: RTCPeerConnection) -> tuple[bytes, bytes]:
    ours.addTransceiver(Track(pictures()), "sendonly")
    await ours.setLocalDescription()
    offer = ours.localDescription.sdp
    await theirs.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await theirs.setLocalDescription()
    return offer.encode(), theirs.localDescription.sdp.encode()


_OFFER, _ANSWER = asyncio.run(_sdp())
_BODY = text("detections/gate") + varint(len(_TO_PUBLISH)) + _TO_PUBLISH + b'{"frame_id": 7}'
_SESSION = _version_5(
    _framed(CONNACK, b"\0\0", reason("hello") + b"\x21\0\x05\x13\0\x3c\x27\0\0\x40\0", 5),
    _framed(SUBACK, b"\0\1\0\1"),
    _framed(PUBLISH, _BODY),
    _framed(PUBACK, b"\4\0\x97", reason("quota"), 5),
    b"\x40\2\4\1" * 2 + b"\x40\2\4\2",
    _framed(DISCONNECT, b"\x8b", reason("goodbye"), 5),
)
_OLD = b"\0" + _framed(CONNACK, b"\0\0") + _framed(SUBACK, b"\0\1\1") + _framed(PUBLISH, _BODY)
TARGETS = {
    "mqtt": Target(read_packets, [_SESSION, b"\3" + _SESSION[1:], _OLD], share=0.5),
    "publish": Target(read_publish, [b"\0" + _BODY, b"\2" + _BODY[:17] + b"\0\1" + _BODY[17:]]),
    "sdp": Target(find_video, [_OFFER, _ANSWER]),
    "whip": Target(take_offer, [_OFFER], share=0.1),
    "whep": Target(take_answer, [_ANSWER], share=0.02),
    "location": Target(follow, [b"/session/1", b"http://h:80/a", b"//b/c"]),
}
