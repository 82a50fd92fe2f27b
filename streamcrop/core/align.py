"""Maps that bring points to their places: a similarity from two or more, a perspective from four.

A map is ``(3, 3)`` float64 and takes ``(x, y, 1)`` of the image to the crop. Coordinates are
continuous: pixel (0, 0) covers [0, 1) x [0, 1).
"""

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Points = npt.NDArray[np.float64]

# The usual five points of an aligned face of 112 x 112 pixels, as they are published (ArcFace): in
# pixel indices, whose centre is half a pixel further.
_PUBLISHED = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
FACE_SIDE = 112
FACE_NAMES = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
FACE: Points = np.array(_PUBLISHED) + 0.5
# The same places by the names that others give them, in letters alone.
_SYNONYMS = {
    "eyeleft": "left_eye",
    "leye": "left_eye",
    "eyeright": "right_eye",
    "reye": "right_eye",
    "nosetip": "nose",
    "mouthleft": "left_mouth",
    "leftmouthcorner": "left_mouth",
    "mouthleftcorner": "left_mouth",
    "leftcornerofthemouth": "left_mouth",
    "mouthright": "right_mouth",
    "rightmouthcorner": "right_mouth",
    "mouthrightcorner": "right_mouth",
    "rightcornerofthemouth": "right_mouth",
} | {name.replace("_", ""): name for name in FACE_NAMES}
# How near to the horizon of a perspective a point may be, of 1 at the middle of what it shows.
HORIZON = 1e-6
# Below this part of the farther point's distance, points are one on another, or on one line.
_FLAT = 1e-3
# A fit is mirrored where one with a reflection is better by half.
_MIRRORED = 0.5


def face_name(name: str) -> str | None:
    """Which of `FACE_NAMES` a name means, or None.

    Example:
        >>> face_name("Left Eye"), face_name("mouth-right"), face_name("left_ear")
        ('left_eye', 'right_mouth', None)
    """
    return _SYNONYMS.get("".join(letter for letter in name.lower() if letter.isalpha()))


def similarity(points: Points, places: Points) -> Matrix | None:
    """The scale, turn and shift that bring points nearest to their places, by least squares.

    Args:
        points: ``(k, 2)``, two or more.
        places: ``(k, 2)``, where they are to lie; not all in one place.

    Returns:
        The map; None where the points are one on another, or mirrored: a fit with a reflection
        leaves less than half of the distance.

    Example:
        >>> found = similarity(np.array([[10.0, 10], [10, 30]]), np.array([[0.0, 0], [10, 0]]))
        >>> moved(found, np.array([[10.0, 20.0]])).round(9).tolist()
        [[5.0, 0.0]]
    """
    plain, left = _fit(points, places)
    _, mirrored = _fit(points * (-1, 1), places)
    spread = np.abs(points - points.mean(0)).max()
    tolerance = _FLAT * np.abs(places - places.mean(0)).max()
    is_mirrored = mirrored < _MIRRORED * left and left > tolerance
    return None if spread < _FLAT or is_mirrored else plain


def _fit(points: Points, places: Points) -> tuple[Matrix, float]:
    """The best similarity without a reflection, and the distance that it leaves (root mean square).

    With points as complex numbers it is one factor (Horn 1987, in the plane).
    """
    source, target = (each[:, 0] + 1j * each[:, 1] for each in (points, places))
    around, about = source - source.mean(), target - target.mean()
    spread = float((np.abs(around) ** 2).sum())
    factor = complex((about * around.conj()).sum()) / spread if spread > 0 else 0j
    shift = complex(target.mean()) - factor * complex(source.mean())
    rows = [
        [factor.real, -factor.imag, shift.real],
        [factor.imag, factor.real, shift.imag],
        [0.0, 0.0, 1.0],
    ]
    left = np.abs(about - factor * around) ** 2
    return np.array(rows), float(np.sqrt(left.mean()))


def perspective(corners: Points, size: tuple[float, float]) -> Matrix | None:
    """The map that brings four corners to those of a picture.

    Args:
        corners: ``(4, 2)``: top left, top right, bottom right, bottom left.
        size: ``(width, height)`` of the picture.

    Returns:
        The map; None where the corners are no quadrilateral that could be seen: flat, not convex,
        crossed or mirrored.

    Example:
        >>> found = perspective(np.array([[2.0, 2], [6, 2], [6, 4], [2, 4]]), (40, 20))
        >>> moved(found, np.array([[4.0, 3.0]])).round(9).tolist()
        [[20.0, 10.0]]
    """
    sides = np.roll(corners, -1, 0) - corners
    turns = sides[:, 0] * np.roll(sides[:, 1], -1) - sides[:, 1] * np.roll(sides[:, 0], -1)
    # Clockwise as seen, and at no corner a part of a line.
    if turns.min() <= _FLAT * float((sides**2).sum(1).max()):
        return None
    width, height = size
    places = np.array([[0.0, 0], [width, 0], [width, height], [0, height]])
    # Around their middle, so that coordinates far from 0 lose nothing.
    middle = corners.mean(0)
    rows, values = [], []
    for (x, y), (to_x, to_y) in zip(corners - middle, places, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -to_x * x, -to_x * y], [0, 0, 0, x, y, 1, -to_y * x, -to_y * y]]
        values += [to_x, to_y]
    found = np.append(np.linalg.solve(np.array(rows), np.array(values)), 1).reshape(3, 3)
    shifted: Matrix = found @ np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, 1]])
    return shifted


def moved(matrix: Matrix, points: Points) -> Points:
    """Points through a map.

    Args:
        matrix: ``(3, 3)``.
        points: ``(..., 2)``. One at the horizon of a perspective, or beyond it, goes far away.
    """
    lifted = points @ matrix[:, :2].T + matrix[:, 2]
    found: Points = lifted[..., :2] / np.maximum(lifted[..., 2:], HORIZON)
    return found
