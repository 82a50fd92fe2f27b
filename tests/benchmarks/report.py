"""Figures as a table and as a picture."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np


@dataclass(frozen=True)
class Row:
    """A figure.

    Attributes:
        part: What was measured together.
        name: What it is.
        value: The median.
        unit: ``x`` for a ratio.
        target: Where it should be; None where nothing was set.
        more: Whether more is better.
    """

    part: str
    name: str
    value: float
    unit: str = "x"
    target: float | None = None
    more: bool = False

    @property
    def met(self) -> bool:
        """Whether it is where it should be."""
        if self.target is None:
            return True
        return self.value >= self.target if self.more else self.value <= self.target

    def __str__(self) -> str:
        sign = "" if self.target is None else f"{'>=' if self.more else '<='} {self.target:.3g}"
        said = "" if self.target is None else ("" if self.met else "missed")
        return f"{self.part:<14}{self.name:<58}{self.value:>9.3g} {self.unit:<9}{sign:>9} {said}"


def machine() -> str:
    """What it ran on."""
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"PyAV {av.__version__}, OpenCV {cv2.__version__}, NumPy {np.__version__}"
    )


def plot(rows: Sequence[Row], path: Path) -> None:
    """Bars of all figures that have a target: how far from it they are, on the good side or not."""
    import matplotlib as mpl  # noqa: PLC0415  # takes a second, and only this needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after the choice of its output

    # Nothing is so many times as far as 0.
    aimed = [row for row in rows if row.target][::-1]
    reached = [
        row.value / (row.target or 1) if row.more else (row.target or 0) / row.value
        for row in aimed
    ]
    figure, axes = plt.subplots(figsize=(10, 0.32 * len(aimed) + 1.2))
    colors = ["#2a7f62" if row.met else "#c8553d" for row in aimed]
    axes.barh([f"{row.part}: {row.name}" for row in aimed], reached, color=colors)
    for at, row in enumerate(aimed):
        said = f" {row.value:.3g} {row.unit}, target {row.target:.3g}"
        axes.text(max(1, reached[at]), at, said, va="center", fontsize=8)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlim(0, 1.35 * max(reached))
    axes.margins(y=0.01)
    axes.set_xlabel("how far beyond the target (1: just met; more is better)")
    axes.tick_params(axis="y", labelsize=8)
    axes.set_title(machine(), fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
