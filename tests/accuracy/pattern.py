"""A picture that carries its number: 32 bits and their CRC-16, as 6 x 8 black and white cells.

The cells survive H.264, scaling and cropping. What is smeared, or mixed of two pictures, fails the
CRC and reads as None rather than as another number. Needs no library, because the server runs in
the system's own Python.
"""

from binascii import crc_hqx
from typing import Any

ROWS, COLUMNS = 6, 8
_CELLS_A_WIDTH = 40
_MARGIN = 2
_BLACK, _WHITE, _GREY = 25, 230, 128
# A cell that is neither dark nor bright is smeared.
_DARK, _BRIGHT = 80, 175
_WAVE = bytes(90 + min(x, 63 - x) * 2 for x in range(64))


def box(width: int) -> tuple[int, int, int, int]:
    """Where the cells are in a picture of this width: left, top, right, bottom."""
    cell = width // _CELLS_A_WIDTH
    near = _MARGIN * cell
    return near, near, near + COLUMNS * cell, near + ROWS * cell


def draw(number: int, width: int, height: int) -> bytes:
    """An I420 picture with its number, before waves that move from picture to picture."""
    data = number.to_bytes(4, "big")
    # Begun at 0xFFFF, for a black picture is no number 0.
    bits = int.from_bytes(data + crc_hqx(data, 0xFFFF).to_bytes(2, "big"), "big")
    start = number % 64
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
    rows.append(wave * (height - bottom))
    return b"".join(rows) + bytes([_GREY]) * (width * height // 2)


def read(cells: Any) -> int | None:
    """The number in an array, grey or colour, that holds the cells and nothing else.

    Returns:
        None if the cells are unreadable.
    """
    height, width = cells.shape[:2]
    ys = [int((row + at) * height / ROWS) for row in range(ROWS) for at in (0.4, 0.6)]
    xs = [int((column + at) * width / COLUMNS) for column in range(COLUMNS) for at in (0.4, 0.6)]
    means = cells[ys][:, xs].reshape(ROWS, 2, COLUMNS, -1).mean(axis=(1, 3)).ravel()
    if ((means > _DARK) & (means < _BRIGHT)).any():
        return None
    bits = sum(1 << at for at, mean in enumerate(means) if mean > _BRIGHT)
    data = bits.to_bytes(6, "big")
    return int.from_bytes(data[:4], "big") if crc_hqx(data, 0xFFFF) == 0 else None


def read_picture(picture: Any) -> int | None:
    """The number in an array that holds a whole picture."""
    left, top, right, bottom = box(picture.shape[1])
    return read(picture[top:bottom, left:right])
