"""The trainer that Unsloth generates, on its stage, and what its loss is given.

On a machine without a GPU the class is real and so is its loss, in torch; the model is
one of transformers with LoRA, for Unsloth's own runs in GPU kernels.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from llm_gym.adapters.trl import TRLSpec
from tests.adapters.trl.stage import Row, Stage, tokenizer_of
from tests.policies.tiny import tiny_model

peft = pytest.importorskip("peft")
torch = pytest.importorskip("torch")

__all__ = ["GeneratedStage"]


class GeneratedStage(Stage):
    """A step of the generated trainer.

    Attributes:
        fed: What the model read to train, row by row, without padding.
        trained: The tokens of each row that the loss counted.
    """

    def __init__(
        self, spec: TRLSpec, write: Callable[[str, int], str], **settings: Any
    ) -> None:
        self.fed: list[list[int]] = []
        self.trained: list[list[int]] = []
        model = tiny_model(tokenizer_of("qwen2_5"), initializer_range=0.02)
        config = peft.LoraConfig(task_type="CAUSAL_LM", r=4)
        model = _as_loaded(peft.get_peft_model(model, config))
        settings = {
            "optim": "adamw_torch",
            "gradient_accumulation_steps": 1,
            "warmup_steps": 0,
            **settings,
        }
        super().__init__(spec, write, model=model, **settings)

    def step(self) -> GeneratedStage:
        """Take a step of training, optimiser included."""
        hook = self.trainer.model.register_forward_pre_hook(
            self._see_forward, with_kwargs=True
        )
        with self._watched_loss(), contextlib.closing(_Removing(hook)):
            self.trainer.train()
        return self

    def exact(self) -> bool:
        """Whether rows were trained as they were drawn, in any order."""
        fed = {tuple(row) for row in self.fed}
        return sorted(self.trained) == sorted(map(_sampled, self.rows)) and fed == {
            (*row.prompt, *row.completion) for row in self.rows
        }

    def _see_forward(self, model: Any, args: Any, kwargs: Any) -> None:
        if not torch.is_grad_enabled():
            return
        ids, mask = kwargs["input_ids"], kwargs.get("attention_mask")
        if mask is not None:
            self.fed += _kept(ids, mask)
        else:  # rows one after another, without padding
            lengths = kwargs["packed_seq_lengths"].tolist()
            self.fed += [row.tolist() for row in ids[0].split(lengths)]

    @contextlib.contextmanager
    def _watched_loss(self) -> Iterator[None]:
        module: Any = sys.modules[type(self.trainer).__module__]
        loss, trained = module.UnslothEfficientGRPO, self.trained

        class Watched:
            @staticmethod
            def apply(*args: Any) -> Any:
                trained.extend(_kept(args[5], args[6]))
                return loss.apply(*args)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "UnslothEfficientGRPO", Watched)
            yield


class _Removing:
    """Lets a hook be removed at the end of a block."""

    def __init__(self, hook: Any) -> None:
        self.close = hook.remove


def _as_loaded(model: Any) -> Any:
    """Return the model with what Unsloth's loader puts on it."""
    fast = pytest.importorskip("unsloth.models.llama").FastLlamaModel
    model.for_training = partial(fast.for_training, model)
    model.for_inference = partial(fast.for_inference, model)
    model._unsloth_user_float32 = True
    return model


def _sampled(row: Row) -> list[int]:
    return [
        one for one, kept in zip(row.completion, row.mask, strict=True) if kept == 1
    ]


def _kept(ids: Any, mask: Any) -> list[list[int]]:
    return [row[kept].tolist() for row, kept in zip(ids, mask.bool(), strict=True)]
