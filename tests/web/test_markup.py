"""HTML that nobody can break out of."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st
from web.views import EVIL

from streamcrop.web.markup import Markup, join, tag


class Reader(HTMLParser):
    """What a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> Reader:
    """Read it as a browser does."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader


@given(st.text().map(lambda text: text.replace("\r", "")), st.text())
def test_any_text_stays_text(text: str, value: str) -> None:
    """One element comes out, with the text in it and the value in its attribute."""
    found = read(tag("p", text, title=value))
    assert [name for name, _ in found.tags] == ["p"]
    assert found.text == text
    assert found.tags[0][1]["title"] == value


def test_what_a_message_may_try() -> None:
    """In text, in attributes, in lists."""
    found = read(tag("ul", [tag("li", EVIL, title=EVIL) for _ in range(2)]))
    assert [name for name, _ in found.tags] == ["ul", "li", "li"]
    assert found.text == EVIL * 2


def test_values() -> None:
    """Nothing, true, numbers, names with lines, halves of surrogate pairs, void elements."""
    assert tag("a", None, hidden=True, title=None, open=False) == "<a hidden></a>"
    assert tag("i", 1, 2.5, data_x=3, class_="y") == '<i data-x="3" class="y">12.5</i>'
    assert tag("input", name="n") == '<input name="n">'
    assert join(["a", Markup("<br>"), ("b", None)]) == "a<br>b"
    assert "\\ud800" in tag("p", "\ud800")
