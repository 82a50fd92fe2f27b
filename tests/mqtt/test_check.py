"""Libraries of other insides are found out at start."""

from collections.abc import Iterator

import aiomqtt
import pytest
from paho.mqtt.client import Client as PahoClient

from streamcrop.errors import LibraryError
from streamcrop.mqtt import check as checks
from streamcrop.mqtt.broker import Address, Broker
from streamcrop.mqtt.check import check


@pytest.fixture(autouse=True)
def _tried_anew() -> Iterator[None]:
    check.cache_clear()
    yield
    check.cache_clear()


async def test_those_that_are_here_pass() -> None:
    """With and without a running event loop; the second time nothing is tried."""
    check()
    check.cache_clear()
    check()
    assert check.cache_info().currsize == 1


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (PahoClient, "_packet_read"),
        (PahoClient, "_packet_write"),
        (PahoClient, "_sock_recv"),
        (PahoClient, "_handle_publish"),
        (aiomqtt.Client, "_on_subscribe"),
        (aiomqtt.Client, "_on_connect"),
    ],
)
def test_a_part_that_is_gone(kind: type, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the libraries, and says it before anything connects."""
    monkeypatch.setattr(checks, "_SECONDS", 1)
    monkeypatch.delattr(kind, part)
    with pytest.raises(LibraryError, match=r"aiomqtt \S+ \(known to work: .*paho-mqtt \S+ \(known"):
        Broker(Address("127.0.0.1", 1), name="test")


def test_a_part_that_behaves_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may acknowledge with another packet, for one."""
    monkeypatch.setattr(PahoClient, "_handle_publish", lambda self: self._send_pubrec(1))
    monkeypatch.setattr(checks, "_SECONDS", 1)
    with pytest.raises(LibraryError):
        check()
