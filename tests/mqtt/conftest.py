"""Certificates for brokers that speak TLS."""

from pathlib import Path

import pytest
import trustme


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``ca``, its ``cert`` and ``key``, and those of a stranger."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca")
    for issuer, names in (
        (authority, ("cert", "key")),
        (trustme.CA(), ("stranger-cert", "stranger-key")),
    ):
        issued = issuer.issue_cert("127.0.0.1")
        for blob, name in zip(
            (issued.cert_chain_pems[0], issued.private_key_pem), names, strict=True
        ):
            blob.write_to_path(folder / name)
    return folder
