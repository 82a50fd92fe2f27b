"""One packet a picture: what FFmpeg's parser takes apart is put together before anybody looks.

Some servers repeat parameter sets or SEI before each slice of a picture, as GStreamer's
``x264enc tune=zerolatency ! rtph264pay config-interval=-1`` does with several threads, and FFmpeg's
parser takes each of them for the beginning of a picture. A packet whose first slice is not a
picture's first belongs to the packet before it.
"""

import re
import time
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from typing import Any, NamedTuple, cast

import av

from streamcrop.formats import nal

# While nothing is known of a camera, so many pictures are held back at most.
_UNKNOWN = 60
# What has no picture in it goes with the next one, unless there is too much of it.
_MAX_PARTS = 256
_GAP = re.compile(r"Packet corrupt \(stream = \d+, dts = (-?\d+)")


class Picture(NamedTuple):
    """The packet of one picture.

    Attributes:
        packet: It.
        unit: What it says of its picture.
        lost: Whether something is missing in it, or may be.
        came: When its last part came, in seconds, by `time.time`.
        hidden: Whether it is to be decoded and not shown, as an edit list has it.
    """

    packet: "av.Packet[av.VideoStream]"
    unit: nal.AccessUnit
    lost: bool
    came: float
    hidden: bool = False


class Parts:
    """Which pictures of a camera come in parts: those are held back until the next one begins.

    So only they come later than they must: by one picture, for the beginning of the next is all
    that tells of a picture's end. At the begin of a connection nothing is known; there each picture
    is held back up to the end of the first one at which decoding can begin, before which none is
    shown anyway.

    Args:
        hurry: False: each picture is held back, as suits a file.
    """

    def __init__(self, *, hurry: bool = True) -> None:
        # Those with parameter sets; all.
        self._configured, self._all = False, not hurry
        self._unknown = 0

    def connect(self) -> None:
        """Begin to learn anew."""
        self._configured = self._all = False
        self._unknown = _UNKNOWN

    def may_follow(self, unit: nal.AccessUnit) -> bool:
        """True if another part of a picture may come behind this one."""
        return self._unknown > 0 or self._all or (self._configured and bool(unit.parameters))

    def came(self, part: nal.AccessUnit) -> None:
        """Take note of a part that was not a picture's first."""
        self._configured = True
        self._all |= not part.parameters

    def ended(self, unit: nal.AccessUnit) -> None:
        """Take note of a whole picture."""
        decodable = unit.clean or bool(unit.parameters)
        self._unknown = 0 if decodable else max(0, self._unknown - 1)


def pictures(
    packets: "Iterable[tuple[av.Packet[av.VideoStream], bool]]",
    stream: av.VideoStream,
    parts: Parts,
) -> Iterator[Picture]:
    """The pictures of a stream, each in one packet.

    Args:
        packets: With whether something is missing in each, or may be.
        stream: What they come from.
        parts: What is known of it.
    """
    context = stream.codec_context
    length_size = nal.length_size_of(context.name, context.extradata)
    held: list[Picture] = []
    ahead: list[Picture] = []
    begun = False
    for packet, lost in packets:
        # PyAV's packets are buffers, which its stubs do not say.
        unit = nal.look(memoryview(cast("bytes", packet)), context.name, length_size)
        part = Picture(packet, unit, lost, time.time())
        if unit.begins is None and len(ahead) < _MAX_PARTS:
            ahead.append(part)
            continue
        if unit.begins is False:
            if begun and not lost:
                # Else it may be what is left of a picture that began before we came, or was lost.
                parts.came(unit)
            if held and len(held) < _MAX_PARTS:
                held += [*ahead, part]
                ahead.clear()
                continue
            # Its beginning is gone: lost, or handed out before anybody knew.
            part = part._replace(lost=True)
        begun |= bool(unit.begins)
        if held:
            parts.ended(held[0].unit)
            yield _joined(held, stream)
        held = [part]
        if ahead:
            held = [*ahead, part]
            ahead.clear()
        if not parts.may_follow(unit):
            yield _joined(held, stream)
            held = []
    if held:
        yield _joined(held, stream)


def without_marks(
    packets: "Iterable[av.Packet[av.VideoStream]]", log: list[Any]
) -> "Iterator[tuple[av.Packet[av.VideoStream], bool]]":
    """The packets of a file, and whether its demuxer misses something in each.

    It marks the one before: the parser has that still when it reads the one with the gap. Where two
    recordings were glued together nothing is missing: time begins again, at a key picture.

    Args:
        packets: All of the file.
        log: What FFmpeg said when it was opened; by that alone it tells of the first packet.
    """
    gaps = {gap[1] for _, _, line in log if (gap := _GAP.search(line))}
    marked = None
    for packet, following in pairwise(chain(packets, (None,))):
        if packet is None:
            continue
        lost = str(packet.dts) in gaps if marked is None else marked
        marked = packet.is_corrupt
        if marked:
            packet.is_corrupt = False
        yield packet, lost and not _is_glued(packet, following)


def _is_glued(
    packet: "av.Packet[av.VideoStream]", following: "av.Packet[av.VideoStream] | None"
) -> bool:
    """True if a recording ends with a packet and another one begins."""
    if following is None or not following.is_keyframe:
        return False
    return packet.dts is not None and following.dts is not None and following.dts <= packet.dts


def _joined(parts: list[Picture], stream: av.VideoStream) -> Picture:
    """One packet of several, with the times of the first slice and all that stands beside them.

    Without the mark that has FFmpeg keep the picture to itself, so that what it says of it is seen.
    """
    if len(parts) == 1 and not parts[0].packet.is_discard:
        return parts[0]
    first = next((part for part in parts if part.unit.begins is not None), parts[0]).packet
    hidden = first.is_discard
    context = stream.codec_context
    data = b"".join(bytes(part.packet) for part in parts)
    packet = cast("av.Packet[av.VideoStream]", av.Packet(data))
    packet.stream = stream
    if first.time_base is not None:
        packet.time_base = first.time_base
    packet.pts, packet.dts = first.pts, first.dts
    packet.is_keyframe = any(part.packet.is_keyframe for part in parts)
    for part in parts:
        for data_beside in part.packet.iter_sidedata():
            packet.set_sidedata(data_beside)
    unit = nal.look(data, context.name, nal.length_size_of(context.name, context.extradata))
    return Picture(packet, unit, any(part.lost for part in parts), parts[-1].came, hidden)
