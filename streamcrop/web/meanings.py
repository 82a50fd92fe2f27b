"""The meaning of each loss, and what would help: a sentence a reason, for a person who looks."""

_OF_ROW = {
    "frames expired": "No detection message came for it in time: the detector skips frames, is "
    "slow, or names others.",
    "messages expired": "No frame has what it names: another clock, another key, or a frame that "
    "was never received.",
    "frames no_key": "It lacks what the pairing key needs.",
    "messages no_key": "It does not say what it would be paired by.",
    "messages too_large": "It is longer than detections.max_message_bytes, or asks for more than "
    "limits allow.",
}
_MEANINGS = {
    "queue_full": "More came than could be taken; the oldest made room.",
    "not_tapped": "No detector was shown it: the tap's rate is lower than the video's.",
    "ambiguous": "Two frames have the same name, so a crop could be of the wrong one.",
    "corrupt": "The picture is damaged: packets were lost, or the camera's stream is broken.",
    "pairing_full": "Too many waited at once: see pairing.max_items and pairing.max_bytes.",
    "overload": "More than this machine can do; the oldest went.",
    "too_large": "The broker, or what else was to take it, takes nothing of this size.",
    "closed": "The node, or the stream, was ended.",
    "failed": "An error that nobody expected; its traceback is in the log.",
    "malformed": "It is not what the format says; the notes have the place.",
    "duplicate": "A message for this frame had come before.",
    "late": "It came after its frame had gone: the detector is slower than pairing.max_wait.",
    "stale": "The broker had kept it from before this run.",
    "not_finite": "A box has a coordinate that is no number.",
    "outside_frame": "No pixel of the box lies in the frame.",
    "bad_mask": "Its mask cannot be read; no crop is made without it.",
    "over_limit": "More predictions than one message may have.",
    "no_shape": "It has not what the crop's shape is made of.",
    "filtered": "The configuration leaves it out.",
    "not_chosen": "Another crop of its track was chosen.",
    "private": "The configuration keeps it private.",
    "encoding_failed": "The picture's format cannot hold it.",
    "not_acknowledged": "The broker did not say that it has it.",
    "spool_full": "The spool had no room.",
    "spool_expired": "It waited in the spool for too long.",
}


def meaning(row: str, reason: str) -> str:
    """The meaning of a loss, for people.

    Args:
        row: Of the ledger.
        reason: As the ledger says it.

    Example:
        >>> meaning("messages", "duplicate")
        'A message for this frame had come before.'
    """
    return _OF_ROW.get(f"{row} {reason}") or _MEANINGS.get(reason, "")
