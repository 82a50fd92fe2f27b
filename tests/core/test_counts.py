"""`streamcrop.core.counts`: run lengths as COCO writes them."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamcrop.core.counts import count_runs, decode_counts, encode_counts

counts_of_an_image = st.lists(st.integers(0, 1 << 31), min_size=1, max_size=60)


def rle_to_string(counts: Iterable[int]) -> str:
    """The reference's ``rleToString`` in plain Python."""
    counts, text = list(counts), ""
    for at, count in enumerate(counts):
        number = count - counts[at - 2] if at > 2 else count
        more = True
        while more:
            code = number & 0x1F
            number >>= 5
            more = number != (-1 if code & 0x10 else 0)
            text += chr(48 + (code | 0x20 if more else code))
    return text


@given(st.lists(counts_of_an_image, max_size=6))
def test_packed_counts_come_back(images: list[list[int]]) -> None:
    """Packing and unpacking is the identity, for any number of texts at once."""
    texts = encode_counts([np.array(counts) for counts in images])
    assert texts == [*map(rle_to_string, images)]
    unpacked = decode_counts([text.encode() for text in texts])
    assert [counts.tolist() for counts in unpacked] == images


@given(st.lists(st.lists(st.integers(0, 2**62), min_size=1, max_size=8), min_size=1, max_size=3))
@example([[2**62, 0, 2**62, 2**62]])
def test_any_counts_can_be_packed(images: list[list[int]]) -> None:
    """Packing has no limit of its own, though unpacking refuses runs beyond any image."""
    texts = encode_counts([np.array(counts) for counts in images])
    assert texts == [*map(rle_to_string, images)]


def test_packing_leaves_the_counts_alone() -> None:
    """The differences are made in a copy, of one array, too."""
    counts = np.array([5, 100, 3, 20, 7])
    encode_counts([counts])
    assert counts.tolist() == [5, 100, 3, 20, 7]


@pytest.mark.parametrize("text", [b"", b"2/1", b"2p1", b"23Q", b"PPPPPPP0"])
@pytest.mark.parametrize("beside", [[], [b"231"]])
def test_what_is_no_text_of_counts(text: bytes, beside: list[bytes]) -> None:
    """A character that is none of the alphabet's, and a number without an end, are refused.

    The next text does not end the number.
    """
    with pytest.raises(ValueError, match="an RLE's counts"):
        decode_counts([*beside, text, *beside])


@given(st.lists(st.integers(0, 1 << 31), min_size=1, max_size=60))
def test_runs_are_counted_without_reading_them(counts: list[int]) -> None:
    """There are as many as the list or the text has, or a third of a text that is longer."""
    text = encode_counts([np.array(counts)])[0]
    assert count_runs({"counts": counts}) == len(counts)
    assert count_runs({"counts": text}) == max(len(counts), -(-len(text) // 3))


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (None, 0),
        ([1, 2], 0),
        ({}, 0),
        ({"counts": None}, 0),
        ({"counts": 7}, 0),
        ({"counts": ""}, 0),
        ({"counts": "P" * 9}, 3),
        ({"counts": "\u0663\ud800"}, 2),
    ],
)
def test_what_has_no_runs(value: Any, count: int) -> None:
    """Whatever comes has a number of runs, and be it 0; it is refused elsewhere."""
    assert count_runs(value) == count
