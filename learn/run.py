"""`make learn`: every path with every seed, two processes at a time; a table, a plot.

`python -m learn.run --model NAME` trains adapters of a real model on a GPU instead.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from learn.one import PATHS
from learn.setting import SETTING, mean_return

__all__ = ["main"]

HERE = Path(__file__).parent
SEEDS = (0, 1, 2)
JOBS = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the arguments say; 1 if a curve does not rise as far as it should."""
    given = _parser().parse_args(argv)
    given.out.mkdir(parents=True, exist_ok=True)
    if given.model is not None:
        from learn.real import train_real

        return train_real(given.model, given.out, steps=given.steps, path=given.trl)
    pythons = dict(pair.split("=", 1) for pair in given.python)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        _play(Path(folder), pythons, given)
        curve = _collect(Path(folder), given.paths, given.seeds)
    curve["seconds"] = round(time.perf_counter() - began, 1)
    (given.out / "curve.json").write_text(json.dumps(curve, indent=1) + "\n")
    from learn.plot import plot, table

    plot(curve, given.out / "curve.png")
    print(table(curve))
    print(f"{curve['seconds']:.0f} seconds in all; {given.out / 'curve.json'}")
    return (
        0 if all(rises(run, curve["floors"]["oracle"]) for run in curve["runs"]) else 1
    )


def rises(run: Mapping[str, Any], oracle: float) -> bool:
    """Whether a run went from under 0.3 to over 0.8 of the oracle's mean reward."""
    return run["before"] < 0.3 * oracle and run["after"] > 0.8 * oracle


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paths", nargs="+", choices=PATHS, default=list(PATHS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--steps", type=int, help="other than is set")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="verl=PATH",
        help="the Python that has a trainer, where it is not this one",
    )
    parser.add_argument("--model", help="a folder or a hub's name: LoRA on a GPU")
    parser.add_argument("--trl", choices=["environment", "rollout"], default="rollout")
    return parser


def _play(folder: Path, pythons: Mapping[str, str], given: argparse.Namespace) -> None:
    """Run the processes: the warm starts, then the paths, each with all seeds."""
    more = [] if given.steps is None else ["--steps", str(given.steps)]
    with ThreadPoolExecutor(JOBS) as pool:
        starts = [
            pool.submit(_process, sys.executable, "warm-start", folder, [seed], more)
            for seed in given.seeds
        ]
        for one in starts:
            one.result()
        runs = [
            pool.submit(
                _process,
                pythons.get(path.split("-")[0], sys.executable),
                path,
                folder,
                given.seeds,
                more,
            )
            for path in given.paths
        ]
        for one in runs:
            one.result()


def _process(
    python: str, what: str, folder: Path, seeds: Sequence[int], more: Sequence[str]
) -> None:
    command = [python, "-W", "ignore", "-m", "learn.one", what, str(folder)]
    subprocess.run(
        [*command, "--seeds", *map(str, seeds), *more],
        cwd=HERE.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        check=True,
    )


def _collect(
    folder: Path, paths: Sequence[str], seeds: Sequence[int]
) -> dict[str, Any]:
    def read(what: str) -> list[dict[str, Any]]:
        files = [folder / f"{what}-{seed}.json" for seed in seeds]
        return [json.loads(file.read_text()) for file in files]

    return {
        "setting": asdict(SETTING),
        "floors": floors(),
        "warm_starts": read("warm-start"),
        "runs": [run for path in paths for run in read(path)],
    }


def floors() -> dict[str, float]:
    """Return the mean rewards of policies that do not learn, on the same tasks."""
    from llm_gym.policies import OraclePolicy, RandomPolicy, ScriptedPolicy

    policies = {
        "null": ScriptedPolicy([""]),
        "random": RandomPolicy(),
        "oracle": OraclePolicy(),
    }
    return {name: mean_return(policy) for name, policy in policies.items()}


if __name__ == "__main__":
    raise SystemExit(main())
