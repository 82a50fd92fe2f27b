"""The page, by a real browser."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import Browser
from web.asking import Ask, asking
from web.test_markup import read
from web.views import EVIL, crop, node, rows, stream

from streamcrop.web.view import NodeView

ok, encoded = cv2.imencode(".png", np.full((120, 60, 3), 90, np.uint8))
PICTURE = encoded.tobytes()


@asynccontextmanager
async def opened(
    shown: NodeView, folder: Path, width: int = 1400
) -> AsyncIterator[tuple[Ask, Browser]]:
    """The page of a node in a browser, live."""
    async with asking(shown) as ask, Browser(folder) as browser:
        await browser._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        await browser.open(f"{ask.base}/")
        await browser.until("document.getElementById('live').textContent === 'live'")
        yield ask, browser


async def test_it_is_all_there_without_a_script() -> None:
    """What the server writes is the page; scripts keep it fresh."""
    async with asking(node(stream(), stream("yard", state="reconnecting", reason="gone"))) as ask:
        status, headers, text = await ask("/")
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        found = read(text)
        for said in ("edge", "gate", "yard", "reconnecting", "gone", "Why is there no crop?"):
            assert said in found.text
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        scripts = [attributes for name, attributes in found.tags if name == "script"]
        assert [each["src"] for each in scripts] == ["/static/page.js"]
        assert not [name for _, attributes in found.tags for name in attributes if name[:2] == "on"]
        assert not re.search(r"\bstyle=", text)
        assert len(text) < 20_000


async def test_why_there_is_no_crop() -> None:
    """In words; a name that is none is told what is wanted."""
    async with asking(node(stream())) as ask:
        assert "<b>gate / 7: </b>7: received" in (await ask("/parts/why?stream=gate&frame=7"))[2]
        assert (await ask("/parts/why?stream=nobody&frame=7"))[0] == 404
        for frame in ("", "%20", "x" * 2000):
            said = read((await ask(f"/parts/why?stream=gate&frame={frame}"))[2]).text
            assert "Type the frame's" in said
        evil = (await ask("/parts/why?stream=gate&frame=%3Cscript%3E"))[2]
        assert "<script>" not in evil


async def test_the_cards_are_written_once_for_all() -> None:
    """Ten pages that are open cost as much as one."""
    async with asking(node(*(stream(f"s{n}") for n in range(50)))) as ask:
        await ask("/parts/streams")
        before = ask.watched.asked
        texts = {(await ask("/parts/streams"))[2] for _ in range(10)}
        assert len(texts) == 1
        assert ask.watched.asked - before == 10
        assert (await ask("/parts/crop/gate/none"))[0] == 404


@pytest.mark.e2e
async def test_fifty_streams(tmp_path: Path) -> None:
    """Those that are ill are seen first, and the crops are not far below."""
    many = [
        stream(f"cam-{n:02}", state="reconnecting" if n == 37 else "running") for n in range(50)
    ]
    async with opened(node(*many), tmp_path) as (_, browser):
        assert await browser.evaluate("document.querySelector('h3').textContent") == "cam-37"
        assert await browser.evaluate("document.querySelectorAll('article').length") == 50
        top = "document.getElementById('crops').getBoundingClientRect().top"
        assert await browser.evaluate(top) < 900


@pytest.mark.e2e
async def test_crops_come_in_and_are_looked_at(tmp_path: Path) -> None:
    """They appear by themselves; a click shows one large, a key closes it; pause and filters."""
    async with opened(node(stream(), stream("yard")), tmp_path) as (ask, browser):
        count = "document.querySelectorAll('#gallery li:not([hidden])').length"
        for number in range(3):
            ask.watched.recent.add("gate", crop(number, label="cat", data=PICTURE))
        ask.watched.recent.add("yard", crop(9, label="dog", data=PICTURE))
        await browser.until(f"{count} === 4")
        assert "dog" in await browser.evaluate("document.querySelector('#gallery li').textContent")
        await browser.evaluate("document.querySelector('#gallery li:nth-child(2) button').click()")
        await browser.until("document.getElementById('shown').open")
        text = await browser.evaluate("document.getElementById('large').textContent")
        assert "at 100, 50 in a frame of 640 x 480" in text
        await browser.until("document.querySelector('#large img').naturalWidth === 60")
        await browser.evaluate("document.getElementById('close').click()")
        await browser.evaluate(
            "const c = document.getElementById('of-class'); c.value = 'dog';"
            "c.dispatchEvent(new Event('input'))"
        )
        await browser.until(f"{count} === 1")
        await browser.evaluate("document.getElementById('pause').click()")
        assert await browser.evaluate("document.getElementById('pause').textContent") == "Go on"
        ask.watched.recent.add("yard", crop(10, label="dog", data=PICTURE))
        await asyncio.sleep(0.7)
        assert await browser.evaluate(count) == 1


@pytest.mark.e2e
async def test_it_stays_true(tmp_path: Path) -> None:
    """A stream that falls ill, the broker that goes, the node that goes: each is said."""
    said = "document.getElementById('alarm').innerText"
    async with Browser(tmp_path) as browser:
        async with asking(node(stream())) as ask:
            await browser.open(f"{ask.base}/")
            await browser.until("document.getElementById('live').textContent === 'live'")
            ask.watched.shown = node(
                stream(state="reconnecting", reason="the camera is gone"), connected=False
            )
            await browser.until("document.body.innerText.includes('the camera is gone')")
            await browser.until("!document.getElementById('alarm').hidden")
            assert "The broker 127.0.0.1:1883 is not connected" in await browser.evaluate(said)
            ask.watched.shown = node(stream())
            await browser.until("document.getElementById('alarm').hidden")
        await browser.until("document.getElementById('live').textContent.includes('not answer')")


@pytest.mark.e2e
async def test_what_a_person_has_opened_stays_open(tmp_path: Path) -> None:
    """The cards are replaced every two seconds."""
    notes = [{"kind": "malformed", "text": "no JSON", "count": 3}]
    async with opened(node(stream(notes=notes)), tmp_path) as (ask, browser):
        await browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        await browser.evaluate("document.querySelector('summary').focus()")
        ask.watched.shown = node(stream(notes=notes, reason="something new"))
        await browser.until("document.body.innerText.includes('something new')")
        assert await browser.evaluate(
            "[...document.querySelectorAll('details')].every(d => d.open)"
        )
        assert await browser.evaluate("document.activeElement.tagName") == "SUMMARY"
        await browser.evaluate("document.querySelector('[data-frame]').click()")
        await browser.until("document.getElementById('answer').textContent.includes('received')")


@pytest.mark.e2e
@pytest.mark.parametrize("width", [360, 1400])
async def test_nothing_breaks_out_or_over(tmp_path: Path, width: int) -> None:
    """Scripts in class names do not run, and nothing is wider than a phone."""
    long = "x" * 300
    notes = [{"kind": "malformed", "text": f"{long} <img src=x onerror=pwned=1>", "count": 3}]
    view = node(
        stream("gate", rows=rows(0, 0), tapped=True, reason=long, notes=notes),
        stream("y" * 200, topic=long),
        node=long,
    )
    async with opened(view, tmp_path, width) as (ask, browser):
        evil = "<img src=x onerror='window.pwned=1'><script>window.pwned=1</script>"
        ask.watched.recent.add("gate", crop(evil, label=evil, data=PICTURE))
        await browser.until("document.querySelectorAll('#gallery li').length === 1")
        await browser.evaluate("document.querySelector('#gallery button').click()")
        await browser.until("document.getElementById('shown').open")
        assert await browser.evaluate("window.pwned === undefined")
        assert EVIL  # the cards' own are in test_cards
        assert await browser.evaluate("document.documentElement.scrollWidth") <= width
        assert await browser.evaluate("document.getElementById('large').scrollWidth") <= width


@pytest.mark.e2e
async def test_keyboard_alone(tmp_path: Path) -> None:
    """Tab reaches everything, in the order in which it is read; Enter asks."""
    async with opened(node(stream()), tmp_path) as (_, browser):
        seen = []
        for _ in range(20):
            for kind in ("rawKeyDown", "keyUp"):
                await browser._call(
                    "Input.dispatchKeyEvent", type=kind, key="Tab", windowsVirtualKeyCode=9
                )
            seen.append(
                await browser.evaluate(
                    "document.activeElement.id || document.activeElement.name"
                    " || document.activeElement.textContent"
                )
            )
        wanted = ["Skip to the streams", "metrics", "of-stream", "pause", "frame", "Ask"]
        assert [each for each in seen if each in wanted][: len(wanted)] == wanted
