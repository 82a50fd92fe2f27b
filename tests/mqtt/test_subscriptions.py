"""Topics that are granted, refused and granted later; and messages whose handlers raise."""

import asyncio
import logging
import random
from pathlib import Path

import pytest
from fakes import until
from lying_broker import NUMBERS, SHARED, WILDCARDS, LyingBroker, text
from patience import PATIENCE
from peers import Mosquitto

from streamcrop.mqtt import client
from streamcrop.mqtt.broker import Address, Broker
from streamcrop.mqtt.messages import Outgoing

Told = list[tuple[str, str | None]]


def listening(peer: LyingBroker, told: Told, *topics: str, protocol: str = "5") -> Broker:
    """A connection that listens to these topics."""
    broker = Broker(
        Address("127.0.0.1", peer.port, protocol=protocol),
        name="test",
        answered=lambda *answer: told.append(answer),
    )
    for topic in topics:
        broker.subscribe(topic, lambda *_: None)
    return broker


@pytest.mark.parametrize(
    ("protocol", "code", "why"),
    [
        ("5", 0x87, "Not authorized; asked again each minute"),
        ("5", 0x97, "Quota exceeded; asked again each minute"),
        ("5", 0x8F, "Topic filter invalid"),
        ("5", 0xA2, "Wildcard subscription not supported"),
        ("3.1.1", 0x80, "MQTT 3.1.1 gives no reason; asked again each minute"),
    ],
)
async def test_a_refused_topic_is_told(protocol: str, code: int, why: str) -> None:
    """With the broker's reason; the others are granted, and the connection is up."""
    told: Told = []
    async with LyingBroker(suback=lambda topic: code if topic == "b" else 1) as peer:
        broker = listening(peer, told, "a", "b", "c", protocol=protocol)
        async with broker.opened():
            assert peer.subscribed == ["a", "b", "c"]
            assert told == [("b", why)]


async def test_it_is_asked_for_again_until_it_is_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seldom, the refused one alone, and the grant is told."""
    monkeypatch.setattr("streamcrop.mqtt.subscriptions.AGAIN", 0.2)
    told: Told = []
    codes = iter([0x87, 0x87, 0x97, 1])
    async with LyingBroker(suback=lambda t: next(codes) if t == "b" else 1) as peer:
        async with listening(peer, told, "a", "b").opened():
            await until(lambda: len(told) == 3)
            await asyncio.sleep(0.5)
        assert peer.subscribed == ["a", "b", "b", "b", "b"]
    assert [why and why.partition(";")[0] for _, why in told] == [
        "Not authorized",
        "Quota exceeded",
        None,
    ]


@pytest.mark.parametrize(
    ("announced", "topic", "why"),
    [
        (WILDCARDS, "cams/+/jpg", "it has no wildcard subscriptions"),
        (SHARED, "$share/a/cams", "it has no shared subscriptions"),
    ],
)
async def test_what_it_does_not_have_is_not_asked_for(
    announced: bytes, topic: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even later on the same connection: it would be a protocol error."""
    monkeypatch.setattr("streamcrop.mqtt.subscriptions.AGAIN", 0.05)
    told: Told = []
    async with LyingBroker([(0, announced + b"\0")]) as peer:
        async with listening(peer, told, topic, "plain").opened():
            await asyncio.sleep(0.3)
        assert peer.subscribed == ["plain"]
    assert told == [(topic, why)]


@pytest.mark.parametrize("connack", [(0, NUMBERS + b"\0"), (0, b"")])
async def test_without_numbers(connack: tuple[int, bytes]) -> None:
    """A broker that has no subscription identifiers says so when it lets us in, or when asked."""
    told: Told = []
    codes = iter([0xA1, 1, 1] if connack == (0, b"") else [1, 1])
    peer = LyingBroker([connack], suback=lambda _: next(codes))
    async with peer, listening(peer, told, "a", "b").opened():
        found = peer.subscribed
    assert found[-2:] == ["a", "b"]
    assert told == []


@pytest.mark.parametrize("answer", [None, -1])
async def test_a_broker_that_hangs_up_when_asked(
    answer: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or does not answer: the topic is refused for a while, and the others are heard."""
    monkeypatch.setattr("streamcrop.mqtt.connector.CONNECT_TIMEOUT", 0.5)
    told: Told = []
    peer = LyingBroker(suback=lambda topic: answer if topic == "b" else 1)
    async with asyncio.timeout(PATIENCE), peer, listening(peer, told, "a", "b", "c").opened():
        assert peer.subscribed == ["a", "b", "a", "b", "a", "c"]
    [(topic, why)] = told
    assert topic == "b"
    assert str(why).startswith("it ends the connection, or does not answer, when asked for it (")
    assert str(why).endswith("); asked again each minute")


async def test_a_topic_that_is_added_later(broker: Mosquitto) -> None:
    """It is asked for at once, and told of what was kept for it."""
    found: list[tuple[str, bytes]] = []
    node = Broker(Address("127.0.0.1", broker.port), name="test")
    async with node.opened():
        await node.publish(Outgoing("late", b"kept", retain=True))
        node.subscribe(
            "late",
            lambda payload, _: found.append(("live", payload)),
            retained=lambda payload, _: found.append(("kept", payload)),
        )
        await until(lambda: found)
        await node.publish(Outgoing("late", b"new"))
        await until(lambda: len(found) == 2)
    assert found == [("kept", b"kept"), ("live", b"new")]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_what_was_kept_is_told_apart(broker: Mosquitto, protocol: str) -> None:
    """A retained message comes as such at each subscription; one published meanwhile is live."""
    found: list[tuple[str, bytes]] = []
    other = Broker(Address("127.0.0.1", broker.port), name="other")
    node = Broker(Address("127.0.0.1", broker.port, protocol=protocol), name="test")
    node.subscribe(
        "here",
        lambda payload, _: found.append(("live", payload)),
        retained=lambda payload, _: found.append(("kept", payload)),
    )
    node.subscribe("here", lambda payload, _: found.append(("any", payload)))
    async with other.opened():
        await other.publish(Outgoing("here", b"1", retain=True))
        async with node.opened():
            await until(lambda: len(found) == 2)
            await other.publish(Outgoing("here", b"2", retain=True))
            await until(lambda: len(found) == 4)
    assert found == [("kept", b"1"), ("any", b"1"), ("live", b"2"), ("any", b"2")]


async def test_a_handler_that_raises_costs_its_message(
    broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    """Its owner is told, the log has one traceback of each kind, and everybody else goes on."""
    failed: list[Exception] = []
    heard: list[bytes] = []

    def handle(payload: bytes, _: object) -> None:
        if payload == b"deep":
            raise RecursionError
        raise KeyError(payload)

    caplog.set_level(logging.ERROR)
    node = Broker(Address("127.0.0.1", broker.port), name="test")
    node.subscribe("here", handle, failed=failed.append)
    node.subscribe("here", lambda payload, _: heard.append(payload))
    async with node.opened():
        for payload in (b"a", b"b", b"deep", b"c"):
            await node.publish(Outgoing("here", payload))
        await until(lambda: len(heard) == 4)
    assert [type(error) for error in failed] == [KeyError, KeyError, RecursionError, KeyError]
    assert heard == [b"a", b"b", b"deep", b"c"]
    traces = [record for record in caplog.records if record.exc_info]
    assert len(traces) == 2
    assert "here" in traces[0].message


async def test_a_message_that_the_library_cannot_read_costs_that_message(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted, and the first is said.

    Wrong UTF-8 in a topic, a character that paho dislikes in a property, a packet cut off.
    """
    unread = client.Unread(clock=lambda: 0.0)
    monkeypatch.setattr(client, "unread", unread)
    heard: list[bytes] = []
    feff = b"\x26" + text("key") + text("a\ufeffb")
    packets = [
        (0, text("a") + bytes([len(feff)]) + feff + b"bom"),
        (2, text("a") + b"\0\7" + bytes([len(feff)]) + feff + b"bom"),
        (0, b"\0\2\xff\xfe\0topic"),
        (0, b"\0\1#\0wildcard"),
        (0, b"\0\0\0no topic"),
        (0, b"\xff\xffshort"),
        (0, text("a") + b"\x02\x7f\x01unknown property"),
        (0, text("a") + b"\0fine"),
    ]
    async with LyingBroker() as peer:
        broker = Broker(Address("127.0.0.1", peer.port, protocol="5"), name="test")
        broker.subscribe("a", lambda payload, _: heard.append(payload))
        async with broker.opened():
            for flags, body in packets:
                peer.deliver(flags, body)
            await until(lambda: heard)
            assert len(peer.connects) == 1
            found = peer.acknowledged
    assert found == [7]
    assert heard == [b"fine"]
    assert unread.count >= 5
    assert caplog.text.count("is dropped, 1 by now: ") == caplog.text.count("is dropped") == 1


async def test_any_packets_cost_no_more_than_themselves() -> None:
    """A thousand mutated messages, of every QoS: the connection stays, and good ones arrive."""
    chance = random.Random(1)  # no secret
    heard: list[bytes] = []
    good = [
        text("a") + mid + properties + b"payload"
        for mid in (b"", b"\0\7")
        for properties in (b"\0", b"\x06\x26" + text("k")[:3] + text(""), b"\x02\x0b\x01")
    ]

    def mutated() -> bytes:
        body = bytearray(chance.choice(good))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(body))
            body[at : at + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 3))
        return bytes(body)

    async with LyingBroker() as peer:
        broker = Broker(Address("127.0.0.1", peer.port, protocol="5"), name="test")
        broker.subscribe("a", lambda payload, _: heard.append(payload))
        async with broker.opened():
            for number in range(1000):
                peer.deliver(chance.choice((0, 1, 2)), mutated())
                if number % 50 == 0:
                    peer.deliver(0, text("a") + b"\0good %d" % number)
                    await until(lambda: f"good {number}".encode() in heard)  # noqa: B023
            assert len(peer.connects) == 1


def dynamic_security() -> Path:
    """Mosquitto's plugin, where it comes with one."""
    plugin = next(Path("/usr/lib").rglob("mosquitto_dynamic_security.so"), None)
    return plugin or pytest.skip("this mosquitto has no dynamic security")


async def test_dynamic_security_refuses(tmp_path: Path) -> None:
    """A real broker that may refuse a subscription: mosquitto's plugin."""
    state = tmp_path / "security.json"
    state.write_text(
        '{"defaultACLAccess": {"publishClientSend": true, "publishClientReceive": true, '
        '"subscribe": true, "unsubscribe": true}, "anonymousGroup": "all", '
        '"groups": [{"groupname": "all", "roles": [{"rolename": "shy"}]}], '
        '"roles": [{"rolename": "shy", "acls": [{"acltype": "subscribePattern", '
        '"topic": "closed/#", "allow": false}]}]}'
    )
    state.chmod(0o666)
    peer = Mosquitto(tmp_path, f"plugin {dynamic_security()}", f"plugin_opt_config_file {state}")
    told: Told = []
    try:
        for protocol in ("5", "3.1.1"):
            broker = Broker(
                Address("127.0.0.1", peer.port, protocol=protocol),
                name="test",
                answered=lambda *answer: told.append(answer),
            )
            broker.subscribe("open/a", lambda *_: None)
            broker.subscribe("closed/a", lambda *_: None)
            async with broker.opened():
                pass
    finally:
        peer.kill()
    assert [topic for topic, _ in told] == ["closed/a", "closed/a"]
    assert str(told[0][1]).startswith("Not authorized")
