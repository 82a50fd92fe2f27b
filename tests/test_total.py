"""Whatever comes in from outside, out comes a value or an error of ours, at every entry.

`python -m tests.fuzz` looks for more, guided by coverage; what it found stands here in `FOUND`.
"""

import json
import string

import numpy as np
import pytest
from fuzz.detections import MESSAGES, XML
from fuzz.mutations import EVIL, bitten, changed
from fuzz.pictures import METADATA, STILLS, event_of, take
from fuzz.targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcrop.core.pixels import ArrayPixels
from streamcrop.core.values import Reason
from streamcrop.errors import FormatError
from streamcrop.formats import DETECTION_FORMATS
from streamcrop.formats.events import CROP_TYPE, FRAME_TYPE, MODES, read
from streamcrop.formats.images import encode

paths = st.lists(st.integers(0, 40), min_size=1, max_size=7)
bites = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(0, 40), st.binary(max_size=4)), max_size=4
)
# Inputs of a target whose share is 1; of another one fewer, but some.
_EXAMPLES, _FEWEST = 400, 10


def mutations(seed: bytes) -> st.SearchStrategy[bytes]:
    """Messages that are nearly right: values within them replaced, and bytes."""

    def rewritten(changes: list[tuple[list[int], object]]) -> bytes:
        value = json.loads(seed)
        for path, evil in changes:
            value = changed(value, path, evil)
        return json.dumps(value).encode()

    one = st.tuples(paths, st.sampled_from(EVIL))
    values = st.lists(one, max_size=3).map(rewritten)
    return values | st.builds(bitten, values, bites)


def inputs(name: str) -> st.SearchStrategy[bytes]:
    """Inputs of a target: nearly right ones of each of its seeds, and some that are nothing."""
    target = TARGETS[name]
    found = [st.builds(bitten, st.sampled_from(target.seeds), bites)]
    found += [st.binary(max_size=200), st.text(string.printable, max_size=80).map(str.encode)]
    if target.shape == "json":
        found += [mutations(seed) for seed in target.seeds if seed.startswith(b"{")]
    if target.shape == "framed":
        for head, _, body in (seed.partition(b"\n") for seed in target.seeds):
            rest = st.builds(bitten, st.just(b"\n" + body), bites)
            found.append(st.builds(bytes.__add__, mutations(head), rest))
    return st.one_of(found)


@pytest.mark.parametrize("name", TARGETS)
def test_every_decoder_of_outside_bytes(name: str) -> None:
    """A value that keeps what is promised of it, or a documented error, in bounded time."""
    target = TARGETS[name]
    count = max(_FEWEST, round(_EXAMPLES * target.share))

    @settings(max_examples=count)
    @given(inputs(name))
    def decode(data: bytes) -> None:
        target(data)

    decode()


def test_the_seeds_are_right() -> None:
    """What is mutated is a message of which every row is cut, or nothing would be tested."""
    for name, seeds in MESSAGES.items():
        form = DETECTION_FORMATS[name]
        for payload in [json.dumps(seed).encode() for seed in seeds] + [XML] * (name == "onvif"):
            found = form.predictions(form.decode(payload), (16, 12), name="gate/7", limit=9)
            assert not found.instances.refused
            assert not found.said
            assert len(found.rows) >= 1
    for target in TARGETS.values():
        for seed in target.seeds:
            target(seed)


# Pictures and events

texts = st.sampled_from([value for value in EVIL if isinstance(value, str)]) | st.text(max_size=4)
properties = st.dictionaries(
    st.sampled_from(["frame_id", "time", "captured_at", "type", "specversion", "id", "metadata"]),
    texts,
    max_size=3,
)
pictures = st.builds(bitten, st.sampled_from([*STILLS.values()]), st.just([]) | bites) | st.binary(
    max_size=50
)
as_event = st.builds(
    event_of,
    pictures,
    st.sampled_from([CROP_TYPE, FRAME_TYPE]),
    mutations(json.dumps(METADATA).encode()).filter(bytes.isascii),
    st.sampled_from([*MODES]),
)


@settings(max_examples=200)
@given(
    st.tuples(pictures, st.just({"frame_id": "7"})) | as_event,
    properties,
    st.none() | st.sampled_from(["property:frame_id", "property:time", "level:1", "level:9"]),
    st.booleans(),
    bites,
)
def test_pictures(
    came: tuple[bytes, dict[str, str]],
    more: dict[str, str],
    place: str | None,
    unnamed: bool,  # drawn
    bitten_at: list[tuple[int, int, bytes]],
) -> None:
    """A frame, or a reason that says why."""
    payload, said = came
    payload = bitten(payload, bitten_at) if len(more) % 2 else payload
    take(payload, {**said, **more}, frame_id=place, unnamed=unnamed)


@settings(max_examples=200)
@given(as_event, properties, bites)
def test_events(
    came: tuple[bytes, dict[str, str]], more: dict[str, str], eaten: list[tuple[int, int, bytes]]
) -> None:
    """An event, or an error."""
    payload, said = came
    try:
        found = read(bitten(payload, eaten), {**said, **more})
    except FormatError:
        return
    assert isinstance(found.metadata, dict)


@given(st.integers(1, 70_000), st.integers(1, 3), st.sampled_from(["jpeg", "png", "webp"]))
@settings(max_examples=40)
def test_pictures_of_any_size(long: int, short: int, encoding: str) -> None:
    """Written, or refused because the format does not hold it."""
    for shape in ((long, short, 3), (short, long, 3)):
        try:
            assert encode(ArrayPixels(np.zeros(shape, np.uint8)), encoding, 90)
        except FormatError as error:
            assert error.reason == Reason.ENCODING_FAILED  # noqa: PT017  # one of two right ends
