"""One process of `make learn`: warm starts, or a path with one seed after another."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from learn.setting import OnStep, Setting, measure
from learn.tiny import load, save

__all__ = ["PATHS", "main"]

PATHS = ("verl-worker", "trl-environment", "trl-rollout", "from-scratch")
"""The slowest first, so that none of them is left for the end alone."""

PACKAGES = ("torch", "transformers", "trl", "verl", "llm-gym")
EXAMPLE = Path(__file__).parent.parent / "examples" / "10_reinforce_from_scratch.py"

Train = Callable[[Any, Any, Setting, int, OnStep], Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["warm-start", *PATHS])
    parser.add_argument("folder", type=Path, help="of warm starts and results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int)
    given = parser.parse_args(argv)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    torch.set_num_threads(1)  # two were nine times slower under load
    setting = Setting() if given.steps is None else Setting(steps=given.steps)
    one = start if given.what == "warm-start" else partial(run, given.what)
    for seed in given.seeds:
        result = one(seed, given.folder, setting)
        name = f"{given.what}-{seed}.json"
        (given.folder / name).write_text(json.dumps(result))
        print(f"{given.what}, seed {seed}: {result}", flush=True)
    return 0


def start(seed: int, folder: Path, setting: Setting) -> dict[str, Any]:
    """Make a warm start, and measure it."""
    from learn.warm_start import warm_start

    began, cpu = time.perf_counter(), time.process_time()
    model, tokenizer = warm_start(setting.env_id, setting.env_kwargs, seed)
    save(model, tokenizer, folder / f"seed-{seed}")
    return {
        "seed": seed,
        "reward": measure(model, tokenizer, setting),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }


def run(path: str, seed: int, folder: Path, setting: Setting) -> dict[str, Any]:
    """Train the warm start of a seed by a path, and measure what came of it."""
    train = trainer_of(path)
    model, tokenizer = load(folder / f"seed-{seed}")
    before = json.loads((folder / f"warm-start-{seed}.json").read_text())["reward"]
    curve: list[float] = []

    def on_step(step: int, reward: float) -> None:
        curve.append(round(reward, 4))
        print(f"{path}, seed {seed}, step {step}: reward {reward:.3f}", flush=True)

    began, cpu = time.perf_counter(), time.process_time()
    train(model, tokenizer, setting, seed, on_step)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    return {
        "path": path,
        "seed": seed,
        "before": before,
        "after": measure(model, tokenizer, setting),
        "curve": curve,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "versions": versions(),
    }


def trainer_of(path: str) -> Train:
    """Return what trains by a path; its packages are imported here."""
    if path == "verl-worker":
        from learn import verl_path

        return verl_path.train
    if path == "from-scratch":
        return _from_scratch
    from learn import trl_path

    if path == "trl-environment":
        return partial(trl_path.train, path="environment")
    return partial(trl_path.train, path="rollout")


def _from_scratch(
    model: Any, tokenizer: Any, setting: Setting, seed: int, on_step: OnStep
) -> None:
    """Train with the example's own code."""
    example().train(
        model,
        tokenizer,
        seed=seed,
        steps=setting.steps,
        on_step=on_step,
        groups=setting.groups,
        size=setting.group_size,
        lr=setting.lr,
    )


def example() -> Any:
    """Return the example as a module."""
    spec = importlib.util.spec_from_file_location("from_scratch", EXAMPLE)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"there is no example at {EXAMPLE}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def versions() -> dict[str, str]:
    """Return the versions of what is installed of that which matters."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    raise SystemExit(main())
