"""Pictures that wait as packets and are decoded when somebody looks at them.

A picture refers to others, so its packet alone is not enough: what is kept is the *group*, all
packets from one at which decoding can begin. Whoever wants a picture has the decoder go on from
where it stands, if that is before the picture in the same group, else begin at the group's first
packet. Either way the decoder is fed as if it had read the stream from there, so that pictures are
bit-equal to those of eager decoding. A group that nobody asks for is never decoded.
"""

import threading
import time
from collections import deque
from math import inf
from typing import Literal, NamedTuple, cast
from weakref import WeakValueDictionary

import av

from streamcrop.core.values import Bgr, Corners, Pixels, Planes
from streamcrop.errors import CorruptError, SourceError
from streamcrop.formats import nal
from streamcrop.sources.codec import Codec, Shown
from streamcrop.sources.packets import Picture

# Of which it is known, undecoded, where decoding can begin.
CODECS = {"h264", "hevc", "mjpeg"}
# From half of this on a group is decoded as it comes; above it, what was decoded is let go of.
_MAX_PACKETS, _MAX_BYTES = 600, 32 << 20
# `auto` decodes so many pictures beyond the last that somebody looked at: in a burst they are there
# when they are asked for, and what is decoded in vain at its end is little.
_AHEAD = 8
_LATELY = 5.0
# So many packets for each that comes: it catches up, and never holds up the reader for long.
_STEPS = 2


class Decoding(NamedTuple):
    """When and where pictures are decoded.

    Attributes:
        mode: ``eager``: all, as they come; ``lazy``: when somebody looks at them; ``auto``: lazily,
            and ahead while somebody does.
        max_bytes: How much the pictures may hold that were decoded before somebody looked.
        hwaccel: On which hardware, as ``cuda`` or ``vaapi:/dev/dri/renderD128``; None: in software.
    """

    mode: Literal["auto", "eager", "lazy"] = "eager"
    max_bytes: int = 0
    hwaccel: str | None = None


EAGER = Decoding()


class _Group:
    """Packets that can be decoded without any other.

    Attributes:
        first: Its first packet's number in the stream.
        parameters: The parameter sets that it begins with; none: the stream's own, out of band.
        packets: By index. The first ones are gone where there were too many.
        unused: The indexes of packets to which no other refers.
        waiting: The pictures that somebody may still ask for, by index.
    """

    def __init__(self, first: int, parameters: tuple[bytes, ...]) -> None:
        self.first = first
        self.parameters = parameters
        self.packets: dict[int, Picture] = {}
        self.unused: set[int] = set()
        self.waiting: WeakValueDictionary[int, LazyPixels] = WeakValueDictionary()
        self.count = self.nbytes = 0
        self.closed = False

    @property
    def is_cut(self) -> bool:
        """True if its first packets are gone."""
        return self.count > 0 and 0 not in self.packets

    def exceeds(self, part: int) -> bool:
        """True if it is longer than so large a part of what may be held."""
        return self.count * part > _MAX_PACKETS or self.nbytes * part > _MAX_BYTES


class LazyPixels:
    """The picture of a packet; see `Pixels`. It is decoded in the thread that looks at it first.

    Everything but `nbytes` may raise `CorruptError`.
    """

    def __init__(self, decoder: "Decoder", group: _Group, index: int, nbytes: int) -> None:
        self._decoder = decoder
        self._nbytes = nbytes
        self._resolution_wh: tuple[int, int] | None = None
        self.group = group
        self.index = index
        self.decoded: Pixels | None = None
        self.corrupt = self.let_go = False
        self.why = "the picture cannot be decoded without damage"

    @property
    def nbytes(self) -> int:
        """The packet's size."""
        return self._nbytes

    @property
    def resolution_wh(self) -> tuple[int, int]:
        """See `Pixels`; where a picture with the same parameter sets was seen, without decoding."""
        if self._resolution_wh is None:
            known = self._decoder.resolution_wh_of(self.group)
            self._resolution_wh = known or self._pixels().resolution_wh
        return self._resolution_wh

    @property
    def is_decoded(self) -> bool:
        """See `Pixels`."""
        return self.decoded is not None

    def decode(self) -> Pixels:
        """See `Pixels`."""
        return self._pixels()

    @property
    def is_idle(self) -> bool:
        """True if nobody has looked at a picture of its stream lately."""
        return self._decoder.is_idle

    def region(self, box: Corners) -> Pixels:
        """See `Pixels`."""
        return self._pixels().region(box)

    def bgr(self) -> Bgr:
        """See `Pixels`."""
        return self._pixels().bgr()

    def jfif(self) -> Planes | None:
        """See `Pixels`."""
        return self._pixels().jfif()

    def resized(self, resolution_wh: tuple[int, int]) -> Pixels:
        """See `Pixels`."""
        return self._pixels().resized(resolution_wh)

    def _pixels(self) -> Pixels:
        self._decoder.look(self)
        # Without waiting for what is decoded meanwhile, where that can be.
        pixels = self.decoded or self._decoder.pixels_of(self)
        if self._resolution_wh not in {None, pixels.resolution_wh}:
            raise CorruptError("the picture has another size than its parameter sets say")
        return pixels


class Decoder:
    """Holds a stream's packets and decodes what is asked for.

    `add` belongs to the thread that reads; pictures may be asked for from any.

    Args:
        stream: What the packets come from, with `Flags.copy_opaque`.
        max_bytes: How much the pictures may hold that were decoded on the way to others.
        ahead: Whether to decode some pictures beyond the last that was asked for, so that only the
            first of a burst waits until its group is decoded up to it.
    """

    def __init__(self, stream: av.VideoStream, *, max_bytes: int, ahead: bool) -> None:
        self._codec = Codec(stream.codec_context)
        self._max_bytes = max_bytes
        self._ahead = ahead
        self._lock = threading.Lock()
        self._groups: deque[_Group] = deque()
        self._count = 0
        # The last packet whose picture somebody looked at.
        self._looked, self._looked_at = -_AHEAD - 1, -inf
        # Parameter sets in the stream: those that the last group began with, and whether others
        # came elsewhere, after which no packet is known to have all.
        self._parameters: tuple[bytes, ...] = ()
        self._scattered = False
        # Where the codec stands: in a group or nowhere, and which packets it has behind it.
        self._group: _Group | None = None
        self._first = -1
        self._next = 0
        self._passed: set[int] = set()
        # How many pictures it keeps that were decoded on the way to others; more where somebody
        # asks for one that was let go of, as a detector does whose messages overtake each other.
        self._keep = 2 * _AHEAD
        # Whether it knows parameter sets beside the stream's own.
        self._tainted = False
        self._kept: WeakValueDictionary[tuple[int, int], LazyPixels] = WeakValueDictionary()
        self._sizes: dict[tuple[bytes, ...], tuple[int, int]] = {}

    def add(self, coded: Picture) -> LazyPixels:
        """Take the next packet of the stream; returns its picture."""
        packet, unit = coded.packet, coded.unit
        if self._begins_group(packet, unit):
            if self._groups:
                self._groups[-1].closed = True
            self._groups.append(_Group(self._count, unit.parameters))
        group = self._groups[-1]
        index = group.count
        group.count += 1
        self._count += 1
        pixels = LazyPixels(self, group, index, packet.size)
        if unit.unused:
            group.unused.add(index)
        group.waiting[index] = pixels
        group.nbytes += packet.size
        group.packets[index] = coded
        while len(self._groups) > 1 and not self._groups[0].waiting:
            # A decoder that stands in it would hold them on.
            self._groups.popleft().packets.clear()
        may_be_next = self._ahead and self._looked + _AHEAD >= self._groups[0].first
        if may_be_next or _is_long(group):
            self._decode_ahead()
        return pixels

    @property
    def is_idle(self) -> bool:
        """True if nobody has looked at a picture lately."""
        return time.monotonic() > self._looked_at + _LATELY

    def resolution_wh_of(self, group: _Group) -> tuple[int, int] | None:
        """``(width, height)`` of the last picture with a group's parameter sets, if that is it."""
        return None if self._scattered else self._sizes.get(group.parameters)

    def look(self, wanted: LazyPixels) -> None:
        """Take note that somebody looks at a picture."""
        self._looked = max(self._looked, wanted.group.first + wanted.index)
        self._looked_at = time.monotonic()

    def pixels_of(self, wanted: LazyPixels) -> Pixels:
        """The picture.

        Raises:
            CorruptError: If it is damaged or cannot be decoded any more.
        """
        with self._lock:
            if not wanted.decoded and not wanted.corrupt:
                self._decode(wanted)
            if wanted.decoded:
                return wanted.decoded
        raise CorruptError(wanted.why)

    def _begins_group(self, packet: "av.Packet[av.VideoStream]", unit: nal.AccessUnit) -> bool:
        """True if a packet needs none before it, parameter sets included."""
        replaced = packet.has_sidedata("new_extradata")
        if not self._groups:
            self._parameters, self._scattered = unit.parameters, replaced
            return True
        if unit.clean and not self._scattered and not replaced:
            complete = unit.configured and len(unit.parameters) >= len(self._parameters)
            if complete or not (unit.parameters or self._parameters):
                self._parameters = unit.parameters
                return True
        if replaced or not set(unit.parameters) <= set(self._parameters):
            self._scattered = True
        return False

    def _decode(self, wanted: LazyPixels) -> None:
        if wanted.let_go:
            self._keep *= 2
        if wanted.group is not self._group or wanted.index in self._passed:
            if not self._can_begin(wanted.group):
                wanted.corrupt = True
                return
            self._begin(wanted.group)
        while not wanted.decoded and not wanted.corrupt and self._group is not None:
            self._feed()
        # What never came out.
        wanted.corrupt = not wanted.decoded
        self._make_room(wanted)

    def _can_begin(self, group: _Group) -> bool:
        """True if a group can be decoded from its first packet on, as it was meant."""
        if group.is_cut or (self._tainted and not group.parameters):
            return False
        # One that was cut could not be entered again.
        return self._group is None or not self._group.is_cut or self._first < group.first

    def _decode_ahead(self) -> None:
        """Go on a few packets towards the last picture that may be asked for."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            for _ in range(_STEPS):
                group = next(filter(self._is_ahead, self._groups), None)
                if group is None:
                    break
                if group is not self._group:
                    self._begin(group)
                self._feed()
            if (group := self._group) is not None and (group.exceeds(1) or group.is_cut):
                for index in [index for index in group.packets if index < self._next]:
                    group.nbytes -= group.packets.pop(index).packet.size
            self._make_room()
        finally:
            self._lock.release()

    def _is_ahead(self, group: _Group) -> bool:
        """True if there is something in a group to decode before it is asked for."""
        is_here = group is self._group
        if group.first < self._first or (group.first == self._first and not is_here):
            return False
        if is_here and self._next == group.count and not group.closed:
            return False
        if _is_long(group):
            return True
        end, passed = self._looked + _AHEAD - group.first, self._passed if is_here else ()
        if end < 0 or not any(at <= end and at not in passed for at in group.waiting):
            return False
        held = self._held
        # And one more.
        return held + held // (len(self._kept) or 1) <= self._max_bytes

    def _begin(self, group: _Group) -> None:
        self._codec.context.flush_buffers()
        self._codec.restart()
        self._group, self._first, self._next = group, group.first, 0
        self._passed.clear()

    def _feed(self) -> None:
        """Decode the next packet of the group, or what is left in the codec behind the last."""
        group, index = cast("_Group", self._group), self._next
        coded = group.packets.get(index)
        if coded is not None:
            self._next += 1
            self._tainted |= bool(group.parameters) or self._scattered
            if index in group.unused and index not in group.waiting:
                self._passed.add(index)
                return
        for shown in self._codec.decode(index, coded):
            self._settle(group, shown.number, shown)
        if coded is None:
            self._group = None
            for at in set(range(index)) - self._passed:
                self._settle(group, at, None)

    def _settle(self, group: _Group, index: int, shown: Shown | None) -> None:
        """Give a picture to whoever may ask for it; None: it never came out."""
        self._passed.add(index)
        pixels = group.waiting.get(index)
        if pixels is None or pixels.decoded:
            return
        try:
            pixels.decoded = shown and shown.pixels()
        except SourceError as error:
            pixels.decoded, pixels.why = None, str(error)
        if pixels.decoded is None:
            pixels.corrupt = True
            return
        self._sizes = {group.parameters: pixels.decoded.resolution_wh}
        self._kept[group.first, index] = pixels

    def _make_room(self, wanted: LazyPixels | None = None) -> None:
        """Let go of decoded pictures, the oldest first; they can be decoded again."""
        excess, spare = self._held - self._max_bytes, len(self._kept) - self._keep
        for pixels in list(self._kept.values()):
            if excess <= 0 and spare <= 0:
                break
            if pixels is wanted or not pixels.decoded or (excess <= 0 and self._is_last(pixels)):
                continue
            excess, spare = excess - pixels.decoded.nbytes, spare - 1
            pixels.decoded, pixels.let_go = None, True
            del self._kept[pixels.group.first, pixels.index]

    def _is_last(self, pixels: LazyPixels) -> bool:
        """True if a picture may be lost for good with its pixels: its group can't begin again."""
        group = pixels.group
        return _is_long(group) or (self._tainted and not group.parameters)

    @property
    def _held(self) -> int:
        """How much decoded pictures hold, in bytes."""
        held = (pixels.decoded for pixels in self._kept.values())
        return sum(pixels.nbytes for pixels in held if pixels)


def _is_long(group: _Group) -> bool:
    return group.exceeds(2) or group.is_cut
