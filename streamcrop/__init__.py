"""streamcrop: the crop of every detected object, from the very frame the detection speaks of.

The main flow is `streamcrop.pipeline`; the crop core, usable alone, is `crop_and_translate`.
"""

from streamcrop.core.background import CropOptions
from streamcrop.core.crop import Crop
from streamcrop.core.interop import crop_and_translate, crop_batch

__version__ = "0.1.0"
__all__ = ["Crop", "CropOptions", "__version__", "crop_and_translate", "crop_batch"]
