"""The words for a file that is wrong."""

import msgspec
import pytest

from streamcrop.config.schema import Config, Stream
from streamcrop.config.words import explained


def said(tree: object, kind: type[msgspec.Struct] = Stream, path: str = "$.streams.gate") -> str:
    """What is said of a tree that is none of its kind."""
    with pytest.raises(msgspec.ValidationError) as info:
        msgspec.convert(tree, kind)
    return explained(info.value, kind, path)


SOURCE = {"url": "clip.mp4"}


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (None, ": Expected keys below it, and there are none: write gate: {source: {url: clip"),
        ({"source": None}, ".source: Expected keys below it, and there are none: write source: {u"),
        ({"source": []}, ".source: Expected keys below it, got `array`: write source: {url: clip"),
        ({"source": SOURCE}, ": Object missing required field `detections`: write gate: {source: "),
        ({"source": SOURCE, "tap": 7}, ".tap: Expected keys below it, got `int`: leave tap out, "),
        ({"source": SOURCE, "crop": None}, ".crop: Expected keys below it, and there are none: "),
        # What is no section keeps its words.
        ({"source": {"url": 7}}, ".source.url: Expected `str`, got `int`"),
        ({"source": {"url": None}}, ".source.url: Expected `str`, got `null`"),
        ({"source": {"loop": {}}}, ".source.loop: Expected `bool`, got `object`"),
        ({"source": {"uri": ""}}, ".source: Object contains unknown field `uri`"),
        ({"source": {"ca": None, "url": "a", "transport": "x"}}, ".source.transport: Invalid enum"),
    ],
)
def test_a_section(tree: object, expected: str) -> None:
    """A section that is none is told what it needs; an example ends it."""
    assert said(tree).startswith(f"$.streams.gate{expected}")


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"source": SOURCE | {"decode": "lazily"}}, ".source.decode: Invalid enum value 'lazily'"),
        ({"source": SOURCE | {"decode": "rtsp/me:pw"}}, ".source.decode: Invalid enum value …"),
        (
            {"source": SOURCE | {"decode": "a@b\n - at `$.x`"}},
            ".source.decode: Invalid enum value …",
        ),
        ({"source": SOURCE | {"urls": 1}}, ".source: Object contains unknown field `urls`"),
        ({"source": SOURCE | {"a:b": 1}}, ".source: Object contains unknown field …"),
    ],
)
def test_what_may_be_a_part_of_an_address_is_not_repeated(tree: object, expected: str) -> None:
    """A value or a key is quoted unless it has a colon or an at sign."""
    found = said(tree)
    assert found == f"$.streams.gate{expected}"


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({}, "$: Object missing required field `broker`: write {broker: {url: ...}, streams: {"),
        ([], "$: Expected keys below it, got `array`: write {broker: "),
        ({"broker": {"url": "a"}, "streams": None}, "$.streams: Expected `object`, got `null`"),
        ({"broker": {"url": "a"}, "streams": {"a": 7}}, "$.streams[...]: Expected `object`, got"),
        ({"broker": {}}, "$.broker: Object missing required field `url`: write broker: {url: 'm"),
    ],
)
def test_the_whole(tree: object, expected: str) -> None:
    """The file has no name of its own, and streams have names of the user's."""
    assert said(tree, Config, "$").startswith(expected)
