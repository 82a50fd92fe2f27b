"""The motion in the small pictures of two streams, by which one can be laid over the other.

What changes everywhere at once (lamps, exposure) says little of time and much of encoders, so it is
taken out; so is whatever goes by the second, like the time that cameras write into their pictures:
each stream may write it at a moment of its own.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Rows and columns: so small that two sizes of one picture are alike, whatever their aspect, and a
# person far off still fills a cell.
GRID = (36, 64)
# What is slower than this is light, or somebody who sits; it does not tell moments apart.
_SLOW = 1.0
# A cell moves if it varies more than its noise: the usual cell's, or this, in levels squared.
_NOISE = 10.0
# A change counts as one from here on, against the usual difference of two pictures (a chi-square
# variable with one degree of freedom is above it once in 400 times).
_CHANGE = 20.0
# By the second: most of its change in one tenth of it, in three seconds at least.
_TICKS, _TICK, _TICKING, _TICKED = 50, 0.1, 0.7, 3


@dataclass(frozen=True, slots=True)
class Series:
    """Small pictures of one stream.

    Attributes:
        times: When each was captured, in seconds, ascending; shape ``(n,)``.
        pictures: Grey, 0 to 255, shape ``(n, *GRID)``, float32.
    """

    times: Array
    pictures: Array

    @property
    def interval(self) -> float:
        """The usual time between two pictures, in seconds."""
        return float(np.median(np.diff(self.times)))


def shared(first: Series, second: Series) -> tuple[Array, Array]:
    """The motion that both have, cell by cell, each cell by its own measure.

    Returns:
        For each series ``(n, cells)``: about 1 or -1 while a cell moves that does so well above its
        noise, less where it does not, 0 where it stands still in one of them.
    """
    both = (first, second)
    steady = [_evenly_lit(series) for series in both]
    # The faster one says it best, and what stands still in one of them does not count anyway.
    faster = int(first.interval > second.interval)
    ticking = _by_the_second(both[faster], steady[faster])
    parts = [part - _slow(one.times, part) for one, part in zip(both, steady, strict=True)]
    powers = [np.maximum((part**2).mean(0), 1e-9) for part in parts]
    weight = np.where(ticking, 0, np.prod([_clear(power) for power in powers], axis=0))
    # By how much a cell changes when it does, so that where somebody passed once counts as much as
    # where somebody stood about.
    sizes = [(part**4).mean(0) / power for part, power in zip(parts, powers, strict=True)]
    moving = [
        part * np.sqrt(weight / np.maximum(size, 1e-9))
        for part, size in zip(parts, sizes, strict=True)
    ]
    return moving[0], moving[1]


def _clear(power: Array) -> Array:
    """How far each cell's motion is above the noise, 0 to 1."""
    floor = max(min(float(np.median(power)), _NOISE), 1e-3)
    return np.clip(1 - 2 * floor / power, 0, 1)


def _evenly_lit(series: Series) -> Array:
    """The pictures less the usual one, and less what light and exposure make of that."""
    flat = series.pictures.reshape(len(series.pictures), -1)
    usual = _usual(flat)
    # Exposure is no straight line: a curve of second order takes gamma and contrast with it.
    scaled = (usual - usual.mean()) / 128
    light = np.linalg.qr(np.stack([np.ones_like(scaled), scaled, scaled**2], axis=1))[0]
    rest = flat - usual
    return np.asarray(rest - (rest @ light) @ light.T)


def _usual(part: Array) -> Array:
    """The median over time; some 200 pictures are enough for it."""
    return np.asarray(np.median(part[:: len(part) // 200 + 1], axis=0))


def _slow(times: Array, part: Array) -> Array:
    """The mean over so much time around each picture."""
    sums = np.concatenate([np.zeros_like(part[:1], np.float64), np.cumsum(part, 0, np.float64)])
    first = np.searchsorted(times, times - _SLOW)
    last = np.searchsorted(times, times + _SLOW, side="right")
    return np.asarray((sums[last] - sums[first]) / (last - first)[:, None], part.dtype)


def _by_the_second(series: Series, part: Array) -> Array:
    """The cells that change at one moment of the second."""
    times = series.times
    changes = np.diff(part, axis=0) ** 2
    changes = np.where(changes > _CHANGE * _usual(changes) + 0.01, changes, 0)
    when = (times[1:] + times[:-1]) / 2
    tick = np.floor(when % 1 * _TICKS).astype(int)
    by_tick = np.eye(_TICKS, dtype=part.dtype)[:, tick] @ changes
    width = min(int(np.ceil(max(_TICK, 1.2 * series.interval) * _TICKS)), _TICKS)
    around = np.concatenate([np.zeros_like(by_tick[:1]), by_tick, by_tick[:width]]).cumsum(0)
    most = (around[width:] - around[:-width]).max(0)
    second = np.floor(when - when[0]).astype(int)
    by_second = np.eye(second[-1] + 1, dtype=part.dtype)[:, second] @ changes
    return np.asarray((most > _TICKING * by_tick.sum(0)) & ((by_second > 0).sum(0) >= _TICKED))
