"""`python -m learn.run --model NAME`: LoRA on a real model, through TRL, on a GPU."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from learn.setting import Setting, measure
from learn.trl_path import train

__all__ = ["REAL", "train_real"]

REAL = Setting(
    env_kwargs={"level": 0, "max_turns": 4},
    steps=60,
    groups=4,
    group_size=8,
    lr=5e-5,
    reply_tokens=256,
    episode_tokens=1024,
    measured=64,
)


def train_real(
    name: str,
    out: Path,
    *,
    steps: int | None = None,
    path: Literal["environment", "rollout"] = "rollout",
) -> int:
    """Train adapters of a model, and write its rewards and its curve.

    Args:
        name: A folder, or a hub's name.
        out: Where `real.json` and `real.png` are written.
        steps: Other than is set.
        path: By which of TRL's hooks; `"environment"` needs a template that TRL knows.

    Returns:
        0 if the reward is higher afterwards, else 1.
    """
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from learn.plot import plot, table
    from learn.run import floors

    on_gpu = torch.cuda.is_available()
    setting = Setting(**{**asdict(REAL), **({} if steps is None else {"steps": steps})})
    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModelForCausalLM.from_pretrained(
        name, dtype=torch.bfloat16 if on_gpu else torch.float32
    ).to("cuda" if on_gpu else "cpu")
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")
    curve: list[float] = []

    def on_step(step: int, reward: float) -> None:
        curve.append(round(reward, 4))
        print(f"step {step}: reward {reward:.3f}", flush=True)

    before, began = measure(model, tokenizer, setting), time.perf_counter()
    trained: Any = train(
        model, tokenizer, setting, 0, on_step,
        path=path, peft_config=lora, on_gpu=on_gpu,
    )  # fmt: skip
    run = {
        "path": f"trl-{path}",
        "seed": 0,
        "before": before,
        "curve": curve,
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time(), 1),
        "after": measure(trained, tokenizer, setting),
    }
    found = {"model": name, "setting": asdict(setting), "floors": floors(),
             "warm_starts": [], "runs": [run]}  # fmt: skip
    (out / "real.json").write_text(json.dumps(found, indent=1) + "\n")
    plot(found, out / "real.png")
    print(table(found))
    return 0 if run["after"] > before else 1
