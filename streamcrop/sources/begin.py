"""The notes on a stream that begins badly, for people."""

import time
from collections.abc import Iterator

from streamcrop.core.damage import Damage
from streamcrop.core.values import Note
from streamcrop.sources.codec import Shown
from streamcrop.sources.packets import Picture

# So many packets of a file are looked at: twice what pictures are reordered by.
_LOOKED_AT = 32
_BEGINS_WITHOUT_KEY = Note(
    "begins_without_key",
    "the file begins without a key picture: readers count differently here; pair by pts",
)
# A stream that nothing mends for so long is told of, in seconds.
_PATIENCE = 10.0
_NO_KEY_PICTURES = (
    f"for {_PATIENCE:g} s the camera has sent no key picture (nor, in H.264, a recovery point), so "
    "that no picture is whole: set its interval of key pictures (I-frames, GOP) to some seconds"
)


class Begin:
    """Tells where the first packets of an H.265 file lead to no picture.

    How many of them are shown is a matter of the decoder's version: FFmpeg 5 shows the leading
    pictures of a file that begins at a CRA picture, FFmpeg 8 leaves them out. Of H.264 all leave
    out the same, of other codecs they show all (measured 2026-11-28).
    """

    def __init__(self, codec: str) -> None:
        self._packets = 0
        self._first: int | None = None
        self._lowest: int | None = None
        self._said = codec != "hevc"

    def came(self, pts: int | None) -> None:
        """Take note of a packet's media time."""
        self._packets += 1
        if pts is not None and self._packets <= _LOOKED_AT:
            self._lowest = pts if self._lowest is None else min(pts, self._lowest)

    def notes(self, shown: Shown) -> Iterator[Note]:
        """A note, once, where what is shown first is not what comes first."""
        if shown.picture is None or self._said:
            return
        if self._first is None:
            self._first = shown.tag.pts
        first, lowest = self._first, self._lowest
        if first is not None and lowest is not None and lowest < first:
            self._said = True
            yield _BEGINS_WITHOUT_KEY


class Patience:
    """Says so where a camera sends nothing that mends its pictures."""

    def __init__(self, damage: Damage) -> None:
        self._damage = damage
        self._since = time.monotonic()

    def notes(self, coded: Picture) -> Iterator[Note]:
        """A note whenever there was nothing for so long at which decoding could begin."""
        now = time.monotonic()
        # FFmpeg's parser counts H.264's recovery points among the key pictures.
        if coded.packet.is_keyframe or not self._damage.goes_on:
            self._since = now
        elif now - self._since > _PATIENCE:
            self._since = now
            yield Note("no_key_pictures", _NO_KEY_PICTURES)
