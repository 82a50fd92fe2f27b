"""Crops for programs."""

import json
from urllib.parse import quote

import pytest
from web.asking import asking
from web.views import crop, node, stream
from yarl import URL

from streamcrop.web.crops import picture_path


async def test_the_newest_and_their_pictures() -> None:
    """The metadata as it was published, and the picture under its ID."""
    async with asking(node(stream(), stream("yard"))) as ask:
        for number in range(5):
            ask.watched.recent.add("gate", crop(number, label="cat" if number % 2 else "dog"))
        found = json.loads((await ask("/api/streams/gate/crops?limit=2&class=cat"))[2])
        assert [each["frame_id"] for each in found] == ["3", "1"]
        path = f"/api/streams/gate/crops/{quote(found[0]['id'], safe='')}.jpg"
        assert picture_path("gate", found[0]["id"]) == path
        status, headers, text = await ask(path)
        assert (status, headers["Content-Type"], text) == (200, "image/png", "picture")
        assert (await ask("/api/streams/gate/crops/gate%2F77%2Fa.jpg"))[0] == 404
        assert (await ask(path.replace("gate", "yard", 1)))[0] == 404
        assert json.loads((await ask("/api/streams/yard/crops"))[2]) == []
        assert (await ask("/api/streams/nobody/crops"))[0] == 404


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "", "1e9", "९", "9" * 5000])
async def test_a_limit_that_is_none(limit: str) -> None:
    """It is told what is expected."""
    async with asking(node(stream())) as ask:
        status, _, text = await ask("/api/streams/gate/crops", params={"limit": limit})
        assert (status, "1 to 100" in text) == (400, True)


@pytest.mark.parametrize("name", ["a/b", "../../healthz", "<b>", "a.jpg", "%2F", "é", "a?b#c"])
async def test_any_id_is_one_part_of_the_path(name: str) -> None:
    """It is percent-encoded whole."""
    async with asking(node(stream())) as ask:
        event = crop(1)
        event = type(event)("t", b"this one", "image/jpeg", {"id": name}, event.metadata)
        ask.watched.recent.add("gate", event)
        path = URL(picture_path("gate", name), encoded=True)
        assert (await ask(path))[2] == "this one"
