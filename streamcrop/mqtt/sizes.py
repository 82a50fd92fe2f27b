"""Sizes that a broker hangs up on, although it announced no bound (mosquitto's, for one).

Pure. A hang-up alone does not say what was wrong: the topic may be closed to us, too. So a size is
blamed only where a larger packet never went through, and for its own topic only.
"""

from streamcrop.errors import PacketTooLargeError

# So often a size is refused until it is remembered.
_STRIKES = 2
# Of so many topics, for they may be made of frames' names.
_MOST_TOPICS = 1000


class Sizes:
    """The bounds of the sizes that a broker takes, as far as we learned them.

    Example:
        >>> sizes = Sizes()
        >>> sizes.hung_up("cam/crops", 9_000, strikes=2, taken=4_000)
        True
        >>> sizes.bound("cam/crops")
        9000
    """

    def __init__(self) -> None:
        self._bounds: dict[str, int] = {}

    def __bool__(self) -> bool:
        """True if there are bounds."""
        return bool(self._bounds)

    def bound(self, topic: str) -> int | None:
        """A packet of so many bytes is too large for this topic; None: none is known to be."""
        return self._bounds.get(topic)

    def check(self, topic: str, size: int, most: int) -> PacketTooLargeError | None:
        """Why a packet is not to be sent.

        Args:
            topic: Its message's.
            size: Its bytes.
            most: What the broker announced that it takes.
        """
        if size > most:
            return PacketTooLargeError(f"it takes {most} bytes, not {size}")
        if (bound := self._bounds.get(topic)) is not None and size >= bound:
            return PacketTooLargeError(f"it hung up on {bound} bytes; this has {size}")
        return None

    def hung_up(self, topic: str, size: int, *, strikes: int, taken: int) -> bool:
        """Take note of a packet that was sent alone when the connection ended.

        Args:
            topic: Its message's.
            size: Its bytes.
            strikes: How often that happened to it.
            taken: The bytes of the largest packet that the broker ever acknowledged.

        Returns:
            True if its size is to blame, and remembered.
        """
        if strikes < _STRIKES or size <= taken:
            return False
        if len(self._bounds) == _MOST_TOPICS:
            self._bounds.pop(next(iter(self._bounds)))
        self._bounds[topic] = min(size, self._bounds.pop(topic, size))
        return True
