"""From options and an object's geometry to the view of its crop."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from streamcrop.core.align import Points, face_name, perspective, similarity
from streamcrop.core.shape import Align, Shape
from streamcrop.core.values import Reason
from streamcrop.core.view import Keypoints, View, lengths

# Of a box that has grown beyond the image, and of a crop: a picture of 8K.
MAX_PIXELS = 1 << 25
# Of a JPEG.
MAX_SIDE = 65_500
# Farther than any image reaches, and near enough for whole numbers.
_FAR = 1e9
# Below it a side, in pixels, is none.
_NO_SIDE = 1e-3
# Turns below it, in radians, move no pixel of any image by a hundredth.
_NO_TURN = 1e-6


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of objects that a shape needs beyond their boxes; empty where none has them.

    Attributes:
        corners: Of each the corners of its oriented box, ``(4, 2)``, or None.
        keypoints: Of each its joints, or None.
    """

    corners: Sequence[Points | None] = ()
    keypoints: Sequence[Keypoints | None] = ()


NO_PARTS = Parts()


def views_of(
    shape: Shape, xyxy: npt.NDArray[Any], resolution_wh: tuple[int, int], parts: Parts = NO_PARTS
) -> tuple[list[View | None], dict[int, Reason]]:
    """The views of ``n`` objects, and the reason of each that has none; see `view_of`."""
    views: list[View | None] = []
    refused: dict[int, Reason] = {}
    pairs = zip_longest(xyxy, parts.corners, parts.keypoints)
    for row, (box, corners, keypoints) in enumerate(pairs):
        found = view_of(shape, box, resolution_wh, corners, keypoints)
        views.append(found if isinstance(found, View) else None)
        if not isinstance(found, View):
            refused[row] = found
    return views, refused


def view_of(
    shape: Shape,
    xyxy: npt.NDArray[Any],
    resolution_wh: tuple[int, int],
    corners: Points | None = None,
    keypoints: Keypoints | None = None,
) -> View | Reason:
    """The view of one object, or why it has none.

    Args:
        shape: How crops are shaped.
        xyxy: ``(4,)``, the object's box in pixels of the image.
        resolution_wh: ``(width, height)`` of the image.
        corners: ``(4, 2)``, those of its oriented box, or None.
        keypoints: Its joints, or None.

    Returns:
        The view, or `not_finite`; `outside_frame` where no pixel of the image is in it; `no_shape`
        where what the shape needs is missing, collapsed, mirrored or beyond `MAX_PIXELS`.

    Example:
        >>> wide = Shape(margin=((0.5, False),) * 4, size=(64, 64))
        >>> view = view_of(wide, np.array([10.0, 20, 30, 40]), (200, 100))
        >>> view.box, view.transform.tolist()
        ((0, 10, 40, 50), [[1.6, 0.0, 0.0], [0.0, 1.6, -16.0]])
    """
    if not np.isfinite(xyxy).all():
        return Reason.NOT_FINITE
    if shape.align is not None:
        view = _aligned(shape.align, shape, keypoints)
    elif shape.upright is not None and corners is not None:
        view = _upright(shape, corners, resolution_wh)
    else:
        return _straight(shape, xyxy, resolution_wh)
    if isinstance(view, Reason) or view.box is not None:
        return view
    if not _is_picture(view.size) or view.shrinks() > min(resolution_wh):
        # Or the image would be less than a pixel of it.
        return Reason.NO_SHAPE
    return view if _is_seen(view, resolution_wh) else Reason.OUTSIDE_FRAME


def _straight(
    shape: Shape, xyxy: npt.NDArray[Any], resolution_wh: tuple[int, int]
) -> View | Reason:
    sides = [float(side) for side in xyxy]
    width, height = sides[2] - sides[0], sides[3] - sides[1]
    if width < 0 or height < 0:
        return Reason.OUTSIDE_FRAME
    left, top, right, bottom = shape.growth(width, height)
    grown = sides[0] - left, sides[1] - top, sides[2] + right, sides[3] + bottom
    # Not an integer of any length, as a box may lie at 1e300.
    whole = np.rint(np.clip(grown, -_FAR, _FAR)).astype(int)
    most = np.array(resolution_wh * 2)
    clipped = np.clip(whole, 0, most)
    if (clipped[:2] >= clipped[2:]).any():
        return Reason.OUTSIDE_FRAME
    x_min, y_min, x_max, y_max = (clipped if shape.border == "clip" else whole).tolist()
    box = (x_min, y_min, x_max, y_max)
    wide, high = size = lengths(box)
    if shape.border != "clip" and not _is_picture(size):
        return Reason.NO_SHAPE
    content, size = (0, 0, wide, high), shape.size or size
    if shape.size is not None:
        content = shape.placed(wide, high)
    scale_x, scale_y = (content[2] - content[0]) / wide, (content[3] - content[1]) / high
    matrix = np.array(
        [
            [scale_x, 0, content[0] - scale_x * x_min],
            [0, scale_y, content[1] - scale_y * y_min],
            [0, 0, 1],
        ]
    )
    return View(matrix, size, content, _outside(shape), box)


def _upright(shape: Shape, corners: Points, resolution_wh: tuple[int, int]) -> View | Reason:
    """The view of an oriented box, its sides parallel to the picture's."""
    if not np.isfinite(corners).all() or (found := _turn(shape.upright or "", corners)) is None:
        return Reason.NO_SHAPE
    angle, width, height = found
    if abs(angle) < _NO_TURN:
        return _straight(shape, np.concatenate((corners.min(0), corners.max(0))), resolution_wh)
    right = np.array([np.cos(angle), np.sin(angle)])
    down = np.array([-right[1], right[0]])
    grown = shape.growth(width, height)
    middle = corners.mean(0) + right * (grown[2] - grown[0]) / 2 + down * (grown[3] - grown[1]) / 2
    width, height = width + grown[0] + grown[2], height + grown[1] + grown[3]
    if max(width, height) > MAX_PIXELS:
        return Reason.NO_SHAPE
    if shape.size is None:
        size = max(1, round(width)), max(1, round(height))
        content, scale_x, scale_y = (0, 0, *size), 1.0, 1.0
    else:
        size, content = shape.size, shape.placed(width, height)
        scale_x, scale_y = (content[2] - content[0]) / width, (content[3] - content[1]) / height
    turn = np.stack((right * scale_x, down * scale_y))
    centre = np.array([content[0] + content[2], content[1] + content[3]]) / 2
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = turn, centre - turn @ middle
    return View(matrix, size, content, _outside(shape))


def _turn(way: str, corners: Points) -> tuple[float, float, float] | None:
    """``(angle, width, height)`` of an oriented box, clockwise as seen; None where it is none."""
    along = corners[1] - corners[0] + corners[2] - corners[3]
    across = corners[3] - corners[0] + corners[2] - corners[1]
    width, height = float(np.hypot(*along)) / 2, float(np.hypot(*across)) / 2
    turns = float(along[0] * across[1] - along[1] * across[0])
    if min(width, height) < _NO_SIDE or abs(turns) < width * height:
        return None
    angle = float(np.arctan2(along[1], along[0]))
    if way == "corners":
        # Mirrored corners would need a mirrored picture.
        return (angle, width, height) if turns > 0 else None
    quarters = round(angle / (np.pi / 2))
    lies = quarters % 2 == 0
    if way == "long":
        lies = width >= height
        quarters = (
            2 * round(angle / np.pi) if lies else 2 * round((angle / (np.pi / 2) - 1) / 2) + 1
        )
    angle -= quarters * np.pi / 2
    return (angle, width, height) if lies else (angle, height, width)


def _aligned(align: Align, shape: Shape, keypoints: Keypoints | None) -> View | Reason:
    """The view that brings keypoints to their places."""
    found = None if keypoints is None else _matched(align, keypoints)
    matrix = None
    if found is not None and align.places is None:
        matrix = perspective(found, align.size) if np.isfinite(found).all() else None
    elif found is not None and align.places is not None:
        seen = np.isfinite(found).all(axis=1)
        matrix = similarity(found[seen], align.places[seen]) if seen.sum() > 1 else None
    if matrix is None:
        return Reason.NO_SHAPE
    return View(matrix, align.size, (0, 0, *align.size), _outside(shape))


def _matched(align: Align, keypoints: Keypoints) -> Points | None:
    """The place of each of the named points, NaN for those that are not there."""
    names = keypoints.names
    if align.is_face:
        names = tuple(face_name(name) or "" for name in names)
        if not names and len(keypoints.xy) == len(align.names):
            return keypoints.xy
    rows = dict(zip(names, keypoints.xy, strict=False))
    nowhere = np.full(2, np.nan)
    return np.array([rows.get(name, nowhere) for name in align.names])


def _is_picture(size: tuple[int, int]) -> bool:
    return size[0] * size[1] <= MAX_PIXELS and max(size) <= MAX_SIDE


def _outside(shape: Shape) -> str:
    return "replicate" if shape.border == "replicate" else "constant"


def _is_seen(view: View, resolution_wh: tuple[int, int]) -> bool:
    """True if the crop shows a part of the image."""
    left, top, right, bottom = view.content
    quad = view.back(np.array([[left, top], [right, top], [right, bottom], [left, bottom]]))
    width, height = resolution_wh
    image = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    area, _ = cv2.intersectConvexConvex(quad.astype(np.float32), image)
    return area > _NO_SIDE
