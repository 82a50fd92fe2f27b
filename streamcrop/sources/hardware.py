"""Decoding on hardware: wherever that cannot be, software does it."""

import logging

import av
from av.codec.hwaccel import HWAccel

logger = logging.getLogger(__name__)

# Before this, a picture that comes from a device has neither its opaque object nor its colours.
_PYAV = 18


def lacking(hwaccel: str) -> str | None:
    """Why this PyAV decodes on no such hardware, whatever is plugged in; None: it can."""
    if int(av.__version__.partition(".")[0]) < _PYAV:
        return f"PyAV {av.__version__} does not say which picture it is; {_PYAV} does"
    # All of FFmpeg's own decoders have the same kinds. One that it does not know at all must not
    # reach PyAV, which would take any.
    configs = av.Codec("h264", "r").hardware_configs
    kinds = [config.device_type.name for config in configs if config.is_supported]
    kind = hwaccel.partition(":")[0]
    if kind in kinds:
        return None
    return f"this PyAV decodes on {' or '.join(kinds) or 'no hardware'}, not on {kind}"


def device_of(hwaccel: str | None) -> HWAccel | None:
    """The device for `av.open` to decode on; None: software, with a warning if not asked for."""
    if hwaccel is None:
        return None
    why = lacking(hwaccel)
    kind, _, name = hwaccel.partition(":")
    try:
        if why is None:
            device = HWAccel(kind, name or None, allow_software_fallback=True)
            # Not left to `av.open`, which would fail after it had asked the camera.
            device.create(av.Codec("h264", "r"))
            return device
    except av.FFmpegError as error:
        why = f"it cannot be opened: {error}"
    logger.warning("source.hwaccel: %s: decoding in software: %s", hwaccel, why)
    return None


def kept(device: HWAccel | None, stream: av.VideoStream) -> HWAccel | None:
    """The device if it decodes a stream; None: software, with a warning if it does not."""
    context = stream.codec_context
    if device is None or context.is_hwaccel:
        return device
    logger.warning("source.hwaccel: decoding in software: no hardware for %s", context.name)
    return None
