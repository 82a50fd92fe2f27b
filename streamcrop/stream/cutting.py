"""A paired frame is read and cut: which rows have a crop, and which pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from streamcrop.core.background import CropOptions
from streamcrop.core.crop import Crop
from streamcrop.core.cutting import cut
from streamcrop.core.limits import Budget, Limits
from streamcrop.core.lineage import Lineage, LineageEntry
from streamcrop.core.values import Frame, Instances, Message, Predictions, Reason
from streamcrop.formats import DETECTION_FORMATS
from streamcrop.formats.metadata import MAX_REFUSED, frame_fields
from streamcrop.formats.shown import parts_of


@dataclass(frozen=True, slots=True)
class Style:
    """How a stream's frames are rendered.

    Attributes:
        source: ``(node, stream)``.
        paired_by: The pairing key's name, as in the configuration.
        topic: The template of a crop's topic.
    """

    source: tuple[str, str]
    options: CropOptions
    paired_by: str = "frame_id"
    format: str = "inference"
    max_predictions: int = 1000
    topic: str = "streamcrop/{stream}/crops"
    encoding: str = "jpeg"
    quality: int = 90
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class ReadFrame:
    """A frame, and what its message says of it.

    Attributes:
        frame: The frame.
        name: ``{stream}/{frame_id}``.
        head: Metadata that all of its crops begin with.
        read: The message's rows.
    """

    frame: Frame
    name: str
    head: dict[str, Any]
    read: Predictions


@dataclass(frozen=True, slots=True)
class CutFrame:
    """A frame that is cut, whose crops are not encoded yet.

    Attributes:
        frame: The frame.
        head: Metadata that all of its crops begin with.
        crops: The crops, in the order of the message's rows.
        rows: The rows of the message, by their index.
        refused: The indexes of rows that gave no crop, with the reason.
        beyond: How many rows behind these are over the limit.
        said: Of each kind of thing that is wrong the first, in words for people.
        budget: What is left of the pixels that the message may ask for.
        held: The names of crops that are held until something better comes, or nothing does.
        supersedes: Of a crop's row, the name of the one that it is better than.
    """

    frame: Frame
    head: dict[str, Any]
    crops: list[Crop]
    rows: Sequence[dict[str, Any]] | Mapping[int, dict[str, Any]]
    refused: list[tuple[int, Reason]]
    said: dict[str, str]
    budget: Budget
    held: Sequence[str] = ()
    supersedes: Mapping[int, str] = field(default_factory=dict)
    beyond: int = 0


def read_frame(frame: Frame, message: Message, residual: float, style: Style) -> ReadFrame:
    """Read what a message says of a frame; no pixel of it is looked at.

    Args:
        frame: The frame. Not modified.
        message: What was said of it.
        residual: How far apart their keys are.
        style: How.
    """
    head = {
        "stream": style.source[1],
        "frame_id": frame.frame_id,
        **frame_fields(frame),
        "paired_by": style.paired_by,
        "residual": residual,
    }
    name = f"{style.source[1]}/{frame.frame_id}"
    read = DETECTION_FORMATS[style.format].predictions(
        message,
        frame.pixels.resolution_wh,
        name=name,
        limit=style.max_predictions,
        limits=style.limits,
    )
    return ReadFrame(frame, name, head, read)


def cut_frame(frame: Frame, message: Message, residual: float, style: Style) -> CutFrame:
    """Cut out what a message speaks of: `read_frame`, then `cut_read`. Takes what they do.

    Raises:
        CorruptError: If the frame turns out to be damaged.
    """
    return cut_read(read_frame(frame, message, residual, style), style)


def cut_read(
    found: ReadFrame,
    style: Style,
    refused: Mapping[int, Reason] | None = None,
    *,
    decoded: bool = True,
) -> CutFrame:
    """Cut rows out; the frame is decoded if any row may have a crop.

    Args:
        found: The frame and its rows.
        style: How.
        refused: Rows that are not to be cut beside those that could not be read.
        decoded: False: not even then, since nobody will look at the pixels.

    Raises:
        CorruptError: If the frame turns out to be damaged.
    """
    frame, read, instances = found.frame, found.read, found.read.instances
    if refused:
        instances = replace(instances, refused={**refused, **instances.refused})
    resolution_wh, pixels = frame.pixels.resolution_wh, frame.pixels
    lineage = frame.lineage or Lineage([LineageEntry(found.name, None, *resolution_wh)])
    if decoded and len(instances) > len(instances.refused):
        pixels = pixels.decode()
    parts = parts_of(read.rows, style.options.shape)
    budget = Budget(style.limits, "crop_pixels")
    crops, lost = cut(pixels, instances, style.options, lineage=lineage, parts=parts, budget=budget)
    said = {**_no_crop(instances, lost, resolution_wh, budget), **read.said}
    # As many are named as anybody reads of.
    named = min(read.over_limit, MAX_REFUSED)
    lost += [(len(read.rows) + at, Reason.OVER_LIMIT) for at in range(named)]
    beyond = read.over_limit - named
    return CutFrame(frame, found.head, crops, read.rows, lost, said, budget, beyond=beyond)


def _no_crop(
    instances: Instances,
    refused: list[tuple[int, Reason]],
    resolution_wh: tuple[int, int],
    budget: Budget,
) -> dict[str, str]:
    """Words for rows that could be read and have no crop: the first of each kind."""
    said: dict[str, str] = {}
    width, height = resolution_wh
    for row, reason in refused:
        if reason == Reason.OUTSIDE_FRAME and row not in instances.refused:
            corners = ", ".join(f"{side:g}" for side in instances.xyxy[row])
            text = f"prediction {row}, from {corners}, has no pixel of the frame's"
            said.setdefault("prediction_outside_frame", f"{text} {width} x {height}")
        elif reason == Reason.OVER_LIMIT and row not in instances.refused:
            said.setdefault("prediction_crop_pixels", f"prediction {row}: {budget.excess}")
        elif reason == Reason.NO_SHAPE:
            text = (
                f"prediction {row} lacks the keypoints or corners that the section crop asks for, "
                "or they lie one on another or are mirrored, or the crop would be too large"
            )
            said.setdefault("prediction_no_shape", text)
    return said
