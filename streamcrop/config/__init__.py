"""The configuration: typed, strict, and telling where it is wrong. It knows nothing that runs.

`load` reads it, `schema` and `source` say what can be said, `checks` what goes together, `topics`
what a topic is, `words` what a file that is wrong is told.
"""

from streamcrop.config.load import from_environment, load, parse
from streamcrop.config.schema import (
    Broker,
    Config,
    Crop,
    Detections,
    Http,
    Limits,
    Output,
    Pairing,
    Stream,
    Tap,
)
from streamcrop.config.source import SCHEMES, PairingKey, Source
from streamcrop.config.types import Bytes, Protocol

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
    "Source",
    "Stream",
    "Tap",
    "from_environment",
    "load",
    "parse",
]
