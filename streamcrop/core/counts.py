"""COCO's text of run lengths (pycocotools, ``rleToString`` and ``rleFrString``)."""

from typing import Any

import numpy as np
import numpy.typing as npt

# The characters behind which a number goes on.
_MORE_FOLLOWS = bytes(range(48 + 0x20, 48 + 0x40))


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


def decode_counts(text: bytes) -> npt.NDArray[np.int64]:
    """Unpack COCO's compressed counts.

    Five bits a character, lowest first, 0x20 for "more follows", the sign in the last one's 0x10;
    from the fourth number on the difference to the one two before (pycocotools, ``rleFrString``).

    Raises:
        ValueError: If a character is none of the alphabet's, or the text ends within a number.
    """
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if codes.size == 0 or codes.min() < 0 or codes.max() >= 64:  # six bits
        raise ValueError("an RLE's counts have a character that is none of the alphabet's")
    last = (codes & 0x20) == 0
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    # 7 x 5 bits hold any run of an image that `parse` accepts.
    if not last[-1] or lengths.max() > 7:
        raise ValueError("an RLE's counts end within a number or hold one beyond any image")
    shifts = 5 * (np.arange(codes.size) - np.repeat(starts, lengths))
    numbers = np.add.reduceat((codes & 0x1F) << shifts, starts)
    negative = (codes[ends] & 0x10).astype(bool)
    numbers[negative] -= 1 << (5 * lengths[negative])
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def encode_counts(counts: npt.NDArray[np.int64]) -> str:
    """Pack counts as COCO does; the inverse of `decode_counts`.

    Example:
        >>> encode_counts(np.array([5, 100, 3, 20]))
        '5T33`M'
    """
    numbers = counts.astype(np.int64)
    numbers[3:] -= counts[1:-2]
    magnitude = np.where(numbers < 0, ~numbers, numbers)
    lengths = np.ones(numbers.size, np.int64)
    for bits in range(4, 64, 5):
        longer = magnitude >> bits > 0
        if not longer.any():
            break
        lengths += longer
    starts = np.cumsum(lengths) - lengths
    place = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    codes = (np.repeat(numbers, lengths) >> (5 * place)) & 0x1F
    codes[place < np.repeat(lengths, lengths) - 1] |= 0x20
    return bytes((codes + 48).astype(np.uint8)).decode()
