"""A soak as a picture: memory, crops, age and handles over time, and when what broke."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from faults.watch import Sample
from faults.witness import Witness

_COLORS = {"gate": "#2a7f62", "yard": "#c8553d"}


def plot(
    path: Path,
    samples: Sequence[Sample],
    witness: Witness,
    done: Sequence[tuple[float, int]],
    faults: Sequence[tuple[float, float, str]],
    verdict: str,
) -> None:
    """Draw it.

    Args:
        path: Where, as a PNG.
        samples: Of the node.
        witness: With what came.
        done: When how many crops of the load were published.
        faults: When each began and ended, and what it was.
        verdict: For the title.
    """
    import matplotlib as mpl  # noqa: PLC0415  # takes a second, and only this needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after the choice of its output

    begin = samples[0].at
    figure, axes = plt.subplots(4, 1, figsize=(11, 10), sharex=True)
    memory, crops, age, handles = axes
    minutes = [(each.at - begin) / 60 for each in samples]
    memory.plot(minutes, [each.rss for each in samples], color="black", linewidth=0.8)
    memory.set_ylabel("RSS, MiB")
    memory.set_ylim(0)
    for stream, color in _COLORS.items():
        times = [(crop.at - begin) / 60 for crop in witness.crops[stream]]
        bins = [n / 12 for n in range(int(12 * minutes[-1]) + 1)]
        crops.hist(
            times, bins, weights=[0.2] * len(times), histtype="step", color=color, label=stream
        )
        ages = [crop.age for crop in witness.crops[stream]]
        age.plot(times, ages, ".", markersize=1, color=color, label=stream)
    rates: list[Any] = [
        ((b[0] - begin) / 60, (b[1] - a[1]) / (b[0] - a[0]))
        for a, b in pairwise(done)
        if b[0] > a[0]
    ]
    crops.plot(*zip(*rates, strict=True), color="grey", label="load") if rates else None
    crops.set_ylabel("crops a second")
    crops.set_yscale("symlog", linthresh=10)
    crops.legend(loc="upper right", fontsize=8)
    age.set_ylabel("from word to crop, s")
    age.set_yscale("log")
    handles.plot(minutes, [each.threads for each in samples], color="black", label="threads")
    handles.plot(minutes, [each.descriptors for each in samples], color="grey", label="descriptors")
    handles.set_ylabel("handles")
    handles.set_ylim(0)
    handles.legend(loc="lower right", fontsize=8)
    handles.set_xlabel("minutes")
    for axis in axes:
        for start, end, name in faults:
            color = "#c8553d" if "camera" in name else "#3d6ec8"
            axis.axvspan((start - begin) / 60, (end - begin) / 60, color=color, alpha=0.2, lw=0)
        axis.spines[["top", "right"]].set_visible(False)
    memory.set_title(f"{verdict}\nred: camera away, blue: broker away", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
