"""The chain of images that a crop comes from, as the messages write it."""

from itertools import pairwise
from typing import Annotated, Any

import msgspec
import numpy as np

from streamcrop.core.lineage import Lineage, LineageEntry
from streamcrop.core.runs import MAX_SIDE
from streamcrop.errors import FormatError

# Ends a node that reads its own crops, and bounds what each crop carries of it.
_MAX_LINEAGE, _MAX_LINEAGE_ID, _MAX_IDS = 32, 2048, 32_768
# A map that brings the whole of an image nearer than this to one line leads nowhere back.
_FLAT = 1e-12
_FARTHEST = 1e12


def lineage_json(lineage: Lineage) -> list[dict[str, Any]]:
    """The chain of images, root first.

    The root has no origin; an image that is no plain part of the one before has its map.
    """
    return [_entry_json(entry) for entry in lineage]


def _entry_json(entry: LineageEntry) -> dict[str, Any]:
    if entry.origin is None:
        return {"id": entry.id, "width": entry.width, "height": entry.height}
    found = {"id": entry.id, "origin": entry.origin, "width": entry.width, "height": entry.height}
    return found if entry.transform is None else {**found, "transform": entry.transform}


class _Entry(msgspec.Struct):
    """`LineageEntry` as the messages write it."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=_MAX_LINEAGE_ID)]
    width: Annotated[int, msgspec.Meta(ge=1, le=MAX_SIDE)]
    height: Annotated[int, msgspec.Meta(ge=1, le=MAX_SIDE)]
    origin: tuple[int, int] | None = None
    transform: list[tuple[float, float, float]] | None = None

    def value(self) -> LineageEntry:
        rows = None if self.transform is None else tuple(self.transform)
        return LineageEntry(self.id, self.origin, self.width, self.height, rows)

    def lies_in(self, outer: "_Entry") -> bool:
        """True if it has an origin and a way back, and, as a plain part, a pixel in common."""
        if self.origin is None:
            return False
        if self.transform is not None:
            return _leads_back(self.transform)
        x, y = self.origin
        return -self.width < x < outer.width and -self.height < y < outer.height


def _leads_back(rows: list[tuple[float, float, float]]) -> bool:
    """True for two or three rows of a map that has an inverse."""
    matrix, count = np.eye(3), len(rows)
    if count not in {2, 3} or not all(abs(value) < _FARTHEST for row in rows for value in row):
        return False
    matrix[:count] = rows
    # A plain map's shift says nothing of its inverse.
    return bool(np.linalg.svd(matrix[:count, :count], compute_uv=False)[-1] > _FLAT)


_Entries = Annotated[list[_Entry], msgspec.Meta(min_length=2, max_length=_MAX_LINEAGE)]


def lineage_of(value: object) -> Lineage:
    """Read the chain of images of a crop; the inverse of `lineage_json`.

    Raises:
        FormatError: If it is none: a root, and behind it images that each show the one before.
    """
    try:
        root, *crops = msgspec.convert(value, _Entries)
    except (msgspec.ValidationError, OverflowError) as error:
        msg = f"no lineage: {error}"
        raise FormatError(msg) from None
    ids = "".join(entry.id for entry in (root, *crops))
    if len(ids) > _MAX_IDS or not ids.isprintable():
        msg = f"no lineage: its IDs are up to {_MAX_IDS:,} printable characters together"
        raise FormatError(msg)
    fits = root.origin is None and root.transform is None
    if not fits or not all(inner.lies_in(outer) for outer, inner in pairwise((root, *crops))):
        msg = "no lineage: an image lies outside the one before"
        raise FormatError(msg)
    return Lineage(entry.value() for entry in (root, *crops))
