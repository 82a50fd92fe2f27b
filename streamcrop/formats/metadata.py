"""The metadata of frames and crops: JSON, of a crop itself a valid inference response."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from streamcrop.core.crop import Crop
from streamcrop.core.limits import Budget
from streamcrop.core.runs import Rle
from streamcrop.core.values import Frame, MaskPixels, Reason
from streamcrop.core.view import View
from streamcrop.core.warp import mask_through
from streamcrop.formats.coordinates import moved
from streamcrop.formats.lineage import lineage_json
from streamcrop.formats.rows import RLE_KEYS
from streamcrop.formats.shown import shown
from streamcrop.formats.times import rfc3339

# In UTF-8, control characters, the byte order mark and what Unicode calls noncharacters. Each kind
# begins with a byte of its own: by these `re` looks ten times as fast as by a set of them.
_UNFIT = re.compile(
    rb"\x7f|\xc2[\x80-\x9f]|\xef(?:\xb7[\x90-\xaf]|\xbb\xbf|\xbf[\xbe\xbf])"
    + b"".join(b"|%c[\x8f\x9f\xaf\xbf]\xbf[\xbe\xbf]" % first for first in range(0xF0, 0xF5))
)
_encoder = msgspec.json.Encoder()
# Beyond it no refused row is named, and no text of a row that has to be short is whole.
MAX_REFUSED, _MAX_TEXT = 1000, 256
_KEPT = ("x", "y", "width", "height", "confidence", "class_id", "tracker_id", "detection_id")


def frame_fields(frame: Frame) -> dict[str, Any]:
    """The known fields of a frame; what is not known is absent."""
    known: dict[str, Any] = {}
    if frame.pts is not None and frame.time_base is not None:
        known["pts"] = frame.pts
        known["time_base"] = f"{frame.time_base.numerator}/{frame.time_base.denominator}"
    if frame.captured_at is not None:
        known["captured_at"] = rfc3339(frame.captured_at)
    if frame.epoch is not None:
        known["epoch"] = frame.epoch
    if frame.sei is not None:
        known["sei"] = frame.sei
    return known


def size(resolution_wh: tuple[int, int]) -> dict[str, int]:
    """``(width, height)`` as the messages write it."""
    return {"width": resolution_wh[0], "height": resolution_wh[1]}


def crop_row(row: Mapping[str, Any], crop: Crop) -> dict[str, Any]:
    """A prediction of the frame in the coordinates of its crop."""
    if crop.view is not None:
        return _shown_row(row, crop.view, crop.original.pixels.resolution_wh)
    found = moved(row, origin=crop.origin)
    keys = [key for key in RLE_KEYS if row.get(key) is not None]
    for key in keys:
        # Where there is one only, it is the crop's mask.
        runs = crop.runs if len(keys) == 1 else None
        found[key] = crop_rle(row[key], crop.box, crop.original.pixels.resolution_wh, runs)
    return found


def _shown_row(
    row: Mapping[str, Any], view: View, resolution_wh: tuple[int, int]
) -> dict[str, Any]:
    """`crop_row` of a crop that shows the frame through a view."""
    found = shown(row, view)
    for key in RLE_KEYS:
        if (value := row.get(key)) is not None:
            runs = Rle.of(mask_through(Rle.parse(value), view, resolution_wh))
            found[key] = {**value, **runs.as_json(compressed=isinstance(value["counts"], str))}
    return found


def crop_rle(
    value: Mapping[str, Any],
    box: tuple[int, int, int, int],
    resolution_wh: tuple[int, int],
    runs: Rle | None = None,
) -> dict[str, Any]:
    """Run lengths of a box of the frame, in the form (text or integers) in which they came."""
    compressed = isinstance(value["counts"], str)
    runs = runs or Rle.parse(value).crop(box, resolution_wh)
    return {**value, **runs.as_json(compressed=compressed)}


def crop_metadata(
    head: Mapping[str, Any],
    row: Mapping[str, Any],
    crop: Crop,
    *,
    limit: int | None,
    budget: Budget | None = None,
) -> bytes:
    """The metadata of one crop: itself a valid inference response.

    Args:
        head: What all crops of the frame share.
        row: The prediction in frame coordinates.
        crop: The crop.
        limit: How many bytes it may have; None: any number. A longer one gives up the mask's
            points for run lengths, then the mask, then keypoints and keys it does not know.
        budget: Of the pixels that may be looked at to find out the run lengths; None: any number.
    """
    x, y = origin = crop.origin
    image, transform = size(crop.resolution_wh), ((1, 0, -x), (0, 1, -y))
    entry = {"id": crop.detection_id, "origin": origin, **image}
    chain = [*lineage_json(crop.original.lineage), entry]
    if crop.view is not None:
        transform, chain = crop.transform.tolist(), lineage_json(crop.lineage)
    fields = {
        **head,
        "id": f"{head['stream']}/{head['frame_id']}/{crop.detection_id}",
        "detection_id": crop.detection_id,
        "origin": origin,
        "transform": transform,
        "lineage": chain,
        "image": image,
    }
    found = crop_row(row, crop)
    text = _encode({**fields, "predictions": [found]}, limit)
    if limit is None or len(text) <= limit:
        return text
    for shorter, said in _shorter(found, crop, limit, budget):
        text = _encode({**fields, **said, "predictions": [shorter]}, limit)
        if len(text) <= limit:
            break
    return text


def _encode(value: object, limit: int | None) -> bytes:
    r"""JSON whose text MQTT carries: where MQTT 5, 1.5.4, warns of a character, it is all of ASCII.

    One that is too long is returned as it is.
    """
    text = _encoder.encode(value)
    if text.isascii() and b"\x7f" not in text:
        return text
    if (limit is not None and len(text) > limit) or not _UNFIT.search(text):
        return text
    return json.dumps(json.loads(text), separators=(",", ":")).encode()


def _shorter(
    row: dict[str, Any], crop: Crop, limit: int, budget: Budget | None
) -> Iterator[tuple[dict[str, Any], dict[str, bool]]]:
    """Shorter and shorter forms of a prediction, with what is to be said of each."""
    mask_keys = ("points", "polygon", *RLE_KEYS)
    without = {key: value for key, value in row.items() if key not in mask_keys}
    runs = [Rle.parse(row[key]) for key in RLE_KEYS if row.get(key)]
    if not runs and (mask := _drawn(crop, limit, budget)) is not None:
        runs = [Rle.of(mask)]
    if runs:
        yield {**without, "rle": runs[0].as_json()}, {}
    had_mask = any(row.get(key) for key in mask_keys)
    omitted = {"mask_omitted": True} if had_mask else {}
    if had_mask:
        yield without, omitted
    short = {key: row[key] for key in _KEPT if isinstance(row.get(key), int | float | str)}
    short |= {key: value[:_MAX_TEXT] for key, value in short.items() if isinstance(value, str)}
    short["detection_id"] = row["detection_id"]
    if isinstance(name := row.get("class"), str):
        short["class"] = name[:_MAX_TEXT]
    yield short, {**omitted, "truncated": True}


def _drawn(crop: Crop, limit: int, budget: Budget | None) -> MaskPixels | None:
    """The mask, if it may be drawn, and its run lengths may fit into so many bytes."""
    if budget is not None and not budget.take(crop.mask_cost):
        return None
    mask = crop.to_mask()
    if mask is None or np.count_nonzero(mask[1:] != mask[:-1]) > limit:
        return None
    return mask


def frame_metadata(
    head: Mapping[str, Any],
    resolution_wh: tuple[int, int],
    crops: Iterable[tuple[Crop, Mapping[str, Any]]],
    refused: list[tuple[int, Reason]],
    *,
    beyond: int = 0,
) -> bytes:
    """The metadata of one paired frame, also of one without detections.

    Args:
        head: As in `crop_metadata`.
        resolution_wh: Of the frame.
        crops: Each crop with its prediction in frame coordinates.
        refused: ``(row, reason)``; beyond a thousand only their number is said.
        beyond: How many there are behind these.
    """
    crops = list(crops)
    fields = {
        **head,
        "image": size(resolution_wh),
        "crops": [f"{head['stream']}/{head['frame_id']}/{crop.detection_id}" for crop, _ in crops],
        "refused": [{"index": row, "reason": reason} for row, reason in refused[:MAX_REFUSED]],
    }
    if omitted := max(0, len(refused) - MAX_REFUSED) + beyond:
        fields["refused_omitted"] = omitted
    fields["predictions"] = [row for _, row in crops]
    return msgspec.json.encode(fields)
