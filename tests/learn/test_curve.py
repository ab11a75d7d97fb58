"""What counts as rising, and the plot."""

from __future__ import annotations

from pathlib import Path

import pytest

from learn.plot import plot, smooth, table
from learn.run import rises


@pytest.mark.parametrize(
    ("before", "after", "enough"),
    [(0.1, 0.9, True), (0.4, 0.9, False), (0.1, 0.7, False)],
)
def test_rises(before: float, after: float, enough: bool) -> None:
    assert rises({"before": before, "after": after}, oracle=1.0) is enough


def test_smooth_is_the_mean_of_what_came_before() -> None:
    assert smooth([0.0, 1.0, 1.0], window=2) == [0.0, 0.5, 1.0]


def test_plot_and_table(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = {"path": "p", "seed": 0, "before": 0.1, "after": 0.9, "curve": [0.1, 0.9],
           "seconds": 3.0, "cpu_seconds": 2.0}  # fmt: skip
    curve = {"floors": {"null": 0.0, "random": 0.0, "oracle": 1.0},
             "warm_starts": [{"reward": 0.1}], "runs": [run]}  # fmt: skip
    plot(curve, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000
    assert "| p | 0 | 0.100 | 0.900 | 3 | 2 |" in table(curve)
