"""What may happen to a stream, as rows of a table."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable

from accuracy.clock import Pace
from accuracy.proxy import Faults
from accuracy.scenario import ALL, PROMISING, UTC, Scenario
from accuracy.stage import Stage

_OUTAGE = 1.0
# Each has reports at times of its own (RFC 3550, 6.2), or hears of a step long before the other.
_RANDOM = {"node": Pace(3, 6), "detector": Pace(3, 6)}
_TOGETHER = {"node": Pace(1, 1), "detector": Pace(1, 1)}
_NODE_FIRST = {"node": Pace(0.5, 0.5), "detector": Pace(5, 5)}
_DETECTOR_FIRST = {"node": Pace(5, 5), "detector": Pace(0.5, 0.5)}
_OFTEN = ("--rtcp-interval", "0.2")
# Milliseconds, and the seconds until both have heard of one and trust it.
_STEPS, _APART = (1, 17, 33, 40, 66, 80, 240, 500), 17.0
_RESTLESS = (17, 33, 40, 66, 80)
_TIMED = ("sei", *UTC)
_RECIPE = ("--recipe", "--repeat-headers")


async def _restart(stage: Stage) -> None:
    await stage.spoken(0.5)
    stage.kill("server")
    await asyncio.sleep(_OUTAGE)
    await stage.start_server()


async def _restarts(stage: Stage) -> None:
    for share in (0.25, 0.5, 0.75):
        await stage.spoken(share)
        stage.kill("server")
        await asyncio.sleep(_OUTAGE)
        await stage.start_server()


async def _third_client(stage: Stage) -> None:
    await stage.spoken(0.3)
    stage.start_detector("third")
    await stage.spoken(0.6)
    stage.kill("third")


async def _overload(stage: Stage) -> None:
    names = [f"burner-{n}" for n in range(2 * (os.cpu_count() or 1))]
    await stage.spoken(0.25)
    for name in names:
        stage.burn(name)
    await stage.spoken(0.75)
    for name in names:
        stage.kill(name)


def _steps(
    *milliseconds: int, every: float = _APART, over: float = 0.0
) -> Callable[[Stage], Awaitable[None]]:
    """The camera's clock is set by so much, again and again, each time within ``over`` seconds."""

    async def event(stage: Stage) -> None:
        await stage.cropped(100)
        for each in milliseconds:
            stage.set_clock(each / 1000, over)
            await asyncio.sleep(every)

    return event


async def _restless(stage: Stage) -> None:
    """The clock is set between any two reports, for a while."""
    chance = random.Random(5)
    await stage.cropped(100)
    for _ in range(20):
        stage.set_clock(chance.choice((-1, 1)) * chance.choice(_RESTLESS) / 1000)
        await asyncio.sleep(2)
    await asyncio.sleep(_APART)


def _set(event: Callable[[Stage], Awaitable[None]], **more: object) -> Scenario:
    """A row in which the camera's clock is set."""
    how = {"camera": _OFTEN, "paces": _RANDOM, **more}
    return Scenario(_TIMED, complete=False, event=event, **how)  # type: ignore[arg-type]


_FORWARD, _BACK = _steps(*_STEPS), _steps(*(-each for each in _STEPS))
_SLICES = ("--slices", "4")
_LOSS, _LAG = Faults(lose=0.02), ("--lag", "1.5")

SCENARIOS = {
    "tcp": Scenario(ALL),
    "udp": Scenario(ALL, transport="udp"),
    "udp-loss": Scenario(PROMISING, complete=False, transport="udp", faults=_LOSS, resilient=True),
    "udp-loss-slices": Scenario(
        PROMISING, complete=False, transport="udp", faults=_LOSS, camera=_SLICES, resilient=True
    ),
    "udp-reorder": Scenario(
        PROMISING,
        complete=False,
        transport="udp",
        faults=Faults(delay=0.05, swap=True),
        resilient=True,
    ),
    "udp-jitter": Scenario(ALL, transport="udp", faults=Faults(delay=0.2)),
    "b-frames": Scenario(PROMISING, camera=("--b-frames", "2"), reordered=3),
    "h265": Scenario(PROMISING, camera=("--codec", "h265"), detector=("--codec", "h265")),
    "slices-headers": Scenario(PROMISING, camera=(*_SLICES, "--repeat-headers")),
    "intra-refresh": Scenario(PROMISING, camera=("--intra-refresh",)),
    "restart": Scenario(ALL, event=_restart, span=2),
    "detector-late": Scenario(ALL, late="detector", event=_third_client),
    "node-late": Scenario(ALL, late="node", event=_third_client),
    "overload": Scenario(ALL, complete=False, event=_overload),
    "messages-duplicated": Scenario(PROMISING, detector=("--duplicate", "0.2")),
    "messages-reordered": Scenario(PROMISING, detector=("--delay", "1")),
    "messages-lost": Scenario(PROMISING, detector=("--lose", "0.2")),
    "messages-late": Scenario(PROMISING, complete=False, detector=("--late", "0.1")),
    "sub-to-main": Scenario(_TIMED, mount="sub", camera=("--sub",)),
    "sub-5-of-25": Scenario(
        _TIMED, mount="sub", camera=("--sub", "--sub-rate", "5"), rate=25, span=0.25
    ),
    "sub-10-of-30": Scenario(
        _TIMED, mount="sub", camera=("--sub", "--sub-rate", "10"), rate=30, span=0.5
    ),
    # A server with its defaults.
    "recipe": Scenario(UTC, camera=_RECIPE, detector=("--unnamed",)),
    "recipe-b-frames": Scenario(
        UTC, camera=(*_RECIPE, "--b-frames", "2"), detector=("--unnamed",), reordered=3
    ),
    "recipe-sub-to-main": Scenario(
        UTC,
        mount="sub",
        camera=(*_RECIPE, "--lookahead", "--sub"),
        detector=("--unnamed",),
        measured="pixels",
    ),
    "recipe-sub-to-b-frames": Scenario(
        UTC,
        mount="sub",
        camera=(*_RECIPE, "--lookahead", "--b-frames", "2", "--sub", "--sub-rate", "10"),
        reordered=3,
        detector=("--unnamed",),
        rate=30,
        span=0.5,
        measured="pixels",
    ),
    "recipe-calibrated": Scenario(
        UTC,
        mount="sub",
        camera=(*_RECIPE, "--lookahead", "--sub", "--walker"),
        detector=("--unnamed",),
        measured="calibrate",
    ),
    "recipe-offset-unset": Scenario(
        UTC,
        promised=(),
        mount="sub",
        camera=(*_RECIPE, "--lookahead", "--sub"),
        detector=("--unnamed",),
    ),
    # The camera's clock is set.
    "step-forward": _set(_steps(2000), paces=_TOGETHER),
    "step-back": _set(_steps(-2000), paces=_TOGETHER),
    "steps-forward": _set(_FORWARD),
    "steps-back": _set(_BACK),
    "steps-forward-node-first": _set(_FORWARD, paces=_NODE_FIRST),
    "steps-back-node-first": _set(_BACK, paces=_NODE_FIRST),
    "steps-forward-detector-first": _set(_FORWARD, paces=_DETECTOR_FIRST),
    "steps-back-detector-first": _set(_BACK, paces=_DETECTOR_FIRST),
    "steps-sub-to-main": _set(
        _steps(40, -40, 80, -80),
        mount="sub",
        camera=(*_OFTEN, "--sub", "--sub-rate", "5"),
        paces=_DETECTOR_FIRST,
        rate=25,
        span=0.5,
    ),
    "steps-brief": _set(_steps(33, -40, every=5), paces=_DETECTOR_FIRST),
    "steps-restless": _set(_restless, promised=("sei", "utc")),
    "slew-50-ms-a-second": _set(_steps(50, -50, 50, -50, over=1), paces=_DETECTOR_FIRST),
    "slew-500-ppm": _set(_steps(50, over=100, every=110)),
    # Names that come again.
    "names-from-1": Scenario(
        ("sei",),
        complete=False,
        camera=("--names", "1000000"),
        detector=("--names", "1000000", *_LAG),
        event=_restarts,
        span=2,
    ),
    "names-8-bits": Scenario(
        ("sei",),
        complete=False,
        camera=("--names", "256"),
        detector=("--names", "256", *_LAG),
        span=2,
    ),
    "names-8-bits-cured": Scenario(
        ("sei",),
        camera=("--names", "256"),
        detector=("--names", "256", *_LAG),
        pairing={"remember": 4},
        span=2,
    ),
    "names-40-pictures": Scenario(
        ("frame_id",),
        complete=False,
        barren=True,
        pictures=True,
        late="camera",
        camera=("--names", "40"),
        detector=("--lag", "4.1"),
        rate=10,
    ),
    # The detector saw pictures that were there before the node.
    "names-40-pictures-seen": Scenario(
        ("frame_id",),
        complete=False,
        promised=(),
        barren=True,
        pictures=True,
        camera=("--names", "40"),
        detector=("--lag", "4.1"),
        rate=10,
    ),
    "names-256-pictures": Scenario(
        ("frame_id",),
        pictures=True,
        camera=("--names", "256"),
        detector=("--lag", "0.5"),
        pairing={"remember": 4},
        rate=10,
        span=1.5,
    ),
}
