"""The contact sheet: a selection of crops on one page."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from streamcrop.core.background import parse_color
from streamcrop.demo.gatherer import Gathered

_WIDTH = 1400
_ROW = 210
_GAP = 14
_CAPTION = 22
_STRETCHES = 18
# A crop this much smaller than its neighbour says little beside it.
_SMALLEST = 6
# A small crop blown up shows its pixels.
_LARGEST_SCALE = 1.3
_QUALITY = 80
_TEXT = (200, 194, 188)


def contact_sheet(crops: Sequence[Gathered], path: Path, background: str) -> bool:
    """Lay out the largest crops of the run, in the order of time.

    Args:
        crops: All crops that were gathered.
        path: Of the JPEG to write.
        background: The page's colour, as `parse_color` reads it.

    Returns:
        Whether there was anything to lay out.
    """
    chosen = _choose(crops)
    if not chosen:
        return False
    red, green, blue = parse_color(background)
    rows = _rows([(_fit(crop), _caption(crop)) for crop in chosen])
    title = f"streamcrop  {len(crops)} crops, background removed"
    page_height = _GAP * 3 + _CAPTION + len(rows) * (_ROW + _CAPTION + _GAP)
    page = np.full((page_height, _WIDTH, 3), (blue, green, red), np.uint8)
    _write(page, title, (_GAP, _GAP + _CAPTION - 6), 0.6)
    top = 2 * _GAP + _CAPTION
    for row in rows:
        spare = _WIDTH - 2 * _GAP - sum(image.shape[1] for image, _ in row)
        gap = min(spare / max(1, len(row) - 1), 4.0 * _GAP)
        left = float(_GAP)
        for image, caption in row:
            height, width = image.shape[:2]
            at = round(left)
            page[top + _ROW - height : top + _ROW, at : at + width] = image
            _write(page, caption, (at, top + _ROW + _CAPTION - 6), 0.4)
            left += width + gap
        top += _ROW + _CAPTION + _GAP
    return bool(cv2.imwrite(str(path), page, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]))


def _choose(crops: Sequence[Gathered]) -> list[Gathered]:
    """The two largest crops of the fullest frame of each of so many stretches of the run."""
    frames: dict[str, list[Gathered]] = {}
    for crop in crops:
        frames.setdefault(crop.metadata["frame_id"], []).append(crop)
    best = [sorted(frame, key=_area)[-2:] for frame in frames.values()]
    chosen: list[Gathered] = []
    for at in range(_STRETCHES):
        stretch = best[at * len(best) // _STRETCHES : (at + 1) * len(best) // _STRETCHES]
        if stretch:
            fullest = max(stretch, key=lambda frame: sum(map(_area, frame)))
            largest = _area(fullest[-1])
            chosen += [crop for crop in fullest if _area(crop) > largest / _SMALLEST]
    return chosen


def _area(crop: Gathered) -> float:
    """The object's pixels: what is large and mostly background is no good picture."""
    image = crop.metadata["image"]
    [prediction] = crop.metadata["predictions"]
    return float(image["width"] * image["height"] * prediction.get("confidence", 1) ** 2)


def _caption(crop: Gathered) -> str:
    image = crop.metadata["image"]
    return f"frame {crop.metadata['frame_id']}  {image['width']}x{image['height']}"


def _fit(crop: Gathered) -> npt.NDArray[np.uint8]:
    image = np.asarray(cv2.imdecode(np.frombuffer(crop.data, np.uint8), cv2.IMREAD_COLOR))
    height, width = image.shape[:2]
    scale = min(_ROW / height, 1.6 * _ROW / width, _LARGEST_SCALE)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)


def _rows(
    cells: list[tuple[npt.NDArray[np.uint8], str]],
) -> list[list[tuple[npt.NDArray[np.uint8], str]]]:
    """Break the cells into rows that fit the page; a caption needs room, too."""
    rows: list[list[tuple[npt.NDArray[np.uint8], str]]] = [[]]
    left = 0
    for image, caption in cells:
        width = max(image.shape[1], 7 * len(caption))
        if rows[-1] and left + width > _WIDTH - 2 * _GAP:
            rows.append([])
            left = 0
        padded = cv2.copyMakeBorder(
            image, 0, 0, 0, width - image.shape[1], cv2.BORDER_CONSTANT, value=_page(image)
        )
        rows[-1].append((np.asarray(padded, np.uint8), caption))
        left += width + _GAP
    # A last row that is nearly empty looks like something is missing.
    return rows[:-1] if len(rows) > 1 and left < _WIDTH / 2 else rows


def _page(image: npt.NDArray[np.uint8]) -> tuple[int, int, int]:
    """The colour that the padding of a crop has: that of its removed background."""
    blue, green, red = (int(value) for value in np.median(image[0], axis=0))
    return blue, green, red


def _write(page: npt.NDArray[np.uint8], text: str, at: tuple[int, int], scale: float) -> None:
    cv2.putText(page, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, _TEXT, 1, cv2.LINE_AA)
