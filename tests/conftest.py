"""Fixtures."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from peers import Mosquitto


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A real broker of MQTT 5."""
    mosquitto = Mosquitto(tmp_path)
    yield mosquitto
    mosquitto.thaw()
    mosquitto.kill()
