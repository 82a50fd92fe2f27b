"""The page: everything is written by the server; scripts only fetch it anew and show what comes."""

import asyncio
import time
from collections.abc import Mapping

from aiohttp import web

from streamcrop.web.cards import Lately, cards
from streamcrop.web.crop_page import crop_page
from streamcrop.web.markup import Markup, join, tag
from streamcrop.web.past import Past
from streamcrop.web.recent import Recent
from streamcrop.web.view import NodeView, Watched

# Seconds for which a view of all streams is good for everyone who asks.
_GOOD = 1.0
_DOCTYPE = Markup("<!doctype html>")
_MAX_NAME = 1024
# More streams than these are shown in a box that scrolls.
_FEW = 8


class Page:
    """The page and its parts.

    Args:
        watched: The node.
        past: Its last ten minutes.
        recent: Its newest crops.
    """

    def __init__(self, watched: Watched, past: Past, recent: Recent) -> None:
        self._watched = watched
        self._past = past
        self._recent = recent
        self._shown: tuple[float, Markup] | None = None

    def routes(self) -> list[web.RouteDef]:
        """Where people come to."""
        return [
            web.get("/", self._page),
            web.get("/parts/streams", self._streams),
            web.get("/parts/crop/{stream}/{id}", self._crop),
            web.get("/parts/why", self._why),
        ]

    async def _page(self, _: web.Request) -> web.Response:
        view = self._watched.view()
        return _html(join([_DOCTYPE, shell(view, await self._cards())]))

    async def _streams(self, _: web.Request) -> web.Response:
        view = self._watched.view()
        headers = {"X-Broker": "up" if view.connected else "down"}
        return _html(await self._cards(), headers)

    async def _cards(self) -> Markup:
        """All cards; written in a thread, and once for all who ask in the same second."""
        now = time.monotonic()
        if self._shown is None or now - self._shown[0] > _GOOD:
            view = self._watched.view()
            lately = {
                each.name: Lately(
                    self._past.figures(each, now),
                    self._past.losses(each.name),
                    self._watched.lost(each.name),
                )
                for each in view.streams
            }
            self._shown = now, await asyncio.to_thread(cards, view, lately)
        return self._shown[1]

    async def _crop(self, request: web.Request) -> web.Response:
        stream, crop_id = request.match_info["stream"], request.match_info["id"]
        event = self._recent.find(stream, crop_id)
        if event is None:
            raise web.HTTPNotFound(text="This crop is not, or no longer, known")
        return _html(crop_page(stream, event))

    async def _why(self, request: web.Request) -> web.Response:
        stream, frame = request.query.get("stream", ""), request.query.get("frame", "").strip()
        if not frame or len(frame) > _MAX_NAME:
            said: str | None = "Type the frame's frame_id, SEI or capture time, as in its metadata."
        else:
            said = self._watched.explain(stream, frame)
        if said is None:
            raise web.HTTPNotFound(text="There is no such stream")
        return _html(tag("p", tag("b", f"{stream} / {frame}: " if frame else None), said))


def shell(view: NodeView, streams: Markup) -> Markup:
    """The whole page.

    Args:
        view: How the node is.
        streams: The streams' cards.
    """
    names = [each.name for each in view.streams]
    options = [tag("option", name, value=name) for name in names]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{view.node} - streamcrop"),
        tag("link", rel="icon", href="data:,"),
        tag("link", rel="stylesheet", href="/static/page.css"),
        tag("script", src="/static/page.js", defer=True),
    )
    body = tag(
        "body",
        tag("a", "Skip to the streams", href="#streams", class_="skip"),
        _top(view),
        tag(
            "main",
            _alarm(view),
            _section("streams", "Streams", _cards_box(names, streams)),
            _section("crops", "Crops", _gallery(options)),
            _section("why", "Why is there no crop?", _question(options)),
        ),
        data_broker=view.broker,
    )
    return tag("html", head, body, lang="en")


def _cards_box(names: list[str], streams: Markup) -> Markup:
    """Where there are many they scroll by themselves, so that the crops stay near."""
    if len(names) > _FEW:
        return tag(
            "div",
            streams,
            id="cards",
            class_="many",
            tabindex="0",
            role="region",
            aria_label="Streams",
        )
    return tag("div", streams, id="cards")


def _alarm(view: NodeView) -> Markup:
    said = f"The broker {view.broker} is not connected: no detections come, and no crops leave."
    return tag("p", said, id="alarm", role="alert", hidden=view.connected)


def _top(view: NodeView) -> Markup:
    here = [("#streams", "streams"), ("#crops", "crops"), ("#why", "why?")]
    links = [("/metrics", "metrics"), ("/api/streams", "JSON"), ("/readyz", "ready?")]
    return tag(
        "header",
        tag("h1", "streamcrop ", tag("span", view.node, class_="node")),
        tag("span", "connecting", id="live", role="status"),
        tag("nav", (tag("a", said, href=href) for href, said in here), aria_label="On this page"),
        tag("nav", (tag("a", said, href=href) for href, said in links), aria_label="For programs"),
        class_="top",
    )


def _section(name: str, title: str, content: Markup) -> Markup:
    heading = tag("h2", title, id=f"{name}-title")
    return tag("section", heading, content, id=name, aria_labelledby=f"{name}-title")


def _gallery(options: list[Markup]) -> Markup:
    every = tag("option", "all streams", value="")
    controls = tag(
        "div",
        tag("label", "Stream", tag("select", every, options, id="of-stream")),
        tag("label", "Class", tag("input", id="of-class", placeholder="any", autocomplete="off")),
        tag("label", "Track", tag("input", id="of-track", placeholder="any", autocomplete="off")),
        tag("button", "Pause", id="pause", type="button", aria_pressed="false", class_="plain"),
        class_="controls",
    )
    empty = tag("p", "Crops appear here as they are delivered.", id="no-crops", class_="soft")
    shown = tag(
        "dialog",
        tag("button", "Close", id="close", class_="plain"),
        tag("div", id="large"),
        id="shown",
    )
    return join([controls, empty, tag("ul", id="gallery", aria_label="Newest crops"), shown])


def _question(options: list[Markup]) -> Markup:
    return join(
        [
            tag(
                "form",
                tag("label", "Stream", tag("select", options, name="stream")),
                tag(
                    "label",
                    "Frame",
                    tag(
                        "input",
                        name="frame",
                        required=True,
                        maxlength=_MAX_NAME,
                        autocomplete="off",
                        placeholder="frame_id, SEI or captured_at",
                    ),
                ),
                tag("button", "Ask"),
                id="ask",
                action="/parts/why",
                class_="controls",
            ),
            tag("div", id="answer", role="status"),
        ]
    )


def _html(content: Markup, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(text=content, content_type="text/html", headers=headers)
