"""Events to another broker: each try ends, and it is known whether another one helps."""

import pytest
from fakes import FakeBroker

from streamcrop.core.values import Reason
from streamcrop.errors import PacketRefusedError, RejectedError, SinkError
from streamcrop.formats.events import Event
from streamcrop.mqtt.messages import Outgoing
from streamcrop.sinks.broker import BrokerOutlet
from streamcrop.sinks.mqtt import Envelope

EVENT = Event("crops", b"picture", "image/jpeg", {"id": "1"}, b"{}", is_crop=True)


def outlet(broker: FakeBroker) -> BrokerOutlet:
    """An outlet to a broker."""
    return BrokerOutlet(broker, Envelope(broker, "auto"), 1)


@pytest.mark.parametrize("again", [False, True])
async def test_what_arrives(again: bool) -> None:
    """It is published as it is otherwise."""
    broker = FakeBroker()
    assert await outlet(broker).deliver([EVENT], again=again) == 1
    [message] = broker.published
    assert (message.topic, message.payload, message.qos) == ("crops", b"picture", 1)
    assert ("id", "1") in message.user_properties
    await outlet(broker).close()


async def test_without_a_connection() -> None:
    """Nothing waits for it here."""
    broker = FakeBroker()
    broker.connected = False
    with pytest.raises(SinkError, match="no connection"):
        await outlet(broker).deliver([EVENT], again=False)
    assert broker.published == []


async def test_a_connection_that_is_lost() -> None:
    """A later try may help."""

    class Losing(FakeBroker):
        async def attempt(self, _: Outgoing) -> bool:
            return False

    with pytest.raises(SinkError, match="was lost"):
        await outlet(Losing()).deliver([EVENT], again=False)


@pytest.mark.parametrize("again", [False, True])
async def test_what_the_broker_will_never_take(again: bool) -> None:
    """No later try helps, and the reason says why."""
    broker = FakeBroker()
    broker.max_packet = 5
    with pytest.raises(RejectedError) as info:
        await outlet(broker).deliver([EVENT], again=again)
    assert info.value.reason == Reason.TOO_LARGE
    broker.max_packet = None
    broker.refusal = "Not authorized"
    with pytest.raises(RejectedError, match="Not authorized") as info:
        await outlet(broker).deliver([EVENT], again=again)
    assert info.value.reason == Reason.NOT_ACKNOWLEDGED


async def test_a_message_that_ends_connections_shows() -> None:
    """What comes from the spool is tried alone: it must not bar the way for ever."""

    class Touchy(FakeBroker):
        async def publish(self, _: Outgoing) -> None:
            raise PacketRefusedError("it ends the connection whenever it gets this message")

    with pytest.raises(RejectedError, match="ends the connection"):
        await outlet(Touchy()).deliver([EVENT], again=True)
