"""The files that pages are made of."""

import pytest
from web.asking import asking
from web.views import node

from streamcrop.web.static import Static


async def test_they_are_what_they_are() -> None:
    """Each has its kind, and may be kept for a while."""
    paths = Static().paths
    assert "/static/page.css" in paths
    async with asking(node()) as ask:
        for path in paths:
            status, headers, text = await ask(path)
            kind = "text/css" if path.endswith(".css") else "text/javascript"
            assert (status, headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")
            assert headers["Cache-Control"] == "max-age=3600"
            assert text


@pytest.mark.parametrize("name", ["nothing.css", "..%2Fserver.py", "%2e%2e/login.html", ""])
async def test_there_are_no_others(name: str) -> None:
    """Nothing is read when it is asked for."""
    async with asking(node()) as ask:
        assert (await ask(f"/static/{name}"))[0] == 404


def test_all_of_it_is_small() -> None:
    """A phone loads it; 200 kB with everything."""
    assert sum(len(body) for body, _ in Static()._files.values()) < 150_000
