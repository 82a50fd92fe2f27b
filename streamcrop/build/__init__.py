"""From the configuration to running parts: the only place that knows both.

Everything else gets built parts, or plain values. `address_of` and `broker_of` build what a node
has one of, `streams.stream_of` a stream, `sources.source_of` its source.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor

from streamcrop import config as settings
from streamcrop.config import Config
from streamcrop.config.source import PICTURES
from streamcrop.mqtt.broker import Address, Broker
from streamcrop.mqtt.connack import MAX_PACKET
from streamcrop.mqtt.subscriptions import Answered
from streamcrop.presence import Presence

# Beside the crops of all streams: status, presence, answers, a tapped frame.
_OTHER_MESSAGES = 8
# Times the largest message that is read: what lies between is said to be too large.
_MARGIN = 4


def address_of(config: Config) -> Address:
    """The broker's address, from the URL and what stands beside it."""
    return address_at(config.broker, [stream.output for stream in config.streams.values()])


def address_at(broker: settings.Broker, outputs: Iterable[settings.Output]) -> Address:
    """A broker's address, and what to speak to it.

    Args:
        broker: The section that names it.
        outputs: What goes there.
    """
    host, port, tls, username, password = broker.address()
    # Crops in user properties need MQTT 5: then there is nothing to fall back to.
    binary = any(output.envelope == "binary" for output in outputs)
    protocol = "5" if binary and broker.protocol == "auto" else broker.protocol
    return Address(
        host, port, tls, username, password, protocol, broker.ca, broker.cert, broker.key
    )


def broker_of(
    config: Config, presence: Presence, *, on_change: Callable[[bool], None], answered: Answered
) -> Broker:
    """The connection that all streams share.

    Args:
        config: The node's.
        presence: Whose will the broker keeps.
        on_change: Is told when the connection begins and ends.
        answered: Is told of topics that are refused or granted.
    """
    crops = sum(stream.output.max_inflight for stream in config.streams.values())
    return Broker(
        address_of(config),
        name=config.node,
        instance=presence.instance,
        will=presence.will,
        max_inflight=crops + _OTHER_MESSAGES,
        max_packet=max_packet_of(config),
        on_change=on_change,
        answered=answered,
    )


def max_packet_of(config: Config) -> int | None:
    """The bytes beyond which the broker is told to send no packet; None: there is no bound.

    Brokers drop what is larger without a word, so what is a little too large comes, and is counted.
    """
    bounds = [stream.detections.max_message_bytes for stream in config.streams.values()]
    if any(stream.source.kind is PICTURES for stream in config.streams.values()):
        bounds.append(config.limits.picture_bytes)
    most = _MARGIN * max(bounds)
    return most if most < MAX_PACKET else None


def encoders_of() -> Executor:
    """Where all streams encode: as many threads as cores.

    More would only take the interpreter from each other, which cost eight streams on two cores a
    third of their frames (2026-11-28).
    """
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="encode")
