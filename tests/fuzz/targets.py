"""Every decoder of outside bytes, in one table."""

from fuzz import bitstreams, detections, pictures, wire, words
from fuzz.target import Target

TARGETS: dict[str, Target] = {
    **detections.TARGETS,
    **pictures.TARGETS,
    **bitstreams.TARGETS,
    **words.TARGETS,
    **wire.TARGETS,
}
