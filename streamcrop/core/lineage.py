"""The chain of images that a crop comes from, and the way back to the root."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# What rounding leaves of a whole number.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class LineageEntry:
    """One image of a chain of crops.

    Attributes:
        id: ``image`` for a root without a name of its own, else a frame's or a detection's ID.
        origin: The top-left pixel ``(x, y)`` in the entry before; None for the root.
        width: In pixels.
        height: In pixels.
        transform: The rows of the map from the entry before, where it is no translation by
            ``origin``: two, or three with perspective.
    """

    id: str
    origin: tuple[int, int] | None
    width: int
    height: int
    transform: tuple[tuple[float, ...], ...] | None = None


class Lineage(tuple[LineageEntry, ...]):
    """The chain of images from the root to a crop: root first, crop last.

    Example:
        >>> root = LineageEntry("image", None, 640, 480)
        >>> lineage = Lineage([root, LineageEntry("car", (100, 50), 200, 100)])
        >>> lineage.origin
        (100, 50)
        >>> lineage.transform.tolist()
        [[1.0, 0.0, -100.0], [0.0, 1.0, -50.0]]
    """

    __slots__ = ()

    @property
    def origin(self) -> tuple[int, int]:
        """The last image's top-left pixel in the root, ``(x, y)``; of a turned one its hull's."""
        if any(entry.transform is not None for entry in self):
            left, top = self._corners().min(0).tolist()
            return math.floor(left + _ROUNDING), math.floor(top + _ROUNDING)
        steps = [entry.origin for entry in self if entry.origin is not None]
        return sum(x for x, _ in steps), sum(y for _, y in steps)

    @property
    def transform(self) -> npt.NDArray[np.float64]:
        """The map root → last image: ``(2, 3)``, or ``(3, 3)`` with perspective."""
        if all(entry.transform is None for entry in self):
            return translation(self.origin)
        matrix = self._matrix()
        return matrix if np.any(matrix[2, :2]) else matrix[:2] / matrix[2, 2]

    def _matrix(self) -> npt.NDArray[np.float64]:
        matrix = np.eye(3)
        for entry in self:
            step = np.eye(3)
            if entry.transform is not None:
                step[: len(entry.transform)] = entry.transform
            elif entry.origin is not None:
                step[:2] = translation(entry.origin)
            matrix = step @ matrix
        return matrix

    def _corners(self) -> npt.NDArray[np.float64]:
        """The last image's corners in the root."""
        width, height = self[-1].width, self[-1].height
        corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]])
        found = corners @ np.linalg.inv(self._matrix()).T
        back: npt.NDArray[np.float64] = found[:, :2] / found[:, 2:]
        return back


_STAY: npt.NDArray[np.float64] = np.eye(2, 3)


def translation(origin: tuple[int, int]) -> npt.NDArray[np.float64]:
    """The ``(2, 3)`` affine map from an image to a crop of it that begins at ``origin``."""
    # Half of what a matrix from nested lists takes.
    moved = _STAY.copy()
    moved[0, 2], moved[1, 2] = -origin[0], -origin[1]
    return moved
