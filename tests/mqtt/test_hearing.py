"""What a connection tells whoever holds it."""

import inspect

import pytest

from streamcrop.mqtt.client import Client
from streamcrop.mqtt.hearing import Hearing
from streamcrop.mqtt.library import Connection


async def test_a_connection_that_tells_nobody_is_none() -> None:
    """Whoever makes one says what becomes of each thing that arrives."""
    with pytest.raises(TypeError, match=r"accepted.*acknowledged.*arrived.*settled"):
        Connection("127.0.0.1", 1, version="5")  # type: ignore[abstract]
    assert not inspect.isabstract(Client)
    assert Hearing.__abstractmethods__ <= {*vars(Client)}
