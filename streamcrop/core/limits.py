"""How much one message or picture may ask for: counts that are known before the work is done.

A few bytes can ask for much: run lengths that are to be stretched over a picture, an outline that
crosses itself, a thousand boxes of a whole frame. Every such kind of work has a bound, which is
counted in what the work grows with. What lies within all of the defaults, and is no picture and no
crop, costs at most half a second of one core and 64 MB (`tests/test_bombs.py`, 2026-11-28).
"""

from dataclasses import dataclass

# How each bound is exceeded, in words, and what helps beside raising it.
_WORDS = {
    "picture_bytes": ("bytes of one picture", "send a smaller one"),
    "picture_pixels": ("pixels in one picture", "send a smaller one"),
    "scans": ("scans in one JPEG", "write it with fewer"),
    "chunks": ("parts beside the pixels in one picture", "leave out what describes it"),
    "values": ("values in one message", "send fewer objects, or coarser masks"),
    "nesting": ("levels of nesting in one message", "leave out what nests"),
    "vertices": ("vertices in one message", "send coarser outlines"),
    "runs": ("runs of masks in one message, in pixels of the frame", "send coarser masks"),
    "crop_pixels": ("pixels to cut out for one message", "send fewer or smaller boxes"),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one message, or of one picture that comes as a message.

    Attributes:
        picture_bytes: The bytes of a picture as it comes.
        picture_pixels: Its width times its height; 8K has 33 million.
        scans: How many passes over the picture a JPEG may take; libjpeg writes 10, if any.
        chunks: The parts of a picture's file that hold no pixels: colours, tables, descriptions.
        values: Numbers and texts of a message, and twice its lists and objects; each takes up to
            150 bytes and 1.2 µs. All count twice where it is no strict inference response.
        nesting: How deep they lie in each other.
        vertices: Of all outlines of a message together.
        runs: Of all run lengths of a message together, after they are scaled to the frame.
        crop_pixels: Of all crops of a message together, and of the outlines that are drawn for
            them.

    Example:
        >>> Limits(values=1000).excess("values", 1200)
        '1,200 values in one message are more than limits.values, 1,000: send fewer objects, or
        coarser masks, or raise it'
    """

    picture_bytes: int = 32 << 20
    picture_pixels: int = 50_000_000
    scans: int = 32
    chunks: int = 256
    values: int = 300_000
    nesting: int = 64
    vertices: int = 70_000
    runs: int = 250_000
    crop_pixels: int = 100_000_000

    def excess(self, name: str, count: int) -> str:
        """The sentence for a message that has more than it may, with what helps.

        Args:
            name: Of the bound.
            count: How many there are, or would be, at least.
        """
        what, cure = _WORDS[name]
        most = getattr(self, name)
        return f"{count:,} {what} are more than limits.{name}, {most:,}: {cure}, or raise it"


class Budget:
    """The rest of a bound, for the rows of one message, one after the other.

    Args:
        limits: The bounds.
        name: The one of them.

    Example:
        >>> budget = Budget(Limits(vertices=10), "vertices")
        >>> budget.take(6), budget.take(3)
        (True, True)
        >>> budget.take(2), budget.excess
        (False, '11 vertices in one message are more than limits.vertices, 10: send coarser
        outlines, or raise it')
    """

    def __init__(self, limits: Limits, name: str) -> None:
        self._limits, self._name = limits, name
        self._spent = self._asked = 0

    def take(self, count: int) -> bool:
        """Take as much, if it is there; else nothing, so that smaller rows behind may have it."""
        if self._spent + count > getattr(self._limits, self._name):
            self._asked = self._asked or self._spent + count
            return False
        self._spent += count
        return True

    @property
    def excess(self) -> str:
        """The sentence for the first amount that was not given."""
        return self._limits.excess(self._name, self._asked)
