"""Decoding by transformers' own `generate`, one batch after the other.

For models whose cache is more than keys and values: windows, recurrent states, an
encoder. A batch lasts until its longest row ends. Knows tokens; knows no chats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llm_gym.errors import require
from llm_gym.policies.decoding.model import (
    DecodeCall,
    DecodeSettings,
    EvalMode,
    Sampled,
)
from llm_gym.policies.decoding.prefill import left_padded
from llm_gym.policies.sampling import RowSampler

if TYPE_CHECKING:
    import torch

__all__ = ["GenerateEngine"]


class _Recorder:
    """A logits processor that draws, and keeps the log-probabilities of its draws."""

    def __init__(self, sampler: RowSampler) -> None:
        self._sampler = sampler
        self._steps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores `(B, V)` of which greedy decoding takes what was drawn."""
        tokens, logprobs = self._sampler.draw(scores)
        self._steps.append(logprobs)
        return scores.new_zeros(scores.shape).scatter_(1, tokens[:, None], 1.0)

    def logprobs(self) -> list[list[float]]:
        """Return the log-probabilities of each row."""
        torch = require("torch", extra="transformers")
        rows: list[list[float]] = torch.stack(self._steps, dim=1).tolist()
        return rows


class GenerateEngine:
    """Decodes whole batches; see `llm_gym.policies.gather.Engine`.

    Args:
        model: A causal language model of transformers.
        settings: How rows are decoded.
    """

    def __init__(self, model: Any, settings: DecodeSettings) -> None:
        self._transformers = require("transformers", extra="transformers")
        self._torch = require("torch", extra="transformers")
        self._model = model
        self._settings = settings
        self._mode = EvalMode(model)
        self._calls: list[DecodeCall] = []

    def room(self, waiting: int) -> int:
        """Return how many rows the next batch may have."""
        return self._settings.max_batch_size - len(self._calls)

    def idle(self) -> bool:
        """Whether no row is under way."""
        return not self._calls

    def admit(self, calls: Sequence[DecodeCall]) -> None:
        """Take rows for the next batch."""
        self._calls.extend(calls)

    def step(self) -> list[tuple[DecodeCall, Sampled]]:
        """Answer the batch.

        Rows near the end of the context have less room than the others: each room is
        a `generate` of its own, so that no row runs past the context.
        """
        answers: list[tuple[DecodeCall, Sampled]] = []
        self._mode.enter()
        try:
            for room in sorted({call.item.room for call in self._calls}, reverse=True):
                calls = [call for call in self._calls if call.item.room == room]
                answers += zip(calls, self._generate(calls, room), strict=True)
        finally:
            self._mode.leave()
        self._calls = []
        return answers

    def clear(self) -> list[DecodeCall]:
        """Give up all rows."""
        calls, self._calls = self._calls, []
        return calls

    def forget(self) -> None:
        """Do nothing: no batch leaves anything behind."""

    def _generate(self, calls: Sequence[DecodeCall], room: int) -> list[Sampled]:
        """Return what was sampled for rows of one room."""
        model, settings = self._model, self._settings
        prompts = [call.item.ids for call in calls]
        inputs = left_padded(prompts, settings.pad_id, model.device)
        seeds = [call.item.seed for call in calls]
        recorder = _Recorder(RowSampler(settings.sampling, model.device, seeds))

        def abandoned(*_: object, **__: object) -> torch.Tensor:
            return self._torch.tensor([c.abandoned for c in calls], device=model.device)

        output = model.generate(
            **inputs,
            generation_config=self._generation_config(room),
            logits_processor=self._transformers.LogitsProcessorList([recorder]),
            stopping_criteria=self._transformers.StoppingCriteriaList([abandoned]),
        )
        new = output[:, inputs["input_ids"].shape[1] :].tolist()
        return list(map(self._cut, new, recorder.logprobs()))

    def _generation_config(self, room: int) -> Any:
        """Return settings that leave the model's distribution as it is.

        Checkpoints come with settings of their own (a repetition penalty, say), which
        would fill any that is not set here.
        """
        return self._transformers.GenerationConfig(
            max_new_tokens=room,
            eos_token_id=sorted(self._settings.stop_ids) or None,
            pad_token_id=self._settings.pad_id,
            use_cache=True,
            num_beams=1,
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            do_sample=False,  # the recorder draws
            # Without `do_sample` these do nothing; the library's own values, which
            # raise no warning, in place of the checkpoint's.
            temperature=1.0,
            top_p=1.0,
            top_k=50,
        )

    def _cut(self, ids: list[int], logprobs: list[float]) -> Sampled:
        """Cut a row after the token that ended it."""
        stops = self._settings.stop_ids
        end = next((i for i, token in enumerate(ids, 1) if token in stops), len(ids))
        return Sampled(ids[:end], logprobs[:end])
