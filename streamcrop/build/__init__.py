"""From the configuration to running parts: the only place that knows both.

Everything else gets built parts, or plain values. `address_of` and `broker_of` build what a node
has one of, `streams.stream_of` a stream, `sources.source_of` its source.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor

from streamcrop import config as settings
from streamcrop.config import Config
from streamcrop.mqtt.broker import Address, Broker
from streamcrop.mqtt.subscriptions import Answered
from streamcrop.presence import Presence

# Beside the crops of all streams: status, presence, answers, a tapped frame.
_OTHER_MESSAGES = 8


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
        on_change=on_change,
        answered=answered,
    )


def encoders_of() -> Executor:
    """Where all streams encode: as many threads as cores.

    More would only take the interpreter from each other, which cost eight streams on two cores a
    third of their frames (2026-11-28).
    """
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="encode")
