"""Where a broker is, and how it is believed."""

from dataclasses import replace
from pathlib import Path

import pytest

from streamcrop.errors import ConfigError
from streamcrop.mqtt.address import Address, tls_context
from streamcrop.mqtt.broker import Broker


def test_an_address_keeps_its_password_to_itself() -> None:
    """Nobody logs it by accident."""
    assert "s3cret" not in repr(Address("h", 1883, password="s3cret"))  # noqa: S106  # of nobody


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
    with pytest.raises(ConfigError, match=f"broker.{key} {wrong}"):
        Broker(replace(address, **{key: str(wrong)}), name="test")
