"""A short form of `python -m tests.accuracy`: real camera, real detector, the truth in pixels."""

import asyncio
from pathlib import Path

import pytest
from accuracy.scenarios import SCENARIOS
from accuracy.stage import Size, Stage

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("key", "scenario"),
    [
        ("frame_id", "tcp"),
        ("sei", "tcp"),
        ("utc", "tcp"),
        ("utc", "udp"),
        ("utc", "sub-to-main"),
        ("utc", "restart"),
    ],
)
def test_every_crop_shows_the_picture_that_was_spoken_of(
    key: str, scenario: str, tmp_path: Path
) -> None:
    """No crop is of a wrong frame, and 99.9 % of what both sides keyed gives a right one."""

    async def play() -> list[str]:
        async with Stage(tmp_path, SCENARIOS[scenario], key, Size(frames=150)) as stage:
            result = await stage.run()
        assert len(result.verdict.keyed) > 50, (result.ledger, result.verdict.crops)
        return result.problems

    assert asyncio.run(play()) == []
