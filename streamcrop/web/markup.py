"""HTML that nobody can break out of: whatever is no `Markup` is text, and escaped."""

from collections.abc import Iterable
from html import escape

_VOID = {"img", "input", "link", "meta"}


class Markup(str):
    """HTML as it is to be sent; only this module and constants of the program make any."""

    __slots__ = ()


Child = str | int | float | Iterable["Child"] | None
Value = str | float | bool | None


def tag(name: str, /, *children: Child, **attributes: Value) -> Markup:
    """An element.

    Args:
        name: Of the element.
        children: Texts, elements, or several of both; None is nothing.
        attributes: ``class_`` stands for ``class`` and ``data_id`` for ``data-id``; None and False
            are left out, True has no value.

    Example:
        >>> tag("a", "<b>", href='x"y', class_="plain", hidden=False)
        '<a href="x&quot;y" class="plain">&lt;b&gt;</a>'
        >>> tag("p", tag("b", 1), [" of ", 2])
        '<p><b>1</b> of 2</p>'
    """
    said = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{said}>")
    return Markup(f"<{name}{said}>{join(children)}</{name}>")


def join(children: Child) -> Markup:
    """Elements and texts, one behind the other.

    Example:
        >>> join(["a<", Markup("<br>"), None, 7])
        'a&lt;<br>7'
    """
    if children is None:
        return Markup()
    if isinstance(children, Markup):
        return children
    if isinstance(children, str):
        # Halves of surrogate pairs are no UTF-8.
        return Markup(escape(children.encode(errors="backslashreplace").decode()))
    if isinstance(children, int | float):
        return Markup(children)
    return Markup("".join(map(join, children)))


def _attribute(key: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{join(str(value))}"'
