"""Unsloth: what must hold before it trains on `TRLSpec`; see `check`.

The arguments of its trainer are TRL's, so `llm_gym.adapters.trl.TRLSpec` makes them.
On a GPU Unsloth replaces `trl.GRPOTrainer` with a class that it generates from TRL's
source and changes; what fails there in silence is looked for here, before a step.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from llm_gym.errors import LLMGymError, MissingDependencyError, require

__all__ = [
    "WINDOWS",
    "check",
    "check_settings",
    "check_versions",
    "imported_too_late",
]

WINDOWS: Mapping[str, str] = {
    "unsloth": ">=2026.10.2",
    "trl": ">=1.8,<=1.15",
    "transformers": ">=5.2,<=5.17",
    "datasets": ">=4.7,<5",
}
"""The versions that fit together: those of the extra `unsloth`."""

_PATCHED = ("trl", "transformers", "peft")
_GENERATED = "UnslothGRPOTrainer"


def check(trainer: Any = None) -> None:
    """Raise if Unsloth would fail, or train on something else, with `TRLSpec`.

    Without a trainer it checks the installation and the order of imports, which can be
    done before a model is loaded; with one, its settings too. It changes nothing.

    Example:
        >>> import unsloth  # before trl, transformers and peft
        >>> from trl import GRPOConfig, GRPOTrainer
        >>> trainer = GRPOTrainer(model=model, args=args, **spec.kwargs())
        >>> check(trainer)
        >>> trainer.train()

    Args:
        trainer: The GRPOTrainer, before `train()`.

    Raises:
        MissingDependencyError: unsloth is not installed, or a version is outside
            `WINDOWS`.
        LLMGymError: trl, transformers or peft was imported before unsloth.
        TypeError: The trainer is TRL's own class on a machine where Unsloth has one.
        ValueError: A setting of the trainer; see `check_settings`.
    """
    check_versions(_installed())
    late = imported_too_late(sys.modules)
    if late:
        raise LLMGymError(
            f"`import unsloth` must come before {' and '.join(late)}: it changes them "
            "as they are imported; put it on the first line of the program"
        )
    if trainer is None:
        return
    device = require("unsloth", extra="unsloth").DEVICE_TYPE
    generated = _is_generated(trainer)
    if device != "cpu" and not generated:
        raise TypeError(
            f"`trainer` must be of the class that Unsloth puts in `trl.GRPOTrainer`, "
            f"not {type(trainer).__module__}.{type(trainer).__name__}: import unsloth "
            "first, and GRPOTrainer from trl after it"
        )
    has_8bit = find_spec("bitsandbytes") is not None
    check_settings(trainer, generated=generated, has_8bit=has_8bit)


def check_versions(installed: Mapping[str, str | None]) -> None:
    """Raise if a version is outside its window.

    Args:
        installed: Versions by distribution, None for one that is not there.

    Raises:
        MissingDependencyError: One is missing or does not fit; it names all of these.
    """
    specifiers = require("packaging.specifiers", extra="unsloth")
    wrong = [
        f"{name}{window} (installed: {installed.get(name) or 'none'})"
        for name, window in WINDOWS.items()
        if not _fits(specifiers.SpecifierSet(window), installed.get(name))
    ]
    if wrong:
        raise MissingDependencyError(
            f"Unsloth needs {', '.join(wrong)}: pip install 'llm-gym[unsloth]'"
        )


def imported_too_late(modules: Iterable[str]) -> list[str]:
    """Return what was imported before unsloth and should not have been.

    Args:
        modules: Names of modules in the order in which their imports ended, as
            `sys.modules` has them.
    """
    order = list(modules)
    # A module of its own: the package's import ends after those that it imports.
    mine = (i for i, name in enumerate(order) if name.partition(".")[0] == "unsloth")
    first = next(mine, len(order))
    return [name for name in _PATCHED if name in order[:first]]


def check_settings(trainer: Any, *, generated: bool, has_8bit: bool) -> None:
    """Raise if a trainer's settings make it fail or train on something else.

    Args:
        trainer: A GRPOTrainer.
        generated: Whether its class is Unsloth's.
        has_8bit: Whether bitsandbytes is there, for 8-bit optimizers.

    Raises:
        ValueError: The optimizer is an 8-bit one that cannot run; a batch is larger
            than the dataset, so that training would end before its first step; the
            padding token also stands in episodes, where Unsloth would cut it out
            and move the mask; or completions may be longer than the model was loaded
            for, where Unsloth cuts them.
    """
    _check_optimizer(trainer.args, has_8bit)
    _check_batch(trainer)
    if generated:
        _check_padding(trainer)
    _check_length(trainer)


def _check_optimizer(args: Any, has_8bit: bool) -> None:
    optim = str(getattr(args.optim, "value", args.optim))
    if "8bit" in optim and not has_8bit:
        raise ValueError(
            f"`optim` must be one that runs here, not {optim!r} (Unsloth's default), "
            'which needs bitsandbytes: install it, or pass optim="adamw_torch"'
        )


def _check_batch(trainer: Any) -> None:
    args, dataset = trainer.args, trainer.train_dataset
    if dataset is None or not hasattr(dataset, "__len__"):
        return
    rows, batch = len(dataset) * args.num_generations, args.generation_batch_size
    if rows < batch:
        raise ValueError(
            f"`prompts` must be at least {-(-batch // args.num_generations)}, the "
            f"groups of a batch, not {len(dataset)}: training would end at step 0 "
            "without an error (`gradient_accumulation_steps` is 2 unless you say)"
        )


def _check_padding(trainer: Any) -> None:
    """Refuse a padding token that episodes hold.

    The generated loss finds padding by its id, sorts it to the end of the row, and lays
    the tool mask over what is left (`left_pack_padding`, unsloth_zoo 2026.10.9).
    """
    tokenizer = getattr(trainer, "_tokenizer", trainer.processing_class)
    pad, ends = tokenizer.pad_token_id, {tokenizer.eos_token_id}
    ends.update(getattr(trainer, "eos_token_ids", ()))
    template = str(trainer.processing_class.chat_template or "")
    if pad in ends or str(tokenizer.pad_token) in template:
        raise ValueError(
            f"`pad_token` must be a token that stands in no episode, not "
            f"{tokenizer.pad_token!r}, which ends replies or is written by the chat "
            "template: use the tokenizer that FastLanguageModel.from_pretrained "
            "returns, or set `tokenizer.pad_token` to an unused token before the "
            "trainer is made"
        )


def _check_length(trainer: Any) -> None:
    longest = getattr(trainer.model, "max_seq_length", None)
    budget = trainer.args.max_completion_length
    if longest is not None and budget is not None and budget >= longest:
        raise ValueError(
            f"`max_completion_length` must leave room for the prompt within the "
            f"model's `max_seq_length` of {longest}, not be {budget}: Unsloth would "
            "cut the rest off; load the model with a larger `max_seq_length`"
        )


def _fits(window: Any, found: str | None) -> bool:
    return found is not None and bool(window.contains(found, prereleases=True))


def _installed() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in WINDOWS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def _is_generated(trainer: Any) -> bool:
    return any(kind.__name__ == _GENERATED for kind in type(trainer).__mro__)
