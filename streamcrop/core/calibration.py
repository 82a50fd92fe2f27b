"""By how much the capture times of two streams of one camera differ: told by what they show.

Each picture of one stream is held against each of the other, as small as `motion` makes them. Laid
over one another with the true offset they differ least, and by any other offset more, the more the
further: the same scene, seen twice. What could look so and is not so is refused rather than guessed
at (`_REFUSALS`), for an offset that is wrong makes every crop wrong.

Pure: two `Series` in, a `Verdict` out. Held against some thousand made scenes (`tests/scenes.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from streamcrop.core.motion import Series, shared

Array = npt.NDArray[Any]

# Below this, in seconds and pictures, chance decides.
_SHORTEST, _FEWEST = 8.0, 30
# So finely are offsets tried: parts of an interval of the main stream's.
_STEPS = 4
# So far beyond the searched offsets others are tried for repetition, in seconds.
_BEYOND = 15.0
# Pictures of one block see the same motion; blocks are taken for independent of each other.
_BLOCK = 0.5
_PARTS = 3
# The least part of the motion that the two must have in common, of 1. Two cameras: up to 0.2; one,
# badly encoded, below a lamp that flickers: from 0.5 on.
_ALIKE = 0.35
# An offset that fits nearly as well as the best, by this part of what the best explains.
_RIVAL = 0.25
# Each other offset must fit worse by so many standard deviations of a sum of random signs: the
# chance of being beaten by more than 3 is below exp(-9 / 2), whatever the blocks hold (Hoeffding).
_CLEARLY = 3.0
# So many pictures are held against all others at a time: of two minutes at 60 a second whole tables
# would be gigabytes. Where there is nothing to compare with stands no number.
_AT_ONCE, _NOTHING = 256, (np.nan, np.nan)
# So many of the pictures have to have something to be compared with, for an offset to count.
_COVERED = 0.25
# An offset that another picture would be nearest to after so many seconds is none.
_HOLDS = 60.0
# A picture that both streams show: their times lie so close to one grid, in main intervals.
_SAME, _NEXT = 0.1, 0.4


class Kind(StrEnum):
    """The ways in which a comparison can end."""

    TOLD = "told"
    SHORT = "short"
    STILL = "still"
    DIFFERENT = "different"
    FAR = "far"
    APART = "apart"
    REPEATS = "repeats"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a comparison; times in seconds.

    Attributes:
        kind: `Kind.TOLD`, or why it cannot be told.
        offset: What is to be added to the other stream's times; None: it cannot be told.
        spread: With it 95 of 100 pictures lie closer than this to one of the main stream's.
        drift: By how much the offset grows in a second.
        parts: The offset in each third of the motion, as far as it was looked for.
        rival: Another offset that fits alike.
    """

    kind: Kind
    offset: float | None = None
    spread: float = 0.0
    drift: float = 0.0
    parts: tuple[float, ...] = ()
    rival: float | None = None


def compare(main: Series, other: Series, *, search: float = 2.0, centre: float = 0.0) -> Verdict:
    """Find the offset: a time of ``other`` + the offset = the same moment's time of ``main``.

    Args:
        main: The stream that crops are cut from.
        other: The detector's.
        search: The largest difference from ``centre`` that is looked for, in seconds.
        centre: Where to look.

    Example:
        >>> still = np.zeros((300, 36, 64), np.float32)
        >>> compare(Series(np.arange(300) / 25, still), Series(np.arange(300) / 25, still)).kind
        <Kind.STILL: 'still'>
    """
    if min(len(main.times), len(other.times)) < _FEWEST:
        return Verdict(Kind.SHORT)
    laid = _lay(main, other, search, centre)
    if len(laid.times) < _FEWEST or len(laid.times) * other.interval < _SHORTEST:
        return Verdict(Kind.SHORT)
    if not laid.energy.any():
        return Verdict(Kind.STILL)
    fit = _fit(laid)
    for kind, applies in _REFUSALS.items():
        if applies(fit):
            return Verdict(kind, parts=fit.parts, drift=fit.drift, rival=fit.rival)
    return _told(fit, main.times)


@dataclass(frozen=True, slots=True)
class _Laid:
    """Two streams held against each other.

    Attributes:
        times: Of the other stream's pictures that all searched offsets can be tried with, ``(n,)``.
        offsets: Those that are tried, ``(m,)``, ascending in even steps.
        near: Which of them are searched; the others are tried for repetition.
        differences: Of each picture from the main stream by each offset, ``(n, m)``; NaN where
            there is nothing to compare it with.
        energy: The difference from a picture that has nothing to do with it, ``(n,)``.
        interval: The main stream's.
    """

    times: Array
    offsets: Array
    near: Array
    differences: Array
    energy: Array
    interval: float


def _lay(main: Series, other: Series, search: float, centre: float) -> _Laid:
    ours, theirs = shared(main, other)
    powers, their_powers = (ours**2).sum(1), (theirs**2).sum(1)
    interval = main.interval
    step = interval / _STEPS
    count = int(min(search + _BEYOND, 0.6 * (main.times[-1] - main.times[0])) / step)
    offsets = centre + np.arange(-count, count + 1) * step
    near = np.abs(offsets - centre) <= search
    gaps = np.diff(main.times) > _STEPS * interval
    differences = np.full((len(other.times), len(offsets)), np.nan, np.float32)
    for row, at in enumerate(other.times):
        if row % _AT_ONCE == 0:
            # Pictures, not what lies between them: a mean of two pictures has less noise than one,
            # and would seem to fit better. Differences may be interpolated.
            rows = slice(row, row + _AT_ONCE)
            matrix = their_powers[rows, None] + powers - 2 * theirs[rows] @ ours.T
        differences[row] = np.interp(at + offsets, main.times, matrix[row % _AT_ONCE], *_NOTHING)
        after = np.searchsorted(main.times, at + offsets).clip(1, len(main.times) - 1)
        differences[row, gaps[after - 1]] = np.nan
    whole = ~np.isnan(differences[:, near]).any(1)
    energy = (their_powers + powers.mean())[whole]
    return _Laid(other.times[whole], offsets, near, differences[whole], energy, interval)


@dataclass(frozen=True, slots=True)
class _Fit:
    """The best offset, and what speaks for it.

    Attributes:
        laid: The streams.
        offset: The best.
        alike: The part of the motion that the streams have in common with it, at most 1.
        is_edge: Whether it is the last one that was searched, or so.
        error: Its standard deviation over blocks of time.
        clearly: By how many standard deviations every other searched offset is worse.
        rival: Another one that fits nearly as well; None: there is none.
        parts: The best in each part of the motion.
        drift: Seconds in a second.
    """

    laid: _Laid
    offset: float
    alike: float
    is_edge: bool
    error: float
    clearly: float
    rival: float | None
    parts: tuple[float, ...]
    drift: float

    @property
    def wanders(self) -> bool:
        """True if the offset goes further while it is looked for than its error explains."""
        span = self.laid.times[-1] - self.laid.times[0]
        furthest = max(abs(part - self.offset) for part in self.parts)
        # Of the error of all parts each has the square root of their number; three deviations.
        allowed = max(self.laid.interval / 2, 3 * _PARTS**0.5 * self.error)
        return bool(max(furthest, abs(self.drift) * span / 2) > allowed)


def _fit(laid: _Laid) -> _Fit:
    searched = laid.offsets[laid.near]
    block = np.floor((laid.times - laid.times[0]) / _BLOCK).astype(int)
    in_block = np.eye(block[-1] + 1, dtype=np.float32)[:, block]
    curves = in_block @ laid.differences[:, laid.near]
    offset = _least(searched, curves.sum(0), laid.interval)
    without = [_least(searched, curves.sum(0) - curve, laid.interval) for curve in curves]
    there = np.array([np.interp(offset, laid.offsets, row) for row in laid.differences], np.float32)
    worse, explained = laid.differences - there[:, None], laid.energy - there
    valid = ~np.isnan(worse)
    by_block = in_block @ np.nan_to_num(worse, copy=False)
    signs = by_block.sum(0) / np.sqrt((by_block**2).sum(0) + 1e-12)
    others = laid.near & (np.abs(laid.offsets - offset) >= laid.interval)
    parts, drift = _by_part(laid, (in_block @ explained)[block], block)
    return _Fit(
        laid,
        offset,
        alike=float(explained.sum() / laid.energy.sum()),
        is_edge=bool(np.abs(offset - searched[[0, -1]]).min() <= 2 * laid.interval),
        error=float(np.std(without) * np.sqrt(len(without) - 1)),
        clearly=float(signs[others].min()),
        rival=_rival(laid, offset, by_block.sum(0), explained @ valid, valid.mean(0)),
        parts=parts,
        drift=drift,
    )


def _least(offsets: Array, curve: Array, interval: float) -> float:
    """Where the differences are least: the vertex of a parabola around the least of them."""
    least = offsets[np.argmin(curve)]
    around = np.abs(offsets - least) <= 2.01 * interval
    bend, slope, _ = np.polyfit((offsets[around] - least) / interval, curve[around], 2)
    vertex = -slope / (2 * bend) if bend > 0 else 0.0
    return float(least + np.clip(vertex, -1, 1) * interval)


def _by_part(laid: _Laid, explained: Array, block: Array) -> tuple[tuple[float, ...], float]:
    """The best offset in parts that explain as much each, and by how much it grows in a second."""
    gathered = np.cumsum(np.maximum(explained, 0))
    part = np.searchsorted(gathered[-1] * np.arange(1, _PARTS) / _PARTS, gathered)
    # A block belongs to one part.
    part = part[np.searchsorted(block, block)]
    searched, found = laid.offsets[laid.near], []
    for number in np.unique(part):
        rows = part == number
        curve = laid.differences[rows][:, laid.near].sum(0)
        found.append((laid.times[rows].mean(), _least(searched, curve, laid.interval)))
    when, parts = np.array(found).T
    drift = float(np.polyfit(when, parts, 1)[0]) if len(parts) > 1 else 0.0
    return tuple(parts.tolist()), drift


def _rival(
    laid: _Laid, offset: float, worse: Array, explained: Array, covered: Array
) -> float | None:
    """An offset outside the best one's valley that fits nearly as well."""
    lost = worse / (explained + 1e-9)
    lost[covered < _COVERED] = np.inf
    # The valley ends where half of what the best explains is lost.
    outside, best = lost > 1 / 2, int(np.abs(laid.offsets - offset).argmin())
    outside[[0, -1]] = True
    before, after = np.flatnonzero(outside[:best])[-1], best + np.flatnonzero(outside[best:])[0]
    lost[before + 1 : after] = np.inf
    least = int(lost.argmin())
    return float(laid.offsets[least]) if lost[least] < _RIVAL else None


# In this order, the most telling first.
_REFUSALS: dict[Kind, Callable[[_Fit], bool]] = {
    Kind.DIFFERENT: lambda fit: fit.alike < _ALIKE,
    Kind.FAR: lambda fit: fit.is_edge,
    Kind.REPEATS: lambda fit: fit.rival is not None,
    Kind.APART: lambda fit: fit.wanders,
    Kind.UNSURE: lambda fit: fit.clearly < _CLEARLY or fit.error * 3 > fit.laid.interval / 2,
}


def _told(fit: _Fit, times: Array) -> Verdict:
    """The offset between pictures, where both streams show the same ones, and how far they lie."""
    laid, offset, drift = fit.laid, fit.offset, fit.drift
    apart = _nearest(times, laid.times + offset) - laid.times
    usual = float(np.median(apart))
    same = float(np.median(np.abs(apart - usual))) < _SAME * laid.interval
    if same and abs(usual - offset) < _NEXT * laid.interval:
        offset, drift = usual, float(np.polyfit(laid.times, apart, 1)[0])
        apart = _nearest(times, laid.times + offset) - laid.times
        if abs(drift) * _HOLDS > laid.interval / 2:
            return Verdict(Kind.APART, drift=drift, parts=fit.parts)
    spread = float(np.quantile(np.abs(apart - offset), 0.95))
    return Verdict(Kind.TOLD, offset, spread, drift, fit.parts)


def _nearest(times: Array, wanted: Array) -> Array:
    after = np.searchsorted(times, wanted).clip(1, len(times) - 1)
    is_before = wanted - times[after - 1] < times[after] - wanted
    return np.asarray(times[after - is_before])
