"""`streamcrop.core.colors`: luma and colour differences to blue, green and red, and to JFIF."""

import numpy as np
import pytest

from streamcrop.core.colors import LUMA_WEIGHTS, STEPS, to_bgr, to_jfif

everywhere = pytest.mark.parametrize("matrix", LUMA_WEIGHTS)
any_range = pytest.mark.parametrize("full_range", [True, False])


def exact(matrix: str, y: float, u: float, v: float, *, full_range: bool) -> list[float]:
    """Blue, green and red by the equations of H.273, 8.3."""
    red, blue = LUMA_WEIGHTS[matrix]
    luma = y / 255 if full_range else (y - 16) / 219
    to_blue, to_red = ((each - 128) / (255 if full_range else 224) for each in (u, v))
    r, b = luma + 2 * (1 - red) * to_red, luma + 2 * (1 - blue) * to_blue
    return [255 * b, 255 * (luma - red * r - blue * b) / (1 - red - blue), 255 * r]


@everywhere
@any_range
def test_the_tables_are_those_of_the_equations(matrix: str, *, full_range: bool) -> None:
    """Within a hundredth of a level for each table that is added."""
    tables = to_bgr(matrix, full_range=full_range)
    for y, u, v in ((16, 128, 128), (235, 128, 128), (81, 90, 240), (145, 54, 34), (41, 240, 110)):
        luma = tables["y"][y] / STEPS
        found = [
            luma + tables["u_blue"][u] / STEPS,
            luma + tables["u_green"][u] / STEPS + tables["v_green"][v] / STEPS,
            luma + tables["v_red"][v] / STEPS,
        ]
        expected = exact(matrix, y, u, v, full_range=full_range)
        assert found == pytest.approx(expected, abs=0.03)


@everywhere
@any_range
def test_jfif_has_the_same_colours(matrix: str, *, full_range: bool) -> None:
    """What is mapped has, as BT.601 in full range, the blue, green and red that it had."""
    rows = to_jfif(matrix, full_range=full_range)
    for place in ((16, 128, 128), (200, 100, 150), (81, 90, 240)):
        mapped = place if rows is None else np.array(rows) @ [*place, 1]
        expected = exact(matrix, *place, full_range=full_range)
        assert exact("bt601", *mapped, full_range=True) == pytest.approx(expected, abs=1e-6)


def test_jfif_itself_is_not_mapped() -> None:
    """It is BT.601 in full range."""
    assert to_jfif("bt601", full_range=True) is None
