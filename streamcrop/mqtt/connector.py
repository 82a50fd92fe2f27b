"""Gets a connection to the broker: as we wish it, or as the broker will have it.

Where a broker refuses, less is asked for, or the other version is tried, or it is asked again
later, or that is the end: `streamcrop.mqtt.connack` has the table. What it cannot do is said once.
"""

import asyncio
import logging
import secrets
import socket
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path

from streamcrop.backoff import Backoff
from streamcrop.errors import BrokerRefusedError, ConfigError
from streamcrop.mqtt.answers import EndedError, MqttError
from streamcrop.mqtt.client import CERTIFICATE, PROTOCOLS, Client
from streamcrop.mqtt.connack import VERDICTS, Verdict, other_scheme
from streamcrop.mqtt.messages import Will

logger = logging.getLogger(__name__)

# Half of what a broker waits before it gives a client up; a dead network is seen within 2 x this.
KEEPALIVE = 8
CONNECT_TIMEOUT = 10
FIRST_DELAY, LONGEST_DELAY = 0.2, 10.0
# Nagle's algorithm would hold a crop behind an acknowledgement of ours until the broker's system
# acknowledges that: 40 ms between a message and its crop, 3 ms without (2026-11-28).
_AT_ONCE = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
_NO_RETAIN = "it keeps no retained messages: who comes later does not see the status"
_LOW_QOS = "it takes messages at QoS 0 only: what is lost on the way is not sent again"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is, and who we are to it.

    Attributes:
        protocol: ``5``, ``3.1.1``, or ``auto``: 5, and 3.1.1 where the broker does not know it.
        ca: File of the certificates to trust; None: the system's.
        cert: File of the client's certificate, with ``key``.
    """

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    protocol: str = "auto"
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


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

    Attributes:
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
    ) -> None:
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
        self._terms = self._known = _Terms()
        self._unknown_versions: set[str] = set()
        self._proved = self._guessed = False
        self._warned: set[str] = set()

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
        logger.warning("%s: no connection to %s: %s", self._name, self._host, said)
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
        """A new one for each connection: an old one would send its old messages again itself."""
        address, terms = self._address, self._terms
        client = Client(
            address.host,
            address.port,
            username=address.username,
            password=address.password,
            identifier=self._client_id,
            protocol=PROTOCOLS[self.version],
            will=self._will and self._will.with_terms(terms.qos, retain=terms.retain),
            timeout=CONNECT_TIMEOUT,
            keepalive=KEEPALIVE,
            max_inflight_messages=self._max_inflight,
            socket_options=_AT_ONCE,
            tls_context=tls_context(address) if address.tls else None,
        )
        client.pending_calls_threshold = 1 << 20
        return client


def tls_context(address: Address) -> ssl.SSLContext:
    """The certificates to trust, and those to show.

    Raises:
        ConfigError: If a file cannot be read or is no certificate.
    """
    what = f"broker.ca {address.ca}"
    try:
        context = ssl.create_default_context(cafile=address.ca)
        if address.cert and address.key:
            what = f"broker.cert {address.cert} or broker.key {address.key}"
            for path in (address.cert, address.key):
                Path(path).read_bytes()  # OpenSSL's error would not name the file
            # With a password OpenSSL does not ask for one at the terminal.
            context.load_cert_chain(address.cert, address.key, "")
    except OSError as error:
        raise ConfigError(f"{what} cannot be used: {error}") from None
    return context
