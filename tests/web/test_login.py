"""The form that lets a browser in."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from browser import Browser
from web.asking import asking
from web.views import Watched, node, stream

from streamcrop.config import Http
from streamcrop.web.server import serve

TOKEN = "s3cret"  # noqa: S105  # of these tests


@pytest.mark.parametrize(
    "data", [{}, {"token": "wrong"}, {"token": ""}, {"other": TOKEN}, b"token=\xff", "token=%ff"]
)
async def test_a_wrong_token(data: Any) -> None:
    """It is told so, and nothing is set."""
    async with asking(node(), token=TOKEN) as ask:
        form = {"Content-Type": "application/x-www-form-urlencoded; charset=none"}
        status, headers, text = await ask("/login", "POST", data=data, headers=form)
        assert (status, "Set-Cookie" in headers) == (401, False)
        assert "That is not the token." in text
        assert TOKEN not in text


async def test_a_file_is_no_token() -> None:
    """Whatever a form may send."""
    async with asking(node(), token=TOKEN) as ask:
        form = aiohttp.FormData()
        form.add_field("token", TOKEN.encode(), filename="token.txt")
        status, _, _ = await ask("/login", "POST", data=form)
        assert status == 401


async def test_no_other_site_logs_in() -> None:
    """A page of another origin may not even try."""
    async with asking(node(), token=TOKEN) as ask:
        foreign = {"Origin": "https://evil.example"}
        status, _, _ = await ask("/login", "POST", data={"token": TOKEN}, headers=foreign)
        assert status == 403


@pytest.mark.e2e
async def test_a_person_logs_in(tmp_path: Path) -> None:
    """A browser that asks for anything lands at the form, and after it where it wanted to be."""
    shown = Watched(node(stream()))
    async with serve(Http(port=0, token=TOKEN), {}, shown) as port, Browser(tmp_path) as browser:
        base = f"http://127.0.0.1:{port}"
        await browser.open(f"{base}/api/streams")
        assert await browser.evaluate("location.pathname") == "/login"
        display = "getComputedStyle(document.querySelector('main')).display"
        assert await browser.evaluate(display) == "grid"
        for typed, landed in (
            ("wrong", "document.body.textContent.includes('not the token')"),
            (TOKEN, "location.pathname === '/'"),
        ):
            await browser.evaluate(f"document.getElementById('token').value = '{typed}'")
            await browser.evaluate("document.querySelector('button').click()")
            await browser.until(f"document.readyState === 'complete' && {landed}")
        await browser.open(f"{base}/api/streams")
        assert "gate" in await browser.evaluate("document.body.textContent")
        assert await browser.evaluate("document.cookie") == ""
