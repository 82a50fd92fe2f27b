"""A short form of `python -m tests.accuracy`: real camera, real detector, the truth in pixels."""

import asyncio

import pytest
from accuracy.scenario import Result, Size
from accuracy.scenarios import SCENARIOS
from accuracy.stage import Stage

pytestmark = [pytest.mark.e2e, pytest.mark.real_time]
# The way, the scenario, and who reads for the detector.
ROWS = [
    ("frame_id", "tcp", "ffmpeg"),
    ("sei", "b-frames", "ffmpeg"),
    ("utc", "tcp", "gstreamer"),
    ("utc", "udp", "ffmpeg"),
    ("utc", "sub-to-main", "gstreamer"),
    ("utc", "restart", "ffmpeg"),
    ("utc", "steps-brief", "gstreamer"),
]
_AT_A_TIME = 4
# Two sessions' media times are known after 7.5 s.
_FRAMES = {"frame_id": 150, "sei": 150, "utc": 360}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Result | BaseException]:
    """What the rows come to, some of them at a time, for they mostly wait."""

    async def play_all() -> list[Result | BaseException]:
        room = asyncio.Semaphore(_AT_A_TIME)

        async def play(way: str, scenario: str, reader: str) -> Result:
            folder = tmp_path_factory.mktemp(f"{way}-{scenario}")
            async with room:
                size = Size(frames=_FRAMES[way], width=320)
                how = Stage(folder, SCENARIOS[scenario], way, size, reader=reader)
                async with how as stage:
                    return await stage.run()

        return await asyncio.gather(*(play(*row) for row in ROWS), return_exceptions=True)

    return asyncio.run(play_all())


@pytest.mark.parametrize("row", ROWS, ids="-".join)
def test_every_crop_shows_the_picture_that_was_spoken_of(
    row: tuple[str, str, str], results: list[Result | BaseException]
) -> None:
    """No crop is of a wrong frame, and 99.9 % of what both sides keyed gives a right one."""
    result = results[ROWS.index(row)]
    if isinstance(result, BaseException):
        raise result
    assert len(result.verdict.keyed) > 50, (result.ledger, result.verdict.crops)
    assert result.problems == []
