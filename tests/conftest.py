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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give all tests in real time to one worker of pytest-xdist."""
    for item in items:
        if item.get_closest_marker("real_time"):
            item.add_marker(pytest.mark.xdist_group("real time"))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A real broker of MQTT 5."""
    mosquitto = Mosquitto(tmp_path)
    yield mosquitto
    mosquitto.thaw()
    mosquitto.kill()
