"""Luma and colour differences to blue, green and red, and to those of JFIF (ITU-T H.273, 8.3)."""

from functools import cache

import numpy as np
import numpy.typing as npt

# The weights of red and blue in luma, by the name of the matrix (ITU-T H.273, table 4).
LUMA_WEIGHTS = {
    "bt709": (0.2126, 0.0722),
    "fcc": (0.30, 0.11),
    "bt601": (0.299, 0.114),
    "smpte240m": (0.212, 0.087),
    "bt2020": (0.2627, 0.0593),
}
# Table entries are kept in 1/64: the largest, 278, still fits int16, and the error of a sum of
# three is below 0.03 of a level.
STEPS = 64


def _factors(matrix: str, *, full_range: bool) -> npt.NDArray[np.float64]:
    """Luma above black and both colour differences to blue, green and red (H.273, 8.3)."""
    red, blue = LUMA_WEIGHTS[matrix]
    green = 1 - red - blue
    luma, chroma = (1.0, 1.0) if full_range else (255 / 219, 255 / 224)
    to_blue, to_red = 2 * (1 - blue) * chroma, 2 * (1 - red) * chroma
    return np.array(
        [
            [luma, to_blue, 0],
            [luma, -blue / green * to_blue, -red / green * to_red],
            [luma, 0, to_red],
        ]
    )


@cache
def to_bgr(matrix: str, *, full_range: bool) -> dict[str, npt.NDArray[np.int16]]:
    """The parts that each sample value adds to blue, green and red, in 1/64 of a level.

    Args:
        matrix: A key of `LUMA_WEIGHTS`.
        full_range: Whether luma runs over 0..255 rather than 16..235.

    Returns:
        ``(256,)`` each, by ``y``, ``u_blue``, ``u_green``, ``v_green`` and ``v_red``.

    Example:
        >>> to_bgr("bt601", full_range=True)["y"][:3].tolist()
        [0, 64, 128]
    """
    blue, green, red = _factors(matrix, full_range=full_range).tolist()
    factors = {"u_blue": blue[1], "u_green": green[1], "v_green": green[2], "v_red": red[2]}
    value = np.arange(256)
    parts = {name: factor * (value - 128) for name, factor in factors.items()}
    parts["y"] = blue[0] * (value - (0 if full_range else 16))
    return {name: np.rint(part * STEPS).astype(np.int16) for name, part in parts.items()}


@cache
def to_jfif(matrix: str, *, full_range: bool) -> list[list[float]] | None:
    """For JFIF's luma, blue and red difference: factors of ``y``, ``u``, ``v``, and an offset.

    None where they are the same.

    Example:
        >>> [round(factor, 3) + 0 for factor in to_jfif("bt601", full_range=False)[0]]
        [1.164, 0.0, 0.0, -18.63]
    """
    if (matrix, full_range) == ("bt601", True):
        return None
    jfif = _factors("bt601", full_range=True)
    factors = np.linalg.solve(jfif, _factors(matrix, full_range=full_range)).round(12)
    black = np.array([0 if full_range else 16, 128, 128])
    offsets = np.array([0, 128, 128]) - factors @ black
    rows: list[list[float]] = np.column_stack([factors, offsets]).tolist()
    return rows
