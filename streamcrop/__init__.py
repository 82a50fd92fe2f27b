"""streamcrop: the crop of every detected object, from the very frame the detection speaks of.

The main flow is `streamcrop.stream.pipeline`; the crop core, usable alone, is `crop_and_translate`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamcrop.core.background import CropOptions
    from streamcrop.core.crop import Crop
    from streamcrop.core.interop import crop_and_translate, crop_batch
    from streamcrop.core.values import Pixels

__version__ = "0.1.0"
__all__ = ["Crop", "CropOptions", "Pixels", "__version__", "crop_and_translate", "crop_batch"]


def __getattr__(name: str) -> Any:
    """The crop core, on its first use: OpenCV takes half a second, too long to be deaf."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from streamcrop.core import interop  # noqa: PLC0415  # see above

    return getattr(interop, name)
