"""A picture that carries its number: 32 bits and their CRC-16, as 6 x 8 black and white cells.

The cells survive H.264, scaling and cropping. What is smeared, or mixed of two pictures, fails the
CRC and reads as None rather than as another number. Needs no library, because the server runs in
the system's own Python.
"""

from binascii import crc_hqx
from collections.abc import Sequence
from itertools import product
from math import sin
from typing import Any

ROWS, COLUMNS = 6, 8
# Each run of the camera begins to count at a multiple of it.
EPOCH = 10_000_000
_CELLS_A_WIDTH = 40
_MARGIN = 2
_BLACK, _WHITE, _GREY = 25, 230, 128
# A cell that is neither dark nor bright is smeared.
_DARK, _BRIGHT = 80, 175
_WAVE = bytes(90 + min(x, 63 - x) * 2 for x in range(64))


def counted(number: int, names: int) -> str:
    """A name that comes again: one of so many in turn, which begin anew with each run."""
    return str(number % EPOCH % names)


def box(width: int) -> tuple[int, int, int, int]:
    """Where the cells are in a picture of this width: left, top, right, bottom."""
    cell = width // _CELLS_A_WIDTH
    near = _MARGIN * cell
    return near, near, near + COLUMNS * cell, near + ROWS * cell


def _walker(number: int, width: int) -> tuple[int, int]:
    """Where somebody is who walks to and fro and never repeats himself: left, right."""
    place = 0.5 + 0.25 * sin(number / 23) + 0.15 * sin(number / 7.3)
    return int(width * (place - 0.04)), int(width * (place + 0.04))


def draw(number: int, width: int, height: int, *, walker: bool = False) -> bytes:
    """An I420 picture with its number, before waves that move from picture to picture.

    Args:
        number: Less than 2**32.
        width: In pixels, a multiple of 160.
        height: In pixels.
        walker: The waves stand still, and somebody walks through the picture.
    """
    data = number.to_bytes(4, "big")
    # Begun at 0xFFFF, for a black picture is no number 0.
    bits = int.from_bytes(data + crc_hqx(data, 0xFFFF).to_bytes(2, "big"), "big")
    start = 0 if walker else number % 64
    wave = (_WAVE * (width // 64 + 2))[start : start + width]
    left, top, right, bottom = box(width)
    cell = width // _CELLS_A_WIDTH
    rows = [wave * top]
    for row in range(ROWS):
        cells = b"".join(
            bytes([_WHITE if bits >> (row * COLUMNS + column) & 1 else _BLACK]) * cell
            for column in range(COLUMNS)
        )
        rows.append((wave[:left] + cells + wave[right:]) * cell)
    behind, below = wave, height - bottom
    if walker:
        left, right = _walker(number, width)
        behind = wave[:left] + bytes([_WHITE]) * (right - left) + wave[right:]
    rows.append(behind * below)
    return b"".join(rows) + bytes([_GREY]) * (width * height // 2)


def _number(means: Sequence[float]) -> int | None:
    """The number that cells of this brightness say; None if one is smeared or the CRC is wrong."""
    if any(_DARK < mean < _BRIGHT for mean in means):
        return None
    bits = 0
    for at, mean in enumerate(means):
        bits |= (mean > _BRIGHT) << at
    data = bits.to_bytes(6, "big")
    return int.from_bytes(data[:4], "big") if crc_hqx(data, 0xFFFF) == 0 else None


def _places(count: int, size: int) -> list[int]:
    """Two in the middle of each of so many cells that fill a size."""
    return [int((cell + at) * size / count) for cell in range(count) for at in (0.4, 0.6)]


def read(cells: Any) -> int | None:
    """The number in an array, grey or colour, that holds the cells and nothing else.

    Returns:
        None if the cells are unreadable.
    """
    height, width = cells.shape[:2]
    seen = cells[_places(ROWS, height)][:, _places(COLUMNS, width)]
    return _number(seen.reshape(ROWS, 2, COLUMNS, -1).mean(axis=(1, 3)).ravel().tolist())


def read_picture(picture: Any) -> int | None:
    """The number in an array that holds a whole picture."""
    left, top, right, bottom = box(picture.shape[1])
    return read(picture[top:bottom, left:right])


def read_plane(plane: Any, stride: int, width: int) -> int | None:
    """The number in the bytes of a whole picture's luma, ``stride`` of them a row."""
    left, top, right, bottom = box(width)
    ys, xs = _places(ROWS, bottom - top), _places(COLUMNS, right - left)
    means = []
    for row in range(0, len(ys), 2):
        for column in range(0, len(xs), 2):
            places = product(ys[row : row + 2], xs[column : column + 2])
            means.append(sum(plane[(top + y) * stride + left + x] for y, x in places) / 4)
    return _number(means)
