"""The connection: what is final, what is tried again, and how each message ends."""

from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from streamcrop.broker import Address, tls_context
from streamcrop.errors import BrokerRefusedError


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``ca``, and ``cert`` and ``key`` for the loopback address."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca")
    issued.private_key_pem.write_to_path(folder / "key")
    issued.cert_chain_pems[0].write_to_path(folder / "cert")
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
