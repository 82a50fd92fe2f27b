"""The contact sheet: a selection of crops on one page."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from streamcrop.core.background import parse_color
from streamcrop.formats.events import Received

_COLUMNS, _ROWS = 8, 3
_COLUMN, _ROW = 175, 246
_GAP, _CAPTION, _TITLE = 14, 24, 50
# A small crop blown up shows its pixels.
_LARGEST_SCALE = 1.3
_QUALITY = 80
_TEXT = (200, 194, 188)


def contact_sheet(crops: Sequence[Received], path: Path, background: str) -> bool:
    """Lay out the largest crop of each of so many stretches of the run.

    Args:
        crops: All crops that were gathered, in the order of time.
        path: Of the JPEG to write.
        background: The page's colour, as `parse_color` reads it.

    Returns:
        Whether there was anything to lay out.
    """
    if not crops:
        return False
    cells = min(_COLUMNS * _ROWS, len(crops))
    edges = [at * len(crops) // cells for at in range(cells + 1)]
    rows = -(-cells // _COLUMNS)
    color = parse_color(background)[::-1]
    page = np.full((_TITLE + rows * _ROW + _GAP, _COLUMNS * _COLUMN, 3), color, np.uint8)
    _write(page, f"streamcrop  {len(crops)} crops, background removed", (_GAP, 30), 0.6)
    for at in range(cells):
        crop = max(crops[edges[at] : edges[at + 1]], key=_area)
        image = _fit(crop.data)
        height, width = image.shape[:2]
        bottom = _TITLE + (at // _COLUMNS + 1) * _ROW - _CAPTION
        left = _GAP + at % _COLUMNS * _COLUMN
        page[bottom - height : bottom, left : left + width] = image
        size = "{width}x{height}".format_map(crop.metadata["image"])
        _write(page, f"frame {crop.metadata['frame_id']}  {size}", (left, bottom + 16), 0.4)
    return bool(cv2.imwrite(str(path), page, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]))


def _area(crop: Received) -> float:
    """The object's pixels: what is large and mostly background is no good picture."""
    image = crop.metadata["image"]
    [prediction] = crop.metadata["predictions"]
    return float(image["width"] * image["height"] * prediction.get("confidence", 1) ** 2)


def _fit(data: bytes) -> npt.NDArray[np.uint8]:
    image = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    height, width = image.shape[:2]
    room = (_COLUMN - _GAP) / width, (_ROW - _CAPTION - _GAP) / height
    scale = min(*room, _LARGEST_SCALE)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)


def _write(page: npt.NDArray[np.uint8], text: str, at: tuple[int, int], scale: float) -> None:
    cv2.putText(page, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, _TEXT, 1, cv2.LINE_AA)
