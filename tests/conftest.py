"""Fixtures, and how hypothesis runs here: no verdict depends on how busy the machine is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from peers import Mosquitto

if settings.get_current_profile_name() == "default":  # else somebody chose one
    quiet = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("quiet", quiet)
    settings.load_profile("quiet")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A real broker of MQTT 5."""
    mosquitto = Mosquitto(tmp_path)
    yield mosquitto
    mosquitto.thaw()
    mosquitto.kill()
