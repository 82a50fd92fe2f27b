"""Made scenes, as two streams of one camera would show them: small grey pictures with times.

A `Scene` is a function of time, so that any number of streams can be taken of it, at any rate and
with any clock; what encoders add is added to each stream by itself. `SCENES` has those whose offset
can be told, `RIDDLES` those where it cannot, or not by everything that moves.

    PYTHONPATH=tests python -m scenes --seeds 300     # what `calibrate` makes of all of them
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from streamcrop.core.calibration import Verdict, compare
from streamcrop.core.motion import GRID, Series

Array = npt.NDArray[Any]
Path = Callable[[Array], Array]
ROWS, COLUMNS = GRID


@dataclass
class Thing:
    """A rectangle on its way; sizes and ways in cells of the grid."""

    size: tuple[float, float]
    contrast: float
    x: Path
    y: Path
    seen: Path = np.ones_like

    def on(self, picture: Array, t: Array) -> None:
        """Add it to the pictures."""
        width, height = self.size
        across = _covered(self.x(t), width, COLUMNS)
        down = _covered(self.y(t), height, ROWS)
        picture += (self.contrast * self.seen(t))[:, None, None] * (
            down[:, :, None] * across[:, None, :]
        )


def _covered(start: Array, length: float, cells: int) -> Array:
    at = np.arange(cells)
    return np.clip(
        np.minimum(start[:, None] + length, at + 1) - np.maximum(start[:, None], at), 0, 1
    )


@dataclass
class Scene:
    """What there is to be seen, at any time."""

    ground: Array
    things: list[Thing] = field(default_factory=list)
    light: Path = np.ones_like
    clock: tuple[int, int] | None = None

    def at(self, t: Array, clock_delay: float = 0.0) -> Array:
        """Pictures ``(n, rows, columns)``."""
        pictures = np.repeat(self.ground[None], len(t), 0).astype(np.float32)
        for thing in self.things:
            thing.on(pictures, t)
        pictures *= self.light(t)[:, None, None]
        if self.clock is not None:
            _write_clock(pictures, t - clock_delay, self.clock)
        return np.clip(pictures, 0, 255)


def _write_clock(pictures: Array, t: Array, place: tuple[int, int]) -> None:
    """Digits whose cells change with the second, ten seconds, minute; white on black."""
    row, column = place
    second = np.floor(t).astype(np.int64)
    for at, every in enumerate((60, 10, 1)):
        value = second // every
        for part in range(2):
            grey = (value * (97 + 31 * part) + 41 * at * part) % 10 * 20.0
            pictures[:, row + part, column + at] = grey


@dataclass
class Stream:
    """How a scene is taken, encoded and stamped."""

    rate: float = 25.0
    phase: float = 0.0
    shift: float = 0.0
    drift: float = 0.0
    step: tuple[float, float] = (1e9, 0.0)
    jitter: float = 0.0005
    noise: float = 0.3
    group: float = 2.0
    pulse: float = 0.3
    dead_zone: float = 0.0
    lost: float = 0.0
    clock_delay: float = 0.0

    def of(self, scene: Scene, seconds: float, chance: np.random.Generator) -> Series:
        """A time is that of the capture plus `shift`, plus what the clock does."""
        t = np.arange(self.phase, seconds, 1 / self.rate)
        t = t[chance.random(len(t)) >= self.lost]
        pictures = scene.at(t, self.clock_delay)
        pictures += chance.normal(0, self.noise, pictures.shape)
        begun = np.floor((t + chance.random() * self.group) / self.group)
        for group in np.unique(begun):
            pictures[begun == group] += chance.normal(0, self.pulse, pictures.shape[1:])
        if self.dead_zone:
            for before, at in enumerate(range(1, len(t))):
                if begun[at] == begun[before]:
                    still = np.abs(pictures[at] - pictures[before]) < self.dead_zone
                    pictures[at][still] = pictures[before][still]
        stamps = t + self.shift + self.drift * t + chance.normal(0, self.jitter, len(t))
        stamps += np.where(t >= self.step[0], self.step[1], 0)
        return Series(stamps, np.clip(np.rint(4 * pictures) / 4, 0, 255).astype(np.float32))


def wander(chance: np.random.Generator, low: float, high: float, speed: float) -> Path:
    """To and fro between places, with rests, as people go."""
    times, places = [0.0], [chance.uniform(low, high)]
    while times[-1] < 80:
        if chance.random() < 0.3:
            places.append(places[-1])
            times.append(times[-1] + chance.uniform(0.3, 1.5))
        places.append(chance.uniform(low, high))
        pace = speed * chance.uniform(0.6, 1.4)
        times.append(times[-1] + 0.05 + abs(places[-1] - places[-2]) / pace)
    return lambda t: np.interp(t + 20, times, places)


def ground(chance: np.random.Generator) -> Array:
    """A still room."""
    rough = chance.uniform(30, 200, (6, 8))
    smooth = np.kron(rough, np.ones((ROWS // 6, COLUMNS // 8)))
    return np.asarray(smooth + chance.normal(0, 15, smooth.shape), np.float32)


def still(chance: np.random.Generator) -> Scene:
    """Nothing moves."""
    return Scene(ground(chance))


def black(_: np.random.Generator) -> Scene:
    """The lens is covered."""
    return Scene(np.full(GRID, 2.0, np.float32))


def walker(chance: np.random.Generator) -> Scene:
    """One person in a corner, small."""
    scene = still(chance)
    size = chance.uniform(1.0, 1.6), chance.uniform(2.5, 4.0)
    contrast = chance.choice([-1, 1]) * chance.uniform(20, 60)
    x, y = wander(chance, 2, 14, 2.0), wander(chance, 2, 8, 0.4)
    scene.things.append(Thing(size, contrast, x, y))
    return scene


def passer(chance: np.random.Generator) -> Scene:
    """Somebody crosses once, for some seconds."""
    scene = still(chance)
    begin, speed = chance.uniform(2, 8), chance.uniform(4, 7)
    x = lambda t: speed * (t - begin) - 4  # noqa: E731  # a formula
    scene.things.append(Thing((2.5, 7), chance.uniform(25, 70), x, lambda t: 12 + 0 * t))
    return scene


def street(chance: np.random.Generator) -> Scene:
    """Cars at their own speeds, and people."""
    scene = still(chance)
    for _ in range(8):
        begin, speed = chance.uniform(-5, 30), chance.choice([-1, 1]) * chance.uniform(8, 25)
        edge, lane = (-10 if speed > 0 else COLUMNS + 10), chance.uniform(12, 26)
        x = lambda t, b=begin, v=speed, e=edge: e + v * (t - b)  # noqa: E731  # a formula
        y = lambda t, at=lane: at + 0 * t  # noqa: E731  # a formula
        scene.things.append(Thing((8, 4), chance.uniform(-70, 70), x, y))
    for _ in range(3):
        x, y = wander(chance, 0, 60, 3.0), wander(chance, 25, 31, 0.5)
        scene.things.append(Thing((1.5, 4), chance.uniform(-50, 50), x, y))
    return scene


def crowd(chance: np.random.Generator) -> Scene:
    """Everything moves."""
    scene = still(chance)
    for _ in range(40):
        x, y = wander(chance, -3, 64, 5.0), wander(chance, -3, 36, 2.0)
        size = chance.uniform(2, 6), chance.uniform(4, 10)
        scene.things.append(Thing(size, chance.uniform(-50, 50), x, y))
    return scene


def swing(chance: np.random.Generator) -> Scene:
    """A pendulum and nothing else."""
    scene, period = still(chance), chance.uniform(0.4, 7.0)
    x = lambda t: 30 + 12 * np.sin(2 * np.pi * t / period)  # noqa: E731  # a formula
    scene.things.append(Thing((3, 6), chance.uniform(20, 70), x, lambda t: 10 + 0 * t))
    return scene


def blink(chance: np.random.Generator) -> Scene:
    """A light that goes on and off."""
    scene, period = still(chance), chance.choice([0.5, 1.0, 1.3, 2.0, 3.1, 4.0, 6.0])
    on = lambda t: ((t / period) % 1 < 0.5).astype(float)  # noqa: E731  # a formula
    scene.things.append(Thing((2, 2), 90, lambda t: 40 + 0 * t, lambda t: 5 + 0 * t, on))
    return scene


def belt(chance: np.random.Generator) -> Scene:
    """Equal parcels at equal distances."""
    scene, speed = still(chance), chance.uniform(3, 12)
    gap = speed * chance.uniform(0.5, 3.0)
    for at in range(int(COLUMNS / gap) + 3):
        x = lambda t, at=at: (at * gap + speed * t) % (COLUMNS + 3 * gap) - gap  # noqa: E731
        scene.things.append(Thing((gap / 3, 4), 60, x, lambda t: 15 + 0 * t))
    # The places have to fill the round evenly, or the belt would not repeat.
    round_ = gap * len(scene.things)
    for at, thing in enumerate(scene.things):
        thing.x = lambda t, at=at: (at * gap + speed * t) % round_ - gap
    return scene


def flicker(chance: np.random.Generator) -> Scene:
    """A lamp that flickers, over all of the picture."""
    scene, rate = still(chance), chance.uniform(0.5, 9.0)
    scene.light = lambda t: 1 + 0.15 * np.sin(2 * np.pi * rate * t) + 0.05 * np.sin(7.7 * rate * t)
    return scene


def exposure(chance: np.random.Generator) -> Scene:
    """The exposure goes up and down at random."""
    scene, level = still(chance), wander(chance, 0.8, 1.2, 0.3)
    scene.light = level
    return scene


def only_clock(chance: np.random.Generator) -> Scene:
    """The time is written into the picture, and nothing else changes."""
    scene = still(chance)
    scene.clock = (2, 3)
    return scene


def with_clock(made: Callable[[np.random.Generator], Scene]) -> Callable[..., Scene]:
    """The same with the time written into it."""

    def make(chance: np.random.Generator) -> Scene:
        scene = made(chance)
        scene.clock = (32, 50)
        return scene

    return make


def lit(made: Callable[[np.random.Generator], Scene]) -> Callable[..., Scene]:
    """The same below a lamp that flickers and an exposure that wanders."""

    def make(chance: np.random.Generator) -> Scene:
        scene, lamp, level = made(chance), flicker(chance).light, exposure(chance).light
        scene.light = lambda t: lamp(t) * level(t)
        return scene

    return make


def beside(made: Callable[[np.random.Generator], Scene]) -> Callable[..., Scene]:
    """The same with a light that blinks, bright, in another place."""

    def make(chance: np.random.Generator) -> Scene:
        scene = made(chance)
        scene.things += blink(chance).things
        return scene

    return make


def any_sub(chance: np.random.Generator, main: Stream) -> Stream:
    """A detector's stream: some of the main one's pictures, at another rate, worse encoded."""
    every = int(chance.choice([1, 2, 3, 5]))
    return Stream(
        rate=main.rate / every,
        phase=main.phase + chance.integers(every) / main.rate,
        jitter=chance.choice([0.0002, 0.001, 0.003]),
        noise=chance.uniform(0.2, 0.8),
        group=chance.choice([1.0, 2.0, 4.0]),
        pulse=chance.uniform(0.1, 0.6),
        dead_zone=chance.choice([0.0, 1.0, 2.0]),
        lost=chance.choice([0.0, 0.02]),
    )


@dataclass
class Case:
    """A scene and how its two streams differ."""

    scene: Callable[[np.random.Generator], Scene]
    other: Callable[[np.random.Generator], Scene] | None = None
    told: bool = True
    clock_delay: float = 0.0
    drift: float = 0.0
    step: float = 0.0
    far: bool = False
    jitter: float = 0.0
    noise: float = 0.0
    seconds: float = 30.0


CASES = {
    "walker": Case(walker),
    "passer": Case(passer),
    "street": Case(street),
    "crowd": Case(crowd),
    "walker, lamp and exposure": Case(lit(walker)),
    "street, lamp and exposure": Case(lit(street)),
    "walker, clock": Case(with_clock(walker)),
    "walker, clock that is late in the sub stream": Case(with_clock(walker), clock_delay=0.3),
    "street, clock that is late in the sub stream": Case(with_clock(street), clock_delay=0.3),
    "walker beside a blinking light": Case(beside(walker)),
    "street, 200 ppm": Case(street, drift=2e-4),
    "street, stamped up to 20 ms off": Case(street, jitter=0.01),
    "walker by night": Case(walker, noise=2.0),
    "still": Case(still, told=False),
    "still, by night": Case(still, told=False, noise=3.0),
    "black": Case(black, told=False),
    "swing": Case(swing, told=False),
    "swing, far": Case(swing, told=False, far=True),
    "blink": Case(blink, told=False),
    "blink, far": Case(blink, told=False, far=True),
    "belt": Case(belt, told=False),
    "belt, far": Case(belt, told=False, far=True),
    "flicker": Case(flicker, told=False),
    "exposure": Case(exposure, told=False),
    "clock": Case(only_clock, told=False),
    "clock that is late": Case(only_clock, told=False, clock_delay=0.3),
    "two streets": Case(street, street, told=False),
    "two walkers": Case(walker, walker, told=False),
    "two crowds": Case(crowd, crowd, told=False),
    "two walkers, one clock": Case(with_clock(walker), with_clock(walker), told=False),
    "two streets, one clock": Case(with_clock(street), with_clock(street), told=False),
    "two walkers, lamp and exposure": Case(lit(walker), lit(walker), told=False),
    "walker and still": Case(walker, still, told=False),
    "two swings": Case(swing, swing, told=False),
    "street, far": Case(street, told=False, far=True),
    "walker, far": Case(walker, told=False, far=True),
    "street, step": Case(street, told=False, step=0.12),
    "street, a small step": Case(street, told=False, step=0.08),
    "street, 3000 ppm": Case(street, told=False, drift=3e-3),
    "street, 6 s": Case(street, told=False, seconds=6.0),
}


def play(case: Case, seed: int) -> tuple[Verdict, float | None, float]:
    """The verdict, the true offset (None: there is none) and the main stream's interval."""
    chance = np.random.default_rng(seed)
    rate = float(chance.choice([15.0, 25.0, 30.0]))
    main = Stream(rate=rate, phase=chance.uniform(0, 1 / rate), lost=chance.choice([0.0, 0.01]))
    sub = any_sub(chance, main)
    sub.clock_delay, sub.drift = case.clock_delay, case.drift
    sub.jitter, main.jitter = sub.jitter + case.jitter, main.jitter + case.jitter
    sub.noise, main.noise = sub.noise + case.noise, main.noise + case.noise
    sub.step = (case.seconds / 2, case.step) if case.step else sub.step
    far = chance.choice([-1, 1]) * chance.uniform(2.3, 9.0)
    truth = far if case.far else chance.choice([0.0, *chance.uniform(-0.5, 0.5, 3)])
    sub.shift = -truth
    one_chance = int(chance.integers(1 << 30))
    scene = case.scene(np.random.default_rng(one_chance))
    other = scene
    if case.other is not None:
        other = case.other(np.random.default_rng(one_chance + 1))
    verdict = compare(main.of(scene, case.seconds, chance), sub.of(other, case.seconds, chance))
    known = case.other is None and not case.step and abs(case.drift) < 1e-3
    return verdict, truth if known else None, 1 / rate


def main() -> int:
    """Print what came of each scene; 1 if a verdict was wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    wrong = 0
    for name, case in CASES.items():
        if options.only not in name:
            continue
        count: Counter[str] = Counter()
        errors, bad = [], []
        for seed in range(options.first, options.first + options.seeds):
            verdict, truth, interval = play(case, seed)
            if verdict.offset is None:
                count[str(verdict.kind)] += 1
            elif truth is None or abs(verdict.offset - truth) > interval / 2:
                count["WRONG"] += 1
                bad.append(seed)
            else:
                count["right"] += 1
                errors.append(abs(verdict.offset - truth) * 1000)
        wrong += count["WRONG"]
        worst = f"worst {max(errors):.1f} ms" if errors else ""
        sys.stdout.write(f"{name:48} {dict(count)} {worst} {bad or ''}\n")
        sys.stdout.flush()
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
