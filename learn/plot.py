"""The plot and the table of what `make learn` found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["plot", "smooth", "table"]

_WINDOW = 5


def smooth(curve: Sequence[float], window: int = _WINDOW) -> list[float]:
    """Return the mean of each value and of those before it, `window` at most."""
    parts = [curve[max(0, end - window) : end] for end in range(1, len(curve) + 1)]
    return [sum(part) / len(part) for part in parts]


def plot(curve: Mapping[str, Any], file: Path) -> None:
    """Draw one panel for each path: training reward by step, measured ones as dots."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    paths = list(dict.fromkeys(run["path"] for run in curve["runs"]))
    figure, axes = plt.subplots(
        1, len(paths), figsize=(3 * len(paths), 3), sharey=True, squeeze=False
    )
    for axis, path in zip(axes[0], paths, strict=True):
        _draw_lines(axis, curve)
        for run in (one for one in curve["runs"] if one["path"] == path):
            steps = range(1, len(run["curve"]) + 1)
            (line,) = axis.plot(steps, smooth(run["curve"]), linewidth=1.2)
            ends, rewards = [0, len(steps)], [run["before"], run["after"]]
            axis.plot(ends, rewards, "o", color=line.get_color(), markersize=4)
        axis.set_title(path, fontsize=9)
        axis.set_xlabel("step")
    axes[0][0].set_ylabel("mean reward")
    axes[0][0].legend(fontsize=6, loc="center right")
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _draw_lines(axis: Any, curve: Mapping[str, Any]) -> None:
    starts = [one["reward"] for one in curve["warm_starts"]]
    lines = {**curve["floors"]}
    if starts:
        lines["warm start"] = sum(starts) / len(starts)
    styles = {"null": "-", "random": ":", "warm start": "--", "oracle": "-."}
    for name, reward in lines.items():
        axis.axhline(reward, color="grey", linewidth=0.8, linestyle=styles[name],
                     label=name)  # fmt: skip


def table(curve: Mapping[str, Any]) -> str:
    """Return the runs as a table of Markdown."""
    rows = ["| path | seed | before | after | seconds | of the CPU |"]
    rows.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    rows += [
        f"| {run['path']} | {run['seed']} | {run['before']:.3f} | {run['after']:.3f} "
        f"| {run['seconds']:.0f} | {run['cpu_seconds']:.0f} |"
        for run in curve["runs"]
    ]
    return "\n".join(rows)
