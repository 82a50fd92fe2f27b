"""The newest crops of each stream."""

import asyncio
import json

import pytest
from web.views import crop

from streamcrop.web.recent import Recent, label_of, prediction_of


def test_newest_first_by_stream_and_class() -> None:
    """As many as are wanted, with their metadata."""
    recent = Recent()
    for number in range(6):
        label = "cat" if number % 2 else "dog"
        recent.add("gate" if number < 4 else "yard", crop(number, label=label))
    assert [each["frame_id"] for each in recent.newest(None, 3)] == ["5", "4", "3"]
    assert [each["frame_id"] for each in recent.newest("gate", 9)] == ["3", "2", "1", "0"]
    assert [each["frame_id"] for each in recent.newest("gate", 9, "cat")] == ["3", "1"]
    assert recent.newest("nobody", 9) == []


def test_a_crop_is_found_by_its_id_in_its_stream_alone() -> None:
    """And once more under the same ID it is one."""
    recent = Recent()
    recent.add("gate", crop(1, data=b"old"))
    recent.add("gate", crop(1, data=b"new"))
    assert recent.find("gate", "gate/1/a").data == b"new"
    assert recent.find("yard", "gate/1/a") is None
    assert len(recent.newest("gate", 9)) == 1


def test_memory_is_bounded_in_number_and_bytes() -> None:
    """The oldest go; a stream that floods takes no other's, until there is no room for all."""
    recent = Recent()
    recent.add("quiet", crop(0))
    for number in range(2000):
        recent.add("loud", crop(number))
    assert len(recent.newest("loud", 9999)) == 400
    assert len(recent.newest("quiet", 9)) == 1
    for number in range(40):
        recent.add("large", crop(number, data=bytes(1 << 20)))
    assert recent._nbytes <= 16 << 20
    assert recent._nbytes == sum(event.nbytes for event in recent._crops.values())
    recent.add("huge", crop(1, data=bytes(20 << 20)))
    assert len(recent._crops) == 1


async def test_who_listens_sees_the_newest() -> None:
    """One that is slow loses the older ones, and costs nobody else anything."""
    recent = Recent()
    with recent.listening() as listener, recent.listening() as slow:
        first = asyncio.create_task(listener.take())
        await asyncio.sleep(0)
        recent.add("gate", crop(0))
        assert (await first)[1].name == ("0", "a")
        for number in range(1, 50):
            recent.add("gate", crop(number))
        stream, event = await slow.take()
        assert (stream, event.name) == ("gate", ("38", "a"))
        assert len(slow._came) == 11
    assert recent._listeners == set()


@pytest.mark.parametrize(
    ("predictions", "label"),
    [
        ([{"class": "cat"}], "cat"),
        ([{"class": 7}], "7"),
        ([], ""),
        ([7], ""),
        (None, ""),
        ([{}], ""),
    ],
)
def test_the_class_of_a_crop(predictions: object, label: str) -> None:
    """Whatever stands there."""
    metadata = json.loads(json.dumps({"predictions": predictions}))
    assert label_of(metadata) == label
    assert isinstance(prediction_of(metadata), dict)
