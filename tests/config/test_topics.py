"""Topics: filters to subscribe to, templates to publish to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.config.topics import check_filter, check_topic

LEVEL = st.text(st.characters(categories=["L", "N"]), max_size=5)


@given(st.lists(LEVEL | st.just("+"), min_size=1, max_size=9), st.booleans())
def test_filters(levels: list[str], rest: bool) -> None:
    """Wildcards stand alone in their levels, ``#`` at the end."""
    check_filter("/".join([*levels, *(["#"] if rest else [])]))
    with pytest.raises(ValueError, match="Expected a topic filter; the level 'a#' is none"):
        check_filter("/".join(["a#", *levels]))
    with pytest.raises(ValueError, match="Expected a topic filter; the level '#' is none"):
        check_filter("/".join(["#", *levels]))


@pytest.mark.parametrize("topic", ["$share", "$share/g", "$share/g/", "$share//a", "$share/+/a"])
def test_shared_filters(topic: str) -> None:
    """A shared subscription has a group and a filter."""
    with pytest.raises(ValueError, match=r"Expected \$share/GROUP/FILTER"):
        check_filter(topic)
    check_filter("$share/g/a/#")


@pytest.mark.parametrize("check", [check_filter, lambda topic: check_topic(topic, set())])
@pytest.mark.parametrize(
    ("topic", "expected"), [("a\tb", "printable characters"), ("a/" * 200, "at most 200 levels")]
)
def test_what_brokers_refuse(check: object, topic: str, expected: str) -> None:
    """Neither kind of topic has it."""
    assert callable(check)
    with pytest.raises(ValueError, match=expected):
        check(topic)


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("a/{x}", "unknown field {x}; known are {class}, {stream}"),
        ("a/{}", "unknown field {}"),
        ("a/{class!r}", "unknown field {class}"),
        ("a/{class:>3}", "unknown field {class}"),
        ("a/{", "Expected a topic with the fields {class}, {stream}"),
        ("a/+", "has no wildcards"),
        ("{class}" * 9, "at most 65532 bytes, its fields filled in"),
    ],
)
def test_templates_that_are_none(topic: str, expected: str) -> None:
    """A field is known and plain, and the longest values find room."""
    with pytest.raises(ValueError, match="topic") as info:
        check_topic(topic, {"class", "stream"})
    assert expected in str(info.value)
    check_topic("a/{stream}/{class}/{{x}}", {"class", "stream"})
