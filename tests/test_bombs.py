"""No message costs more than half a second of one core, or 64 MB beyond its own size.

Beyond the pictures that it decodes and the crops that it was allowed, whatever its bytes: each of a
table of messages that ask for as much as they can, in a process of its own.
"""

import json
import subprocess
import sys

import bombs
import pytest

SECONDS, BYTES = 0.5, 64_000_000


@pytest.mark.parametrize("name", bombs.BOMBS)
def test_a_bomb_costs_little(name: str) -> None:
    """Its CPU time and its memory are bounded, and it has an end that has a name."""
    run = [sys.executable, bombs.__file__, name]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    spent, memory, size, ended = json.loads(done.stdout)
    assert ended
    assert spent <= SECONDS, (spent, ended)
    assert memory <= BYTES + size, (memory, ended)
