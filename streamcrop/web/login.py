"""The form that lets a browser in: it asks for ``http.token`` once."""

from pathlib import Path
from urllib.parse import parse_qs

from aiohttp import web

from streamcrop.web.admission import Admission

PATH = "/login"
_FORM = "application/x-www-form-urlencoded"


class Login:
    """The form.

    Args:
        admission: Knows the token.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._page = Path(__file__).with_name("login.html").read_text(encoding="utf-8")

    def routes(self) -> list[web.RouteDef]:
        """Where browsers are sent."""
        return [web.get(PATH, self._show), web.post(PATH, self._take)]

    async def _show(self, _: web.Request) -> web.Response:
        return self._form()

    async def _take(self, request: web.Request) -> web.Response:
        is_form = request.content_type == _FORM
        form = parse_qs((await request.read()).decode(errors="replace") if is_form else "")
        return self._admission.login(request, form.get("token", [""])[0]) or self._form(wrong=True)

    def _form(self, *, wrong: bool = False) -> web.Response:
        said = (
            "That is not the token." if wrong else "It is http.token in the node's configuration."
        )
        page = self._page.replace("{{said}}", said)
        return web.Response(text=page, content_type="text/html", status=401 if wrong else 200)
