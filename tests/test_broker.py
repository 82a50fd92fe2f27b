"""The connection: what is final, what is tried again, and how each message ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from peers import Mosquitto

from streamcrop.broker import Address, Broker, tls_context
from streamcrop.errors import BrokerRefusedError

STRANGER = {"cert": "stranger-cert", "key": "stranger-key"}


@asynccontextmanager
async def running(broker: Broker) -> AsyncIterator[None]:
    """A broker that is up, and stopped at the end."""
    task = asyncio.create_task(broker.run())
    try:
        async with asyncio.timeout(20):
            await broker.wait_until_up()
            yield
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``ca``, its ``cert`` and ``key``, and those of a stranger."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca")
    for issuer, names in ((authority, ("cert", "key")), (trustme.CA(), STRANGER.values())):
        issued = issuer.issue_cert("127.0.0.1")
        for blob, name in zip(
            (issued.cert_chain_pems[0], issued.private_key_pem), names, strict=True
        ):
            blob.write_to_path(folder / name)
    return folder


@pytest.mark.parametrize("key", ["ca", "cert", "key"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_tls_file_that_cannot_be_used_is_named(
    certificates: Path, tmp_path: Path, key: str, content: str | None
) -> None:
    """A missing file, and one that holds something else, is named with its key."""
    files = {name: str(certificates / name) for name in ("ca", "cert", "key")}
    address = Address("127.0.0.1", 8883, tls=True, **files)
    tls_context(address)
    wrong = tmp_path / "wrong.pem"
    if content:
        wrong.write_text(content)
    with pytest.raises(BrokerRefusedError, match=f"broker.{key} {wrong}"):
        tls_context(replace(address, **{key: str(wrong)}))


@pytest.mark.parametrize("tls", ["tlsv1.2", "tlsv1.3"])
@pytest.mark.parametrize(
    ("shown", "refusal"),
    [({}, "wants a client certificate: set broker.cert and broker.key"), (STRANGER, "UNKNOWN_CA")],
)
def test_a_broker_that_wants_another_certificate_is_final(
    certificates: Path, tmp_path: Path, tls: str, shown: dict[str, str], refusal: str
) -> None:
    """No certificate, or one of a stranger, is not tried again; the right one is let in."""
    files = [f"{name}file {certificates / name}" for name in ("ca", "cert", "key")]
    peer = Mosquitto(tmp_path, *files, "require_certificate true", f"tls_version {tls}")
    names = {"ca": "ca", **shown}
    own = {key: str(certificates / name) for key, name in names.items()}
    address = Address("127.0.0.1", peer.port, tls=True, **own)

    async def main() -> None:
        with pytest.raises(BrokerRefusedError, match=refusal):
            await asyncio.wait_for(Broker(address, name="test").run(), 30)
        right = replace(address, cert=str(certificates / "cert"), key=str(certificates / "key"))
        async with running(Broker(right, name="test")):
            pass

    try:
        asyncio.run(main())
    finally:
        peer.kill()
