"""The configuration: typed, strict, and telling where it is wrong. It knows nothing that runs.

`load` reads it, `schema`, `source` and `output` say what can be said, `checks` what goes together,
`topics` what a topic is, `words` what a file that is wrong is told.
"""

from streamcrop.config.load import from_environment, load, parse
from streamcrop.config.output import Broker, Output, Spool
from streamcrop.config.schema import Config, Crop, Detections, Http, Limits, Pairing, Stream, Tap
from streamcrop.config.source import SCHEMES, PairingKey, Source
from streamcrop.config.types import Bytes, Protocol, Seconds

__all__ = [
    "SCHEMES",
    "Broker",
    "Bytes",
    "Config",
    "Crop",
    "Detections",
    "Http",
    "Limits",
    "Output",
    "Pairing",
    "PairingKey",
    "Protocol",
    "Seconds",
    "Source",
    "Spool",
    "Stream",
    "Tap",
    "from_environment",
    "load",
    "parse",
]
