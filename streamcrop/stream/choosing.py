"""Which rows of a stream's messages become crops, now or later; see `core.choice`.

Rows are filtered before the frame is decoded, and so is what can be chosen without a look at it. A
crop that is held owns its pixels, so that it keeps no frame.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, prod
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from streamcrop.core.choice import Candidate, Chooser, Chosen, NotChosen, Rule
from streamcrop.core.crop import Crop
from streamcrop.core.filters import Filter
from streamcrop.core.score import SHARPNESS_SIDE, score
from streamcrop.core.values import Frame, Message, Reason
from streamcrop.stream.cutting import CutFrame, ReadFrame, Style, cut_read, read_frame

# Times of a file that go back by more have begun again.
_AGAIN = 1.0
# Bytes of a pixel that is held, with those of its mask.
_PIXEL = 4


@dataclass(slots=True, eq=False)
class Pick:
    """A crop that may be chosen.

    Attributes:
        found: Its frame, cut; of a crop that is held, as if it had been the frame's only one.
        crop: The crop.
    """

    found: CutFrame
    crop: Crop

    def keep(self) -> None:
        """Let go of the frame."""
        crop = self.crop.copy()
        frame = replace(self.found.frame, pixels=crop.pixels)
        rows = {crop.index: self.found.rows[crop.index]}
        head, budget = self.found.head, self.found.budget
        self.found, self.crop = CutFrame(frame, head, [crop], rows, [], {}, budget), crop


@dataclass(frozen=True, slots=True)
class Late:
    """The decisions on crops of earlier frames.

    Attributes:
        chosen: Those that are to be handed on, each as a frame of its own.
        passed: How many are not.
    """

    chosen: Sequence[CutFrame] = ()
    passed: int = 0

    def __bool__(self) -> bool:
        return bool(self.chosen or self.passed)


class Choosing:
    """Chooses among the rows of a stream's messages.

    Args:
        interest: Which rows are of interest at all.
        rule: Which crops of a track are chosen.
        by_media: Whether time is that of the frames, as of a file, and not the caller's.
    """

    def __init__(self, interest: Filter, rule: Rule, *, by_media: bool = False) -> None:
        self._interest = interest
        self._chooser: Chooser[Pick] = Chooser(rule)
        self._by_media = by_media
        self._latest, self._offset = float("-inf"), 0.0

    @property
    def held(self) -> int:
        """How many crops are held."""
        return self._chooser.held

    @property
    def deadline(self) -> float | None:
        """When `expire` is to be called, by the caller's time; None: not before the next frame."""
        return None if self._by_media else self._chooser.deadline

    def cut(
        self, frame: Frame, message: Message, residual: float, style: Style, now: float
    ) -> tuple[CutFrame, Late]:
        """Cut the rows of a frame that are chosen.

        Args:
            frame: The frame. Not modified.
            message: What was said of it.
            residual: How far apart their keys are.
            style: How.
            now: In seconds, by any one monotonic clock.

        Returns:
            The frame with the crops that are chosen now; its other rows are `filtered` or
            `not_chosen`, or held. And what is decided by now of earlier frames' crops.

        Raises:
            CorruptError: If the frame turns out to be damaged.
        """
        read = read_frame(frame, message, residual, style)
        refused = self._filtered(read)
        rule = self._chooser.rule.per_track
        if rule == "every":
            return cut_read(read, style, refused), Late()
        scored = rule.startswith("best")
        plan = cut_read(read, style, refused, decoded=scored)
        scores = _scores(plan.crops, read, frame.pixels.resolution_wh) if scored else {}
        picks = [Pick(plan, crop) for crop in plan.crops]
        candidates = [_candidate(pick, scores, len(message.payload)) for pick in picks]
        plan, late = self._offer(plan, candidates, self._time(frame, now))
        if not scored and plan.crops:
            refused |= {row: why for row, why in plan.refused if why == Reason.NOT_CHOSEN}
            plan = cut_read(read, style, refused)
        return plan, late

    def expire(self, now: float) -> Late:
        """End the tracks that were not seen for too long; call it at `deadline`."""
        return _late(self._chooser.expire(now))

    def close(self) -> Late:
        """End all tracks; what is held is chosen."""
        return _late(self._chooser.close(self._latest))

    def _filtered(self, read: ReadFrame) -> dict[int, Reason]:
        """The rows that are of no interest; the others say what zones they lie in."""
        refused: dict[int, Reason] = {}
        boxes, rows = read.read.instances.xyxy, read.read.rows
        for index, (row, box) in enumerate(zip(rows, boxes, strict=True)):
            if index in read.read.instances.refused or not np.isfinite(box).all():
                continue
            zones = self._interest.zones_at(box, read.frame.pixels.resolution_wh)
            if zones is not None:
                rows[index] = {**row, "zones": zones}
            passes = self._interest.passes(row.get("class"), _confidence(row), box)
            if not passes or zones == []:
                refused[index] = Reason.FILTERED
        return refused

    def _time(self, frame: Frame, now: float) -> float:
        """The stream's own time; that of a file that begins again goes on."""
        if self._by_media and frame.pts is not None and frame.time_base is not None:
            now = float(frame.pts * frame.time_base) + self._offset
            if now < self._latest - _AGAIN:
                self._offset += self._latest - now
                now = self._latest
        self._latest = max(self._latest, now)
        return now

    def _offer(
        self, plan: CutFrame, candidates: Sequence[Candidate[Pick]], now: float
    ) -> tuple[CutFrame, Late]:
        """Choose among a frame's crops."""
        decided = [*self._chooser.expire(now)]
        for candidate in candidates:
            decided += self._chooser.offer(candidate, now)
        waiting = {id(candidate.item): candidate for candidate in candidates}
        ours = [(one, waiting.pop(id(one.item))) for one in decided if id(one.item) in waiting]
        mine = {id(one) for one, _ in ours}
        late = [one for one in decided if id(one) not in mine]
        for held in waiting.values():
            held.item.keep()
        chosen = [one for one, _ in ours if isinstance(one, Chosen)]
        passed = [one.item.crop.index for one, _ in ours if isinstance(one, NotChosen)]
        found = replace(
            plan,
            crops=[one.item.crop for one in chosen],
            refused=sorted([*plan.refused, *((row, Reason.NOT_CHOSEN) for row in passed)]),
            held=[held.id for held in waiting.values()],
            supersedes={one.item.crop.index: one.supersedes for one in chosen if one.supersedes},
        )
        return found, _late(late)


def _late(decided: Sequence[Chosen[Pick] | NotChosen[Pick]]) -> Late:
    chosen = [one.item.found for one in decided if isinstance(one, Chosen)]
    return Late(chosen, len(decided) - len(chosen))


def _candidate(pick: Pick, scores: Mapping[int, float], nbytes: int) -> Candidate[Pick]:
    head, crop = pick.found.head, pick.crop
    name = f"{head['stream']}/{head['frame_id']}/{crop.detection_id}"
    score_of_it, held = scores.get(crop.index, 0.0), _PIXEL * prod(crop.resolution_wh) + nbytes
    return Candidate(pick, name, _track(pick.found.rows[crop.index]), score_of_it, held)


def _track(row: Mapping[str, Any]) -> Hashable | None:
    """The name of a row's object; a number and its text are one name."""
    value = row.get("tracker_id")
    if type(value) is float and value.is_integer():
        value = int(value)
    return str(value) if type(value) in {int, str} and value != "" else None


def _confidence(row: Mapping[str, Any]) -> float | None:
    value = row.get("confidence")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if isfinite(value) else None


def _scores(
    crops: Sequence[Crop], read: ReadFrame, resolution_wh: tuple[int, int]
) -> dict[int, float]:
    """How good each crop is; its row says it, too."""
    scores, rows = {}, read.read.rows
    for crop in crops:
        row, box = rows[crop.index], crop.original.xyxy[crop.index]
        found = score(_confidence(row), box, resolution_wh, _luma(crop))
        rows[crop.index] = {**row, "score": found.total, "score_parts": found.parts()}
        scores[crop.index] = found.total
    return scores


def _luma(crop: Crop) -> npt.NDArray[np.uint8]:
    """The brightness of what the crop is cut from, no larger than a score looks at it."""
    part = crop.original.pixels.region(crop.box)
    width, height = part.resolution_wh
    small = part.resized((min(width, SHARPNESS_SIDE), min(height, SHARPNESS_SIDE)))
    return np.asarray(cv2.cvtColor(small.bgr(), cv2.COLOR_BGR2GRAY), np.uint8)
