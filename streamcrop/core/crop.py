"""A crop: one object, cut out of one image, with its coordinates moved along."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from streamcrop.core.background import CropOptions, remove_background, remove_background_of_planes
from streamcrop.core.lineage import Lineage, LineageEntry, translation
from streamcrop.core.masks import Patch, Polygon
from streamcrop.core.pixels import owned
from streamcrop.core.runs import Rle
from streamcrop.core.translate import move_xyxy
from streamcrop.core.values import Bgr, Corners, Mask, MaskPixels, Pixels, Planes
from streamcrop.core.view import View
from streamcrop.core.warp import SeenMask, ViewPixels

if TYPE_CHECKING:
    from collections.abc import Callable

    import supervision as sv

T = TypeVar("T")


class Describe(Protocol):
    """Builds `Crop.detections`."""

    def __call__(self, crop: "Crop", row: int) -> "sv.Detections":
        """The detection of a row in a crop's coordinates."""
        ...

    def only(self, row: int) -> "Describe":
        """The same of one row, which it does not share with others."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Original:
    """The image that crops are cut from, and all else that they share.

    Attributes:
        pixels: The image.
        xyxy: ``(n, 4)``, the boxes of the detections in it.
        boxes: The ``n`` half-open integer boxes that were cut; of a refused one, any.
        lineage: The chain of images that ends with this one.
        describe: Builds `Crop.detections`.
        first: The index of the first of the ``n``: a copied crop has its own row alone.
    """

    pixels: Pixels
    xyxy: npt.NDArray[Any]
    boxes: list[Corners]
    lineage: Lineage
    options: CropOptions
    describe: Describe | None = None
    first: int = 0


class _lazy(Generic[T]):  # noqa: N801  # reads as the decorator that it is
    """`functools.cached_property` without the lock that Python 3.11 takes: 0.2 µs, not 1.2."""

    def __init__(self, build: "Callable[[Crop], T]") -> None:
        self._build, self._name = build, build.__name__
        self.__doc__ = build.__doc__

    def __get__(self, crop: "Crop | None", owner: type) -> T:
        if crop is None:
            return self  # type: ignore[return-value]  # for documentation tools
        value = crop.__dict__[self._name] = self._build(crop)
        return value


@dataclass(frozen=True, eq=False, init=False)
class Crop:
    """One object, cut out of one image, with its coordinates moved along.

    Attributes:
        detection_id: Of the detection it was cut for.
        index: The row of the detections it came from.
        box: The half-open integer box ``(x_min, y_min, x_max, y_max)`` in the image; of a crop with
            a view, the part of the image from which its pixels come.
        original: The image it was cut from.
        view: How it shows the image; None: it is the box, cut out.
    """

    detection_id: str
    index: int
    box: Corners
    original: Original = field(repr=False)
    # A Patch and an Rle are already those of the crop.
    _mask: Mask | None = field(default=None, repr=False)
    view: View | None = field(default=None, repr=False)

    def __init__(
        self,
        detection_id: str,
        index: int,
        box: Corners,
        original: Original,
        _mask: Mask | None = None,
        view: View | None = None,
    ) -> None:
        # A third of what a frozen dataclass's own takes, which sets each by a call.
        vars(self).update(
            detection_id=detection_id, index=index, box=box, original=original, _mask=_mask
        )
        if view is not None:
            vars(self)["view"] = view

    @property
    def origin(self) -> tuple[int, int]:
        """The pixel ``(x, y)`` of the image at the crop's top left; of a turned crop its hull's."""
        return self.box[:2] if self.view is None else self.view.origin

    @property
    def resolution_wh(self) -> tuple[int, int]:
        """``(width, height)`` in pixels."""
        if self.view is not None:
            return self.view.size
        x_min, y_min, x_max, y_max = self.box
        return x_max - x_min, y_max - y_min

    @property
    def transform(self) -> npt.NDArray[np.float64]:
        """The map image → crop; its inverse brings a result on the crop back.

        ``(2, 3)`` float64; ``(3, 3)`` where four corners were brought to those of the crop.
        Coordinates are continuous: pixel (0, 0) covers [0, 1) x [0, 1).
        """
        return translation(self.box[:2]) if self.view is None else self.view.transform

    @property
    def lineage(self) -> Lineage:
        """All images from the root to this crop, root first; the crop's entry has its ID."""
        if self.view is None:
            x_min, y_min, x_max, y_max = self.box
            entry = LineageEntry(self.detection_id, (x_min, y_min), x_max - x_min, y_max - y_min)
        else:
            entry = LineageEntry(self.detection_id, self.origin, *self.view.size, _rows(self.view))
        return Lineage((*self.original.lineage, entry))

    @_lazy
    def xyxy(self) -> npt.NDArray[Any]:
        """``(4,)``, the detection's box in crop coordinates, neither rounded nor clipped."""
        if self.view is not None:
            return self.view.xyxy(self.original.xyxy[self._row])
        return move_xyxy(self.original.xyxy[self._row], self.origin)

    @_lazy
    def pixels(self) -> Pixels:
        """The region before background removal; a view of the image it was cut from."""
        if self.view is not None:
            return ViewPixels(self.original.pixels, self.view, self.original.options.fill_bgr)
        return self.original.pixels.region(self.box)

    @_lazy
    def mask(self) -> MaskPixels | None:
        """``(h, w)`` uint8, 1 inside the object; None where the detection has no mask."""
        return self.to_mask()

    @_lazy
    def image(self) -> Bgr:
        """``(h, w, 3)`` uint8 BGR, built on first use.

        Where nothing had to be converted or blended it is a **view** of the image the crop was
        cut from: writing to it writes there, and holding it holds the whole image. See `copy`.
        """
        return self.bgr()

    @property
    def runs(self) -> Rle | None:
        """The mask as run lengths; None unless it came as such."""
        return self._mask if isinstance(self._mask, Rle) else None

    @property
    def mask_cost(self) -> int:
        """The cost of drawing the mask, in pixels; 0 where there is nothing to be drawn."""
        if not isinstance(self._mask, Polygon | SeenMask):
            return 0
        return self._mask.cost(self.box, self.original.pixels.resolution_wh)

    def to_mask(self) -> MaskPixels | None:
        """As `mask`, but not kept."""
        if self._mask is None:
            return None
        if isinstance(self._mask, Patch):
            return self._mask.pixels
        if isinstance(self._mask, Rle):
            return self._mask.pixels()
        return self._mask.region(self.box, self.original.pixels.resolution_wh)

    def bgr(self) -> Bgr:
        """As `image`, but not kept: for a thousand crops of one frame, one after the other."""
        bgr, mask = self.pixels.bgr(), self._cut_out()
        return bgr if mask is None else remove_background(bgr, mask, self.original.options)

    def jfif(self) -> Planes | None:
        """As `image`, but as a JPEG stores it; None if the pixels are not in such planes."""
        planes = self.pixels.jfif()
        mask = None if planes is None else self._cut_out()
        if planes is None or mask is None:
            return planes
        return remove_background_of_planes(planes, mask, self.original.options)

    def _cut_out(self) -> MaskPixels | None:
        return self.to_mask() if self.original.options.mask_opacity > 0 else None

    @_lazy
    def detections(self) -> "sv.Detections":
        """The detection in crop coordinates, a `supervision.Detections` of length 1.

        Built on first use, with those of all crops of the image: each has its rows of arrays that
        are copies.

        Raises:
            TypeError: If the crop was not made from `supervision.Detections`.
        """
        if self.original.describe is None:
            raise TypeError("this crop was made by the node, which knows no supervision.Detections")
        return self.original.describe(self, self._row)

    def copy(self) -> "Crop":
        """The same crop with pixels and a row of its own, which hold nothing of the image."""
        row, describe = self._row, self.original.describe
        pixels = owned(self.pixels)
        mask: Mask | None = None
        if self.runs is not None:
            mask = Rle(self.runs.size, self.runs.counts.copy())
        elif self.mask is not None:
            mask = Patch(self.mask.copy())
        original = replace(
            self.original,
            pixels=pixels,
            xyxy=self.original.xyxy[row : row + 1].copy(),
            boxes=[self.box],
            describe=describe and describe.only(row),
            first=self.index,
        )
        own = replace(self, original=original, _mask=mask)
        own.__dict__.update(pixels=pixels)
        return own

    def __getstate__(self) -> dict[str, Any]:
        """For `pickle` and `copy.deepcopy`: as `copy`, so that no frame goes along."""
        return vars(self.copy())

    @property
    def _row(self) -> int:
        return self.index - self.original.first


def _rows(view: View) -> tuple[tuple[float, ...], ...] | None:
    """The map for `LineageEntry`: None where the origin says all."""
    return None if view.is_translation else tuple(map(tuple, view.transform.tolist()))
