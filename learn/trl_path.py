"""The two paths of TRL: its GRPOTrainer with a `TRLSpec`."""

from __future__ import annotations

import tempfile
import warnings
from typing import Any, Literal

from learn.setting import OnStep, Setting
from llm_gym.adapters.trl import TRLSpec

__all__ = ["train"]


def train(
    model: Any,
    tokenizer: Any,
    setting: Setting,
    seed: int,
    on_step: OnStep,
    *,
    path: Literal["environment", "rollout"],
    peft_config: Any = None,
    on_gpu: bool = False,
) -> Any:
    """Train a model in place.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer, with a chat template.
        setting: The task and the schedule.
        seed: Decides tasks and draws.
        on_step: See `OnStep`.
        path: By which of TRL's hooks.
        peft_config: What adapters to train instead of all weights, None for none.
        on_gpu: Whether to leave the device and the type of numbers to TRL.

    Returns:
        The model as the trainer has it, with its adapters if there are any.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TRL and transformers of each other
        from transformers import PrinterCallback
        from trl import GRPOTrainer

        spec = TRLSpec(
            setting.env_id,
            path=path,
            prompts=setting.steps * setting.groups,
            seed=seed,
            env_kwargs=setting.env_kwargs,
        )
        trainer = GRPOTrainer(
            model=model,
            args=_arguments(setting, seed, on_gpu=on_gpu),
            processing_class=tokenizer,
            peft_config=peft_config,
            **spec.kwargs(callbacks=[_teller(on_step)]),
        )
        trainer.remove_callback(PrinterCallback)  # the curve says enough
        trainer.train()
    return trainer.model.eval()


def _arguments(setting: Setting, seed: int, *, on_gpu: bool) -> Any:
    from trl import GRPOConfig

    on_cpu = {} if on_gpu else {"use_cpu": True, "bf16": False}
    return GRPOConfig(
        output_dir=tempfile.mkdtemp(prefix="llm_gym-learn-"),
        per_device_train_batch_size=setting.groups * setting.group_size,
        num_generations=setting.group_size,
        max_completion_length=setting.episode_tokens,
        max_tool_calling_iterations=setting.env_kwargs.get("max_turns"),
        max_steps=setting.steps,
        learning_rate=setting.lr,
        warmup_steps=setting.warm_up_steps,
        lr_scheduler_type="constant_with_warmup",
        beta=0.0,
        temperature=1.0,
        seed=seed,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        gradient_checkpointing=on_gpu,
        **on_cpu,
    )


def _teller(on_step: OnStep) -> Any:
    from transformers import TrainerCallback

    class Teller(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, **told: Any) -> None:
            reward = (told.get("logs") or {}).get("reward")
            if reward is not None:
                on_step(state.global_step - 1, float(reward))

    return Teller()
