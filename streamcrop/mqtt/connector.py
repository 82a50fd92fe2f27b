"""Gets a connection to the broker: as we wish it, or as the broker will have it.

Where a broker refuses, less is asked for, or the other version is tried, or it is asked again
later, or that is the end: `streamcrop.mqtt.connack` has the table. What it cannot do is said once.
"""

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from streamcrop.backoff import Backoff
from streamcrop.errors import BrokerRefusedError
from streamcrop.mqtt.address import Address, tls_context
from streamcrop.mqtt.answers import EndedError, MqttError
from streamcrop.mqtt.check import check
from streamcrop.mqtt.client import Client
from streamcrop.mqtt.connack import CERTIFICATE, VERDICTS, Verdict, other_scheme
from streamcrop.mqtt.flights import Numbers
from streamcrop.mqtt.library import FIRST_NUMBER, PROTOCOLS
from streamcrop.mqtt.messages import Incoming, Will, wishes

logger = logging.getLogger(__name__)

# Half of what a broker waits before it gives a client up; a dead network is seen within 2 x this.
KEEPALIVE = 8
CONNECT_TIMEOUT = 10
# What a camera sees while the broker is back and we are not is lost, so the next try comes within
# a second.
FIRST_DELAY, LONGEST_DELAY = 0.2, 1.0
# So often, in seconds, the same failure is said again.
_SAID_EVERY = 60.0
# So long, in seconds, the broker is to keep what comes for us while we are away (MQTT 5, 3.1.2.11).
SESSION = 120
# Nagle's algorithm would hold a crop behind an acknowledgement of ours until the broker's system
# acknowledges that: 40 ms between a message and its crop, 3 ms without (2026-11-28).
_AT_ONCE = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
_NO_RETAIN = "it keeps no retained messages: who comes later does not see the status"
_LOW_QOS = "it takes messages at QoS 0 only: what is lost on the way is not sent again"


@dataclass(frozen=True, slots=True)
class _Terms:
    """How we ask to be let in: as we wish, or with what the broker refused left out."""

    retain: bool = True
    qos: int = 1


class Connector:
    """Gets connections to one broker.

    Args:
        address: Of the broker.
        name: For the log.
        instance: Letters and digits, at most 13; None: random.
        will: What the broker is to publish when we vanish: topic and payload.
        max_inflight: How many messages may be on their way at once.
        max_packet: The broker is told to send us no packet of more bytes; None: any.
        hear: Is called with each message that arrives.

    Attributes:
        numbers: The identifiers of our messages, over connections.
        version: The MQTT version in use, ``5`` or ``3.1.1``; before the first connection a guess.
    """

    def __init__(
        self,
        address: Address,
        *,
        name: str,
        instance: str | None,
        will: Will | None,
        max_inflight: int,
        max_packet: int | None,
        hear: Callable[[Incoming], None],
    ) -> None:
        check()
        if address.tls:
            # Now, not when the node runs already.
            tls_context(address)
        self.version = "3.1.1" if address.protocol == "3.1.1" else "5"
        self._address = address
        self._host = f"{address.host}:{address.port}"
        self._name = name
        # MQTT 3.1.1, 3.1.3.1: every broker takes up to 23 letters and digits. Kept over
        # connections, so that one that the broker still believes in ends at once.
        self._client_id = f"streamcrop{instance or secrets.token_hex(6)}"
        self._will = will
        self._max_inflight = max_inflight
        self._max_packet = max_packet
        self._hear = hear
        self.numbers = Numbers(FIRST_NUMBER)
        self._terms = self._known = _Terms()
        self._unknown_versions: set[str] = set()
        self._proved = self._guessed = False
        self._known_to_broker = False
        self._warned: set[str] = set()
        self._said: dict[str, float] = {}

    async def connect(self) -> Client:
        """Connect, again and again with growing delays.

        Raises:
            BrokerRefusedError: If asking again would not help.
        """
        self._terms = self._known
        client = await self._insist()
        if self._guessed and self.version == "3.1.1":
            await client.leave()
            if newer := await self._ask_twice():
                client = newer
            else:
                client = await self._insist()
        self._unknown_versions.clear()
        self._said.clear()
        self._known_to_broker = True
        if not self._terms.retain:
            # Nor will it take other messages that are retained, whatever it announces.
            client.offer = replace(client.offer, retain=False)
        if not self._terms.qos:
            client.offer = replace(client.offer, max_qos=0)
        if not client.offer.retain:
            self._warn(_NO_RETAIN)
        if not client.offer.max_qos:
            self._warn(_LOW_QOS)
        logger.info("%s: connected to the broker with MQTT %s", self._name, self.version)
        return client

    def prove(self) -> None:
        """Take note that the broker speaks this version, and serves us."""
        self._proved = True

    def heed(self, error: MqttError) -> None:
        """Take note of why a connection ended: what the broker did not announce, it may say so."""
        verdict = VERDICTS.get(getattr(error, "code", 0))
        if verdict is Verdict.WITHOUT_RETAIN:
            self._known = replace(self._known, retain=False)
        elif verdict is Verdict.LOWER_QOS:
            self._known = replace(self._known, qos=0)

    async def _ask_twice(self) -> Client | None:
        """Ask for MQTT 5 again; None: the broker does not speak it.

        One that is not yet up behind a proxy hangs up like an old one, and would by chance be
        spoken to in 3.1.1 until the node ends.
        """
        self.version = "5"
        try:
            return await self._attempt()
        except MqttError:
            self.version = "3.1.1"
            return None
        finally:
            self._guessed = False

    async def _insist(self) -> Client:
        backoff = Backoff(FIRST_DELAY, LONGEST_DELAY)
        while True:
            try:
                return await self._attempt()
            except MqttError:
                await asyncio.sleep(backoff.delay())

    async def _attempt(self) -> Client:
        client = self._new_client()
        try:
            await client.__aenter__()
        except MqttError as error:
            self._consider(error)
            raise
        return client

    def _warn(self, text: str) -> None:
        """Say of the broker what it cannot do; once, not at each connection."""
        if text not in self._warned:
            self._warned.add(text)
            logger.warning("%s: the broker at %s: %s", self._name, self._host, text)

    def _say(self, why: str) -> None:
        """Say why there is no connection; the same not at each try."""
        now = time.monotonic()
        if now - self._said.get(why, -_SAID_EVERY) >= _SAID_EVERY:
            self._said[why] = now
            logger.warning("%s: no connection to %s: %s", self._name, self._host, why)

    def _consider(self, error: MqttError) -> None:
        """Ask for less, try the other version, say that we try again, or give up.

        Raises:
            BrokerRefusedError: If asking again would not help.
        """
        verdict = VERDICTS.get(getattr(error, "code", 0), Verdict.AGAIN)
        if self._asks_for_less(verdict):
            return
        if verdict is Verdict.OTHER_VERSION:
            self._unknown_versions.add(self.version)
            if self._is_auto and self._unknown_versions < {*PROTOCOLS}:
                verdict = Verdict.AGAIN
        if verdict is not Verdict.AGAIN or CERTIFICATE.search(str(error)):
            raise self._refused(error, verdict)
        # A broker that once spoke a version and is silent now is down, not older.
        ended = isinstance(error, EndedError) and not self._proved
        silent = "timed out" in str(error) and not self._proved
        hint = other_scheme(str(error), tls=self._address.tls, ended=ended)
        said = f"{error}{hint}; trying again"
        self._say(said)
        if self._is_auto and (ended or silent or self.version in self._unknown_versions):
            self.version = "3.1.1" if self.version == "5" else "5"
            self._guessed = ended

    @property
    def _is_auto(self) -> bool:
        return self._address.protocol == "auto"

    def _asks_for_less(self, verdict: Verdict) -> bool:
        """True if there is something to leave out of what the broker refused."""
        if self._will and verdict is Verdict.WITHOUT_RETAIN and self._terms.retain:
            self._terms = replace(self._terms, retain=False)
        elif self._will and verdict is Verdict.LOWER_QOS and self._terms.qos:
            self._terms = replace(self._terms, qos=0)
        else:
            return False
        return True

    def _refused(self, error: MqttError, verdict: Verdict) -> BrokerRefusedError:
        what = f"refuses: {error}"
        if "CERTIFICATE_REQUIRED" in what:
            what = "wants a client certificate: set broker.cert and broker.key"
        elif verdict is Verdict.OTHER_VERSION:
            what += f": it does not speak what broker.protocol asks for, {self._address.protocol}"
        return BrokerRefusedError(f"the broker at {self._host} {what}")

    def _new_client(self) -> Client:
        """A new one for each connection, with the address looked up anew."""
        address, terms = self._address, self._terms
        ours: dict[str, Any] = {}
        if self.version == "5":
            # The first one of this process ends what another one of this name may have left.
            ours["clean_start"] = not self._known_to_broker
            ours["properties"] = wishes(SESSION, self._max_packet)
        return Client(
            address.host,
            address.port,
            version=self.version,
            numbers=self.numbers,
            max_inflight=self._max_inflight,
            hear=self._hear,
            username=address.username,
            password=address.password,
            identifier=self._client_id,
            will=self._will and self._will.with_terms(terms.qos, retain=terms.retain),
            timeout=CONNECT_TIMEOUT,
            keepalive=KEEPALIVE,
            socket_options=_AT_ONCE,
            tls_context=tls_context(address) if address.tls else None,
            **ours,
        )
