"""Messages and pictures that ask for as much work as their bytes allow: a table of them.

`test_bombs` has each go all the way that it takes through a node, in a process of its own, which is
this module: `python tests/bombs.py NAME` says what it cost, and what became of it.
"""

import io
import json
import random
import struct
import sys
import time
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from streamcrop.core.background import CropOptions
from streamcrop.core.limits import Limits
from streamcrop.core.lineage import Lineage, LineageEntry
from streamcrop.core.pixels import ArrayPixels
from streamcrop.core.values import Frame
from streamcrop.errors import FormatError
from streamcrop.formats import DETECTION_FORMATS, events
from streamcrop.sources.pictures import still
from streamcrop.stream.render import Style, render

WIDTH, HEIGHT = 3840, 2160
MOST = 8 << 20
LIMITS = Limits()
ROWS = 1000
BOX = {"x": 8.0, "y": 8.0, "width": 16.0, "height": 16.0}
STAMP = "2026-11-28T10:00:00Z"
Done = dict[str, int]


@dataclass(frozen=True)
class Bomb:
    """One row of the table.

    Attributes:
        build: Makes the message or picture.
        kind: A detection format, ``picture`` or ``event``.
        opacity: Of the background; masks are drawn above 0.
        limited: Whether metadata has to fit into a property.
        limits: What it may ask for.
        lineage: Whether the frame is a crop with the longest lineage.
    """

    build: Callable[[], bytes]
    kind: str = "inference"
    opacity: float = 1.0
    limited: bool = True
    limits: Limits = LIMITS
    lineage: bool = False

    def go(self, payload: bytes) -> Done:
        """All the way that it takes; what became of it."""
        try:
            if self.kind == "picture":
                return {f"{still(payload, self.limits).resolution_wh}": 1}
            if self.kind == "event":
                return {str(len(events.read(payload, {}, self.limits).data)): 1}
            return self._through(payload)
        except FormatError as error:
            return {f"{error.reason}: {error}": 1}

    def _through(self, payload: bytes) -> Done:
        limits = self.limits
        said = DETECTION_FORMATS[self.kind].decode(payload, limits)
        style = Style(("n", "gate"), CropOptions(self.opacity), format=self.kind, limits=limits)
        picture = ArrayPixels(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        frame = Frame("1", picture, captured_at=1, lineage=_longest() if self.lineage else None)
        done: Done = {}
        for part in render(frame, said, 0.0, style, limited=self.limited):
            done["crops"] = done.get("crops", 0) + part.made
            for reason, count in part.refused.items():
                done[str(reason)] = done.get(reason, 0) + count
            done |= dict.fromkeys(part.said.values(), 1)
            if part.failed or part.encoding_failed or part.unexpected:
                raise AssertionError(part)
        return done


def _longest() -> Lineage:
    entries = [LineageEntry("\u00e4" * 1024, None, WIDTH, HEIGHT)]
    entries += [LineageEntry("\u00e4" * 1024, (0, 0), WIDTH, HEIGHT) for _ in range(31)]
    return Lineage(entries)


def message(rows: list[Any], **fields: Any) -> bytes:
    """An inference response."""
    found = {"frame_id": "1", **fields, "predictions": rows}
    return json.dumps(found, separators=(",", ":")).encode()


def places(count: int, width: int = 16, height: int = 16) -> list[dict[str, int]]:
    """A random outline."""
    chance = random.Random(count)
    return [{"x": chance.randrange(width), "y": chance.randrange(height)} for _ in range(count)]


HALF = {"image": {"width": WIDTH // 2, "height": HEIGHT // 2}}
PER_ROW = LIMITS.vertices // ROWS
VALUES = LIMITS.values // ROWS - 12
OUTLINED = [{**BOX, "points": places(PER_ROW)}] * ROWS
JOINT = {"x": "1.5", "y": "2.5"}


def runs(count: int, width: int = WIDTH, height: int = HEIGHT) -> dict[str, Any]:
    """So many run lengths."""
    return {"size": [height, width], "counts": [1] * (count - 1) + [width * height - count + 1]}


def column(count: int) -> bytes:
    """Run lengths of one column, to be stretched over the frame."""
    row = {**BOX, "x": 0.5, "y": HEIGHT / 2, "width": 1.0, "height": float(HEIGHT)}
    rle = {"size": [HEIGHT, 1], "counts": "111" + "0" * (HEIGHT - 3)}
    return message([{**row, "rle": rle}] * count, image={"width": 1, "height": HEIGHT})


def runs_of_text(text: str, rows: int = 1) -> bytes:
    """Run lengths that are written as a text."""
    return message([{**BOX, "rle": {"size": [HEIGHT, WIDTH], "counts": text}}] * rows)


def said(text: bytes, rows: int = 1, **fields: Any) -> bytes:
    """A class that is any bytes."""
    payload = message([{**BOX, **fields, "class": 0}] * rows)
    return payload.replace(b'"class":0', b'"class":"%b"' % text)


def nested() -> bytes:
    """Objects in objects, each with a name of its own."""
    rows = []
    for number in range(900):
        inner = "".join(f'{{"k{number}_{level}":' for level in range(57)) + "1" + "}" * 57
        rows.append(
            f"{json.dumps(BOX)[:-1]},{','.join(f'{chr(97 + n)!r}:{inner}' for n in range(3))}}}"
        )
    return f'{{"frame_id":"1","predictions":[{",".join(rows)}]}}'.replace("'", '"').encode()


NAMES = {f"k{number:06}": 1 for number in range(LIMITS.values - 100)}
FEW_NAMES = {f"k{number:06}": 1 for number in range(LIMITS.values // 2 - 100)}
LONG = 66_000
JSON_BOMBS = {
    "outlines": Bomb(lambda: message(OUTLINED)),
    "outlines, not opaque": Bomb(lambda: message(OUTLINED), opacity=0),
    "outlines, scaled": Bomb(lambda: message(OUTLINED, **HALF)),
    "outlines, scaled, JSON": Bomb(lambda: message(OUTLINED, **HALF), limited=False),
    "outlines beside NaN": Bomb(
        lambda: message(OUTLINED[::2], **HALF).replace(b'"x":8.0', b'"score":NaN,"x":8.0')
    ),
    "one outline that crosses itself": Bomb(
        lambda: message([{**BOX, "points": places(LIMITS.vertices, WIDTH, HEIGHT)}])
    ),
    "one of them, not opaque": Bomb(
        lambda: message([{**BOX, "points": places(60_000, WIDTH, HEIGHT)}]), opacity=0
    ),
    "one of them, within the limit": Bomb(
        lambda: message([{**BOX, "points": places(6000, WIDTH, HEIGHT)}])
    ),
    "whole outlines of small boxes": Bomb(
        lambda: message([{**BOX, "points": places(PER_ROW, WIDTH, HEIGHT)}] * ROWS)
    ),
    "whole outlines beside long texts": Bomb(
        lambda: said(b"x" * LONG, 120, points=places(4, WIDTH, HEIGHT)), opacity=0
    ),
    "whole boxes": Bomb(
        lambda: message([{"x": 1920, "y": 1080, "width": 3840, "height": 2160}] * ROWS),
        limits=replace(LIMITS, crop_pixels=1_000_000),
    ),
    "runs of a column": Bomb(lambda: column(ROWS)),
    "runs of a column, as many as are allowed": Bomb(
        lambda: column(30), limits=replace(LIMITS, runs=300_000)
    ),
    "runs as text": Bomb(lambda: runs_of_text("1" * MOST)),
    "runs as text, as many as are allowed": Bomb(
        lambda: runs_of_text("1" * (LIMITS.runs - 5) + "PPPX7")
    ),
    "runs as long text": Bomb(lambda: runs_of_text("PP0" * (LIMITS.runs - 9))),
    "runs as text without an end": Bomb(lambda: runs_of_text("P" * MOST)),
    "runs as numbers": Bomb(lambda: message([{**BOX, "rle": runs(12_000)}] * 20)),
    "runs, scaled": Bomb(
        lambda: message([{**BOX, "rle": runs(600, WIDTH // 2, HEIGHT // 2)}] * 200, **HALF)
    ),
    "runs twice, scaled": Bomb(
        lambda: message(
            [{**BOX, **dict.fromkeys(("rle", "rle_mask"), runs(600, WIDTH // 2, HEIGHT // 2))}]
            * 100,
            **HALF,
        )
    ),
    "runs beside long texts": Bomb(lambda: said(b"x" * LONG, 100, rle=runs(1000))),
    "runs beside a text": Bomb(
        lambda: message(
            [{**BOX, "rle": {"size": [HEIGHT, WIDTH], "counts": ["x" * 4_000_000, *[1] * 1000]}}]
        )
    ),
    "objects in objects": Bomb(nested),
    "names": Bomb(lambda: message([{**BOX, "n": NAMES}])),
    "names of the message": Bomb(lambda: message([BOX], image=NAMES)),
    "small objects": Bomb(
        lambda: message([{**BOX, "n": [{"a": 1.5}] * (LIMITS.values // 3 - 99)}])
    ),
    "joints": Bomb(lambda: message([{**BOX, "keypoints": places(VALUES // 4)}] * ROWS, **HALF)),
    "joints as text": Bomb(
        lambda: message([{**BOX, "keypoints": [JOINT] * (VALUES // 4)}] * ROWS, **HALF)
    ),
    "segments": Bomb(
        lambda: message([{**BOX, "segmentation": [[1.5, 2.5] * (VALUES // 2)]}] * ROWS, **HALF)
    ),
    "numbers beside NaN": Bomb(
        lambda: message([{**BOX, "a": [1] * (VALUES // 2)}] * ROWS).replace(b"]}", b",NaN]}", 1)
    ),
    "text of no characters": Bomb(
        lambda: said("\ufffe".encode() * (MOST // 3 - 99)), limited=False
    ),
    "texts of no characters": Bomb(
        lambda: said("\ufffe".encode() * (MOST // 3 // ROWS - 40), ROWS), limited=False
    ),
    "text of all planes": Bomb(lambda: said("\U0001f600".encode() + b"x" * (MOST - 999))),
    "text of all planes, escaped": Bomb(lambda: said(b"\\ud83d\\ude00" + b"x" * (MOST - 999))),
    "texts of all planes": Bomb(
        lambda: said("\U0001f600\ufffe".encode() + b"x" * (MOST // ROWS - 150), ROWS), limited=False
    ),
    "text with escapes": Bomb(lambda: said(b"\\n" * (MOST // 2 - 99)), limited=False),
    "text with escapes and half a pair": Bomb(lambda: said(b"\\ud800" + b"\\n" * (MOST // 2 - 99))),
    "the longest lineage": Bomb(lambda: message([BOX] * ROWS), lineage=True),
    "the longest lineage, JSON": Bomb(lambda: message([BOX] * ROWS), lineage=True, limited=False),
    "rows of numbers": Bomb(lambda: message([0] * int(2.4 * LIMITS.values))),
    "rows beyond the limit": Bomb(lambda: message([BOX] * 110_000)),
    "rows of names, beyond the values": Bomb(
        lambda: message([{**BOX, **FEW_NAMES}] * 4, **HALF), limited=False
    ),
    "brackets": Bomb(lambda: b'{"predictions":[' + b"[]," * (MOST // 3 - 10) + b"1]}"),
    "brackets that never end": Bomb(lambda: b"[" * MOST),
    "quotes": Bomb(lambda: b'"["' * (MOST // 3)),
    "a number of many digits": Bomb(
        lambda: message([{**BOX, "n": 0}]).replace(b'"n":0', b'"n":1.' + b"7" * (MOST - 200))
    ),
    "a coordinate of many digits": Bomb(
        lambda: message([{**BOX, "x": 0}]).replace(b'"x":0', b'"x":"%b"' % (b"7" * (MOST - 200)))
    ),
}


def axis(objects: list[Any]) -> bytes:
    """A frame of scene metadata."""
    found = {"channel_id": 1, "timestamp": STAMP, "detections": objects}
    return json.dumps(found, separators=(",", ":")).encode()


EDGES = {"left": 0.0, "top": 0.0, "right": 0.001, "bottom": 0.001}
CAR = {"bounding_box": EDGES, "class": {"type": "Car", "score": 0.5}}


def onvif(objects: list[Any]) -> bytes:
    """A scene description in JSON."""
    found = {"Frame": {"@UtcTime": STAMP, "Object": objects}}
    return json.dumps(found, separators=(",", ":")).encode()


def human(points: int) -> dict[str, Any]:
    """An object with an outline."""
    box = {"@left": -1.0, "@top": 1.0, "@right": -0.99, "@bottom": 0.99}
    polygon = {
        "Point": [{"@x": -1 + 0.01 * (n % 7), "@y": 1 - 0.01 * (n % 5)} for n in range(points)]
    }
    return {"Appearance": {"Shape": {"BoundingBox": box, "Polygon": polygon}}}


def xml(inside: bytes, root: bytes = b"") -> bytes:
    """A scene description in XML."""
    begin = b'<tt:MetadataStream xmlns:tt="http://www.onvif.org/ver10/schema"%b><tt:VideoAnalytics>'
    begin += b'<tt:Frame UtcTime="2026-11-28T10:00:00Z">'
    return begin % root + inside + b"</tt:Frame></tt:VideoAnalytics></tt:MetadataStream>"


TAGS = (LIMITS.values - 99) // 6
XML_BOX = b'<tt:BoundingBox left="-1" top="1" right="-0.99" bottom="0.99"/>'
CAMERA_BOMBS = {
    "axis, objects": Bomb(lambda: axis([CAR] * (LIMITS.values // 30)), "axis"),
    "axis, values": Bomb(lambda: axis([{**CAR, "n": [1.5] * (VALUES // 2 - 19)}] * ROWS), "axis"),
    "axis, names": Bomb(lambda: axis([{**CAR, **FEW_NAMES}]), "axis"),
    "axis, a text": Bomb(lambda: axis([{**CAR, "n": "x" * (MOST - 999)}]), "axis"),
    "axis, a text of all planes": Bomb(
        lambda: axis([{**CAR, "n": 0}]).replace(
            b'"n":0', b'"n":"%b"' % ("\U0001f600".encode() + b"x" * (1 << 20))
        ),
        "axis",
    ),
    "axis, escapes": Bomb(
        lambda: axis([{**CAR, "n": 0}]).replace(
            b'"n":0', b'"n":"%b"' % (b"\\ud800" + b"\\na" * 349_000)
        ),
        "axis",
    ),
    "onvif, outlines": Bomb(lambda: onvif([human(PER_ROW // 2 - 9)] * ROWS), "onvif"),
    "onvif, one outline": Bomb(lambda: onvif([human(LIMITS.vertices // 2)]), "onvif"),
    "onvif, values": Bomb(
        lambda: onvif([{**human(3), "n": [1] * (VALUES // 2 - 39)}] * ROWS), "onvif"
    ),
    "XML, line feeds": Bomb(lambda: xml(b"\n" * MOST), "onvif"),
    "XML, references": Bomb(lambda: xml(b"&amp;" * (MOST // 5)), "onvif"),
    "XML, elements": Bomb(lambda: xml(b"<a/>" * TAGS), "onvif"),
    "XML, elements of names of their own": Bomb(
        lambda: xml(b"".join(b"<n%d/>" % number for number in range(TAGS))), "onvif"
    ),
    "XML, too many": Bomb(lambda: xml(b"<a/>" * 490_000), "onvif"),
    "XML, attributes": Bomb(
        lambda: xml(b"<a %b/>" % b" ".join(b"a%d=''" % n for n in range(LIMITS.values // 4 - 99))),
        "onvif",
    ),
    "XML, a long namespace": Bomb(
        lambda: xml(b"<p:a/>" * (TAGS - 9), b" xmlns:p='%b'" % (b"u" * 7_000_000)), "onvif"
    ),
    "XML, a long namespace of attributes": Bomb(
        lambda: xml(
            b"<p:a %b/>" % b" ".join(b"p:a%d=''" % n for n in range(LIMITS.values // 4 - 99)),
            b" xmlns:p='%b'" % (b"u" * 6_000_000),
        ),
        "onvif",
    ),
    "XML, many namespaces": Bomb(
        lambda: xml(
            b"<a xmlns:q='1'/>" * (TAGS // 4),
            b"".join(b" xmlns:n%d=''" % n for n in range(LIMITS.values // 12)),
        ),
        "onvif",
    ),
    "XML, entities": Bomb(
        lambda: b'<!DOCTYPE a [<!ENTITY x "%b">]><a>%b</a>' % (b"x" * 100_000, b"&x;" * 1_000_000),
        "onvif",
    ),
    "XML, UTF-16": Bomb(lambda: ("<a>" + "\ufffd" * (MOST // 2 - 99)).encode("utf-16"), "onvif"),
    "XML, objects": Bomb(
        lambda: xml(
            b"<tt:Object><tt:Appearance><tt:Shape>%b</tt:Shape></tt:Appearance></tt:Object>"
            % XML_BOX
            * (LIMITS.values // 62)
        ),
        "onvif",
    ),
}
CHANCE = np.random.default_rng(1)


def picture(form: str, width: int = 64, height: int = 64, **how: Any) -> bytes:
    """Noise as Pillow writes it."""
    data = io.BytesIO()
    noise = CHANCE.integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(data, form, **how)
    return data.getvalue()


def segment(kind: int, body: bytes) -> bytes:
    """A part of a JPEG."""
    return bytes([0xFF, kind]) + struct.pack(">H", len(body) + 2) + body


def jpeg(more: bytes) -> bytes:
    """A JPEG with more in front."""
    data = picture("JPEG")
    return data[:2] + more + data[2:]


def scans(count: int) -> bytes:
    """A JPEG with more scans."""
    data = picture("JPEG", progressive=True)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * count + data[-2:]


def chunk(kind: bytes, body: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(more: bytes, pixels: bytes = b"", width: int = 64, height: int = 64) -> bytes:
    """A PNG with more in front, and these pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = pixels or zlib.compress((b"\0" * (1 + width * 3)) * height)
    return b"".join((b"\x89PNG\r\n\x1a\n", head, more, chunk(b"IDAT", pixels), chunk(b"IEND", b"")))


def going_on(mebibytes: int, width: int, height: int) -> bytes:
    """A PNG whose pixels go on behind its last one."""
    packed = zlib.compressobj(1)

    def parts() -> Iterator[bytes]:
        yield packed.compress((b"\0" * (1 + width * 3)) * height)
        for _ in range(mebibytes):
            yield packed.compress(bytes(1 << 20))
        yield packed.flush()

    return png(b"", b"".join(parts()), width, height)


def exif() -> bytes:
    """Entries that all point at the same long list."""
    count = 5000
    entry = struct.pack("<HHII", 0x9000, 3, 2000, 8)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, count) + entry * count


def event(**fields: str) -> bytes:
    """An event in one JSON."""
    return json.dumps({"metadata": "{}", "data_base64": "", **fields}).encode()


EXPANDING = zlib.compress(b"x" * 20_000_000, 9)
PICTURE_BOMBS = {
    "JPEG, scans": Bomb(lambda: scans(3000), "picture"),
    "JPEG, as many scans as are allowed": Bomb(lambda: scans(LIMITS.scans - 10), "picture"),
    "JPEG, comments": Bomb(lambda: jpeg(segment(0xFE, b"") * 1_000_000), "picture"),
    "JPEG, EXIF": Bomb(lambda: jpeg(segment(0xE1, exif()) * 100), "picture"),
    "JPEG, tables": Bomb(
        lambda: jpeg(segment(0xC4, (bytes([16]) + bytes(15) + b"\1\1") * 3000) * 100), "picture"
    ),
    "JPEG, frames": Bomb(
        lambda: jpeg(segment(0xC2, b"\x08\xff\xff\x02\xf0\x03\1\x11\0\2\x11\1\3\x11\1") * 99),
        "picture",
    ),
    "PNG, texts": Bomb(lambda: png(chunk(b"zTXt", b"k\0\0" + EXPANDING) * 200), "picture"),
    "PNG, many texts": Bomb(lambda: png(chunk(b"tEXt", b"k\0v") * 600_000), "picture"),
    "PNG, a profile": Bomb(lambda: png(chunk(b"iCCP", b"k\0\0" + EXPANDING)), "picture"),
    "PNG, parts of nothing": Bomb(lambda: png(chunk(b"IDAT", b"") * 600_000), "picture"),
    "PNG, parts behind it": Bomb(lambda: png(b"") + chunk(b"junk", b"") * 600_000, "picture"),
    "PNG that goes on": Bomb(lambda: going_on(600, 1, 1), "picture"),
    "PNG of 4K that goes on": Bomb(lambda: going_on(600, WIDTH, HEIGHT), "picture"),
    "PNG that goes on a little": Bomb(lambda: going_on(7, 64, 64), "picture"),
    "PNG of 9,000 x 9,000": Bomb(lambda: png(b"", b"x", 9000, 9000), "picture"),
    "WebP, parts": Bomb(lambda: picture("WEBP") + b"junk\0\0\0\0" * 600_000, "picture"),
    "WebP, EXIF": Bomb(lambda: picture("WEBP", exif=exif()), "picture"),
    "event, names": Bomb(
        lambda: event(**{f"k{number}": "" for number in range(LIMITS.values // 2 - 99)}), "event"
    ),
    "event, metadata": Bomb(lambda: event(metadata="[" + "0," * 4_000_000 + "0]"), "event"),
    "event, a picture": Bomb(
        lambda: event(data_base64=b64encode(bytes(20 << 20)).decode()), "event"
    ),
}
BOMBS = {**JSON_BOMBS, **CAMERA_BOMBS, **PICTURE_BOMBS}


def peak() -> int:
    """The most memory that this process had in RAM, in bytes, since it was asked to forget."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024


def main() -> None:
    """Say what one costs: seconds of CPU, bytes of memory, its own size, and what became of it."""
    one = BOMBS[sys.argv[1]]
    payload = one.build()
    # What is loaded once, and encoders, are no message's.
    for warm in (Bomb(lambda: message([BOX])), Bomb(lambda: picture("JPEG"), "picture")):
        warm.go(warm.build())
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before, since = peak(), time.process_time()
    done = one.go(payload)
    spent = time.process_time() - since
    sys.stdout.write(json.dumps([spent, peak() - before, len(payload), done]))


if __name__ == "__main__":
    main()
