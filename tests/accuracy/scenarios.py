"""What may happen to a stream, as rows of a table."""

import asyncio
import os

from accuracy.proxy import Faults
from accuracy.stage import PROMISING, Scenario, Stage

ALL = (*PROMISING, "pts", "arrival")
_OUTAGE = 1.0
# How much later the other client hears of a step: as much as the reports' interval.
_APART = 1.0


async def _restart(stage: Stage) -> None:
    await stage.spoken(0.5)
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


async def _step_forward(stage: Stage) -> None:
    await _step(stage, 0.4, 2.0, "node", "detector")


async def _step_back(stage: Stage) -> None:
    await _step(stage, 0.4, -2.0, "node", "detector")


async def _step_node_first(stage: Stage) -> None:
    for share, seconds in ((0.2, 0.5), (0.6, 0.0)):
        await _step(stage, share, seconds, "node", wait=_APART)
        await _step(stage, share, seconds, "detector")


async def _step_detector_first(stage: Stage) -> None:
    await _step(stage, 0.4, 0.5, "detector", wait=_APART)
    await _step(stage, 0.4, 0.5, "node")


async def _step_back_detector_first(stage: Stage) -> None:
    await _step(stage, 0.4, -0.5, "detector", wait=_APART)
    await _step(stage, 0.4, -0.5, "node")


async def _step(stage: Stage, share: float, seconds: float, *clients: str, wait: float = 0) -> None:
    """The camera's clock jumps, as these clients learn of it."""
    await stage.spoken(share)
    for client in clients:
        stage.proxies[client].step(seconds)
    await asyncio.sleep(wait)


SCENARIOS = {
    "tcp": Scenario(ALL),
    "udp": Scenario(ALL, transport="udp"),
    "udp-loss": Scenario(PROMISING, complete=False, transport="udp", faults=Faults(lose=0.02)),
    "udp-loss-slices": Scenario(
        PROMISING,
        complete=False,
        transport="udp",
        faults=Faults(lose=0.02),
        camera=("--slices", "4"),
    ),
    "udp-reorder": Scenario(
        PROMISING, complete=False, transport="udp", faults=Faults(delay=0.05, swap=True)
    ),
    "udp-jitter": Scenario(ALL, transport="udp", faults=Faults(delay=0.2)),
    "restart": Scenario(ALL, event=_restart),
    "detector-late": Scenario(ALL, late="detector", event=_third_client),
    "node-late": Scenario(ALL, late="node", event=_third_client),
    "step-forward": Scenario(("sei", "utc"), complete=False, faults=Faults(), event=_step_forward),
    "step-back": Scenario(("sei", "utc"), complete=False, faults=Faults(), event=_step_back),
    "step-node-first": Scenario(
        ("sei", "utc"), complete=False, faults=Faults(), event=_step_node_first
    ),
    "step-detector-first": Scenario(
        ("sei", "utc"), complete=False, faults=Faults(), event=_step_detector_first
    ),
    "step-back-detector-first": Scenario(
        ("sei", "utc"), complete=False, faults=Faults(), event=_step_back_detector_first
    ),
    "overload": Scenario(ALL, complete=False, event=_overload),
    "messages-duplicated": Scenario(PROMISING, detector=("--duplicate", "0.2")),
    "messages-reordered": Scenario(PROMISING, detector=("--delay", "1")),
    "messages-lost": Scenario(PROMISING, detector=("--lose", "0.2")),
    "messages-late": Scenario(PROMISING, complete=False, detector=("--late", "0.1")),
    "sub-to-main": Scenario(("sei", "utc"), mount="sub", camera=("--sub",)),
}
