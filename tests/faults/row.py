"""A row of the table: a fault, what is promised of it, and what is counted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Play = Callable[[Any], None]


def _nothing(_: Any) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Promise:
    """What is promised of a node that meets a fault.

    Whatever it is: the ledger adds up, no crop shows another picture than its own, nothing leaks
    (threads, descriptors, memory), SIGTERM ends the node within `shutdown_timeout` and two seconds.

    Attributes:
        recovers: Seconds from the end of the fault to the next crop; None: nothing is to recover.
        missing: So many pictures that were spoken of, from before the fault to its end, may have no
            crop; None: any number.
        states: The states of `gate` that are said, in this order, since the fault began.
        code: The exit status.
        gap: The longest time without a crop of the other stream, in seconds; None: any.
        rss: The most memory above what it took before, in MiB: at the end, and at the worst.
        says: What log, status or notes say, each a text that stands in them.
        counted: Reasons that are counted in the ledger of `gate`, by row.
        quiet: Whether the log is to hold no traceback.
    """

    recovers: float | None = 2.0
    missing: int | None = None
    states: tuple[str, ...] = ()
    code: int = 0
    gap: float | None = 2.0
    rss: tuple[float, float] = (60.0, 150.0)
    says: tuple[str, ...] = ()
    counted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    quiet: bool = True


@dataclass(frozen=True)
class Row:
    """A fault.

    Attributes:
        name: It.
        promised: In words.
        promise: To be checked.
        play: Does it, once.
        times: How often, in the full form.
        quick: Whether it is part of the short form, once.
        settings: Changes the configuration.
        broker: Further lines of mosquitto's configuration; ``{}`` in them is the folder.
        camera: Further options of the camera.
        driven: Whether the node is one that can be hurt from within (`driver`).
        environment: Of the node.
        lies: Whether something stands between node and broker (`between`).
        check: Looks at what is special; its findings.
        root: Whether it needs root.
    """

    name: str
    promised: str
    play: Play
    promise: Promise = Promise()
    times: int = 3
    quick: bool = False
    settings: Callable[[Any], dict[str, Any]] = _nothing
    broker: tuple[str, ...] = ()
    camera: tuple[str, ...] = ()
    driven: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    lies: bool = False
    check: Callable[[Any], list[str]] = lambda _: []
    root: bool = False
