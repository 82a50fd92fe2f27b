"""COCO's text of run lengths (pycocotools, ``rleToString`` and ``rleFrString``), several at once.

Five bits a character, lowest first, 0x20 for "more follows", the sign in the last one's 0x10; from
the fourth number on the difference to the one two before. All texts of a frame are read together,
and written together: a call of NumPy for each would cost more than its numbers.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

_FIRST, _BITS = 48, 5
_VALUE, _SIGN, _MORE = 0x1F, 0x10, 0x20
# The characters behind which a number goes on.
_MORE_FOLLOWS = bytes(range(_FIRST + _MORE, _FIRST + 2 * _MORE))
# 7 x 5 bits hold any run of an image.
_MAX_CHARACTERS = 7


def count_runs(value: Any) -> int:
    """How many runs an RLE has, as it comes from JSON, without reading them; 0 if it is none.

    A text is counted as a third of its length at least, which is what it takes to read it: of six
    bits a character has five, and few runs have more than three.

    Example:
        >>> count_runs({"size": [2, 3], "counts": [2, 3, 1]}), count_runs({"counts": "5T33`M"})
        (3, 4)
    """
    counts = value.get("counts") if type(value) is dict else None
    if type(counts) is str:
        ends = counts.encode("ascii", "replace").translate(None, _MORE_FOLLOWS)
        return max(len(ends), -(-len(counts) // 3))
    return len(counts) if type(counts) is list else 0


def decode_counts(texts: Sequence[bytes]) -> list[Numbers]:
    """Unpack COCO's compressed counts.

    Returns:
        As many arrays of int64 as there are texts, which have one base.

    Raises:
        ValueError: If a character is none of the alphabet's, or a text ends within a number.

    Example:
        >>> [counts.tolist() for counts in decode_counts([b"231", b"5T33`M"])]
        [[2, 3, 1], [5, 100, 3, 20]]
    """
    if not texts:
        return []
    # Unsigned, so that what lies before the alphabet lies behind it.
    codes = np.frombuffer(b"".join(texts), np.uint8) - np.uint8(_FIRST)
    if min(map(len, texts)) == 0 or codes.max() >= 2 * _MORE:
        raise ValueError("an RLE's counts have a character that is none of the alphabet's")
    ends = np.flatnonzero(codes < _MORE)
    lengths = np.diff(ends, prepend=-1)
    stops = np.cumsum([*map(len, texts)])
    if (codes[stops - 1] >= _MORE).any() or lengths.max() > _MAX_CHARACTERS:
        raise ValueError("an RLE's counts end within a number or hold one beyond any image")
    values = codes & _VALUE
    # The last character's highest bit counts less than nothing: two's complement.
    numbers = (values ^ _SIGN)[ends].astype(np.int64) - _SIGN
    for place in range(1, int(lengths.max())):
        longer = np.flatnonzero(lengths > place)
        numbers[longer] = (numbers[longer] << _BITS) + values[ends[longer] - place]
    bounds = np.searchsorted(ends, stops)
    _add_up(numbers, np.concatenate(([0], bounds[:-1])))
    return np.split(numbers, bounds[:-1])


def _add_up(numbers: Numbers, starts: npt.NDArray[np.intp]) -> None:
    """Have each number but the first of a text stand for itself and those two, four... before."""
    first = numbers[starts]
    numbers[starts] = 0
    for parity in (0, 1):
        sums = np.cumsum(numbers[parity::2])
        # Less what came from the texts before.
        begin = (starts - parity + 1) // 2
        before = np.concatenate(([0], sums))[begin]
        numbers[parity::2] = sums - np.repeat(before, np.diff(begin, append=sums.size))
    numbers[starts] = first


def encode_counts(runs: Sequence[Numbers]) -> list[str]:
    """Pack counts as COCO does; the inverse of `decode_counts`.

    Args:
        runs: Arrays of at least one number each. Not modified.

    Example:
        >>> encode_counts([np.array([5, 100, 3, 20]), np.array([2, 3, 1])])
        ['5T33`M', '231']
    """
    if not runs:
        return []
    counts = np.concatenate(runs)
    sizes = np.array([each.size for each in runs])
    bounds = np.cumsum(sizes)
    numbers = counts.copy()
    numbers[2:] -= counts[:-2]
    for nth in range(3):
        whole = (bounds - sizes)[sizes > nth] + nth
        numbers[whole] = counts[whole]
    lengths = _lengths(numbers)
    ends = np.cumsum(lengths)
    place = ends - lengths
    codes = np.empty(ends[-1], np.uint8)
    codes[place] = (numbers & _VALUE) + (lengths > 1) * _MORE + _FIRST
    longer = np.flatnonzero(lengths > 1)
    while longer.size:
        numbers[longer] >>= _BITS
        place[longer] += 1
        more = place[longer] < ends[longer] - 1
        codes[place[longer]] = (numbers[longer] & _VALUE) + more * _MORE + _FIRST
        longer = longer[more]
    text = codes.tobytes().decode()
    stops = ends[bounds - 1].tolist()
    return [text[start:stop] for start, stop in pairwise([0, *stops])]


def _lengths(numbers: Numbers) -> npt.NDArray[np.intp]:
    """How many characters each takes: the last one has four bits and the sign."""
    magnitude = numbers ^ (numbers >> 63)
    lengths = np.ones(numbers.size, np.intp)
    bits = _BITS - 1
    longer = np.flatnonzero(magnitude >> bits)
    while longer.size:
        lengths[longer] += 1
        bits += _BITS
        longer = longer[magnitude[longer] >> bits > 0]
    return lengths
