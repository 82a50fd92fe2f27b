"""The notes of a stream, for people: reasons in words, said seldom and kept."""

import logging
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from streamcrop.addresses import redacted

logger = logging.getLogger(__name__)

# The status holds so many kinds, the newest; each kind is logged so often, in seconds.
_KEPT, _EVERY = 10, 60.0
_LONGEST = 400
_EXCERPT = 80
# Of so many places that raised what nobody expected the traceback was logged.
_MAX_PLACES = 1000
_logged_places: set[tuple[str, str, int]] = set()


class Notes:
    """The notes of one stream: the first of each kind is logged, then at most one a minute.

    Args:
        stream: The stream's name.
        clock: Seconds, on any monotonic clock.

    Example:
        >>> notes = Notes("gate", clock=lambda: 0.0)
        >>> notes.say("malformed", "detections/gate: no JSON")
        >>> notes.say("malformed", "detections/gate: a frame ID is no list")
        >>> notes.as_json()
        [{'kind': 'malformed', 'text': 'detections/gate: a frame ID is no list', 'count': 2}]
    """

    def __init__(self, stream: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._said: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._logged: dict[str, float] = {}

    def say(self, kind: str, text: str, log: Callable[..., None] = logger.warning) -> None:
        """Keep a sentence as the newest of its kind, and log it where its turn has come.

        Args:
            kind: A word of the program's own, never one of a message's.
            text: The sentence; a login in it is not kept. Its end is cut where it is long.
            log: Where the line goes.
        """
        text = redacted(text)
        # A status is UTF-8, in which there are no halves of surrogate pairs.
        text = text.encode(errors="backslashreplace").decode()
        text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
        _, count = self._said.pop(kind, ("", 0))
        self._said[kind] = text, count + 1
        while len(self._said) > _KEPT:
            self._said.popitem(last=False)
        now = self._clock()
        if now - self._logged.get(kind, float("-inf")) >= _EVERY:
            self._logged[kind] = now
            log("stream %s: %s", self._stream, text)

    def as_json(self) -> list[dict[str, Any]]:
        """The newest sentence of each kind, newest last, as in the stream's status."""
        return [
            {"kind": kind, "text": text, "count": count}
            for kind, (text, count) in self._said.items()
        ]


def excerpt(payload: bytes) -> str:
    r"""The beginning of a message as printable text.

    Example:
        >>> excerpt(b'{"x": \xff\n')
        '{"x": \\xff\\n'
    """
    text = payload[:_EXCERPT].decode("ascii", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def unexpected(doing: str, error: Exception) -> str:
    """Log an error that nobody thought of: its traceback, once for each line that raises.

    Args:
        doing: In the middle of which it came, as ``reading a message``.
        error: It, caught.

    Returns:
        A sentence for `Notes.say`, without the error's own text, which may hold anything.
    """
    # An error that a future was given was perhaps never raised, and then has no place.
    nowhere = traceback.FrameSummary("", 0, "a future")
    last = [nowhere, *traceback.extract_tb(error.__traceback__)][-1]
    place = type(error).__name__, last.filename, last.lineno or 0
    if place not in _logged_places and len(_logged_places) < _MAX_PLACES:
        _logged_places.add(place)
        logger.error("%s failed, which costs no more than that:", doing, exc_info=error)
    return f"{doing} failed: {place[0]} in {last.name}; the log has the traceback, once"
